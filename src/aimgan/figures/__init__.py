"""Figures: functions from tensors or a run's rows to a matplotlib Figure, or a Pillow image for grids of pixels."""

from aimgan.figures.curves import curves
from aimgan.figures.images import grid, pairs
from aimgan.figures.points import figure3, points_figure
from aimgan.figures.rows import Figure3Row, figure3_rows
from aimgan.figures.stability import Panel, stability_map

__all__ = [
    "Figure3Row",
    "Panel",
    "curves",
    "figure3",
    "figure3_rows",
    "grid",
    "pairs",
    "points_figure",
    "stability_map",
]
