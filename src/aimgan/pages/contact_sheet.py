"""Contact sheets: images with a number under each, as a figure or as a page of HTML."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure
from PIL import Image

from aimgan.data.decode import Pixels
from aimgan.figures.blocks import THIN, WIDE, Block, Heading, stacked
from aimgan.pages.rendering import render

COLUMNS = 8  # images in a row of a figure
LOSSLESS = 64  # pixels: images up to this side are enlarged so far that each pixel is seen
GREY = (232, 232, 232)  # an image that could not be read again, in a figure


class Tile(NamedTuple):
    """An image, its name, and the note under it. `pixels` is None where the image could not be read again."""

    name: str
    note: str
    pixels: Pixels | None

    def image(self) -> Image.Image:
        """Return the image in colour, a grey one where there are no pixels."""
        if self.pixels is None:
            return Image.new("RGB", (1, 1), GREY)
        colour = np.broadcast_to(self.pixels, (3, *self.pixels.shape[1:]))
        return Image.fromarray(np.ascontiguousarray(colour.transpose(1, 2, 0)))

    def small(self) -> bool:
        """Return whether the image is so small that a page shows its pixels as squares."""
        return self.image().height <= LOSSLESS

    def webp(self) -> bytes:
        """Return the image as a WebP file, lossless where it is small."""
        buffer = BytesIO()
        self.image().save(buffer, "WEBP", lossless=self.small(), quality=85)
        return buffer.getvalue()


class Section(NamedTuple):
    """Images under a title."""

    title: str
    note: str
    tiles: Sequence[Tile]


def page(title: str, summary: str, sections: Sequence[Section]) -> str:
    """Return a page of HTML that contains the images."""
    return render("contact_sheet.html", title=title, summary=summary, sections=sections)


def figure(sections: Sequence[Section], caption: str) -> Figure:
    """Draw the sections below each other, in rows of COLUMNS images with their notes above them."""
    side = max(max(tile.image().size) for section in sections for tile in section.tiles)
    blocks = []
    for section in sections:
        label = f"{section.title}\n{section.note}".strip()
        for start in range(0, len(section.tiles), COLUMNS):
            row = section.tiles[start : start + COLUMNS]
            pixels = np.stack([_square(tile.image(), side) for tile in row])
            headings = [Heading(k, k, tile.note) for k, tile in enumerate(row)]
            blocks.append(Block(label, [pixels], [len(row)], headings, below=2 * THIN))
            label = ""
        blocks[-1] = blocks[-1]._replace(below=2 * WIDE)
    return stacked(blocks, caption)


def _square(image: Image.Image, side: int) -> UInt8[np.ndarray, "side side 3"]:
    """Return an image as (side, side, 3), without smoothing where it is enlarged by a whole number."""
    method = Image.Resampling.NEAREST
    if side % image.height:
        method = Image.Resampling.LANCZOS
    return np.asarray(image.resize((side, side), method))
