"""Reconstruction against generation: each method and seed a point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox, BboxBase

from aimgan.figures.points import SOFT
from aimgan.figures.style import DPI, LABEL, LINE, PALETTE, darker, page, panel, plain, width_of

WIDTH, HEIGHT = 4.8, 3.6  # inches: the axes
LEFT, TOP, RIGHT, BOTTOM = 0.72, 0.12, 0.15, 0.5  # inches around them
MARKERS, NEAR = "Ds^v", 25  # dots: a name this far from its mean needs no line to it
LEGEND = "Dots: seeds; large marks: their means."
CORNERS = ((0.88, 0.88), (0.88, 0.14), (0.14, 0.88), (0.14, 0.14))


class TradeOff(NamedTuple):
    """A method's name, and of one of its seeds the test MSE and the Frechet distance."""

    label: str
    mse: float
    distance: float


class Place(NamedTuple):
    """Where a name may stand, in dots of the figure, and how far from its point."""

    box: Bbox
    away: int


def error_against_distance(points: Sequence[TradeOff], caption: str) -> Figure:
    """Draw each seed's test MSE (x) against its Frechet distance (y), faint, and each method's mean with its name."""
    if not points:
        raise ValueError("got no points, expected one at least; give a TradeOff for each method and seed")
    values = np.array([point[1:] for point in points], float)
    if not np.isfinite(values).all():
        raise ValueError("got points with nan or infinite values, expected numbers; leave out the runs that diverged")
    figure = page(LEFT + WIDTH + RIGHT, TOP + HEIGHT + BOTTOM, f"{LEGEND} {caption}")
    axes = panel(figure, LEFT, TOP, WIDTH, HEIGHT)
    _scale(axes, values)
    plain(axes, "test MSE (mean over pixels, [0, 1] scale)", "Frechet distance")
    labels = list(dict.fromkeys(point.label for point in points))
    of = np.array([labels.index(point.label) for point in points])
    means = np.array([values[of == k].mean(axis=0) for k in range(len(labels))])
    for k, (x, y) in enumerate(means):
        colour, marker = PALETTE[k % len(PALETTE)], MARKERS[k // len(PALETTE) % len(MARKERS)]
        axes.scatter(values[of == k, 0], values[of == k, 1], s=14, color=colour, alpha=0.5, linewidths=0)
        axes.scatter(x, y, s=46, color=colour, marker=marker, edgecolors="white", linewidths=0.8, zorder=3)
    _name(axes, labels, means, values, _arrow(axes, values))
    return figure


def _scale(axes: Axes, values: np.ndarray) -> None:
    """Set each axis logarithmic where its values span more than a factor of ten, with room around them."""
    for name, each in zip("xy", values.T, strict=True):
        log = each.min() > 0 and each.max() / each.min() > 10
        low, high = (np.log(each.min()), np.log(each.max())) if log else (each.min(), each.max())
        room = 0.14 * (high - low) or 0.1 * abs(high) or 1.0
        limits = np.array((low - room, high + room))
        axes.set(**{f"{name}scale": "log" if log else "linear", f"{name}lim": np.exp(limits) if log else limits})


def _arrow(axes: Axes, values: np.ndarray) -> Bbox:
    """Draw the arrow of what is better, to the lower left, in the corner that has the most room; return its box."""
    at = axes.transAxes.inverted().transform(axes.transData.transform(values))
    room = [float(np.linalg.norm(at - corner, axis=1).min()) for corner in CORNERS]
    x, y = CORNERS[int(np.argmax(room))]
    arrow = {"arrowstyle": "-|>", "color": SOFT, "linewidth": 1.2}
    tip, tail = (x - 0.06, y - 0.08), (x + 0.02, y + 0.03)
    text = axes.annotate("better", tip, tail, "axes fraction", arrowprops=arrow, ha="center", va="bottom")
    text.set(fontsize=LABEL, color=SOFT)
    return Bbox(axes.transAxes.transform([(x - 0.08, y - 0.1), (x + 0.1, y + 0.1)]))


def _name(axes: Axes, labels: Sequence[str], means: np.ndarray, values: np.ndarray, taken: Bbox) -> None:
    """Write each method's name beside its mean, where it covers the fewest points and names, and tie it if far."""
    dots, centres = axes.transData.transform(values), axes.transData.transform(means)
    boxes = [taken, *(Bbox.from_extents(*(centre - 12), *(centre + 12)) for centre in centres)]
    back = axes.transData.inverted()
    for k, label in enumerate(labels):
        others = np.delete(centres, k, axis=0)
        place = min(_places(centres[k], label), key=lambda place: _cost(place, boxes, dots, others, axes.bbox))
        boxes.append(place.box)
        colour = PALETTE[k % len(PALETTE)]
        x, y = back.transform(place.box.get_points().mean(axis=0))
        axes.text(x, y, label, ha="center", va="center", fontsize=LABEL, color=darker(colour), zorder=4)
        if place.away > NEAR:
            ends = np.array((means[k], back.transform(_closest(place.box, centres[k]))))
            axes.plot(ends[:, 0], ends[:, 1], color=colour, linewidth=0.7, zorder=2)


def _places(centre: np.ndarray, label: str) -> Iterator[Place]:
    """Yield where a name may stand around its point, the best places first."""
    width, height = width_of(label, LABEL) * DPI / 72 + 4, LINE * LABEL * DPI / 72
    for away in (NEAR, 45, 75, 110):
        for across, up in ((1, 0), (-1, 0), (0, 1), (0, -1), (0.7, 0.7), (0.7, -0.7), (-0.7, 0.7), (-0.7, -0.7)):
            x = centre[0] + across * away + np.sign(across) * width / 2
            y = centre[1] + up * away + np.sign(up) * height / 2
            yield Place(Bbox.from_bounds(x - width / 2, y - height / 2, width, height), away)


def _cost(place: Place, boxes: Sequence[Bbox], dots: np.ndarray, others: np.ndarray, frame: BboxBase) -> float:
    """Return how bad a place is: outside, on a name or a mean, on dots, nearer to another's mean, far."""
    box = place.box
    outside = not all(frame.contains(*corner) for corner in box.corners())
    misread = sum(float(np.linalg.norm(_closest(box, other) - other)) < place.away for other in others)
    covered = sum(box.contains(*dot) for dot in dots)
    return 50 * outside + 10 * sum(map(box.overlaps, boxes)) + 3 * covered + 2 * misread + place.away / 100


def _closest(box: Bbox, point: np.ndarray) -> np.ndarray:
    """Return the point of a box that is closest to `point`."""
    return np.clip(point, box.min, box.max)
