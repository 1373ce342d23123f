"""What a model scores: the numbers of `aimgan evaluate`, each only where it applies."""

from __future__ import annotations

import math
from collections.abc import Iterable
from copy import deepcopy
from functools import reduce
from operator import add
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from aimgan import noise
from aimgan.data import ImageSet, Mixture
from aimgan.evaluation.feature_networks import FeatureNetwork
from aimgan.evaluation.image_scores import DRAWN_FOR, DRAWS, feature_scores, own_scores, progress
from aimgan.metrics import (
    Calibration,
    PixelMoments,
    ReconstructionError,
    WithinModes,
    mode_metrics,
    posterior_images,
    prior_matching,
    with_signed_scale,
)
from aimgan.model import LatentVariableModel
from aimgan.networks import Posterior
from aimgan.networks.batch_norm import batch_norms, reestimate

SAMPLES, PROTOCOL_SAMPLES = 50_000, 2_500  # ours (science.md 4.10), and Srivastava et al.'s (2017)
CODES = 10_000  # generated images with known codes, for calibration
ENOUGH = 10_000  # samples that tell the modes while a model trains: the KL's floor is 0.0012 (science.md 4.10)
EQUAL = 0.002  # nats, a dimension's KL from the prior: a collapsed VAE has 1e-7, an untrained E 3e-4, a young ALI 5e-3
FLOOR, CEILING = -20.0, 5.0  # log variances that no network needs: float32 hardly tells z that well; e^5 priors wide
NEAR = 0.1  # of `min_log_variance`, a smooth floor that is not reached


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
    if isinstance(data, ImageSet):
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
        scores |= renormalised(model, data, seed) if isinstance(data, ImageSet) else {}
        scores |= anchors(data) if isinstance(data, ImageSet) else within_modes(model, data, seed)
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


def within_modes(model: LatentVariableModel, data: Mixture, seed: int) -> dict[str, float]:
    """Return what reconstructions keep of held-out points, against the modes (metrics/within_modes.py).

    mode_centre_mse, wrong_mode, within_mode_r2    of the same points as reconstruction_mse
    neighbour_mse, _diversity, _ratio              of 8 draws G(z), z ~ q(z|x), for 1,000 of them, as images have them
    neighbour_mode_variance                        the modes' own, a coordinate: draws of x's mode are twice that from x

    A point for a posterior has no draws, and no neighbours. The model must have an encoder.
    """
    parts = (WithinModes.of(x, model.reconstruct(x).cpu(), data.means, data.covariances) for x in chunks(data))
    whole = reduce(add, parts)
    scores = whole.compute()
    if model.config.deterministic:
        return scores
    x = data.test()[:DRAWN_FOR]
    near = model.neighbours(x, DRAWS, noise.generator(seed, "posterior points", device=model.device))
    return scores | posterior_images(x, near.cpu()) | {"neighbour_mode_variance": whole.mode_variance}


def image_errors(model: LatentVariableModel, data: ImageSet) -> Float[Tensor, "n"]:
    """Return the squared error of each held-out image's reconstruction, mean over pixels, on [0, 1]."""
    parts = ((x.cpu() - model.reconstruct(x).cpu()).square().flatten(1).mean(dim=1) for x in data.chunks())
    return torch.cat([*parts])


def renormalised(model: LatentVariableModel, data: ImageSet, seed: int) -> dict[str, float]:
    """Return the reconstruction error with G normalised by the codes mu(x) of training images, whatever G saw before.

    It stands beside `reconstruction_mse`, so that no method owes its place to its batch-norm statistics: objectives
    such as AIM and ALI never show their G a code of data. Nothing where G has no batch norm, or where there is one
    training image, which has no variance.
    """
    if not batch_norms(model.G) or data.epoch_size < 2:
        return {}
    model = deepcopy(model)
    G = model.G_of(inferred=True)
    size = min(100, data.epoch_size)
    codes = (model.encode(data.batch(seed, k, size)).mean for k in range(50))
    reestimate(G, G, codes)
    return {"reconstruction_mse_renormalised": reconstruction(model, data)["reconstruction_mse"]}


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
        q = model.encode(model.decode(codes, noise.generator(seed, "calibration noise", k)), generated=True)
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


def collapse_signs(model: LatentVariableModel, data: ImageSet | Mixture, seed: int) -> dict[str, Any]:
    """Return the numbers that the alarms read (training/alarms.py): those of the first thousand held-out samples x.

    generated_spread          standard deviation over samples of G(z), mean over pixels, by that of x: 1 is the data's
    generated_saturated       share of the values that should lie between black and white and are one of the two
    codes_at_prior            share of the code's dimensions where q(z|x) is the prior, but for a shift, for all x
    posterior_log_variance    mean over x and dimensions
    variance_at_floor, variance_at_ceiling    shares of them at the networks' floor, or out of any use
    modes, mode_kl            of a mixture, of 10,000 samples
    """
    x = next(iter(chunks(data)), torch.empty(0)).cpu()
    if len(x) < 2:
        return {}
    x_z = model.generate(len(x), noise.generator(seed, "signs")).cpu()
    signs: dict[str, Any] = {"generated_spread": _ratio(_spread(x_z), _spread(x))}
    if isinstance(data, ImageSet):
        signs["generated_saturated"] = _ratio(_saturated(x_z) - _saturated(x), 1 - _saturated(x))
    if model.E is not None and not model.config.deterministic:
        signs |= _posterior_signs(model, x)
    if isinstance(data, Mixture):
        signs |= _mode_signs(model, data, seed)
    return {name: value for name, value in signs.items() if math.isfinite(value)}


def _mode_signs(model: LatentVariableModel, data: Mixture, seed: int) -> dict[str, Any]:
    samples = model.generate(ENOUGH, noise.generator(seed, "signs of modes")).cpu()
    if not bool(samples.isfinite().all()):  # the losses will tell
        return {}
    scores = mode_metrics(samples, data.means, data.covariances, data.weights)
    return {name: scores[name] for name in ("modes", "mode_kl")}


def _posterior_signs(model: LatentVariableModel, x: Tensor) -> dict[str, float]:
    q, floor = model.encode(x), model.config.arguments.get("min_log_variance")
    kl = 0.5 * (q.mean.var(dim=0) + (q.variance - 1 - q.log_variance).mean(dim=0))
    return {
        "codes_at_prior": _share(kl < EQUAL),
        "posterior_log_variance": q.log_variance.mean().item(),
        "variance_at_floor": _share(q.log_variance < (FLOOR if floor is None else floor + NEAR)),
        "variance_at_ceiling": _share(q.log_variance > CEILING),
    }


def _spread(x: Tensor) -> float:
    return x.std(dim=0).mean().item()


def _saturated(x: Tensor) -> float:
    return _share((x < 0.5 / 255) | (x > 1 - 0.5 / 255))  # what is 0 or 255 in a file


def _share(true: Tensor) -> float:
    return true.float().mean().item()


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
