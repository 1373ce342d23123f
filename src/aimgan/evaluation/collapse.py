"""Signs that a model has collapsed, measured while it trains: what the alarms read (training/alarms.py)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from aimgan import noise
from aimgan.data import ImageSet, Mixture
from aimgan.metrics import mode_metrics
from aimgan.model import LatentVariableModel

SAMPLES = 10_000  # enough to count the modes: the KL's floor is then 0.0012 (docs/science.md 4.10)
AT_PRIOR = (
    0.002  # nats, a dimension's KL from the prior: a collapsed VAE has 1e-7, an untrained E 3e-4, a young ALI 5e-3
)
FLOOR, CEILING = -20.0, 5.0  # log variances that no network needs: float32 hardly resolves such z; e^5 priors wide
NEAR = 0.1  # `min_log_variance` is a smooth floor, which is not reached


def collapse_signs(model: LatentVariableModel, data: ImageSet | Mixture, seed: int) -> dict[str, Any]:
    """Return the signs of collapse on the first thousand held-out samples x; those that are not finite are left out.

    generated_spread          standard deviation over samples of G(z), mean over pixels, over that of x: 1 is the data's
    generated_saturated       share of the values that should lie between black and white and are one of the two
    codes_at_prior            share of the code's dimensions where q(z|x) is the prior, but for a shift, for all x
    posterior_log_variance    mean over x and dimensions
    variance_at_floor, variance_at_ceiling    shares of log variances at the networks' floor, or above any use
    modes, mode_kl            of a mixture, of 10,000 samples
    """
    x = next(iter(data.chunks()), torch.empty(0)).cpu()
    if len(x) < 2:
        return {}
    generated = model.generate(len(x), noise.generator(seed, "signs")).cpu()
    signs: dict[str, Any] = {"generated_spread": _ratio(_spread(generated), _spread(x))}
    if isinstance(data, ImageSet):
        saturated = _saturated(x)
        signs["generated_saturated"] = _ratio(_saturated(generated) - saturated, 1 - saturated)
    if model.E is not None and not model.config.deterministic:
        signs |= _posterior_signs(model, x)
    if isinstance(data, Mixture):
        signs |= _mode_signs(model, data, seed)
    return {name: value for name, value in signs.items() if math.isfinite(value)}


def _mode_signs(model: LatentVariableModel, data: Mixture, seed: int) -> dict[str, Any]:
    samples = model.generate(SAMPLES, noise.generator(seed, "signs of modes")).cpu()
    if not bool(samples.isfinite().all()):  # the losses will show it
        return {}
    scores = mode_metrics(samples, data.means, data.covariances, data.weights)
    return {"modes": scores["modes"], "mode_kl": scores["mode_kl"]}


def _posterior_signs(model: LatentVariableModel, x: Tensor) -> dict[str, float]:
    q = model.encode(x)
    kl = 0.5 * (q.mean.var(dim=0) + (q.variance - 1 - q.log_variance).mean(dim=0))
    floor = FLOOR
    if (least := model.config.arguments.get("min_log_variance")) is not None:
        floor = least + NEAR
    return {
        "codes_at_prior": _share(kl < AT_PRIOR),
        "posterior_log_variance": q.log_variance.mean().item(),
        "variance_at_floor": _share(q.log_variance < floor),
        "variance_at_ceiling": _share(q.log_variance > CEILING),
    }


def _spread(x: Tensor) -> float:
    return x.std(dim=0).mean().item()


def _saturated(x: Tensor) -> float:
    return _share((x < 0.5 / 255) | (x > 1 - 0.5 / 255))  # 0 or 255 in a file of eight bits


def _share(true: Tensor) -> float:
    return true.float().mean().item()


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
