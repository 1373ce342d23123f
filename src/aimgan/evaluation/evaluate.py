"""The scores of a model, as `aimgan evaluate` reports them; each is left out where it does not apply."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from functools import reduce
from operator import add
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from aimgan import noise
from aimgan.data import Data, ImageSet, Mixture, TwoDomains
from aimgan.evaluation.feature_networks import FeatureNetwork
from aimgan.evaluation.image_scores import (
    NEIGHBOURS,
    WITH_NEIGHBOURS,
    feature_scores,
    inception_score_so_far,
    scores_without_network,
)
from aimgan.evaluation.pca import principal_components, rebuilding_error
from aimgan.evaluation.translation import translation
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
from aimgan.training.precision import float32_products

SAMPLES = 50_000  # ours (docs/science.md 4.10)
PROTOCOL_SAMPLES = 2_500  # of Srivastava et al. (2017)
CODES = 10_000  # generated images, whose codes are known, for calibration


def evaluate(
    model: LatentVariableModel,
    data: Data,
    seed: int = 0,
    network: FeatureNetwork | None = None,
    n_fake: int = SAMPLES,
) -> dict[str, Any]:
    """Return all scores of a model on data, in JSON's types. The same arguments give the same numbers.

    `n_fake` generated images are scored by the feature network; without one they are scored by their pixels only. All
    products are in float32, in whatever precision the model was trained.
    """
    with float32_products("no", model.device):
        return _scores(model, data, seed, network, n_fake)


def _scores(
    model: LatentVariableModel, data: Data, seed: int, network: FeatureNetwork | None, n_fake: int
) -> dict[str, Any]:
    scores: dict[str, Any] = {}
    if isinstance(data, Mixture):
        scores |= modes(model.generate(SAMPLES, noise.generator(seed, "evaluate")).cpu(), data)
    elif isinstance(data, ImageSet):
        if network is not None:
            scores |= feature_scores(model, data, network, n_fake, seed)
        scores |= scores_without_network(model, data, seed)
    if model.E is not None:
        scores |= _inference(model, data, seed)
    if isinstance(data, TwoDomains):
        scores |= translation(model, data)
    return scores


def _inference(model: LatentVariableModel, data: Data, seed: int) -> dict[str, Any]:
    """Return the scores of the encoder."""
    scores: dict[str, Any] = {}
    parts = [model.encode(x) for x in data.chunks()]
    if parts:
        means = [q.mean for q in parts]
        scores |= reconstruction(model, data, means)
        if len(data.shape) == 3:
            scores |= renormalised(model, data, seed, means)
            scores |= baselines(data, model.dim)
        elif isinstance(data, Mixture):
            scores |= within_modes(model, data, seed)
    if not model.config.deterministic:  # the posterior is a point: it has no density to calibrate
        scores |= calibration(model, seed)
    if isinstance(data, TwoDomains):  # p(z) is no Gaussian that codes could be compared with
        return {name: value for name, value in scores.items() if not name.startswith("prior_")}
    if sum(len(q.mean) for q in parts) > 1:
        # q(z) is the mixture of all q(z|x): its draws, not the means, can match the prior.
        q = Posterior(torch.cat([q.mean for q in parts]), torch.cat([q.log_variance for q in parts]))
        codes = q.sample(1, noise.generator(seed, "codes", device=model.device))[0].cpu()
        scores |= prior_matching(codes, noise.generator(seed, "prior matching"))
    return scores


def evaluate_data(data: Mixture, seed: int = 0) -> dict[str, Any]:
    """Score real samples as if a model had made them: the best scores that a model can expect."""
    return modes(data.sample(SAMPLES, noise.generator(seed, "evaluate data")), data)


def modes(samples: Tensor, data: Mixture) -> dict[str, Any]:
    """Return the mode scores of 50,000 samples, and of the first 2,500 as in the original protocol."""
    whole = mode_metrics(samples, data.means, data.covariances, data.weights)
    protocol = mode_metrics(samples[:PROTOCOL_SAMPLES], data.means, data.covariances, data.weights)
    scores = {"samples": len(samples), **whole}
    for name in ("modes", "high_quality", "mode_kl"):
        scores[f"{name}_{PROTOCOL_SAMPLES}"] = protocol[name]
    return scores


def reconstruction(model: LatentVariableModel, data: Data, means: Iterable[Tensor] | None = None) -> dict[str, Any]:
    """Return held-out data's reconstruction error: on [0, 1] and on [-1, 1] for images, in squared units for points.

    `means` are the codes mu(x) of each of the data's chunks, where they are known.
    """
    if means is None:
        means = (model.encode(x).mean for x in data.chunks())
    pairs = zip(data.chunks(), means, strict=True)
    errors = [ReconstructionError.of(x.to(model.device), model.decode(z, inferred=True)) for x, z in pairs]
    scores = reduce(add, errors).compute()
    return with_signed_scale(scores) if len(data.shape) == 3 else scores


def within_modes(model: LatentVariableModel, data: Mixture, seed: int) -> dict[str, float]:
    """Return how well reconstructions keep the mode of held-out points, and the place in it (metrics/within_modes.py).

    mode_centre_mse, wrong_mode, within_mode_r2    of the same points as reconstruction_mse
    neighbour_mse, _diversity, _ratio              of 8 draws G(z), z ~ q(z|x), for 1,000 of them, as for images
    neighbour_mode_variance                        variance of a mode per coordinate; independent draws from x's mode
                                                   have twice this error

    Deterministic encoders have no neighbour scores. The model must have an encoder.
    """
    parts = [WithinModes.of(x, model.reconstruct(x).cpu(), data.means, data.covariances) for x in data.chunks()]
    whole = reduce(add, parts)
    scores = whole.compute()
    if model.config.deterministic:
        return scores
    x = data.test()[:WITH_NEIGHBOURS]
    near = model.neighbours(x, NEIGHBOURS, noise.generator(seed, "posterior points", device=model.device))
    return scores | posterior_images(x, near.cpu()) | {"neighbour_mode_variance": whole.mode_variance}


def image_errors(model: LatentVariableModel, data: Data) -> Float[Tensor, "n"]:
    """Return the squared error of each held-out image's reconstruction, mean over pixels, on [0, 1]."""
    parts = [(x.to(model.device) - model.reconstruct(x)).square().flatten(1).mean(dim=1) for x in data.chunks()]
    return torch.cat(parts).cpu()


