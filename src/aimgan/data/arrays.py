"""Images in .npy and .npz files: numpy arrays without pickled objects, checked to be images."""

from __future__ import annotations

import math
import warnings
import zipfile
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy.lib import format

from aimgan.checked import regular, require_memory
from aimgan.data.decode import MAX_PIXELS, reason
from aimgan.data.files import require_deflate
from aimgan.data.labels import COLUMNS
from aimgan.data.listing import Listing
from aimgan.data.names import SPLITS, divide, in_neither_split, numbered, split_of
from aimgan.errors import AimganError

ZIP = b"PK\x03\x04"  # the first bytes of a .npz
CHANNELS = (1, 3)
CHUNK = 2**24  # bytes of floats that are checked at a time
HEADERS = {(1, 0): format.read_array_header_1_0, (2, 0): format.read_array_header_2_0}


@dataclass(frozen=True, eq=False)
class Part:
    """Images (c, h, w), uint8 or floats, or files; with their split and the label of each image (None without)."""

    images: np.ndarray | Sequence[np.ndarray | BytesIO]
    labels: Sequence[object]
    split: str | None


def listed_arrays(paths: Sequence[Path]) -> Listing:
    """List the images of .npy and .npz files.

    A file has images and maybe labels, or both splits of them. Several files are splits by their names. Raises
    AimganError for arrays that are not images, and for labels that do not fit them.
    """
    parts: list[Part] = []
    notes: list[str] = []
    for path in paths:
        split = split_of(path.name) if len(paths) > 1 else None
        found, unused = _parts(read_arrays(path), str(path), split)
        parts += found
        note = f"arrays that are not used: {', '.join(unused)}"
        if unused and note not in notes:
            notes.append(note)
    return listing_of(parts, notes)


def listing_of(parts: Sequence[Part], notes: Sequence[str] = ()) -> Listing:
    """List the images of all parts, which are named by their numbers."""
    notes = list(notes)
    used, test, unused_parts = divide([part.split for part in parts])
    outside = Counter({str(parts[k].split): len(parts[k].images) for k in unused_parts})
    parts = [parts[k] for k in used]
    counts = [len(part.images) for part in parts]
    begins = [0, *accumulate(counts)]
    labels, classes, why_not = numbered([label for part in parts for label in part.labels])
    if why_not:
        notes.append(why_not)

    def opened(k: int) -> UInt8[np.ndarray, "c h w"] | BytesIO:
        which = bisect_right(begins, k) - 1
        image = parts[which].images[k - begins[which]]
        return image if isinstance(image, BytesIO) else as_bytes(image)

    return Listing(
        names=[f"image {k}" for k in range(sum(counts))],
        open=opened,
        test=None if test is None else np.repeat(test, counts),
        by="hash" if test is None else "file",
        labels=labels,
        classes=classes,
        skipped=in_neither_split(outside, "images"),
        notes=tuple(notes),
    )


def _parts(arrays: Mapping[str, np.ndarray], path: str, split: str | None) -> tuple[list[Part], list[str]]:
    """Return the images in a file, and the names of the arrays in it that are not used."""
    named = _splits(arrays)
    if divide([own for _, _, own in named]).test is None:
        others = [name for name in arrays if name not in COLUMNS]
        if "images" in others:
            others = ["images"]
        if len(others) != 1:
            found = ", ".join(sorted(arrays)) or "nothing"
            raise AimganError(f"{path!r} holds {found}; expected `images` (and `labels`), or x_train and x_test")
        columns = [name for name in COLUMNS if name in arrays]
        named = [(others[0], columns[0] if columns else "", split)]
    parts = []
    unused = set(arrays)
    for images, labels, own in named:
        pixels = array_pixels(arrays[images], path)
        values: Sequence[object] = [None] * len(pixels)
        if labels in arrays:
            values = _labels(arrays[labels], len(pixels), path)
        parts.append(Part(pixels, values, own))
        unused -= {images, labels}
    return parts, [name for name in arrays if name in unused]


def _splits(arrays: Mapping[str, np.ndarray]) -> list[tuple[str, str, str | None]]:
    """Return the names of the images and the labels of each split, as keras and MedMNIST have them, and the split."""
    found: list[tuple[str, str, str | None]] = []
    for word, split in SPLITS.items():
        for images, labels in ((f"x_{word}", f"y_{word}"), (f"{word}_images", f"{word}_labels")):
            if images in arrays:
                found.append((images, labels, split))
    return found


