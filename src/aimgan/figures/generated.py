"""Figures 5, 9 and 10: what a model generates."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from aimgan.figures.blocks import Block, Heading, Images, in_lines, stacked, to_pixels

Neighbours = Float[Tensor, "n m c h w"]


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
