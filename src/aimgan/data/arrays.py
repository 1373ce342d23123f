"""Pixels that are stored as numpy arrays: .npy and .npz are read, never pickles, and checked to be images."""

from __future__ import annotations

import math
import warnings
import zipfile
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from aimgan.data.names import SPLITS, Skipped, held_out_split, numbered, split_of
from aimgan.errors import AimganError

ZIP = b"PK\x03\x04"  # how a .npz begins
CHANNELS = (1, 3)
CHUNK = 2**24  # bytes that are looked at together
HEADERS = {(1, 0): format.read_array_header_1_0, (2, 0): format.read_array_header_2_0}


def listed_arrays(paths: Sequence[Path]) -> Listing:
    """List the images of .npy and .npz files. Raises AimganError for what are none, and where labels do not fit."""
    parts = [part for path in paths for part in _parts(path, split_of(path.name) if len(paths) > 1 else None)]
    held_out = held_out_split(part.split for part in parts)
    used = [part for part in parts if held_out is None or part.split in ("train", held_out)]
    counts = [len(part.images) for part in used]
    ends = list(accumulate(counts))
    labels, classes, note = numbered([label for part in used for label in part.labels])

    def opened(k: int) -> UInt8[np.ndarray, "c h w"]:
        which = bisect_right(ends, k)
        return _bytes(used[which].images[k - ends[which] + counts[which]])

    return Listing(
        names=[f"image {k}" for k in range(sum(counts))],
        open=opened,
        test=None if held_out is None else np.repeat([part.split == held_out for part in used], counts),
        by="hash" if held_out is None else "file",
        labels=labels,
        classes=classes,
        skipped=tuple(
            Skipped(str(part.split), f"{len(part.images):,} images in neither split")
            for part in parts
            if part not in used
        ),
        notes=(*dict.fromkeys(note for part in parts for note in part.notes), *([note] if note else [])),
    )


@dataclass(frozen=True, eq=False)
class Part:
    """Images (n, c, h, w) that were stored as one array, not yet as bytes; what each is labelled with, None if not."""

    images: np.ndarray
    labels: Sequence[object]
    split: str | None
    notes: tuple[str, ...] = ()


def _parts(path: Path, split: str | None) -> list[Part]:
    members = read_arrays(path)
    pairs = {word: pair for word in SPLITS if (pair := _pair(members, word))}
    taken: list[tuple[str | None, str, str | None]]
    if held_out_split(SPLITS[word] for word in pairs):
        taken = [(SPLITS[word], *pair) for word, pair in pairs.items()]
    else:
        others = [name for name in members if name not in COLUMNS]
        if "images" not in others and len(others) != 1:
            found = ", ".join(sorted(members)) or "nothing"
            raise AimganError(f"{str(path)!r} holds {found}; expected `images` (and `labels`), or x_train and x_test")
        images = "images" if "images" in others else others[0]
        taken = [(split, images, next((name for name in COLUMNS if name in members), None))]
    unused = [name for name in members if not any(name in names for _, *names in taken)]
    notes = (f"arrays that are not used: {', '.join(unused)}",) if unused else ()
    parts = []
    for own, images, label in taken:
        pixels = array_pixels(members[images], str(path))
        labels = [None] * len(pixels) if label is None else _labels(members[label], len(pixels), str(path))
        parts.append(Part(pixels, labels, own, notes))
    return parts


def _pair(members: Mapping[str, np.ndarray], word: str) -> tuple[str, str | None] | None:
    """Return the names of a split's images and labels, as keras and MedMNIST have them; None where it has none."""
    for images, labels in ((f"x_{word}", f"y_{word}"), (f"{word}_images", f"{word}_labels")):
        if images in members:
            return images, labels if labels in members else None
    return None


