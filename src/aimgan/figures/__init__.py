"""Figures: functions from tensors or a run's rows to a matplotlib Figure, or a Pillow image for grids of pixels."""

from aimgan.figures.curves import curves
from aimgan.figures.epochs import Curve, error_by_epoch
from aimgan.figures.generated import conditional, samples
from aimgan.figures.images import grid, pairs
from aimgan.figures.latent import code_grid, figure4
from aimgan.figures.points import Figure3Row, figure3, figure3_rows, points_figure
from aimgan.figures.reconstructions import ImageRow, reconstructions, reconstructions_by_weight
from aimgan.figures.saving import save
from aimgan.figures.tradeoff import TradeOff, error_against_distance

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
