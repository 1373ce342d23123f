"""Contact sheets: images with a number under each, as a figure, or as a page of HTML that needs no other file.

A file's name can be anything: on the page it is escaped, what does not print is shown as its code, and a policy in the
page's head forbids whatever is not an image or a style of its own.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from io import BytesIO
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure
from PIL import Image

from aimgan.data.decode import Pixels
from aimgan.errors import plain
from aimgan.figures.blocks import THIN, WIDE, Block, Heading, stacked
from aimgan.pages.webpage import webpage

ROW = 8  # images, in a figure
LOSSLESS = 64  # pixels to a side: up to here every one of them is seen


class Tile(NamedTuple):
    """An image, its name and what is written under it; no pixels where it could not be read again."""

    name: str
    note: str
    pixels: Pixels | None


class Section(NamedTuple):
    """Images under a title."""

    title: str
    note: str
    tiles: Sequence[Tile]


def figure(sections: Sequence[Section], caption: str) -> Figure:
    """Draw sections below each other, rows of ROW images with their notes above them."""
    side = max((max(t.pixels.shape[1:]) for s in sections for t in s.tiles if t.pixels is not None), default=64)
    blocks = []
    for section in sections:
        for start in range(0, len(section.tiles), ROW):
            row = section.tiles[start : start + ROW]
            pixels = np.stack([_square(tile.pixels, side) for tile in row])
            headings = [Heading(k, k, tile.note) for k, tile in enumerate(row)]
            label = "\n".join(filter(None, (section.title, section.note))) if start == 0 else ""
            last = start + ROW >= len(section.tiles)
            blocks.append(Block(label, [pixels], (len(row),), headings, below=2 * WIDE if last else 2 * THIN))
    return stacked(blocks, caption)


def _square(pixels: Pixels | None, side: int) -> UInt8[np.ndarray, "side side 3"]:
    """Return (side, side, 3): enlarged by whole numbers without smoothing; a pale square where there are no pixels."""
    if pixels is None:
        return np.full((side, side, 3), 232, np.uint8)
    whole = side % pixels.shape[1] == 0
    image = _image(pixels).resize((side, side), Image.Resampling.NEAREST if whole else Image.Resampling.LANCZOS)
    return np.asarray(image.convert("RGB"))


def _image(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def page(title: str, summary: str, sections: Sequence[Section]) -> str:
    """Return a page of HTML, images inside it: light or dark as the reader has it, wide or on a telephone."""
    body = "\n".join(_section(section) for section in sections)
    head, line = plain(title), escape(plain(summary))
    return webpage(head, STYLE, f"<h1>{escape(head)}</h1>\n<p>{line}</p>\n{body}")


def _section(section: Section) -> str:
    tiles = "\n".join(_tile(tile) for tile in section.tiles)
    note = f"<p>{escape(plain(section.note))}</p>" if section.note else ""
    return f"<section><h2>{escape(plain(section.title))}</h2>{note}\n<ol>\n{tiles}\n</ol></section>"


def _tile(tile: Tile) -> str:
    name = escape(plain(tile.name))
    text = f'<span title="{name}">{name}</span>' if name else ""
    shown = '<div class="gone">gone</div>' if tile.pixels is None else _img(tile.pixels)
    number = f"<b>{escape(plain(tile.note))}</b>" if tile.note else ""
    return f"<li>{shown}{number}{text}</li>"


def _img(pixels: Pixels) -> str:
    small = pixels.shape[1] <= LOSSLESS
    buffer = BytesIO()
    _image(pixels).save(buffer, "WEBP", lossless=small, quality=85)
    kind = ' class="small"' if small else ""
    return f'<img{kind} src="data:image/webp;base64,{b64encode(buffer.getvalue()).decode()}" alt="">'


STYLE = """
:root { color-scheme: light dark; --soft: #59595f; --pale: #ececee; }
@media (prefers-color-scheme: dark) { :root { --soft: #a6a6ad; --pale: #2c2c31; } }
body { font: 16px/1.45 system-ui, sans-serif; max-width: 75rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.4rem; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 1.6rem 0 .3rem; }
p { margin: 0 0 .6rem; color: var(--soft); overflow-wrap: anywhere; }
ol { list-style: none; margin: 0; padding: 0; display: grid; gap: .8rem .6rem;
     grid-template-columns: repeat(auto-fill, minmax(6rem, 1fr)); }
li { min-width: 0; max-width: 9rem; font-size: .8rem; }
img, .gone { display: block; width: 100%; aspect-ratio: 1; border-radius: 4px; background: var(--pale); }
.small { image-rendering: pixelated; }
.gone { display: grid; place-items: center; color: var(--soft); }
b { display: block; font-variant-numeric: tabular-nums; }
span { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden;
       overflow-wrap: anywhere; color: var(--soft); }
"""
