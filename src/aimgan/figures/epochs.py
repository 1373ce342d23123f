"""Figure 8: the reconstruction error on the test set, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aimgan.figures.style import LABEL, LINE, colours, darker, page, panel, plain, spans_decades, spread, width_of

WIDTH, HEIGHT = 4.4, 2.9  # inches: the axes
LEFT, TOP, BOTTOM = 0.72, 0.12, 0.5  # inches around them; the names stand at the right


class Curve(NamedTuple):
    """A method's name, and its errors by epoch."""

    label: str
    epochs: Sequence[float]
    values: Sequence[float]


def error_by_epoch(curves: Sequence[Curve], caption: str) -> Figure:
    """Figure 8: a line for each method, named at its end. Raises ValueError for values that are not finite."""
    for curve in curves:
        if not np.isfinite(curve.values).all():
            raise ValueError(
                f"got nan or infinite errors of {curve.label!r}, expected numbers; leave out what diverged"
            )
    right = max(width_of(curve.label, LABEL) for curve in curves) / 72 + 0.3
    figure = page(LEFT + WIDTH + right, TOP + HEIGHT + BOTTOM, caption)
    axes = panel(figure, LEFT, TOP, WIDTH, HEIGHT)
    for curve, colour in zip(curves, colours(len(curves)), strict=True):
        marker = "o" if len(curve.epochs) < 30 else None
        axes.plot(curve.epochs, curve.values, color=colour, linewidth=1.5, marker=marker, markersize=3, clip_on=False)
    if spans_decades(np.concatenate([curve.values for curve in curves])):
        axes.set_yscale("log")
    plain(axes, "epoch", "test MSE (mean over pixels, [0, 1] scale)")
    axes.set_xlim(min(curve.epochs[0] for curve in curves), max(curve.epochs[-1] for curve in curves))
    _name_ends(axes, curves)
    return figure


def _name_ends(axes: Axes, curves: Sequence[Curve]) -> None:
    """Write each name in the right margin near the end of its line, moved apart, and joined to the line's end."""
    ends = np.array([(curve.epochs[-1], curve.values[-1]) for curve in curves])
    at = axes.transAxes.inverted().transform(axes.transData.transform(ends))
    heights = spread(at[:, 1].tolist(), LINE * LABEL / 72 / HEIGHT)
    to = axes.transAxes
    for curve, (x, y), height, colour in zip(curves, at, heights, colours(len(curves)), strict=True):
        style = ":" if x < 0.999 else "-"
        axes.plot([x, 1.0, 1.03], [y, y, height], style, linewidth=0.9, color=colour, transform=to, clip_on=False)
        axes.text(1.04, height, curve.label, va="center", fontsize=LABEL, color=darker(colour), transform=to)
