"""Pictures of any kind become uint8 pixels (c, h, w): upright, opaque, grey or RGB, and square when a size is set.

Floats and 32-bit integers have no white of their own: what black and white are is one `scale` for a whole data set
(data/scale.py finds it).
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

try:
    import simplejpeg
except ImportError:  # the extra `data`
    simplejpeg = None

from aimgan.checked import regular
from aimgan.errors import AimganError

MAX_PIXELS = 64_000_000  # in memory
# A closed list: Pillow's other readers include one that starts Ghostscript on whatever calls itself a picture.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM")
DEEP = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I", "F"})
GREY = DEEP | {"1", "L", "LA"}
SIXTEEN_BITS = ("PNG", "PPM")  # formats whose mode I is of 16 bits, whatever Pillow makes of it
JPEG, APP1 = b"\xff\xd8\xff", b"\xff\xe1"  # how a JPEG begins; what says that it may lie on its side
SCAN, END_OF_JPEG, MARKER = b"\xff\xda", b"\xff\xd9", re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
MOST_SCANS, MOST_BYTES = 200, 2**28  # of a JPEG
MOST_JPEG = 2**20  # bytes: in a larger file what Pillow's Python takes is nothing beside libjpeg
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

Pixels = UInt8[np.ndarray, "c h w"]
Stored = Path | BytesIO | np.ndarray  # an image as its source has it: a file, its bytes, or pixels (c, h, w)
Opener = Callable[[], Stored]
Scale = tuple[float, float]  # of floats and 32-bit integers: what is black, what is white
EIGHT_BITS: Scale = (0.0, 255.0)


class UndecodableError(Exception):
    """This picture cannot be used; the message says why, in a few words."""


class UnscaledError(Exception):
    """This picture is of floats or 32-bit integers, and their scale was not given."""


class Picture(NamedTuple):
    """A picture's pixels, and how many pages or frames it has beside the one that they are of."""

    pixels: Pixels
    more: int = 0


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


def decode(
    opener: Opener, size: int | None = None, channels: int | None = None, scale: Scale | None = EIGHT_BITS
) -> Pixels:
    """Return the image that `opener` opens, the first of its pages or frames, as (channels, size, size).

    `size=None` keeps the image's own height and width; `channels=None` gives 1 for grey modes and 3 for all others.
    Floats and 32-bit integers are clipped to `scale`. Raises UndecodableError, whatever is wrong with the file, and
    UnscaledError where it needs a scale and `scale` is None. An AimganError of `opener` is of more than this image.
    """
    return picture(opener, size, channels, scale).pixels


def picture(opener: Opener, size: int | None, channels: int | None, scale: Scale | None) -> Picture:
    """Return what `decode` does, and how many more pages there are."""
    try:
        source = opener()
        if isinstance(source, np.ndarray):
            c, h, w = source.shape
            if source.shape == (channels or c, size or h, size or w):
                return Picture(source)
            return Picture(_pixels(_flatten(_image_of(source), channels or len(source)), size))
        with regular(source).open("rb") if isinstance(source, Path) else nullcontext(source) as file:
            jpeg = _plain_jpeg(file, size)
            if jpeg is not None and jpeg.shape == (size, size, channels):
                return Picture(jpeg.transpose(2, 0, 1))
            image, more = (_image_of(jpeg.transpose(2, 0, 1)), 0) if jpeg is not None else _loaded(file, size, scale)
            channels = channels or (1 if image.mode in GREY else 3)
            return Picture(_pixels(_flatten(image, channels), size), more)
    except (UndecodableError, UnscaledError, AimganError):
        raise
    except Exception as error:  # Pillow's readers raise nearly anything at a damaged file
        raise UndecodableError(reason(error)) from error


