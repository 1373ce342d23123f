"""Figures of 2-D models."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from torch import Tensor

INK, SOFT = "#1f4e79", "#8a8f98"
Points = Float[Tensor, "_ 2"]


def figure3(data: Points, codes: Points | None, reconstructions: Points | None, samples: Points, title: str) -> Figure:
    """Figure 3: (a) data, (b) codes over the prior's 1-2-3 sigma circles, (c) reconstructions, (d) samples.

    A model without an encoder has no (b) and (c).
    """
    panels: list[tuple[str, Points | None]] = [
        (f"data, {len(data):,} points", data),
        ("" if codes is None else f"latent codes of data, {len(codes):,}", codes),
        ("" if reconstructions is None else f"reconstructions of data, {len(reconstructions):,}", reconstructions),
        (f"samples, {len(samples):,}", samples),
    ]
    shown = [
        (letter, name, points) for letter, (name, points) in zip("abcd", panels, strict=True) if points is not None
    ]
    figure = Figure(figsize=(4 * len(shown), 4.6), dpi=150, layout="constrained")
    limit = 1.25 * float(data.abs().max())
    for axes, (letter, name, points) in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        if letter == "b":
            draw_codes(axes, points)
        else:
            scatter(axes, points, limit)
        axes.set_title(f"({letter}) {name}", fontsize=11)
    figure.suptitle(title, fontsize=12)
    return figure


def scatter(axes: Axes, points: Points, limit: float) -> None:
    """Draw points on a square of +- limit; those outside are counted in the corner rather than lost silently."""
    values = np.asarray(points.cpu())
    size, alpha = (1.2, 0.25) if len(values) > 2_000 else (6.0, 0.7) if len(values) > 200 else (24.0, 0.7)
    axes.scatter(values[:, 0], values[:, 1], s=size, alpha=alpha, color=INK, linewidths=0, rasterized=True)
    outside = int((np.abs(values) > limit).any(axis=1).sum())
    if outside:
        axes.text(0.98, 0.02, f"{outside:,} outside", transform=axes.transAxes, ha="right", fontsize=8, color=SOFT)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    axes.tick_params(labelsize=8)


def draw_codes(axes: Axes, codes: Points) -> None:
    """Draw codes over the circles of the prior's 1, 2 and 3 standard deviations."""
    scatter(axes, codes, 3.9)
    for sigma in (1, 2, 3):
        axes.add_patch(Circle((0, 0), sigma, fill=False, color="#c0392b", linewidth=1))
        axes.annotate(rf"{sigma}$\sigma$", (0, sigma), fontsize=9, color="#c0392b", ha="center", va="bottom")


def points_figure(panels: Mapping[str, Points]) -> Figure:
    """A panel for each name, all on the same axes' limits."""
    figure = Figure(figsize=(5 * len(panels), 5.2), dpi=150, layout="constrained")
    limit = 1.1 * max(float(points.abs().max()) for points in panels.values()) + 1e-6
    for axes, (name, points) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        scatter(axes, points, limit)
        axes.set_title(f"{name}, {len(points):,}", fontsize=11)
    return figure
