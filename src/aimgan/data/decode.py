"""Decoding: an image file of any kind becomes uint8 pixels (c, h, w), upright, opaque, grey or RGB.

In floats and 32-bit integers the values of black and white differ between data sets: they are given as a `scale`, which
data/scale.py finds.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from io import BufferedReader, BytesIO
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

try:
    import simplejpeg
except ImportError:  # it comes with the extra `data`
    simplejpeg = None

from aimgan.checked import MAX_FILE, BoundedReader, regular
from aimgan.errors import AimganError, first_line

MAX_PIXELS = 64_000_000  # of an image in memory
LARGE = 4_000_000  # pixels: of larger images, threads decode one at a time, since each may take a gigabyte
# A closed list: one of Pillow's other readers starts Ghostscript on a file that says it is PostScript.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM")
DEEP = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I", "F"})  # modes of more than 8 bits
GREY = DEEP | {"1", "L", "LA"}
SIXTEEN_BITS = ("PNG", "PPM")  # formats that have 16 bits where Pillow says mode I
JPEG, APP1 = b"\xff\xd8\xff", b"\xff\xe1"  # the first bytes of a JPEG; the segment with its EXIF orientation
SCAN, END_OF_JPEG, MARKER = b"\xff\xda", b"\xff\xd9", re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
MOST_SCANS = 200  # of a JPEG
MOST_JPEG = 2**20  # bytes: for a larger file Pillow's overhead is small

Pixels = UInt8[np.ndarray, "c h w"]
Stored = Path | BytesIO | np.ndarray  # an image as its source has it: a file, its bytes, or pixels (c, h, w)
Opener = Callable[[], Stored]
File = BufferedReader | BytesIO
Scale = tuple[float, float]  # the values of floats and 32-bit integers that are black and white
EIGHT_BITS: Scale = (0.0, 255.0)
TURN = Lock()
# Blocks of this size go back to the system when they are freed; glibc keeps smaller ones for the thread that had them.
Image.core.set_block_size(2**26)


class UndecodableError(Exception):
    """This image cannot be used; the message says why, in a few words."""


class UnscaledError(Exception):
    """This image has floats or 32-bit integers, and no scale was given for them."""


class Picture(NamedTuple):
    """The pixels of an image, and whether its file has more pages or frames than this one."""

    pixels: Pixels
    has_more: bool = False


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress Pillow's warnings and log messages about damaged files.

    Warning filters belong to the whole process, so this goes around a thread pool, never into its workers. What
    libtiff itself writes to standard error is not suppressed.
    """
    handler = logging.NullHandler()
    logging.getLogger("PIL").addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger("PIL").removeHandler(handler)


@contextmanager
def opened(stored: Path | BytesIO) -> Iterator[File]:
    """Open a stored file for reading; leave the caller's BytesIO open.

    Raises OSError for a pipe or a device, and UndecodableError for a file of more than MAX_FILE bytes.
    """
    if isinstance(stored, BytesIO):
        yield stored
        return
    with regular(stored).open("rb") as file:
        require_size(os.fstat(file.fileno()).st_size)
        yield file


def require_size(size: int) -> None:
    """Raise UndecodableError for a file, or a member of an archive, of more than MAX_FILE bytes."""
    if size > MAX_FILE:
        raise UndecodableError(f"{size:,} bytes, over {MAX_FILE:,}")


def turn(pixels: int) -> AbstractContextManager[object]:
    """Return a context for the decoding of this many pixels, in which there is one thread at a time if they are LARGE.

    So the memory does not grow with the number of threads.
    """
    return TURN if pixels > LARGE else nullcontext()


def side_of(opener: Opener) -> int:
    """Return the shorter side of an image. Raises UndecodableError for a file that is no image."""
    stored = opener()
    if isinstance(stored, np.ndarray):
        return min(stored.shape[1:])
    try:
        with opened(stored) as file, pillow_image(file) as image:
            return min(image.size)
    except UndecodableError:
        raise
    except Exception as error:  # as in decode_with_pages
        raise UndecodableError(reason(error)) from error


def pillow_image(file: File) -> Image.Image:
    """Open a file with Pillow, which reads its header."""
    return Image.open(BoundedReader(file), formats=FORMATS)  # type: ignore[arg-type]


def decode(
    opener: Opener, size: int | None = None, channels: int | None = None, scale: Scale | None = EIGHT_BITS
) -> Pixels:
    """Return the image that `opener` opens as (channels, size, size); of several pages or frames, the first.

    `size=None` keeps the image's own height and width; `channels=None` gives 1 for grey modes and 3 for all others.
    Floats and 32-bit integers are clipped to `scale`. Raises UndecodableError for any problem with the file, and
    UnscaledError where a scale is needed and `scale` is None. An AimganError from `opener` passes through.
    """
    return decode_with_pages(opener, size, channels, scale).pixels


def decode_with_pages(opener: Opener, size: int | None, channels: int | None, scale: Scale | None) -> Picture:
    """Decode an image like `decode`, and also return whether its file has more pages or frames."""
    try:
        stored = opener()
        if isinstance(stored, np.ndarray):
            return Picture(_formed(stored, size, channels))
        with opened(stored) as file:
            plain = _plain_jpeg(file, size)
            if plain is not None:
                return Picture(_formed(plain, size, channels))
            return _by_pillow(file, size, channels, scale)
    except (UndecodableError, UnscaledError, AimganError):
        raise
    except Exception as error:  # Pillow's readers raise nearly anything for a damaged file
        raise UndecodableError(reason(error)) from error


