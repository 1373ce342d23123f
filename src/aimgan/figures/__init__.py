"""Figures: functions from tensors or a run's rows to a matplotlib Figure, or a Pillow image for grids of pixels."""

from aimgan.figures.curves import curves
from aimgan.figures.images import grid, pairs
from aimgan.figures.points import figure3, points_figure

__all__ = ["curves", "figure3", "grid", "pairs", "points_figure"]
