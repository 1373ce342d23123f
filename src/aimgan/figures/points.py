"""Figures of 2-D models, with figure 3 of the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from torch import Tensor

from aimgan.figures.drawing import Drawing

INK, SOFT = "#1f4e79", "#8a8f98"
SIGMA = "#c0392b"  # circles of the prior's standard deviations
CODES_LIMIT = 3.9  # standard deviations
PANELS = ("(a) data", "(b) latent codes of data", "(c) reconstructions of data", "(d) samples")

Points = Float[Tensor, "_ 2"]
Codes = Float[Tensor, "_ _"]  # of any dimension; the first two are drawn


class Figure3Row(NamedTuple):
    """A model's name and points. Codes and reconstructions are None where it has no encoder."""

    label: str
    codes: Codes | None
    reconstructions: Points | None
    samples: Points


def figure3(data: Points, codes: Codes | None, reconstructions: Points | None, samples: Points, title: str) -> Figure:
    """Figure 3 for one model, under a title."""
    figure = figure3_rows(data, [Figure3Row("", codes, reconstructions, samples)])
    figure.suptitle(title, fontsize=12)
    return figure


def figure3_rows(data: Points, rows: Sequence[Figure3Row]) -> Figure:
    """Figure 3 with a row for each model: (a) data, (b) codes, (c) reconstructions, (d) samples, and their numbers."""
    figure = Drawing(figsize=(13.2, 3.4 * len(rows) + 0.4), dpi=110, layout="constrained")
    limit = 1.25 * float(data.abs().max())
    grid = figure.subplots(len(rows), len(PANELS), squeeze=False)
    for line, row in zip(grid, rows, strict=True):
        line[0].set_ylabel(row.label, fontsize=12)
        for axes, name, points in zip(line, PANELS, (data, *row[1:]), strict=True):
            _draw(axes, name, points, limit)
    return figure


def points_figure(panels: Mapping[str, Points]) -> Figure:
    """Draw a panel for each name, all with the same limits."""
    figure = Drawing(figsize=(5 * len(panels), 5.2), dpi=150, layout="constrained")
    limit = 1.1 * max(float(points.abs().max()) for points in panels.values()) + 1e-6
    grid = figure.subplots(1, len(panels), squeeze=False)
    for axes, (name, points) in zip(grid[0], panels.items(), strict=True):
        scatter(axes, points, limit)
        axes.set_title(f"{name}, {len(points):,}", fontsize=11)
    return figure


def _draw(axes: Axes, name: str, points: Codes | None, limit: float) -> None:
    """Draw one panel of figure 3; codes over the circles of the prior's 1, 2 and 3 standard deviations."""
    if points is None:
        axes.set_box_aspect(1)
        axes.axis("off")
        axes.text(0.5, 0.5, "no encoder", transform=axes.transAxes, ha="center", color=SOFT)
        return
    axes.set_title(f"{name}, {len(points):,}", fontsize=11)
    if name != PANELS[1]:
        scatter(axes, points, limit)
        return
    scatter(axes, points, CODES_LIMIT)
    for sigma in (1, 2, 3):
        axes.add_patch(Circle((0, 0), sigma, fill=False, color=SIGMA, linewidth=1))
        axes.annotate(rf"{sigma}$\sigma$", (0, sigma), fontsize=9, color=SIGMA, ha="center", va="bottom")


def scatter(axes: Axes, points: Codes, limit: float) -> None:
    """Draw points on a square from -limit to limit, and write in its corner how many lie outside."""
    values = np.asarray(points.cpu())
    if values.shape[1] == 1:  # codes of one dimension lie on a line
        values = np.pad(values, ((0, 0), (0, 1)))
    if len(values) > 2_000:
        size, alpha = 1.2, 0.25
    elif len(values) > 200:
        size, alpha = 6.0, 0.7
    else:
        size, alpha = 24.0, 0.7
    axes.scatter(values[:, 0], values[:, 1], s=size, alpha=alpha, color=INK, linewidths=0, rasterized=True)
    write_outside(axes, values, limit, 8)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    axes.tick_params(labelsize=8)


def write_outside(axes: Axes, values: np.ndarray, limit: float, size: float) -> None:
    """Write in the lower right corner how many points lie outside the square from -limit to limit."""
    outside = int((np.abs(values) > limit).any(axis=1).sum())
    if outside > 0:
        text = f"{outside:,} outside"
        axes.text(0.98, 0.02, text, transform=axes.transAxes, ha="right", fontsize=size, color=SOFT)
