"""Figures 2, 6 and 7: reconstructions beside their originals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure

from aimgan.figures.blocks import THIN, Block, Heading, Images, in_lines, same_shape, stacked, to_pixels
from aimgan.figures.images import pairs
from aimgan.figures.style import DPI, SMALL, wrapped

ORDER = "Odd columns: originals; even columns: their reconstructions."


class ImageRow(NamedTuple):
    """A method's name, the originals and its reconstructions of them; None where it has no encoder."""

    label: str
    x: Images
    x_z_x: Images | None


def reconstructions(rows: Sequence[ImageRow], caption: str, columns: int = 8) -> Figure:
    """Figures 2 and 6: below each other the methods' pairs of original and reconstruction, `columns` pairs a line.

    Raises ValueError where methods differ in their originals: the reader compares down a column.
    """
    if not rows:
        raise ValueError("got no rows, expected one for each method; give an ImageRow")
    for row in rows:
        if row.x.shape != rows[0].x.shape or not torch.equal(row.x.to(rows[0].x), rows[0].x):
            raise ValueError(f"got other originals for {row.label!r} than for {rows[0].label!r}; give all the same")
    columns = min(columns, len(rows[0].x))
    return stacked([_pairs(row, columns) for row in rows], f"{ORDER} {caption}")


def _pairs(row: ImageRow, columns: int) -> Block:
    groups = [2] * columns
    if row.x_z_x is None:
        return Block(row.label, in_lines(to_pixels(row.x), columns), groups, note="no encoder")
    same_shape(row.x, row.x_z_x, f"reconstructions by {row.label!r}")
    return Block(row.label, in_lines(to_pixels(pairs(row.x, row.x_z_x)), 2 * columns), groups)


def reconstructions_by_weight(x: Images, columns: Sequence[tuple[str, Images]], caption: str, apart: int = 0) -> Figure:
    """Figure 7: each line an original, then its reconstructions under one name (a lambda, a method) a column.

    The last `apart` columns, those of another method, are set apart by a gap.
    """
    for label, x_z_x in columns:
        same_shape(x, x_z_x, f"reconstructions by {label!r}")
    if not 0 <= apart < len(columns):
        raise ValueError(f"got apart={apart}, expected less than the {len(columns)} columns; give fewer")
    sides = [to_pixels(x), *(to_pixels(x_z_x.to(x)) for _, x_z_x in columns)]
    groups = [size for size in (1, len(columns) - apart, apart) if size]
    names = ("original", *(label for label, _ in columns))
    block = Block("", list(np.stack(sides, axis=1)), groups, enlarge=2)
    room = 72 * (block.side[0] + THIN) / DPI
    headings = [Heading(k, k, wrapped(name, SMALL + 1, room)) for k, name in enumerate(names)]
    return stacked([block._replace(headings=headings)], caption)
