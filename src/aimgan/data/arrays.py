"""Pixels that are stored as numpy arrays: .npy and .npz are read, never pickles, and checked to be images."""

from __future__ import annotations

import math
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy.lib import format

from aimgan.checked import regular, require_memory
from aimgan.data.decode import reason
from aimgan.errors import AimganError

ZIP = b"PK\x03\x04"  # how a .npz begins
HEADERS = {(1, 0): format.read_array_header_1_0, (2, 0): format.read_array_header_2_0}


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a .npz by name; that of a .npy as `images`. Raises AimganError, for pickled objects too.

    No memory is taken before a header's shape has been compared with the bytes that are there.
    """
    try:
        with regular(path).open("rb") as file:
            if file.read(len(ZIP)) != ZIP:
                return {"images": _array(file, path.stat().st_size)}
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
        with archive.open(member) as file:
            arrays[member.filename.removesuffix(".npy")] = _array(file, member.file_size)
    return arrays


def _array(file: Any, size: int) -> np.ndarray:
    """Read one array of a file of so many bytes. Raises ValueError where its header promises more, or objects."""
    file.seek(0)
    version = format.read_magic(file)
    if version not in HEADERS:
        raise ValueError(f"version {version} of .npy, expected 1.0 or 2.0")
    with warnings.catch_warnings():  # a header that Python 2 wrote
        warnings.simplefilter("ignore")
        shape, _, dtype = HEADERS[version](file)
        count = math.prod(shape)
        if min(shape, default=0) < 0 or count * max(dtype.itemsize, 1) > size - file.tell():
            raise ValueError(f"its header says {dtype} {shape}, which is more than the file has")
        file.seek(0)
        return format.read_array(file, allow_pickle=False)


def array_pixels(array: np.ndarray, name: str) -> UInt8[np.ndarray, "n c h w"]:
    """Return stored images (n, h, w), (n, h, w, c) or (n, c, h, w), uint8 or floats in [0, 1], as uint8 (n, c, h, w).

    c is 1 or 3; where both layouts fit, the channels are taken to be last. Raises AimganError with `name` in it.
    """
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise AimganError(
            f"{name}: got an array {array.shape}, expected images (n, h, w), (n, h, w, c) or (n, c, h, w)"
        )
    if array.ndim == 3:
        array = array[:, None]
    elif array.shape[3] in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    elif array.shape[1] not in (1, 3):
        raise AimganError(f"{name}: got an array {array.shape}, expected 1 or 3 channels, in the second or last place")
    return np.ascontiguousarray(_bytes(array, name))


def _bytes(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f":
        raise AimganError(
            f"{name}: got {array.dtype} images, expected uint8 or floats in [0, 1]; convert and save again"
        )
    with np.errstate(invalid="ignore"):
        low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # NaN fails too
        what = f"values from {low:g} to {high:g}" if np.isfinite([low, high]).all() else "NaN or infinite values"
        finite = array[np.isfinite(array)]
        if not np.isfinite([low, high]).all() and finite.size:
            what += f" (the others from {finite.min():g} to {finite.max():g})"
        raise AimganError(f"{name}: got floats with {what}, expected [0, 1]; rescale, or save 0..255 as uint8")
    return np.rint(array * array.dtype.type(255)).astype(np.uint8)
