"""What a model scores: the numbers of `aimgan evaluate`, each only where it applies."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import add
from typing import Any

import torch
from torch import Tensor

from aimgan import noise
from aimgan.data import ImageSet, Mixture, StackedSet
from aimgan.experiments.features import FeatureNetwork
from aimgan.experiments.image_scores import feature_scores, own_scores, progress
from aimgan.experiments.stacked import stacked_modes
from aimgan.metrics import (
    Calibration,
    PixelMoments,
    ReconstructionError,
    mode_metrics,
    prior_matching,
    with_signed_scale,
)
from aimgan.model import LatentVariableModel
from aimgan.networks import Posterior

SAMPLES, PROTOCOL_SAMPLES = 50_000, 2_500  # ours (science.md 4.10), and Srivastava et al.'s (2017)
CODES = 10_000  # generated images with known codes, for calibration


def evaluate(
    model: LatentVariableModel,
    data: Mixture | ImageSet,
    seed: int = 0,
    network: FeatureNetwork | None = None,
    n_fake: int = SAMPLES,
) -> dict[str, Any]:
    """Return all scores of a model on data, in JSON's types. The same arguments give the same numbers.

    Generated images are scored by a feature network, `n_fake` of them; without one by their pixels only.
    """
    scores: dict[str, Any] = {}
    if isinstance(data, Mixture):
        scores |= modes(model.generate(SAMPLES, noise.generator(seed, "evaluate")).cpu(), data)
    if isinstance(data, StackedSet):
        scores |= stacked_modes(model, data, seed)
    elif isinstance(data, ImageSet):
        if network is not None:
            scores |= feature_scores(model, data, network, n_fake, seed)
        scores |= own_scores(model, data, seed)
    return scores if model.E is None else scores | _inference(model, data, seed)


def _inference(model: LatentVariableModel, data: Mixture | ImageSet, seed: int) -> dict[str, Any]:
    """Return the scores of the encoder."""
    scores: dict[str, Any] = {}
    parts = [model.encode(x) for x in chunks(data)]
    if parts:
        scores |= reconstruction(model, data)
        scores |= anchors(data) if isinstance(data, ImageSet) else {}
    if not model.config.deterministic:  # a point has no density to be calibrated
        scores |= calibration(model, seed)
    if sum(len(q.mean) for q in parts) > 1:
        # q(z) is the mixture of all q(z|x): draws from it, not means, are what can match the prior.
        q = Posterior(torch.cat([q.mean for q in parts]), torch.cat([q.log_variance for q in parts]))
        codes = q.sample(1, noise.generator(seed, "codes", device=model.device))[0].cpu()
        scores |= prior_matching(codes, noise.generator(seed, "prior matching"))
    return scores


def chunks(data: Mixture | ImageSet) -> Iterable[Tensor]:
    """Return held-out data, a thousand at a time."""
    return data.chunks() if isinstance(data, ImageSet) else data.test().split(1_000)


def evaluate_data(data: Mixture, seed: int = 0) -> dict[str, Any]:
    """Score real samples as if a model had made them: the row that no model can be told to beat."""
    return modes(data.sample(SAMPLES, noise.generator(seed, "evaluate data")), data)


def modes(samples: Tensor, data: Mixture) -> dict[str, Any]:
    """Return the mode scores of 50,000 samples, and of the first 2,500 as the original protocol has them."""
    whole = mode_metrics(samples, data.means, data.covariances, data.weights)
    protocol = mode_metrics(samples[:PROTOCOL_SAMPLES], data.means, data.covariances, data.weights)
    short = {f"{name}_{PROTOCOL_SAMPLES}": protocol[name] for name in ("modes", "high_quality", "mode_kl")}
    return {"samples": len(samples), **whole, **short}


def reconstruction(model: LatentVariableModel, data: Mixture | ImageSet) -> dict[str, Any]:
    """Return held-out data's reconstruction error: on [0, 1] and on [-1, 1] for images, in squared units for points."""
    parts = (ReconstructionError.of(x.cpu(), model.reconstruct(x).cpu()) for x in chunks(data))
    scores = reduce(add, parts).compute()
    return with_signed_scale(scores) if isinstance(data, ImageSet) else scores


def anchors(data: ImageSet) -> dict[str, Any]:
    """Return what an error must be read against: unrelated pairs of test images, and the mean training image.

    The mean is taken over 10,000 training images, or over all whole thousands (or fewer) that there are.
    """
    size = min(1_000, data.epoch_size)
    train = (PixelMoments.of(data.batch(0, k, size)) for k in range(min(10, data.epoch_size // size)))
    mean_image = reduce(add, train).mean_image.float().cpu()
    errors = (ReconstructionError.of(x.cpu(), mean_image.expand_as(x)) for x in data.chunks())
    scores = {"mean_image_mse": reduce(add, errors).mean}
    test = reduce(add, (PixelMoments.of(x.cpu()) for x in data.chunks()))
    if test.count > 1:
        scores["unrelated_pair_mse"] = test.unrelated_pair_mse
    return scores


def calibration(model: LatentVariableModel, seed: int) -> dict[str, Any]:
    """Return how well q(z|x) tells the codes that images were made from (metrics/calibration.py)."""
    z = model.prior.sample(CODES, noise.generator(seed, "calibration"))
    parts = []
    for k, codes in enumerate(z.split(1_000)):
        q = model.encode(model.decode(codes, noise.generator(seed, "calibration noise", k)))
        parts.append(Calibration.of(codes.cpu(), q.mean.cpu(), q.log_variance.cpu()))
    return reduce(add, parts).compute()


def progress_scores(
    model: LatentVariableModel, data: ImageSet | Mixture, seed: int, network: FeatureNetwork | None = None
) -> dict[str, float]:
    """Return what is followed while a model trains: reconstruction error, and coverage where q(z|x) has a density.

    And the Inception Score of a few samples, where there is a feature network.
    """
    cheap = network is not None and network.name == "digits"  # others take minutes on a CPU
    scores = progress(model, network, seed) if network is not None and cheap else {}
    if model.E is not None and any(True for _ in chunks(data)):
        scores["reconstruction_mse"] = reconstruction(model, data)["reconstruction_mse"]
    if model.E is not None and not model.config.deterministic:
        scores["coverage_80"] = calibration(model, seed)["coverage_80"]
    return scores
