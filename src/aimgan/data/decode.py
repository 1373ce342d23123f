"""Pictures of any kind become uint8 pixels (c, h, w): upright, opaque, grey or RGB, and square when a size is set."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from io import BufferedReader, BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

try:
    import simplejpeg
except ImportError:  # the extra `data`
    simplejpeg = None

from aimgan.checked import regular

MAX_PIXELS = 64_000_000
# A closed list: Pillow's other readers include one that starts Ghostscript on whatever calls itself a picture.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM")
DEEP = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I", "F"})
GREY = DEEP | {"1", "L", "LA"}
JPEG, APP1 = b"\xff\xd8\xff", b"\xff\xe1"  # how a JPEG begins; what says that it may lie on its side
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

Opener = Callable[[], Path | BytesIO]


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
        with regular(source).open("rb") if isinstance(source, Path) else nullcontext(source) as file:
            jpeg = _plain_jpeg(file, size)
            if jpeg is None:
                image = _loaded(file, size)
            elif jpeg.shape == (size, size, channels):
                return jpeg.transpose(2, 0, 1)
            else:
                image = Image.fromarray(jpeg if jpeg.shape[2] == 3 else jpeg[:, :, 0])
            channels = channels or (1 if image.mode in GREY else 3)
            return _pixels(_flatten(image, channels), size)
    except UndecodableError:
        raise
    except Exception as error:  # Pillow's readers raise nearly anything at a damaged file
        raise UndecodableError(reason(error)) from error


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
    if not content.startswith(JPEG) or len(content) > MOST_JPEG or APP1 in content:
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


def _loaded(file: BufferedReader | BytesIO, size: int | None) -> Image.Image:
    """Have Pillow read a picture, and turn it upright."""
    with Image.open(file, formats=FORMATS) as image:
        if image.width * image.height > MAX_PIXELS:
            raise UndecodableError(f"{image.width}x{image.height} is over {MAX_PIXELS // 10**6} megapixels")
        if size is not None:
            image.draft(None, (2 * size, 2 * size))  # a JPEG is scaled while it is decoded; Lanczos does the rest
        image.load()
        return _upright(image)


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


def reason(error: Exception) -> str:
    """Return in a few words what a reader's error says of a file."""
    if isinstance(error, Image.DecompressionBombError):
        return f"over {MAX_PIXELS // 10**6} megapixels"
    if isinstance(error, UnidentifiedImageError):
        return "not an image, or its header is damaged"
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror)
    return (str(error).splitlines() or [""])[0] or type(error).__name__
