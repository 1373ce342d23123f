"""Reconstruction against generation: a point for each method and seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from aimgan.figures.style import LABEL, PALETTE, colours, page, panel, plain, spans_decades, width_of

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
    values = np.array([(point.mse, point.distance) for point in points], float)
    if not np.isfinite(values).all():
        raise ValueError("got points with nan or infinite values, expected numbers; leave out the runs that diverged")

    labels = np.array([point.label for point in points])
    names = list(dict.fromkeys(labels.tolist()))
    right = max(width_of(name, LABEL) for name in names) / 72 + 0.65
    figure = page(LEFT + WIDTH + right, TOP + HEIGHT + BOTTOM, f"{EXPLANATION} {caption}")
    axes = panel(figure, LEFT, TOP, WIDTH, HEIGHT)
    for k, (name, colour) in enumerate(zip(names, colours(len(names)), strict=True)):
        seeds = values[labels == name]
        axes.scatter(seeds[:, 0], seeds[:, 1], s=14, color=colour, alpha=0.5, linewidths=0)
        x, y = seeds.mean(axis=0)
        marker = MARKERS[k // len(PALETTE) % len(MARKERS)]
        axes.scatter(x, y, s=46, color=colour, marker=marker, edgecolors="white", linewidths=0.8, zorder=3, label=name)
    axes.margins(0.14)
    if spans_decades(values[:, 0]):
        axes.set_xscale("log")
    if spans_decades(values[:, 1]):
        axes.set_yscale("log")
    plain(axes, "test MSE (mean over pixels, [0, 1] scale)", "Frechet distance")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=LABEL)
    return figure
