"""What a model scores: the numbers of `aimgan evaluate`, each only where it applies."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

from torch import Tensor

from aimgan import noise
from aimgan.data import ImageSet, Mixture, StackedSet
from aimgan.experiments.stacked import stacked_modes
from aimgan.metrics import (
    Calibration,
    PixelMoments,
    ReconstructionError,
    mean_image_mse,
    mode_metrics,
    on_signed_scale,
    prior_matching,
)
from aimgan.model import LatentVariableModel

SAMPLES, PROTOCOL_SAMPLES = 50_000, 2_500  # ours (science.md 4.10), and Srivastava et al.'s (2017)
CODES = 10_000  # generated images with known codes, for calibration


def evaluate(model: LatentVariableModel, data: Mixture | ImageSet, seed: int = 0) -> dict[str, Any]:
    """Return all scores of a model on data, in JSON's types. The same (model, data, seed) gives the same numbers."""
    scores: dict[str, Any] = {}
    if isinstance(data, Mixture):
        scores |= modes(model.generate(SAMPLES, noise.generator(seed, "evaluate")).cpu(), data)
    if isinstance(data, StackedSet):
        scores |= stacked_modes(model, data, seed)
    if model.E is None:
        return scores
    test = data.test()
    if len(test):
        scores |= reconstruction(model, test)
        scores |= anchors(data, test) if isinstance(data, ImageSet) else {}
    if not model.config.deterministic:  # a point has no density to be calibrated
        scores |= calibration(model, seed)
    if len(test) > 1:
        # q(z) is the mixture of all q(z|x): draws from it, not means, are what can match the prior.
        codes = model.encode(test).sample(1, noise.generator(seed, "codes"))[0].cpu()
        scores |= prior_matching(codes, noise.generator(seed, "prior matching"))
    return scores


def evaluate_data(data: Mixture, seed: int = 0) -> dict[str, Any]:
    """Score real samples as if a model had made them: the row that no model can be told to beat."""
    return modes(data.sample(SAMPLES, noise.generator(seed, "evaluate data")), data)


def modes(samples: Tensor, data: Mixture) -> dict[str, Any]:
    """Return the mode scores of 50,000 samples, and of the first 2,500 as the original protocol has them."""
    whole = mode_metrics(samples, data.means, data.covariances, data.weights)
    protocol = mode_metrics(samples[:PROTOCOL_SAMPLES], data.means, data.covariances, data.weights)
    short = {f"{name}_{PROTOCOL_SAMPLES}": protocol[name] for name in ("modes", "high_quality", "mode_kl")}
    return {"samples": len(samples), **whole, **short}


def reconstruction(model: LatentVariableModel, test: Tensor) -> dict[str, Any]:
    """Return the test set's reconstruction error: on [0, 1] and on [-1, 1] for images, in squared units for points."""
    parts = (ReconstructionError.of(x, model.reconstruct(x).cpu()) for x in test.cpu().split(1_000))
    scores = reduce(add, parts).compute()
    if len(model.shape) == 3:
        scores["reconstruction_mse_signed"] = on_signed_scale(scores["reconstruction_mse"])
    return scores


def anchors(data: ImageSet, test: Tensor) -> dict[str, Any]:
    """Return what an error must be read against: unrelated pairs of test images, and the mean training image.

    The mean is taken over 10,000 training images, or over all whole thousands (or fewer) that there are.
    """
    size = min(1_000, data.epoch_size)
    train = (PixelMoments.of(data.batch(0, k, size)) for k in range(min(10, data.epoch_size // size)))
    mean_image = reduce(add, train).mean_image
    scores = {"mean_image_mse": mean_image_mse(mean_image.float().cpu(), test.cpu())}
    if len(test) > 1:
        scores["unrelated_pair_mse"] = PixelMoments.of(test.cpu()).unrelated_pair_mse
    return scores


def calibration(model: LatentVariableModel, seed: int) -> dict[str, Any]:
    """Return how well q(z|x) tells the codes that images were made from (metrics/calibration.py)."""
    z = model.prior.sample(CODES, noise.generator(seed, "calibration"))
    parts = []
    for k, codes in enumerate(z.split(1_000)):
        q = model.encode(model.decode(codes, noise.generator(seed, "calibration noise", k)))
        parts.append(Calibration.of(codes.cpu(), q.mean.cpu(), q.log_variance.cpu()))
    return reduce(add, parts).compute()


def progress_scores(model: LatentVariableModel, data: ImageSet | Mixture, seed: int) -> dict[str, float]:
    """Return what is followed while a model trains: reconstruction error, and coverage where q(z|x) has a density."""
    test = data.test()
    errors = {"reconstruction_mse": reconstruction(model, test)["reconstruction_mse"]} if len(test) else {}
    covered = {} if model.config.deterministic else {"coverage_80": calibration(model, seed)["coverage_80"]}
    return errors | covered
