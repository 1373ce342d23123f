"""Signs that a model has collapsed, measured while it trains; the alarms read them (training/alarms.py)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from aimgan import noise
from aimgan.data import Data, Mixture
from aimgan.metrics import mode_metrics
from aimgan.model import LatentVariableModel
from aimgan.networks import Posterior

SAMPLES = 10_000  # enough to count the modes: the KL's floor is then 0.0012 (docs/science.md 4.10)
AT_PRIOR = 0.002  # nats, KL from the prior in one dimension: 1e-7 in a collapsed VAE, 5e-3 in ALI early in training
# No useful log variance is outside: below -20 float32 hardly resolves z; e^5 is 148 times the prior's variance.
FLOOR, CEILING = -20.0, 5.0
NEAR = 0.1  # `min_log_variance` is a smooth lower bound, so log variances come close to it without reaching it


def collapse_signs(model: LatentVariableModel, data: Data, seed: int) -> dict[str, Any]:
    """Return the signs of collapse on the first thousand held-out samples x; values that are not finite are left out.

    generated_spread          standard deviation of G(z) over samples, mean over pixels, divided by that of x
    generated_saturated       share of the pixels that are exactly black or white where those of x are not; 0 for fewer
    error_over_mean_image     error of reconstructions of x, divided by that of the mean of these x
    codes_at_prior            share of the code's dimensions where the variance is the prior's and the mean does not
                              depend on x
    posterior_log_variance    mean over x and dimensions
    variance_at_floor, variance_at_ceiling    shares of log variances near the lower bound, or above 5
    modes, mode_kl            for a mixture, from 10,000 samples
    """
    x = _first(data)
    if len(x) < 2:
        return {}
    generated = _generated(model, len(x), seed)
    q = None if model.E is None else model.encode(x)
    signs: dict[str, Any] = {"generated_spread": _ratio(_spread(generated), _spread(x))}
    if len(data.shape) == 3:
        saturated = _saturated(x)
        signs["generated_saturated"] = _ratio(max(0.0, _saturated(generated) - saturated), 1 - saturated)
        if q is not None:
            error = (x - model.decode(q.mean, inferred=True).cpu()).square().mean().item()
            signs["error_over_mean_image"] = _ratio(error, x.var(dim=0).mean().item())
    if q is not None and not model.config.deterministic:
        signs |= _posterior_signs(model, q)
    if isinstance(data, Mixture):
        signs |= _mode_signs(model, data, seed)
    return {name: value for name, value in signs.items() if math.isfinite(value)}


def generated_spread(model: LatentVariableModel, data: Data, seed: int) -> dict[str, float]:
    """Return the sign of that name alone, as `collapse_signs` has it."""
    x = _first(data)
    if len(x) < 2:
        return {}
    spread = _ratio(_spread(_generated(model, len(x), seed)), _spread(x))
    return {"generated_spread": spread} if math.isfinite(spread) else {}


def _first(data: Data) -> Tensor:
    """Return the first thousand held-out samples, fewer where there are fewer."""
    return next(iter(data.chunks()), torch.empty(0)).cpu()


def _generated(model: LatentVariableModel, n: int, seed: int) -> Tensor:
    return model.generate(n, noise.generator(seed, "signs")).cpu()


def _mode_signs(model: LatentVariableModel, data: Mixture, seed: int) -> dict[str, Any]:
    samples = model.generate(SAMPLES, noise.generator(seed, "signs of modes")).cpu()
    if not bool(samples.isfinite().all()):  # the losses will show it
        return {}
    scores = mode_metrics(samples, data.means, data.covariances, data.weights)
    return {"modes": scores["modes"], "mode_kl": scores["mode_kl"]}


def _posterior_signs(model: LatentVariableModel, q: Posterior) -> dict[str, float]:
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
