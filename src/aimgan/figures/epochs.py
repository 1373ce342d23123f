"""Figure 8: what a run scores on the test set, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aimgan.figures.points import SOFT
from aimgan.figures.style import LABEL, LINE, colours, darker, page, panel, plain, spread, width_of

WIDTH, HEIGHT = 4.4, 2.9  # inches: the axes
LEFT, TOP, BOTTOM = 0.72, 0.12, 0.5  # inches around them
MSE, SCORE = "test MSE (mean over pixels, [0, 1] scale)", "Inception Score"


class Curve(NamedTuple):
    """The name of a run or data set, and its values by epoch."""

    label: str
    epochs: Sequence[float]
    values: Sequence[float]


def error_by_epoch(
    curves: Sequence[Curve],
    caption: str,
    reference: tuple[str, float] | None = None,
    y_name: str = MSE,
    log: bool | None = None,
) -> Figure:
    """Figure 8: lines by epoch, each named at its end, and a dashed line at `reference`, a name and a value.

    The y axis is logarithmic if `log`, or for None if the values are positive and span more than a factor of ten.
    Raises ValueError for no curves, or for one that has no values, unequal lengths or values that are not finite.
    """
    if not curves:
        raise ValueError("got no curves, expected at least one; give a Curve")
    for curve in curves:
        _check(curve)
    last = max(curve.epochs[-1] for curve in curves)
    names = [curve.label for curve in curves]
    ends = [(curve.epochs[-1], curve.values[-1]) for curve in curves]
    values = np.concatenate([curve.values for curve in curves])
    if reference is not None:
        names.append(reference[0])
        ends.append((last, reference[1]))
        values = np.append(values, reference[1])
    if log is None:
        log = bool(values.min() > 0 and values.max() / values.min() > 10)

    right = max(width_of(name, LABEL) for name in names) / 72 + 0.3
    figure = page(LEFT + WIDTH + right, TOP + HEIGHT + BOTTOM, caption)
    axes = panel(figure, LEFT, TOP, WIDTH, HEIGHT)
    for curve, colour in zip(curves, colours(len(curves)), strict=True):
        marker = "o" if len(curve.epochs) < 30 else None
        axes.plot(curve.epochs, curve.values, color=colour, linewidth=1.5, marker=marker, markersize=3, clip_on=False)
    if reference is not None:
        axes.axhline(reference[1], color=SOFT, linestyle="--", linewidth=1)
    axes.set_yscale("log" if log else "linear")
    plain(axes, "epoch", y_name)
    axes.set_xlim(min(curve.epochs[0] for curve in curves), last)
    _name_ends(axes, names, ends, [*colours(len(curves)), SOFT])
    return figure


def score_by_epoch(curves: Sequence[Curve], caption: str, ceiling: tuple[str, float] | None = None) -> Figure:
    """Draw `error_by_epoch` for the Inception Score; `ceiling` is the name and the score of real data."""
    return error_by_epoch(curves, caption, ceiling, SCORE, log=False)


def _check(curve: Curve) -> None:
    sizes = [len(curve.epochs), len(curve.values)]
    if sizes[0] != sizes[1] or sizes[0] == 0:
        raise ValueError(f"got {curve.label!r} with {sizes} epochs and values, expected equal lengths > 0")
    if not np.isfinite(curve.values).all():
        raise ValueError(f"got nan or infinite values in {curve.label!r}, expected numbers; cut it where it diverged")


def _name_ends(axes: Axes, names: Sequence[str], ends: Sequence[tuple[float, float]], colours: Sequence[str]) -> None:
    """Write each name in the right margin near the end of its line, moved apart, and joined to the line's end."""
    at = axes.transAxes.inverted().transform(axes.transData.transform(np.array(ends)))
    heights = spread(at[:, 1].tolist(), LINE * LABEL / 72 / HEIGHT)
    to = axes.transAxes
    for name, (x, y), height, colour in zip(names, at, heights, colours, strict=False):
        style = ":" if x < 0.999 else "-"
        axes.plot([x, 1.0, 1.03], [y, y, height], style, linewidth=0.9, color=colour, transform=to, clip_on=False)
        axes.text(1.04, height, name, va="center", fontsize=LABEL, color=darker(colour), transform=to)
