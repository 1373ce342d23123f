"""Reconstruction against generation: a point for each method and seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aimgan.figures.style import LABEL, PALETTE, colours, page, panel, plain, width_of

WIDTH, HEIGHT = 4.8, 3.6  # inches: the axes
LEFT, TOP, BOTTOM = 0.72, 0.12, 0.5  # inches around them; the names stand at the right
MARKERS = "Ds^v"  # one for each time the colours are used up
EXPLANATION = "Dots: seeds; large marks: their means. Lower is better on both axes."


class TradeOff(NamedTuple):
    """A method's name, and the test MSE and the Frechet distance of one of its seeds."""

    label: str
    mse: float
    distance: float


def error_against_distance(points: Sequence[TradeOff], caption: str) -> Figure:
    """Draw each seed's test MSE (x) against its Frechet distance (y), faint, and each method's mean.

    Raises ValueError for no points, and for numbers that are not finite.
    """
    if not points:
        raise ValueError("got no points, expected at least one; give a TradeOff for each method and seed")
    by_method: dict[str, list[tuple[float, float]]] = {}
    for label, mse, distance in points:
        by_method.setdefault(label, []).append((mse, distance))
    values = np.array([point[1:] for point in points], float)
    if not np.isfinite(values).all():
        raise ValueError("got points with nan or infinite values, expected numbers; leave out the runs that diverged")

    right = max(width_of(label, LABEL) for label in by_method) / 72 + 0.65
    figure = page(LEFT + WIDTH + right, TOP + HEIGHT + BOTTOM, f"{EXPLANATION} {caption}")
    axes = panel(figure, LEFT, TOP, WIDTH, HEIGHT)
    for k, (label, seeds) in enumerate(by_method.items()):
        colour = colours(len(by_method))[k]
        marker = MARKERS[k // len(PALETTE) % len(MARKERS)]
        axes.scatter(*np.transpose(seeds), s=14, color=colour, alpha=0.5, linewidths=0)
        mean = np.mean(seeds, axis=0)
        axes.scatter(
            *mean, s=46, color=colour, marker=marker, edgecolors="white", linewidths=0.8, zorder=3, label=label
        )
    _set_scale(axes, "x", values[:, 0])
    _set_scale(axes, "y", values[:, 1])
    plain(axes, "test MSE (mean over pixels, [0, 1] scale)", "Frechet distance")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=LABEL)
    return figure


def _set_scale(axes: Axes, name: str, values: np.ndarray) -> None:
    """Make an axis logarithmic where its values are positive and span more than a factor of ten."""
    if values.min() > 0 and values.max() / values.min() > 10:
        axes.set(**{f"{name}scale": "log"})
    axes.margins(**{name: 0.14})
