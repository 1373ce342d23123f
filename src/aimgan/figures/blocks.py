"""Blocks of images below each other, drawn so that a pixel takes a whole number of the figure's dots."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from aimgan.figures.points import SOFT
from aimgan.figures.style import DPI, LABEL, LINE, MARGIN, SMALL, height_of, page, panel, width_of, wrapped

SIDE = 0.40  # inches, about: what an image is enlarged to
THIN, WIDE, BETWEEN = 6, 20, 28  # dots: between images, groups of them, blocks
EDGE = round(MARGIN * DPI)
LONGEST = 1.2  # inches: longer names at the left are broken into lines

Images = Float[Tensor, "n c h w"]
Pixels = UInt8[np.ndarray, "_ _ _ 3"]


class Heading(NamedTuple):
    """A text over the columns `first` to `last`."""

    first: int
    last: int
    text: str


class Block(NamedTuple):
    """Lines of images with a name at their left; `groups` are the numbers of columns that stand together."""

    label: str
    lines: Sequence[Pixels]
    groups: Sequence[int]
    headings: Sequence[Heading] = ()
    below: int = BETWEEN  # dots
    note: str = ""  # written in the place of images
    enlarge: int = 1  # times the usual size

    @property
    def side(self) -> tuple[int, int]:
        """The width and height of an image in dots."""
        _, height, width, _ = self.lines[0].shape
        scale = self.enlarge * max(1, round(SIDE * DPI / height))
        return width * scale, height * scale

    @property
    def columns(self) -> list[int]:
        """Where each column begins, in dots from the block's left."""
        starts, x = [], 0
        for group in self.groups:
            for _ in range(group):
                starts.append(x)
                x += self.side[0] + THIN
            x += WIDE - THIN
        return starts

    @property
    def above(self) -> int:
        """The height of the headings in dots."""
        heights = [_dots(height_of(heading.text, SMALL + 1)) + THIN for heading in self.headings]
        return max(heights, default=0)

    @property
    def size(self) -> tuple[int, int]:
        """The width and height of the block in dots."""
        across, down = self.side
        lines = 1 if self.note else len(self.lines)
        return self.columns[-1] + across, self.above + lines * (down + THIN) - THIN


def to_pixels(images: Images) -> Pixels:
    """Return images of [0, 1] as bytes (n, h, w, 3); values outside are clamped, grey is repeated in three channels.

    Raises ValueError for no images, for other numbers of channels than 1 and 3, and for values that are not finite.
    """
    if len(images) == 0:
        raise ValueError("got no images, expected at least one; leave the empty block out")
    if images.shape[1] not in (1, 3):
        raise ValueError(
            f"got images of {images.shape[1]} channels, expected 1 or 3 in (n, c, h, w); move the channels"
        )
    if not images.isfinite().all():
        raise ValueError("got images with nan or infinite values, expected numbers in [0, 1]; the model has diverged")
    values = (images.detach().cpu().float().clamp(0, 1) * 255).round().byte().expand(-1, 3, -1, -1)
    return values.permute(0, 2, 3, 1).contiguous().numpy()


def same_shape(x: Tensor, other: Tensor, name: str) -> None:
    """Raise ValueError unless `other` has the shape of the originals `x`."""
    if x.shape != other.shape:
        raise ValueError(f"got {name} of {tuple(other.shape)}, expected {tuple(x.shape)}; give one for each original")


def in_lines(images: Pixels, columns: int) -> list[Pixels]:
    """Cut images into lines of `columns`; the last may be shorter."""
    return [images[k : k + columns] for k in range(0, len(images), columns)]


def stacked(blocks: Sequence[Block], caption: str) -> Figure:
    """Draw blocks below each other over the figure's caption."""
    blocks = [block._replace(label=wrapped(block.label, LABEL, 72 * LONGEST)) for block in blocks]
    names = max(_dots(width_of(block.label, LABEL)) for block in blocks)
    left = EDGE
    if names > 0:
        left += names + 2 * THIN
    width = left + max(block.size[0] for block in blocks) + EDGE
    height = 2 * EDGE + sum(block.size[1] + block.below for block in blocks) - blocks[-1].below
    figure = page(width / DPI, height / DPI, caption)
    axes = panel(figure, 0, 0, width / DPI, height / DPI)
    axes.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)  # data coordinates are dots
    axes.axis("off")
    top = EDGE
    for block in blocks:
        _draw(axes, block, left, top)
        top += block.size[1] + block.below
    return figure


def _dots(points: float) -> int:
    return ceil(points * DPI / 72)


def _draw(axes: Axes, block: Block, left: int, top: int) -> None:
    columns, (across, down), (width, height) = block.columns, block.side, block.size
    first = top + block.above
    middle = (first + top + height) / 2
    axes.text(left - 2 * THIN, middle, block.label, ha="right", va="center", fontsize=LABEL, linespacing=LINE)
    for heading in block.headings:
        x = left + (columns[heading.first] + columns[heading.last] + across) / 2
        axes.text(x, first - THIN, heading.text, ha="center", va="bottom", fontsize=SMALL + 1, linespacing=LINE)
    if block.note:
        axes.text(left + width / 2, middle, block.note, ha="center", va="center", fontsize=LABEL, color=SOFT)
        return
    for row, line in enumerate(block.lines):
        y = first + row * (down + THIN)
        for column, pixels in zip(columns, line, strict=False):
            box = (left + column, left + column + across, y + down, y)
            axes.imshow(pixels, extent=box, interpolation="nearest", aspect="auto")
