"""The scores of a model of two data sets: cycles, and translations beside their true counterparts, where known."""

from __future__ import annotations

from aimgan.data import TwoDomains
from aimgan.metrics import translation_scores
from aimgan.model import LatentVariableModel
from aimgan.translation import translate

SCORED = 2_000  # held-out samples of each data set, at most


def translation(model: LatentVariableModel, data: TwoDomains) -> dict[str, float]:
    """Return the scores of translating held-out samples, from A to B and back.

    cycle_mse_b                   of B to A to B; A to B to A is `reconstruction_mse`
    a_to_b_*, b_to_a_*            mse, pairs, classes (metrics/translation.py)
    mean_of_b_mse, mean_of_a_mse  error of answering with the mean training sample, which needs no model
    """
    x, y = (side.test(SCORED) for side in (data.first, data.second))
    if not len(x) or not len(y):
        return {}
    y_x, x_y = translate(model, x).cpu(), translate(model, y, back=True).cpu()
    scores = {"cycle_mse_b": (y - translate(model, x_y).cpu()).square().mean().item()}
    if not data.pairs:
        return scores
    for name, made, truth in (("a_to_b", y_x, y), ("b_to_a", x_y, x)):
        found = translation_scores(made, truth, data.classes)
        scores |= {f"{name}_{score}": value for score, value in found.items()}
    for name, side, truth in (("b", data.second, y), ("a", data.first, x)):
        n = min(1_000, side.epoch_size)
        mean = side.batch(0, 0, n).mean(dim=0)
        scores[f"mean_of_{name}_mse"] = (truth - mean).square().mean().item()
    return scores
