"""Figures: functions from tensors or a run's rows to a matplotlib Figure, or a Pillow image for grids of pixels."""

from aimgan.figures.curves import curves
from aimgan.figures.epochs import Curve, error_by_epoch, score_by_epoch
from aimgan.figures.generated import Conditional, conditional, nearest, samples
from aimgan.figures.images import grid, pairs
from aimgan.figures.latent import code_grid, figure4, latent_map, manifold
from aimgan.figures.points import figure3, points_figure
from aimgan.figures.reconstructions import ImageRow, reconstructions, reconstructions_by_weight
from aimgan.figures.rows import Figure3Row, figure3_rows
from aimgan.figures.stability import Panel, stability_map
from aimgan.figures.tradeoff import TradeOff, error_against_distance

__all__ = [
    "Conditional",
    "Curve",
    "Figure3Row",
    "ImageRow",
    "Panel",
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
    "latent_map",
    "manifold",
    "nearest",
    "pairs",
    "points_figure",
    "reconstructions",
    "reconstructions_by_weight",
    "samples",
    "score_by_epoch",
    "stability_map",
]