def renormalised(
    model: LatentVariableModel, data: Data, seed: int, means: Iterable[Tensor] | None = None
) -> dict[str, float]:
    """Return the reconstruction error with G normalised by the codes mu(x) of training images.

    It is reported beside `reconstruction_mse` so that rankings do not depend on batch-norm statistics: with objectives
    such as AIM and ALI, G never gets a code of data in training. `means` are as in `reconstruction`. Returns nothing if
    G has no batch norm, or if there is only one training image, which has no variance.
    """
    if not batch_norms(model.G) or data.epoch_size < 2:
        return {}
    model = deepcopy(model)
    G = model.G_of(inferred=True)
    size = min(100, data.epoch_size)
    codes = (model.encode(data.batch(seed, k, size)).mean for k in range(50))
    reestimate(G, G, codes)
    return {"reconstruction_mse_renormalised": reconstruction(model, data, means)["reconstruction_mse"]}


def baselines(data: Data, dim: int) -> dict[str, Any]:
    """Return baseline errors on the same test images.

    mean_image_mse         of the mean of up to 10,000 training images (whole thousands, or all of fewer)
    pca_mse                of `dim` principal components of 10,000 training images (evaluation/pca.py); not of a
                           caller's own batches
    unrelated_pair_mse     between two different images
    """
    size = min(1_000, data.epoch_size)
    batches = range(min(10, data.epoch_size // size))
    train = reduce(add, [PixelMoments.of(data.batch(0, k, size)) for k in batches])
    mean_image = train.mean_image.float()
    errors = [ReconstructionError.of(x, mean_image.expand_as(x)) for x in data.chunks()]
    scores = {"mean_image_mse": reduce(add, errors).mean}
    if isinstance(data, ImageSet):
        rebuild = principal_components(data, dim, n=10_000)
        if rebuild is not None:
            scores["pca_mse"] = rebuilding_error(data, rebuild).mean
    test = reduce(add, [PixelMoments.of(x) for x in data.chunks()])
    if test.count > 1:
        scores["unrelated_pair_mse"] = test.unrelated_pair_mse
    return scores


def calibration(model: LatentVariableModel, seed: int) -> dict[str, Any]:
    """Return how well q(z|x) covers the codes that images were made from (metrics/calibration.py)."""
    z = model.prior.sample(CODES, noise.generator(seed, "calibration"))
    parts = []
    for k, codes in enumerate(z.split(1_000)):
        x = model.decode(codes, noise.generator(seed, "calibration noise", k))
        q = model.encode(x, generated=True)
        parts.append(Calibration.of(codes.cpu(), q.mean.cpu(), q.log_variance.cpu()))
    return reduce(add, parts).compute()


def progress_scores(
    model: LatentVariableModel, data: Data, seed: int, network: FeatureNetwork | None = None
) -> dict[str, float]:
    """Return the scores that are recorded while a model trains: reconstruction error, coverage, Inception Score.

    The last one needs a feature network, and is left out for networks that take minutes on a CPU.
    """
    scores: dict[str, float] = {}
    if network is not None and network.name == "digits":
        scores |= inception_score_so_far(model, network, seed)
    if model.E is None:
        return scores
    if any(True for _ in data.chunks()):
        scores["reconstruction_mse"] = reconstruction(model, data)["reconstruction_mse"]
    if not model.config.deterministic:
        scores["coverage_80"] = calibration(model, seed)["coverage_80"]
    return scores
