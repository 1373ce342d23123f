"""Figures 2, 5, 6, 7, 9 and 10: images, their reconstructions and neighbours, and samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from aimgan.figures.blocks import THIN, Block, Heading, Images, in_lines, same_shape, stacked, to_pixels
from aimgan.figures.images import pairs
from aimgan.figures.style import DPI, SMALL, wrapped

Neighbours = Float[Tensor, "n m c h w"]
ORDER = "Odd columns: originals; even columns: their reconstructions."


class ImageRow(NamedTuple):
    """A method's name, the originals and its reconstructions of them; None where it has no encoder."""

    label: str
    x: Images
    x_z_x: Images | None


def reconstructions(rows: Sequence[ImageRow], caption: str, columns: int = 8) -> Figure:
    """Figures 2 and 6: a block of (original, reconstruction) pairs for each method, `columns` pairs in a line.

    Raises ValueError where methods have different originals, for no rows and for unlike shapes.
    """
    if not rows:
        raise ValueError("got no rows, expected one for each method; give an ImageRow")
    first = rows[0].x
    columns = min(columns, len(first))
    groups = [2] * columns
    blocks = []
    for label, x, x_z_x in rows:
        if x.shape != first.shape or not torch.equal(x.to(first), first):
            raise ValueError(f"got other originals for {label!r} than for {rows[0].label!r}; give all the same")
        if x_z_x is None:
            blocks.append(Block(label, in_lines(to_pixels(x), columns), groups, note="no encoder"))
        else:
            same_shape(x, x_z_x, f"reconstructions by {label!r}")
            blocks.append(Block(label, in_lines(to_pixels(pairs(x, x_z_x)), 2 * columns), groups))
    return stacked(blocks, f"{ORDER} {caption}")


def reconstructions_by_weight(x: Images, columns: Sequence[tuple[str, Images]], caption: str, apart: int = 0) -> Figure:
    """Figure 7: each line an original and its reconstructions, a named column for each lambda or method.

    The last `apart` columns, those of another method, are set apart by a gap. Raises ValueError for unlike shapes.
    """
    for label, x_z_x in columns:
        same_shape(x, x_z_x, f"reconstructions by {label!r}")
    if not 0 <= apart < len(columns):
        raise ValueError(f"got apart={apart}, expected less than the {len(columns)} columns; give fewer")
    names = ["original", *(label for label, _ in columns)]
    images = [to_pixels(x), *(to_pixels(x_z_x.to(x)) for _, x_z_x in columns)]
    groups = [1, len(columns) - apart]
    if apart > 0:
        groups.append(apart)
    block = Block("", list(np.stack(images, axis=1)), groups, enlarge=2)
    room = 72 * (block.side[0] + THIN) / DPI
    headings = [Heading(k, k, wrapped(name, SMALL + 1, room)) for k, name in enumerate(names)]
    return stacked([block._replace(headings=headings)], caption)


def conditional(x: Images, near: Neighbours, caption: str) -> Figure:
    """Figures 5 and 9: each line an original, then G(z) for m draws z ~ q(z|x)."""
    m = near.shape[1]
    images = torch.cat((x[:, None], near.to(x)), dim=1).flatten(0, 1)
    headings = [Heading(0, 0, "original"), Heading(1, m, "G(z),  z ~ q(z | original)")]
    return stacked([Block("", in_lines(to_pixels(images), 1 + m), (1, m), headings)], caption)


def samples(rows: Sequence[tuple[str, Float[Tensor, "_ _ _ _"]]], caption: str, columns: int = 16) -> Figure:
    """Figure 10: a block of random samples for each name, which stands at its left. Raises ValueError for no rows."""
    if not rows:
        raise ValueError("got no samples, expected (name, images) for each block; give at least one")
    blocks = []
    for label, images in rows:
        blocks.append(Block(label, in_lines(to_pixels(images), columns), (min(columns, len(images)),)))
    return stacked(blocks, caption)