def _labels(labels: np.ndarray, count: int, name: str) -> list[object]:
    if labels.dtype.kind not in "iuU" or labels.size != count:
        raise AimganError(
            f"{name!r}: got {labels.dtype} labels {labels.shape}, expected one integer for each of {count:,} images"
        )
    return labels.reshape(-1).tolist()


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a .npz by name; that of a .npy, which stays on the disk, as `images`.

    Raises AimganError, for pickled objects too. No memory is taken before a header's shape has been compared with the
    bytes that are there.
    """
    try:
        with regular(path).open("rb") as file:
            if file.read(len(ZIP)) != ZIP:
                return {"images": _mapped(file, path.stat().st_size)}
            with zipfile.ZipFile(file) as archive:
                return _members(archive, str(path))
    except AimganError:
        raise
    except Exception as error:  # numpy's and zipfile's readers raise nearly anything at a damaged file
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
            arrays[member.filename.removesuffix(".npy")] = _array(file, member.file_size)
    return arrays


def _array(file: Any, size: int) -> np.ndarray:
    """Read one array of a file of so many bytes. Raises ValueError where its header promises more, or objects."""
    _header(file, size)
    file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return format.read_array(file, allow_pickle=False)


def _mapped(file: Any, size: int) -> np.ndarray:
    """Map the array of a .npy into memory, which is read where it is looked at. Raises ValueError as `_array` does."""
    shape, by_column, dtype = _header(file, size)
    if dtype.hasobject:
        raise ValueError("it holds objects")
    if not math.prod(shape):
        return np.empty(shape, dtype)
    return np.memmap(file, dtype, "r", file.tell(), shape, "F" if by_column else "C")


def _header(file: Any, size: int) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read the header of an array in a file of so many bytes, and stay behind it."""
    file.seek(0)
    version = format.read_magic(file)
    if version not in HEADERS:
        raise ValueError(f"version {version} of .npy, expected 1.0 or 2.0")
    with warnings.catch_warnings():  # a header that Python 2 wrote
        warnings.simplefilter("ignore")
        shape, by_column, dtype = HEADERS[version](file)
    count = math.prod(shape)
    if min(shape, default=0) < 0 or count * max(dtype.itemsize, 1) > size - file.tell():
        raise ValueError(f"its header says {dtype} {shape}, which is more than the file has")
    return shape, by_column, dtype


def array_pixels(array: np.ndarray, name: str) -> np.ndarray:
    """Return stored images (n, h, w), (n, h, w, c) or (n, c, h, w), uint8 or floats in [0, 1], as (n, c, h, w).

    Nothing is copied. c is 1 or 3. Raises AimganError with `name` in it, also for axes that can be read in two ways.
    """
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise AimganError(
            f"{name}: got an array {array.shape}, expected images (n, h, w), (n, h, w, c) or (n, c, h, w)"
        )
    first, last = (array.shape[axis] in CHANNELS for axis in (-3, -1))
    if array.ndim == 3 and (last or array.shape[0] == 3):
        raise AimganError(
            f"{name}: got an array {array.shape}, which is one image in colour, or images of one row or column; "
            "expected (n, h, w) or one more axis: save array[None] for one image, array[..., None] for many in grey"
        )
    if array.ndim == 4 and first and last and array.shape[1:3] != (1, 1):
        raise AimganError(
            f"{name}: got an array {array.shape}, whose channels can be in the second or in the last place; "
            "expected one of them to be no 1 and no 3: leave out the axis of grey images, or save them as files"
        )
    if array.ndim == 3:
        array = array[:, None]
    elif last:
        array = array.transpose(0, 3, 1, 2)
    elif not first:
        raise AimganError(f"{name}: got an array {array.shape}, expected 1 or 3 channels, in the second or last place")
    if array.shape[2] * array.shape[3] > MAX_PIXELS:
        raise AimganError(f"{name}: got an array {array.shape}, expected images of {MAX_PIXELS:,} pixels at most")
    _require_range(array, name)
    return array


def _require_range(array: np.ndarray, name: str) -> None:
    if array.dtype == np.uint8:
        return
    if array.dtype.kind != "f":
        raise AimganError(
            f"{name}: got {array.dtype} images, expected uint8 or floats in [0, 1]; convert and save again"
        )
    low, high, finite = np.inf, -np.inf, True
    together = max(1, CHUNK // array[0].nbytes)
    for start in range(0, len(array), together):
        part = array[start : start + together]
        good = part[np.isfinite(part)]
        finite = finite and good.size == part.size
        low, high = min(low, float(good.min(initial=np.inf))), max(high, float(good.max(initial=-np.inf)))
    if not finite:
        others = f" (the others from {low:g} to {high:g})" if low <= high else ""
        raise AimganError(f"{name}: got floats with NaN or infinite values{others}, expected [0, 1]")
    if low < 0 or high > 1:
        raise AimganError(
            f"{name}: got floats with values from {low:g} to {high:g}, expected [0, 1]; rescale, or save 0..255 as "
            "uint8"
        )


def _bytes(image: np.ndarray) -> UInt8[np.ndarray, "c h w"]:
    """Return one image as bytes."""
    if image.dtype != np.uint8:
        image = np.rint(image * image.dtype.type(255)).astype(np.uint8)
    return np.ascontiguousarray(image)