def _image_of(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def _plain_jpeg(file: BufferedReader | BytesIO, size: int | None) -> UInt8[np.ndarray, "h w c"] | None:
    """Decode a small JPEG of grey or YCbCr without metadata; None for any other file, or a damaged one: Pillow's.

    Both have libjpeg-turbo decode it, to the same pixels (tests/data/test_jpeg.py), but Pillow reads the header by
    Python: of an image of 64 x 64, that takes four times as long as the decoding.
    """
    if simplejpeg is None:
        return None
    content = file.read(len(JPEG))
    content += file.read(MOST_JPEG) if content == JPEG else b""
    file.seek(0)
    if not content.startswith(JPEG) or len(content) > MOST_JPEG or APP1 in content or content.count(SCAN) > MOST_SCANS:
        return None
    try:
        h, w, space, _ = simplejpeg.decode_jpeg_header(content)
        if h * w > MAX_PIXELS or space not in ("Gray", "YCbCr"):
            return None
        scale = 1 if size is None else min(h, w) // (2 * size)  # as Image.draft does it below
        scale = next((known for known in (8, 4, 2) if known <= scale), 1)
        least = {"min_factor": scale, "min_height": -(-h // scale), "min_width": -(-w // scale)}
        rows: np.ndarray = simplejpeg.decode_jpeg(content, "GRAY" if space == "Gray" else "RGB", **least)
    except ValueError:
        return None
    return rows


def _loaded(file: BufferedReader | BytesIO, size: int | None, scale: Scale | None) -> tuple[Image.Image, int]:
    """Have Pillow read a picture, and turn it upright; return it and the number of pages after the first."""
    with Image.open(file, formats=FORMATS) as image:
        whole = image.size
        # A JPEG is scaled while it is decoded, Lanczos does the rest: its full size is never in memory, unless it is
        # a progressive one, whose coefficients all are.
        if size is not None:
            image.draft(None, (2 * size, 2 * size))
        w, h = whole if _scans(image, file) > 1 else image.size
        if w * h > MAX_PIXELS:
            raise UndecodableError(f"{whole[0]}x{whole[1]} is over {MAX_PIXELS // 10**6} megapixels")
        more = int(getattr(image, "is_animated", False))
        image.load()
        flat = _eight_bits(image, scale) if image.mode in DEEP else image
        return _upright(flat, image), more


def _scans(image: Image.Image, file: BufferedReader | BytesIO) -> int:
    """Return how many scans a JPEG has. Raises UndecodableError for many: each passes over all of the image."""
    if image.format not in ("JPEG", "MPO"):
        return 1
    file.seek(0)
    content, at, scans = file.read(MOST_BYTES + 1), 0, 0
    if len(content) > MOST_BYTES:
        raise UndecodableError(f"over {MOST_BYTES:,} bytes")
    if content.count(SCAN) == 1:
        return 1
    while (found := MARKER.search(content, at)) and found[0] != END_OF_JPEG:
        scans += found[0] == SCAN
        at = found.end() + int.from_bytes(content[found.end() : found.end() + 2], "big")
    if scans > MOST_SCANS:
        raise UndecodableError(f"{scans:,} scans, over {MOST_SCANS}")
    return scans


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


def _upright(image: Image.Image, stored: Image.Image) -> Image.Image:
    """Turn an image as the metadata of the stored one say."""
    try:
        orientation = stored.getexif().get(ORIENTATION, 1)
    except Exception:  # a damaged EXIF block is no reason to lose the picture
        orientation = 1
    turn = UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(turn)


def _flatten(image: Image.Image, channels: int) -> Image.Image:
    """Return the image in mode L or RGB, with what is transparent shown on white."""
    if image.has_transparency_data:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if channels == 1:
        return image.convert("L") if image.mode in GREY else image.convert("RGB").convert("L")
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image, scale: Scale | None) -> Image.Image:
    """Return 16-bit grey by 1 / 257, and floats and 32-bit integers by their scale."""
    values = np.array(image, np.float32)
    low, high = (0.0, 65535.0) if is_sixteen_bits(image) else scale or (None, None)
    if low is None or high is None:
        raise UnscaledError
    if not np.isfinite(values).all():
        raise UndecodableError("NaN or infinite pixels")
    values -= low  # in place: of the largest images it is a quarter of a gigabyte
    values *= 255 / (high - low)
    return Image.fromarray(np.rint(values.clip(0, 255, out=values), out=values).astype(np.uint8))


def is_sixteen_bits(image: Image.Image) -> bool:
    """Return whether a deep image is of 16-bit integers, whose white is known."""
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format in SIXTEEN_BITS)


def reason(error: Exception) -> str:
    """Return in a few words what a reader's error says of a file."""
    if isinstance(error, Image.DecompressionBombError):
        return f"over {MAX_PIXELS // 10**6} megapixels"
    if isinstance(error, UnidentifiedImageError):
        return "not an image, or its header is damaged"
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror)
    return (str(error).splitlines() or [""])[0] or type(error).__name__
