"""Baselines for an encoder: principal components of the same dimension, and codes found by optimisation."""

from __future__ import annotations

import time
from typing import Any

from aimgan.data import ImageSet
from aimgan.evaluation.feature_networks import FeatureNetwork
from aimgan.evaluation.image_scores import extract_features, preserved
from aimgan.evaluation.inversion import invert
from aimgan.evaluation.pca import principal_components, rebuilding_error
from aimgan.metrics import ReconstructionError, with_signed_scale
from aimgan.model import LatentVariableModel

INVERTED, STEPS = 100, 500  # test images, and steps of Adam for each


def pca(data: ImageSet, dim: int, network: FeatureNetwork | None) -> dict[str, Any]:
    """Score test images that are rebuilt from their `dim` first principal components, found in all training images.

    The scores have the names that `evaluate` gives them. Returns nothing where there are fewer training images than
    `dim`, or no test images.
    """
    rebuild = principal_components(data, dim)
    if rebuild is None or not len(data.images.test):
        return {}
    scores = with_signed_scale(rebuilding_error(data, rebuild).compute())
    if network is not None:
        rebuilt = (rebuild(x.cpu()) for x in data.chunks())
        scores |= preserved(extract_features(network, data.chunks()), extract_features(network, rebuilt))
    return {"dim": dim, **scores}


def inversion(model: LatentVariableModel, data: ImageSet) -> dict[str, Any]:
    """Score codes that are optimised for 100 test images, 500 steps each: what a better encoder could reach.

    `reconstruction_mse_encoder` is the error of the encoder on the same images, where there is one.
    """
    x = data.test(INVERTED).cpu()
    scores: dict[str, Any] = {"images": len(x), "steps": STEPS}
    if model.E is not None:
        begun = time.perf_counter()
        rebuilt = model.reconstruct(x).cpu()
        scores["seconds_encoder"] = round(time.perf_counter() - begun, 3)
        scores["reconstruction_mse_encoder"] = ReconstructionError.of(x, rebuilt).mean
    begun = time.perf_counter()
    codes = invert(model, x, STEPS)
    scores["seconds"] = round(time.perf_counter() - begun, 1)
    return scores | ReconstructionError.of(x, model.decode(codes, inferred=True).cpu()).compute()
