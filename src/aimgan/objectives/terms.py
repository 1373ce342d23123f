"""Pure loss terms, each with the equation it is. Batches are averaged, the dimensions of a code are summed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


@runtime_checkable
class DiagonalGaussian(Protocol):
    """q(z|x) = N(mean, diag(exp(log_variance))), one row a sample."""

    @property
    def mean(self) -> Tensor:
        """(n, d)."""
        ...

    @property
    def log_variance(self) -> Tensor:
        """(n, d)."""
        ...


class ValueFunction(NamedTuple):
    """V(G, D) as three losses of D's raw output (no sigmoid): D minimises real + fake, G minimises generator."""

    real: Callable[[Tensor], Tensor]
    fake: Callable[[Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


VALUE_FUNCTIONS: dict[str, ValueFunction] = {
    # Equation 7, with the generator's non-saturating -log D(G(z)). rho = sigmoid(raw), so -log rho = softplus(-raw).
    "gan": ValueFunction(
        real=lambda raw: F.softplus(-raw).mean(),
        fake=lambda raw: F.softplus(raw).mean(),
        generator=lambda raw: F.softplus(-raw).mean(),
    ),
    # Equation 6 as printed: its optimum is KL(q(x) || p(x)), and G's gradient vanishes where D is sure.
    "f-gan": ValueFunction(
        real=lambda raw: -raw.mean(),
        fake=lambda raw: (raw - 1).exp().mean(),
        generator=lambda raw: -(raw - 1).exp().mean(),
    ),
    # Equation 6 with p and q exchanged: KL(p(x) || q(x)), the direction that term I of equation 3 needs.
    "f-gan-swapped": ValueFunction(
        real=lambda raw: (raw - 1).exp().mean(),
        fake=lambda raw: -raw.mean(),
        generator=lambda raw: raw.mean(),
    ),
}


def gaussian_nll(q: DiagonalGaussian, z: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Return -log N(z_j; mean_j, variance_j) for each sample and dimension: equation 8 before its sum over j."""
    return 0.5 * ((z - q.mean).square() * (-q.log_variance).exp() + q.log_variance + math.log(2 * math.pi))


def likelihood_loss(nll: Float[Tensor, "n d"], q: DiagonalGaussian, beta: float = 0.0) -> Float[Tensor, ""]:
    """Return the mean over samples of sum_j sg(variance_j)^beta nll_j (Seitzer et al. 2022; sg: no gradient).

    beta = 0 is equation 8. The weight belongs to each sample and dimension and is never averaged first.
    """
    weighted = nll if beta == 0 else (beta * q.log_variance.detach()).exp() * nll
    return weighted.sum() / len(nll)
