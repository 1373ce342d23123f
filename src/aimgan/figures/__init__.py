"""Figures: functions from tensors or a run's rows to a matplotlib Figure, or a Pillow image for grids of pixels."""

from aimgan.figures.curves import curves
from aimgan.figures.images import grid, pairs
from aimgan.figures.latent import code_grid, figure4
from aimgan.figures.numbers import Curve, TradeOff, error_against_distance, error_by_epoch
from aimgan.figures.paper_images import ImageRow, conditional, reconstructions, reconstructions_by_weight, samples
from aimgan.figures.points import Figure3Row, figure3, figure3_rows, points_figure
from aimgan.figures.saving import save

__all__ = [
    "Curve",
    "Figure3Row",
    "ImageRow",
    "TradeOff",
    "code_grid",
    "conditional",
    "curves",
    "error_against_distance",
    "error_by_epoch",
    "figure3",
    "figure3_rows",
    "figure4",
    "grid",
    "pairs",
    "points_figure",
    "reconstructions",
    "reconstructions_by_weight",
    "samples",
    "save",
]
