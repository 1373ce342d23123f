"""The two distributions of codes: the prior p(z), and the Gaussian posterior q(z|x) that an encoder returns."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from aimgan import noise
from aimgan.checked import positive, require_memory
from aimgan.errors import AimganError

POINT = -math.inf  # log variance of a deterministic encoder, whose q(z|x) is a point without a density


class StandardNormal(nn.Module):
    """p(z) = N(0, I) over codes of `dim` dimensions. It has no parameters; `.to(device)` moves where it draws."""

    origin: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.register_buffer("origin", torch.zeros(dim), persistent=False)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "n d"]:
        """Draw n codes, from `generator` or from the training step's stream."""
        return noise.normal(n, self.dim, generator=generator, device=self.origin.device, dtype=self.origin.dtype)

    def log_prob(self, z: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """Return log p(z) in nats."""
        return -0.5 * (z.square() + math.log(2 * math.pi)).sum(dim=1)


@dataclass(frozen=True)
class Posterior:
    """q(z|x) = N(mean, diag(variance)) of equation 8, one row for each image."""

    mean: Float[Tensor, "n d"]
    log_variance: Float[Tensor, "n d"]

    @property
    def variance(self) -> Float[Tensor, "n d"]:
        """sigma^2(x)."""
        return self.log_variance.exp()

    def sample(self, m: int, generator: torch.Generator | None = None) -> Float[Tensor, "m n d"]:
        """Draw m codes for each image: mu + sigma * eps (section 4.6). Raises AimganError unless m is at least 1."""
        m = positive("m", m)
        n, d = self.mean.shape
        require_memory(m * n * d * self.mean.element_size(), f"{m:,} draws", "take fewer at a time")
        eps = noise.normal(n, m, d, generator=generator, device=self.mean.device, dtype=self.mean.dtype)
        return self.mean + (0.5 * self.log_variance).exp() * eps.transpose(0, 1)

    def log_prob(self, z: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """Return log q(z|x) in nats. Raises AimganError if the encoder is deterministic."""
        if bool(self.log_variance.eq(POINT).any()):
            raise AimganError(
                "a deterministic encoder has no density: use a model whose encoder has a variance, such as aim or ali"
            )
        nll = (z - self.mean).square() / self.variance + self.log_variance + math.log(2 * math.pi)
        return -0.5 * nll.sum(dim=1)


class GaussianHead(nn.Module):
    """E's last layers: features -> q(z|x). `log_variance` is a network, or one number for every x (0: AIM-).

    `min_log_variance` is a smooth lower bound: bound + softplus(raw - bound), which unlike a clamp has a gradient below
    the bound. By default there is no bound.
    """

    def __init__(self, mean: nn.Module, log_variance: nn.Module | float, min_log_variance: float | None = None) -> None:
        super().__init__()
        self.mean, self.log_variance, self.floor = mean, log_variance, min_log_variance

    def forward(self, f: Float[Tensor, "n ..."]) -> Posterior:
        """Return q(z|x) for features f, in float32 or better: in bfloat16 a log variance has hardly three digits."""
        kind = f.device.type  # of `meta`, which only has shapes, autocast knows nothing
        if not (torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)):
            return self._posterior(f)
        with torch.autocast(kind, enabled=False):
            return self._posterior(f.to(torch.promote_types(f.dtype, torch.float32)))

    def _posterior(self, f: Float[Tensor, "n ..."]) -> Posterior:
        mean = self.mean(f)
        if not isinstance(self.log_variance, nn.Module):
            return Posterior(mean, torch.full_like(mean, self.log_variance))
        log_variance = self.log_variance(f)
        if self.floor is not None:
            log_variance = self.floor + F.softplus(log_variance - self.floor)
        return Posterior(mean, log_variance)
