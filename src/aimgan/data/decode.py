"""Pictures of any kind become uint8 pixels (c, h, w): upright, opaque, grey or RGB, and square when a size is set."""

from __future__ import annotations

import logging
import math
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import UInt8
from numpy.lib import format
from PIL import Image, UnidentifiedImageError

from aimgan.checked import regular, require_memory
from aimgan.errors import AimganError

MAX_PIXELS = 64_000_000
# A closed list: Pillow's other readers include one that starts Ghostscript on whatever calls itself a picture.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM")
DEEP = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I", "F"})
GREY = DEEP | {"1", "L", "LA"}
ORIENTATION = 0x0112  # the EXIF tag; below, what undoes each of its values
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

ZIP = b"PK\x03\x04"  # how a .npz begins
HEADERS = {(1, 0): format.read_array_header_1_0, (2, 0): format.read_array_header_2_0}

Opener = Callable[[], Path | BinaryIO]


class UndecodableError(Exception):
    """This picture cannot be used; the message says why, in a few words."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Pillow's warnings and log lines about damaged files inside the block.

    Warning filters belong to the whole process, so this goes around a thread pool, never into its workers. (What
    libtiff itself writes to file descriptor 2 could only be caught by taking that from the whole process.)
    """
    handler = logging.NullHandler()
    logging.getLogger("PIL").addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger("PIL").removeHandler(handler)


def decode(opener: Opener, size: int | None = None, channels: int | None = None) -> UInt8[np.ndarray, "c h w"]:
    """Return the first frame of the image file that `opener` returns, as (channels, size, size).

    `size=None` keeps the image's own height and width; `channels=None` gives 1 for grey modes and 3 for all others.
    Raises UndecodableError, whatever is wrong with the file.
    """
    try:
        source = opener()
        with Image.open(regular(source) if isinstance(source, Path) else source, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UndecodableError(f"{image.width}x{image.height} is over {MAX_PIXELS // 10**6} megapixels")
            if size is not None:
                image.draft(None, (2 * size, 2 * size))  # a JPEG is scaled while it is decoded; Lanczos does the rest
            image.load()
            channels = channels or (1 if image.mode in GREY else 3)
            return _pixels(_flatten(_upright(image), channels), size)
    except UndecodableError:
        raise
    except Exception as error:  # Pillow's readers raise nearly anything at a damaged file
        raise UndecodableError(_reason(error)) from error


def conform(
    pixels: UInt8[np.ndarray, "n c h w"], size: int, channels: int, progress: Callable[[int, int], None]
) -> UInt8[np.ndarray, "n c2 s s"]:
    """Return these images cropped and resized to (n, channels, size, size), as `decode` does it."""
    n, c, h, w = pixels.shape
    if (c, h, w) == (channels, size, size):
        return pixels
    out = np.empty((n, channels, size, size), np.uint8)
    for i, row in enumerate(pixels):
        image = Image.fromarray(row[0] if c == 1 else np.ascontiguousarray(row.transpose(1, 2, 0)))
        out[i] = _pixels(_flatten(image, channels), size)
        if i % 256 == 0:
            progress(i, n)
    return out


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
            f"cannot read {str(path)!r} as plain arrays (pickled ones are refused): {_reason(error)}"
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


def _pixels(image: Image.Image, size: int | None) -> UInt8[np.ndarray, "c h w"]:
    """Return an L or RGB image as an array: its central square, `size` to a side, or all of it if `size` is None."""
    if size is not None and image.size != (size, size):
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        # Cropping first is the same square, and a banner 10,000 wide and 1 high never becomes 640,000 x 64.
        square = image.crop((left, top, left + side, top + side))
        image = square.resize((size, size), Image.Resampling.LANCZOS)
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(ORIENTATION, 1)
    except Exception:  # a damaged EXIF block is no reason to lose the picture
        orientation = 1
    turn = UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(turn)


def _flatten(image: Image.Image, channels: int) -> Image.Image:
    """Return the image in mode L or RGB, with what is transparent shown on white."""
    if image.mode in DEEP:
        image = _eight_bits(image)
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if channels == 1:
        return image.convert("L") if image.mode in GREY else image.convert("RGB").convert("L")
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey by 1 / 257; 32-bit and float grey by the usual range they fit in, else by their own."""
    values = np.asarray(image).astype(np.float32)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise UndecodableError("NaN or infinite pixels")
    tops = (1.0, 255.0) if image.mode == "F" else (65535.0,)
    low, high = next(((0.0, top) for top in tops if low >= 0 and high <= top), (low, high))
    scaled = (values - low) * (255 / ((high - low) or 1.0))  # a constant image outside the usual ranges is black
    return Image.fromarray(np.rint(scaled).astype(np.uint8))


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"over {MAX_PIXELS // 10**6} megapixels"
    if isinstance(error, UnidentifiedImageError):
        return "not an image, or its header is damaged"
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror)
    return (str(error).splitlines() or [""])[0] or type(error).__name__