def _formed(pixels: np.ndarray, size: int | None, channels: int | None) -> Pixels:
    """Return decoded pixels with this size and these channels."""
    c, h, w = pixels.shape
    if (channels or c, size or h, size or w) == (c, h, w):
        return pixels
    image = Image.fromarray(pixels[0] if c == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    return _square(_flat(image, channels), size)


def _plain_jpeg(file: File, size: int | None) -> Pixels | None:
    """Decode a small grey or YCbCr JPEG without metadata; return None for any other file, which is left to Pillow.

    The pixels are Pillow's (tests/data/test_jpeg.py), since both use libjpeg-turbo. But Pillow reads the header in
    Python, which for an image of 64 x 64 takes four times as long as the decoding.
    """
    if simplejpeg is None:
        return None
    content = file.read(len(JPEG))
    if content == JPEG:
        content += file.read(MOST_JPEG)
    file.seek(0)
    if not content.startswith(JPEG) or len(content) > MOST_JPEG or APP1 in content or content.count(SCAN) > MOST_SCANS:
        return None
    try:
        h, w, space, _ = simplejpeg.decode_jpeg_header(content)
        if h * w > MAX_PIXELS or space not in ("Gray", "YCbCr"):
            return None
        factor = 1
        while factor < 8 and size is not None and min(h, w) >= 4 * factor * size:  # as Image.draft does
            factor *= 2
        least = {"min_factor": factor, "min_height": -(-h // factor), "min_width": -(-w // factor)}
        with turn(h * w):
            rows = simplejpeg.decode_jpeg(content, "GRAY" if space == "Gray" else "RGB", **least)
    except ValueError:
        return None
    return rows.transpose(2, 0, 1)


def _by_pillow(file: File, size: int | None, channels: int | None, scale: Scale | None) -> Picture:
    """Decode an image with Pillow and turn it upright."""
    with pillow_image(file) as image:
        whole = image.size
        if size is not None:
            # A JPEG can be decoded at a fraction of its size; Lanczos does the rest. Only a JPEG of several scans (a
            # progressive one) is in memory at its full size, as coefficients.
            image.draft(None, (2 * size, 2 * size))
        w, h = whole if _scans(image, file) > 1 else image.size
        if w * h > MAX_PIXELS:
            raise UndecodableError(f"{whole[0]}x{whole[1]} is over {MAX_PIXELS // 10**6} megapixels")
        has_more = getattr(image, "is_animated", False)
        with turn(w * h):
            image.load()
            with suppress(Exception):  # damaged EXIF data do not damage the pixels
                ImageOps.exif_transpose(image, in_place=True)
            upright = _eight_bits(image, scale) if image.mode in DEEP else image
            pixels = _square(_flat(upright, channels), size)
            del upright
            image.close()  # frees its memory before another thread has its turn
        return Picture(pixels, has_more)


def _scans(image: Image.Image, file: File) -> int:
    """Return the number of scans in a JPEG. Raises UndecodableError for many: each one passes over the whole image."""
    if image.format not in ("JPEG", "MPO"):
        return 1
    file.seek(0)
    content = file.read()
    if content.count(SCAN) == 1:
        return 1
    scans, at = 0, 0
    while (found := MARKER.search(content, at)) and found[0] != END_OF_JPEG:
        scans += found[0] == SCAN
        at = found.end() + int.from_bytes(content[found.end() : found.end() + 2], "big")  # behind this segment
    if scans > MOST_SCANS:
        raise UndecodableError(f"{scans:,} scans, over {MOST_SCANS}")
    return scans


def _square(image: Image.Image, size: int | None) -> Pixels:
    """Return an L or RGB image as pixels: its central square, `size` to a side, or all of it if `size` is None."""
    if size is not None and image.size != (size, size):
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        # Cropped before it is resized, an image 10,000 wide and 1 high never becomes 640,000 x 64.
        square = image.crop((left, top, left + side, top + side))
        image = square.resize((size, size), Image.Resampling.LANCZOS)
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _flat(image: Image.Image, channels: int | None) -> Image.Image:
    """Return an image in mode L or RGB, without transparency: what is behind it is white."""
    if channels is None:
        channels = 1 if image.mode in GREY else 3
    if image.has_transparency_data:
        image = _in_mode(image, "RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if channels == 3 or image.mode not in GREY:
        image = _in_mode(image, "RGB")
    return image if channels == 3 else image.convert("L")


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)


def _eight_bits(image: Image.Image, scale: Scale | None) -> Image.Image:
    """Return 16-bit grey divided by 257, and floats and 32-bit integers by their scale, as 8 bits."""
    values = np.array(image, np.float32)
    if is_sixteen_bits(image):
        scale = (0.0, 65535.0)
    if scale is None:
        raise UnscaledError
    if not np.isfinite(values).all():
        raise UndecodableError("NaN or infinite pixels")
    values -= scale[0]  # in place: the largest image takes a quarter of a gigabyte
    values *= 255 / (scale[1] - scale[0])
    np.rint(values.clip(0, 255, out=values), out=values)
    return Image.fromarray(values.astype(np.uint8))


def is_sixteen_bits(image: Image.Image) -> bool:
    """Return whether a deep image has 16-bit integers, for which white is known."""
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format in SIXTEEN_BITS)


def reason(error: Exception) -> str:
    """Return the reason why a file could not be read, in a few words."""
    if isinstance(error, Image.DecompressionBombError):
        return f"over {MAX_PIXELS // 10**6} megapixels"
    if isinstance(error, UnidentifiedImageError):
        return "not an image, or its header is damaged"
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror)
    return first_line(error)
