"""Figures of numbers: the test error by epoch (figure 8), and reconstruction against generation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aimgan.figures.points import SOFT
from aimgan.figures.style import DPI, LABEL, PALETTE, SMALL, plain, wrapped

WIDTH, HEIGHT = 6.4, 3.9  # inches
ERROR = "test MSE (mean over pixels, [0, 1] scale)"
MARKERS = "Ds^v"  # one for each time the colours are used up
EXPLANATION = "Dots: seeds; large marks: their means. Lower is better on both axes."


class Curve(NamedTuple):
    """A method's name, and its errors by epoch."""

    label: str
    epochs: Sequence[float]
    values: Sequence[float]


class TradeOff(NamedTuple):
    """A method's name, and the test MSE and the Frechet distance of one of its seeds."""

    label: str
    mse: float
    distance: float


def error_by_epoch(curves: Sequence[Curve], caption: str) -> Figure:
    """Figure 8: a line for each method. Raises ValueError for values that are not finite."""
    values = np.concatenate([curve.values for curve in curves])
    _require_finite(values)
    figure, axes = _empty(caption)
    for k, curve in enumerate(curves):
        marker = "o" if len(curve.epochs) < 30 else None
        axes.plot(curve.epochs, curve.values, color=colour(k), marker=marker, markersize=3, label=curve.label)
    if _spans_decades(values):
        axes.set_yscale("log")
    _finish(figure, axes, "epoch", ERROR)
    return figure


def error_against_distance(points: Sequence[TradeOff], caption: str) -> Figure:
    """Draw each seed's test MSE (x) against its Frechet distance (y), faint, and each method's mean.

    Raises ValueError for no points, and for numbers that are not finite.
    """
    if not points:
        raise ValueError("got no points, expected at least one; give a TradeOff for each method and seed")
    values = np.array([(point.mse, point.distance) for point in points], float)
    _require_finite(values)
    figure, axes = _empty(f"{EXPLANATION} {caption}")
    labels = np.array([point.label for point in points])
    for k, name in enumerate(dict.fromkeys(labels.tolist())):
        seeds = values[labels == name]
        axes.scatter(seeds[:, 0], seeds[:, 1], s=14, color=colour(k), alpha=0.5, linewidths=0)
        x, y = seeds.mean(axis=0)
        marker = MARKERS[k // len(PALETTE) % len(MARKERS)]
        axes.scatter(x, y, s=46, color=colour(k), marker=marker, edgecolors="white", zorder=3, label=name)
    axes.margins(0.14)
    if _spans_decades(values[:, 0]):
        axes.set_xscale("log")
    if _spans_decades(values[:, 1]):
        axes.set_yscale("log")
    _finish(figure, axes, ERROR, "Frechet distance")
    return figure


def colour(k: int) -> str:
    """Return colour k of PALETTE, from the first again after the last."""
    return PALETTE[k % len(PALETTE)]


def _empty(caption: str) -> tuple[Figure, Axes]:
    """Return a figure with empty axes over its caption."""
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, layout="constrained")
    figure.supxlabel(wrapped(caption, SMALL, 72 * WIDTH), x=0.01, ha="left", fontsize=SMALL, color=SOFT)
    return figure, figure.add_subplot()


def _finish(figure: Figure, axes: Axes, x_name: str, y_name: str) -> None:
    plain(axes, x_name, y_name)
    figure.legend(loc="outside right center", frameon=False, fontsize=LABEL)


def _require_finite(values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise ValueError("got nan or infinite values, expected numbers; leave out the runs that diverged")


def _spans_decades(values: np.ndarray) -> bool:
    """Return whether values are positive and span more than a factor of ten, so that a logarithmic axis suits them."""
    return bool(values.min() > 0 and values.max() / values.min() > 10)
