"""Figures 5, 9 and 10 and the search for memorised images: what a model generates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from aimgan.figures.blocks import THIN, WIDE, Block, Heading, Images, in_lines, same_shape, stacked, to_pixels

Neighbours = Float[Tensor, "n m c h w"]
AnyImages = Float[Tensor, "_ _ _ _"]  # (n, c, h, w) of its own


class Conditional(NamedTuple):
    """A data set's name, originals of it, and for each of them m images of its posterior."""

    label: str
    x: Images
    near: Neighbours


def conditional(x: Images, near: Neighbours, caption: str, label: str = "", other: Conditional | None = None) -> Figure:
    """Figures 5 and 9: each line an original, then G(z) for m draws z ~ q(z|x); `other`, a block below, has its own."""
    sets = [Conditional(label, x, near), *([other] if other else [])]
    return stacked([_conditional(each) for each in sets], caption)


def _conditional(each: Conditional) -> Block:
    m = each.near.shape[1]
    expected = (len(each.x), m, *each.x.shape[1:])
    if each.near.shape != expected:
        raise ValueError(f"got draws of {tuple(each.near.shape)}, expected {expected}; give m for each original")
    images = torch.cat((each.x[:, None], each.near.to(each.x)), dim=1).flatten(0, 1)
    headings = [Heading(0, 0, "original"), Heading(1, m, "G(z),  z ~ q(z | original)")]
    return Block(each.label, in_lines(to_pixels(images), 1 + m), (1, m), headings)


def samples(rows: Sequence[tuple[str, AnyImages]], caption: str, columns: int = 16) -> Figure:
    """Figure 10: a block of random samples for each method or data set, its name at the left."""
    if not rows:
        raise ValueError("got no samples, expected (name, images) for each block; give one at least")
    blocks = [
        Block(label, in_lines(to_pixels(images), columns), (min(columns, len(images)),)) for label, images in rows
    ]
    return stacked(blocks, caption)


def nearest(samples: Images, neighbours: Images, caption: str, columns: int = 16) -> Figure:
    """Draw each sample above the training image nearest to it: a model that memorises shows twice the same."""
    same_shape(samples, neighbours, "neighbours")
    columns = min(columns, len(samples))
    blocks = []
    for above, below in zip(*(in_lines(to_pixels(each), columns) for each in (samples, neighbours)), strict=True):
        blocks.append(Block("samples", [above], (columns,), below=THIN))
        blocks.append(Block("nearest in\ntraining set", [below], (columns,), below=2 * WIDE))
    return stacked(blocks, caption)
