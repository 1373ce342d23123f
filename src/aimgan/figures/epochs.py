"""Figure 8: what a run scores on the test set, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aimgan.figures.points import SOFT
from aimgan.figures.style import LABEL, LINE, PALETTE, darker, page, panel, plain, spread, width_of

WIDTH, HEIGHT = 4.4, 2.9  # inches: the axes
LEFT, TOP, BOTTOM = 0.72, 0.12, 0.5  # inches around them
MSE, SCORE = "test MSE (mean over pixels, [0, 1] scale)", "Inception Score"


class Curve(NamedTuple):
    """A run's or data set's name and its values by epoch; `low` and `high` are a band around them, over seeds."""

    label: str
    epochs: Sequence[float]
    values: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


def error_by_epoch(
    curves: Sequence[Curve],
    caption: str,
    reference: tuple[str, float] | None = None,
    y_name: str = MSE,
    log: bool | None = None,
) -> Figure:
    """Figure 8: lines by epoch, each named at its end, and a dashed one at `reference`, a name and a value.

    `log` is the y axis; None takes a logarithmic one where the positive values span more than a factor of ten.
    """
    if not curves:
        raise ValueError("got no curves, expected one at least; give a Curve")
    for curve in curves:
        _check(curve)
    names = [curve.label for curve in curves] + ([reference[0]] if reference else [])
    right = max(width_of(name, LABEL) for name in names) / 72 + 0.3
    figure = page(LEFT + WIDTH + right, TOP + HEIGHT + BOTTOM, caption)
    axes = panel(figure, LEFT, TOP, WIDTH, HEIGHT)
    for curve, colour in zip(curves, _colours(len(curves)), strict=True):
        _draw(axes, curve, colour)
    if reference:
        axes.axhline(reference[1], color=SOFT, linestyle="--", linewidth=1)
    values = [value for curve in curves for value in curve.values] + ([reference[1]] if reference else [])
    axes.set_yscale("log" if (_spans_decades(values) if log is None else log) else "linear")
    plain(axes, "epoch", y_name)
    last = max(curve.epochs[-1] for curve in curves)
    axes.set_xlim(min(curve.epochs[0] for curve in curves), last)
    ends = [(curve.epochs[-1], curve.values[-1]) for curve in curves] + ([(last, reference[1])] if reference else [])
    _name_ends(axes, names, ends, [*_colours(len(curves)), SOFT])
    return figure


def score_by_epoch(curves: Sequence[Curve], caption: str, ceiling: tuple[str, float] | None = None) -> Figure:
    """Draw `error_by_epoch` for the Inception Score; `ceiling` is that of real data."""
    return error_by_epoch(curves, caption, ceiling, SCORE, log=False)


def _check(curve: Curve) -> None:
    lengths = {len(each) for each in curve[1:] if each is not None}
    if len(lengths) != 1 or lengths == {0} or (curve.low is None) != (curve.high is None):
        sizes = [None if each is None else len(each) for each in curve[1:]]
        raise ValueError(f"got {curve.label!r} with epochs, values, low, high of {sizes}, expected equal lengths > 0")
    if not np.isfinite(curve.values).all():
        raise ValueError(f"got nan or infinite values in {curve.label!r}, expected numbers; cut it where it diverged")


def _colours(count: int) -> list[str]:
    return [PALETTE[k % len(PALETTE)] for k in range(count)]


def _spans_decades(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) / min(values) > 10


def _draw(axes: Axes, curve: Curve, colour: str) -> None:
    few = len(curve.epochs) < 30
    marker = "o" if few else None
    axes.plot(curve.epochs, curve.values, color=colour, linewidth=1.5, marker=marker, markersize=3, clip_on=False)
    if curve.low is not None and curve.high is not None:
        axes.fill_between(curve.epochs, curve.low, curve.high, color=colour, alpha=0.2, linewidth=0)


def _name_ends(axes: Axes, names: Sequence[str], ends: Sequence[tuple[float, float]], colours: Sequence[str]) -> None:
    """Write the names in the right margin at the height of their lines' ends, apart from each other, and tie them."""
    at = axes.transAxes.inverted().transform(axes.transData.transform(np.array(ends)))
    heights = spread([float(y) for y in at[:, 1]], LINE * LABEL / 72 / HEIGHT)
    to = axes.transAxes
    for name, (x, y), height, colour in zip(names, at, heights, colours, strict=False):
        style = ":" if x < 0.999 else "-"
        axes.plot([x, 1.0, 1.03], [y, y, height], style, linewidth=0.9, color=colour, transform=to, clip_on=False)
        axes.text(1.04, height, name, va="center", fontsize=LABEL, color=darker(colour), transform=to)
