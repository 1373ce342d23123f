"""Blocks of images below each other, drawn pixel for pixel: each takes a whole number of the figure's dots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
LONGEST = 1.2  # inches: where a name at the left is broken

Images = Float[Tensor, "n c h w"]
Pixels = UInt8[np.ndarray, "_ _ _ 3"]


class Heading(NamedTuple):
    """A text over the columns `first` to `last`."""

    first: int
    last: int
    text: str


class Block(NamedTuple):
    """Lines of images, a name at their left; `groups` are the numbers of columns that stand together."""

    label: str
    lines: Sequence[Pixels]
    groups: Sequence[int]
    headings: Sequence[Heading] = ()
    below: int = BETWEEN  # dots
    note: str = ""  # written where images are missing
    enlarge: int = 1  # times the usual size

    @property
    def scale(self) -> int:
        """How many dots of the figure one pixel of an image is wide and high."""
        return self.enlarge * max(1, round(SIDE * DPI / self.lines[0].shape[1]))

    @property
    def side(self) -> tuple[int, int]:
        """The width and height of an image in dots."""
        _, height, width, _ = self.lines[0].shape
        return width * self.scale, height * self.scale


def to_pixels(images: Images) -> Pixels:
    """Return images of [0, 1], what is outside clamped, as bytes (n, h, w, 3); grey ones in three equal channels."""
    if len(images) == 0:
        raise ValueError("got no images, expected one at least; leave the empty block out")
    if images.shape[1] not in (1, 3):
        raise ValueError(
            f"got images of {images.shape[1]} channels, expected 1 or 3 in (n, c, h, w); move the channels"
        )
    if not images.isfinite().all():
        raise ValueError("got images with nan or infinite values, expected numbers in [0, 1]; the model has diverged")
    values = (images.detach().cpu().float().clamp(0, 1) * 255).round().byte().expand(-1, 3, -1, -1)
    return values.permute(0, 2, 3, 1).contiguous().numpy()


def same_shape(x: Tensor, other: Tensor, name: str) -> None:
    """Raise unless `other` has the shape of the originals `x`."""
    if x.shape != other.shape:
        raise ValueError(f"got {name} of {tuple(other.shape)}, expected {tuple(x.shape)}; give one for each original")


def in_lines(images: Pixels, columns: int) -> list[Pixels]:
    """Cut images into lines of `columns`; the last may be shorter."""
    return [images[k : k + columns] for k in range(0, len(images), columns)]


def stacked(blocks: Sequence[Block], caption: str) -> Figure:
    """Draw blocks below each other over the figure's caption."""
    blocks = [block._replace(label=wrapped(block.label, LABEL, 72 * LONGEST)) for block in blocks]
    left = EDGE + _dots(max(width_of(block.label, LABEL) for block in blocks))
    left += 2 * THIN if left > EDGE else 0
    width = left + max(_size(block)[0] for block in blocks) + EDGE
    height = EDGE + sum(_size(block)[1] + block.below for block in blocks) - blocks[-1].below + EDGE
    figure = page(width / DPI, height / DPI, caption)
    axes = panel(figure, 0, 0, width / DPI, height / DPI)
    axes.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)  # data coordinates are dots
    axes.axis("off")
    top = EDGE
    for block in blocks:
        _draw(axes, block, left, top)
        top += _size(block)[1] + block.below
    return figure


def _dots(points: float) -> int:
    return ceil(points * DPI / 72)


def _columns(block: Block) -> list[int]:
    """Return where each column begins, and where the one after the last would."""
    starts = [0]
    for group in block.groups:
        starts += [starts[-1] + (k + 1) * (block.side[0] + THIN) for k in range(group)]
        starts[-1] += WIDE - THIN
    return starts


def _above(block: Block) -> int:
    """Return the height of a block's headings in dots."""
    return max((_dots(height_of(heading.text, SMALL + 1)) + THIN for heading in block.headings), default=0)


def _size(block: Block) -> tuple[int, int]:
    lines = 1 if block.note else len(block.lines)
    return _columns(block)[-1] - WIDE, _above(block) + lines * (block.side[1] + THIN) - THIN


def _draw(axes: Axes, block: Block, left: int, top: int) -> None:
    width, height = _size(block)
    first = top + _above(block)
    middle = (first + top + height) / 2
    axes.text(left - 2 * THIN, middle, block.label, ha="right", va="center", fontsize=LABEL, linespacing=LINE)
    for x, text in _centres(block):
        axes.text(left + x, first - THIN, text, ha="center", va="bottom", fontsize=SMALL + 1, linespacing=LINE)
    if block.note:
        axes.text(left + width / 2, middle, block.note, ha="center", va="center", fontsize=LABEL, color=SOFT)
        return
    across, down = block.side
    for row, line in enumerate(block.lines):
        y = first + row * (down + THIN)
        for x, pixels in zip(_columns(block), line, strict=False):
            box = (left + x, left + x + across, y + down, y)
            axes.imshow(pixels, extent=box, interpolation="nearest", aspect="auto")


def _centres(block: Block) -> Iterator[tuple[float, str]]:
    starts = _columns(block)
    for heading in block.headings:
        yield (starts[heading.first] + starts[heading.last] + block.side[0]) / 2, heading.text