def _labels(labels: np.ndarray, count: int, path: str) -> list[object]:
    if labels.dtype.kind not in "iuU" or labels.size != count:
        got = f"{labels.dtype} labels {labels.shape}"
        raise AimganError(f"{path!r}: got {got}, expected one integer for each of {count:,} images")
    return labels.reshape(-1).tolist()


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a .npz by name, or the array of a .npy as `images`, mapped from the disk.

    Raises AimganError for anything else, pickled objects included. Memory is taken only after the shape in a header has
    been compared with the size of the file.
    """
    try:
        with regular(path).open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about headers that Python 2 wrote, and shapes beyond 64 bits
            if file.read(len(ZIP)) == ZIP:
                with zipfile.ZipFile(path) as archive:
                    return _members(archive, str(path))
            file.seek(0)
            _require_sound_header(file, path.stat().st_size)
            return {"images": format.open_memmap(path, "r")}
    except AimganError:
        raise
    except Exception as error:  # the readers of numpy and zipfile raise nearly anything for a damaged file
        raise AimganError(
            f"cannot read {str(path)!r} as plain arrays (pickled ones are refused): {reason(error)}"
        ) from error


def _members(archive: zipfile.ZipFile, name: str) -> dict[str, np.ndarray]:
    members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
    require_memory(2 * sum(member.file_size for member in members), f"{name!r} and a copy", "store images as files")
    arrays = {}
    for member in members:
        require_deflate(member)
        with archive.open(member) as file:
            _require_sound_header(file, member.file_size)
            file.seek(0)
            arrays[member.filename.removesuffix(".npy")] = format.read_array(file, allow_pickle=False)
    return arrays


def _require_sound_header(file: Any, size: int) -> None:
    """Raise ValueError unless the header of a .npy of `size` bytes describes an array that fits in it.

    numpy itself ends the process with a division by zero for elements of no bytes.
    """
    version = format.read_magic(file)
    if version not in HEADERS:
        raise ValueError(f"version {version} of .npy, expected 1.0 or 2.0")
    shape, _, dtype = HEADERS[version](file)
    if min(shape, default=0) < 0 or not dtype.itemsize or math.prod(shape) * dtype.itemsize > size:
        raise ValueError(f"its header says {dtype} {shape}, which the file cannot hold")


def array_pixels(array: np.ndarray, name: str) -> np.ndarray:
    """View images (n, h, w), (n, h, w, c) or (n, c, h, w), with c of 1 or 3, as (n, c, h, w).

    They are uint8, or floats in [0, 1]. Raises AimganError with `name` in it for anything else, and for a shape that
    could be read in two ways, such as (3, 28, 28) or (9, 3, 28, 3).
    """
    array = channels_first(array, name)
    _require_range(array, name)
    return array


def channels_first(array: np.ndarray, name: str) -> np.ndarray:
    """View images as (n, c, h, w), like `array_pixels`, whatever numbers they hold."""
    shape = array.shape
    is_grey = array.ndim == 3 and shape[0] != 3 and shape[2] not in CHANNELS
    is_last = array.ndim == 4 and shape[3] in CHANNELS
    is_first = array.ndim == 4 and shape[1] in CHANNELS and not (is_last and shape[1:3] == (1, 1))
    if 0 in shape or is_grey + is_last + is_first != 1:
        raise AimganError(
            f"{name}: got an array {shape}; expected images (n, h, w), (n, h, w, c) or (n, c, h, w), where c is 1 or 3 "
            "and no other reading is possible: take array[None] for one image, array[..., None] for grey images"
        )
    if is_grey:
        array = array[:, None]
    elif is_last:
        array = array.transpose(0, 3, 1, 2)
    if array.shape[2] * array.shape[3] > MAX_PIXELS:
        raise AimganError(f"{name}: got an array {shape}, expected images of {MAX_PIXELS:,} pixels at most")
    return array


def _require_range(array: np.ndarray, name: str) -> None:
    if array.dtype == np.uint8:
        return
    expected = "expected uint8, or floats in [0, 1]: rescale them, or take 0 to 255 as uint8"
    if array.dtype.kind != "f":
        raise AimganError(f"{name}: got {array.dtype} images, {expected}")
    together = max(1, CHUNK // array[0].nbytes)
    for start in range(0, len(array), together):
        part = array[start : start + together]
        low, high = float(part.min()), float(part.max())
        if not (low >= 0 and high <= 1):  # also true for NaN
            raise AimganError(f"{name}: got {array.dtype} images with values from {low:g} to {high:g}, {expected}")


def as_bytes(image: np.ndarray) -> UInt8[np.ndarray, "c h w"]:
    """Return an image of uint8 or of floats in [0, 1] as uint8."""
    if image.dtype != np.uint8:
        image = np.rint(image * image.dtype.type(255)).astype(np.uint8)
    return np.ascontiguousarray(image)
