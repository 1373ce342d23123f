"""Baselines for an encoder: principal components of the same dimension, and codes found by optimisation."""

from __future__ import annotations

import time
from functools import reduce
from operator import add
from typing import Any

import torch
from sklearn.decomposition import IncrementalPCA
from torch import Tensor

from aimgan.data import ImageSet
from aimgan.evaluation.feature_networks import FeatureNetwork
from aimgan.evaluation.image_scores import preserved, seen
from aimgan.evaluation.inversion import invert
from aimgan.metrics import ReconstructionError, with_signed_scale
from aimgan.model import LatentVariableModel

INVERTED, STEPS = 100, 500  # test images, and steps of Adam for each


def pca(data: ImageSet, dim: int, network: FeatureNetwork | None) -> dict[str, Any]:
    """Score test images that are rebuilt from their `dim` first principal components, found in all training images.

    This is about the best that a linear encoder and decoder can do; the scores have the names that `evaluate` gives
    them. Training images are taken in batches of a thousand (IncrementalPCA, a close approximation; a batch smaller
    than `dim` is left out), and the rebuilt images are clamped to [0, 1]. Returns nothing where there are fewer
    training images than `dim`, or no test images.
    """
    if data.epoch_size < dim or not len(data.images.test):
        return {}
    components = IncrementalPCA(dim)
    for x in data.chunks("train"):
        if len(x) >= dim:
            components.partial_fit(x.flatten(1).cpu().numpy())

    def rebuilt(x: Tensor) -> Tensor:
        codes = components.transform(x.flatten(1).cpu().numpy())
        return torch.from_numpy(components.inverse_transform(codes)).to(x.dtype).view_as(x).clamp(0, 1)

    errors = [ReconstructionError.of(x.cpu(), rebuilt(x.cpu())) for x in data.chunks()]
    scores = with_signed_scale(reduce(add, errors).compute())
    if network is not None:
        scores |= preserved(seen(network, data.chunks()), seen(network, (rebuilt(x.cpu()) for x in data.chunks())))
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
