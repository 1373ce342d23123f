"""A folder of images as people really have them: every format, odd names, broken files. `python nasty.py FOLDER`."""

from __future__ import annotations

import colorsys
import io
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

BAD_EXIF = b"Exif\x00\x00MM\x00*\xff\xff\xff\xff"  # its table of tags is said to lie 4 GiB further on
Made = tuple[str, bytes]  # a file's name without its folder, and its content


def write_nasty_folder(folder: Path, count: int = 300, seed: int = 0) -> dict:
    """Write `count` mixed files, good and broken, and a few that are no images; at least one of each kind from 40 up.

    Returns {"good": how many decode, "broken": their relative names, in the order they were written}.
    """
    rng = np.random.default_rng(seed)
    kinds: list[tuple[Callable[[np.random.Generator, str], Made], bool]] = [
        *((make, True) for make in GOOD),
        *((make, False) for make in BROKEN),
    ]
    folders = ("", "a", "a/deep/er", "ünï/名前", "with space")
    good, broken = 0, []
    for i in range(count):
        # Each kind once, then the plain ones: broken files stay a few in a hundred.
        make, is_good = kinds[i] if i < len(kinds) else (GOOD[i % len(GOOD)], True)
        name, content = make(rng, f"{i:04d}")
        path = Path(folders[i % len(folders)], name)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
        good += is_good
        broken += [] if is_good else [path.as_posix()]
    _write_others(folder)
    return {"good": good, "broken": broken}


def shapes(rng: np.random.Generator, width: int = 64, height: int = 64) -> Image.Image:
    """Return an ellipse or a rectangle in one colour on a gradient between two others."""
    start, end, fill = (np.array(colorsys.hsv_to_rgb(*rng.uniform((0, 0.3, 0.4), 1))) * 255 for _ in range(3))
    ramp = np.linspace(0, 1, height)[:, None, None] * np.ones((1, width, 1))
    image = Image.fromarray(np.uint8(start + (end - start) * ramp))
    draw = ImageDraw.Draw(image)
    x, y = rng.uniform(0.05, 0.5, 2) * (width, height)
    w, h = rng.uniform(0.25, 0.45, 2) * (width, height)
    shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
    shape((x, y, x + w, y + h), fill=tuple(int(value) for value in fill))
    return image


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _with_alpha(rng: np.random.Generator, width: int = 64, height: int = 64) -> Image.Image:
    image = shapes(rng, width, height).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


def _rotated(rng: np.random.Generator, name: str) -> Made:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = shapes(rng, 96, 64).transpose(Image.Transpose.ROTATE_90)
    return f"{name}_rotated.jpg", _encoded(turned, "JPEG", quality=90, exif=exif)


def _sixteen_bits(rng: np.random.Generator, name: str) -> Made:
    grey = np.asarray(shapes(rng).convert("L")).astype(np.uint16) * 257
    return f"{name}_16bit.png", _encoded(Image.fromarray(grey), "PNG")


def _palette(rng: np.random.Generator, name: str) -> Made:
    return f"{name}_palette.png", _encoded(shapes(rng).quantize(32), "PNG", transparency=0)


def _animated(kind: str) -> Callable[[np.random.Generator, str], Made]:
    def make(rng: np.random.Generator, name: str) -> Made:
        first, *rest = (shapes(rng) for _ in range(3))
        return f"{name}_animated.{kind}", _encoded(first, kind, save_all=True, append_images=rest, duration=100)

    return make


def _header_only(rng: np.random.Generator, name: str) -> Made:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
    return f"{name}_bomb.png", b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(
        b"IEND", b""
    )


def _cut(kind: str) -> Callable[[np.random.Generator, str], Made]:
    def make(rng: np.random.Generator, name: str) -> Made:
        noisy = np.asarray(shapes(rng, 200, 200)) ^ rng.integers(0, 32, (200, 200, 3), np.uint8)
        content = _encoded(Image.fromarray(noisy), kind)
        return f"{name}_truncated.{kind}", content[: len(content) // 3]

    return make


GOOD: list[Callable[[np.random.Generator, str], Made]] = [
    lambda rng, name: (f"{name}.jpg", _encoded(shapes(rng), "JPEG", quality=90)),
    lambda rng, name: (f"{name}.png", _encoded(shapes(rng), "PNG")),
    lambda rng, name: (f"{name}.webp", _encoded(shapes(rng, 80, 60), "WEBP", quality=90)),
    lambda rng, name: (f"{name}.BMP", _encoded(shapes(rng), "BMP")),
    lambda rng, name: (f"{name}.tif", _encoded(shapes(rng), "TIFF")),
    lambda rng, name: (f"{name}.ppm", _encoded(shapes(rng), "PPM")),
    lambda rng, name: (f"{name}_large.JPEG", _encoded(shapes(rng, 900, 700), "JPEG")),
    lambda rng, name: (f"{name}_grey.png", _encoded(shapes(rng).convert("L"), "PNG")),
    lambda rng, name: (f"{name}_grey.pgm", _encoded(shapes(rng).convert("L"), "PPM")),
    lambda rng, name: (f"{name}_rgba.png", _encoded(_with_alpha(rng), "PNG")),
    lambda rng, name: (f"{name}_rgba.webp", _encoded(_with_alpha(rng), "WEBP", lossless=True)),
    lambda rng, name: (f"{name}_grey_alpha.png", _encoded(_with_alpha(rng).convert("LA"), "PNG")),
    lambda rng, name: (f"{name}_cmyk.jpg", _encoded(shapes(rng).convert("CMYK"), "JPEG", quality=90)),
    lambda rng, name: (f"{name}_1bit.PNG", _encoded(shapes(rng).convert("1"), "PNG")),
    lambda rng, name: (f"{name}_1x1.png", _encoded(shapes(rng, 1, 1), "PNG")),
    lambda rng, name: (f"{name}_wide.jpg", _encoded(shapes(rng, 3000, 20), "JPEG")),
    lambda rng, name: (f"{name}_ünïcödé_画像.png", _encoded(shapes(rng), "PNG")),
    lambda rng, name: (f"{name}_new\nline.jpg", _encoded(shapes(rng), "JPEG", quality=90)),
    lambda rng, name: (f"{name}_bad_exif.jpg", _encoded(shapes(rng), "JPEG", exif=BAD_EXIF)),
    _rotated,
    _sixteen_bits,
    _palette,
    _animated("gif"),
    _animated("webp"),
]  # fmt: skip

BROKEN: list[Callable[[np.random.Generator, str], Made]] = [
    _cut("jpeg"),
    _cut("png"),
    lambda rng, name: (f"{name}_empty.png", b""),
    lambda rng, name: (f"{name}_text.jpg", b"this is not a picture\n"),
    lambda rng, name: (f"{name}_noise.webp", b"RIFF\x40\x00\x00\x00WEBPVP8 " + rng.bytes(64)),
    _header_only,
]


def _write_others(folder: Path) -> None:
    """Write what a reader of images must pass over without a word."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "notes.txt").write_text("not an image")
    (folder / ".DS_Store").write_bytes(b"\x00\x00\x00\x01Bud1")
    (folder / "._resource.jpg").write_bytes(b"\x00\x05\x16\x07")
    (folder / ".thumbnails").mkdir(exist_ok=True)
    (folder / ".thumbnails" / "small.png").write_bytes(_encoded(Image.new("RGB", (8, 8)), "PNG"))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python nasty.py FOLDER")
    written = write_nasty_folder(Path(sys.argv[1]))
    sys.stdout.write(f"{written['good']} good images and {len(written['broken'])} broken in {sys.argv[1]}\n")
