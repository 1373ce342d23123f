"""Figure 3 as the paper draws it: several models below each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aimgan.figures.points import SOFT, Points, draw_codes, scatter

PANELS = ("(a) data", "(b) latent codes of data", "(c) reconstructions of data", "(d) samples")


class Figure3Row(NamedTuple):
    """A model's name and points; without codes and reconstructions where it has no encoder."""

    label: str
    codes: Points | None
    reconstructions: Points | None
    samples: Points


def figure3_rows(data: Points, rows: Sequence[Figure3Row]) -> Figure:
    """Draw a row for each model, (a) data, (b) codes, (c) reconstructions and (d) samples, its name at the left."""
    figure = Figure(figsize=(13.2, 3.2 * len(rows) + 0.4), dpi=110, layout="constrained")
    limit = 1.25 * float(data.abs().max())
    panels = figure.subplots(len(rows), len(PANELS), squeeze=False)
    for line, row in zip(panels, rows, strict=True):
        line[0].set_ylabel(row.label, fontsize=12)
        for axes, points in zip(line, (data, row.codes, row.reconstructions, row.samples), strict=True):
            _panel(axes, points, limit, codes=axes is line[1])
    for axes, title in zip(panels[0], PANELS, strict=True):
        axes.set_title(title, fontsize=11)
    return figure


def _panel(axes: Axes, points: Points | None, limit: float, codes: bool) -> None:
    if points is None:
        axes.set_box_aspect(1)
        axes.axis("off")
        axes.text(0.5, 0.5, "no encoder", transform=axes.transAxes, ha="center", color=SOFT)
    elif codes:
        draw_codes(axes, points)
    else:
        scatter(axes, points, limit)
