"""Pure loss terms, each with the equation it is. Batches are averaged, the dimensions of a code are summed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import torch
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


def real(raw: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """Return -E log rho: what a raw output costs that should say "real". rho = sigmoid(raw)."""
    return F.softplus(-raw).mean()


def fake(raw: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """Return -E log(1 - rho): what a raw output costs that should say "generated"."""
    return F.softplus(raw).mean()


Losses = tuple[Tensor, Tensor, Tensor]  # L_real, L_fake, L_g: D minimises L_real + L_fake, G minimises L_g


class ValueFunction(NamedTuple):
    """V(G, D) as three losses of D's raw output (no sigmoid): D minimises real + fake, G minimises generator."""

    real: Callable[[Tensor], Tensor]
    fake: Callable[[Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]

    def losses(self, rho_q: Float[Tensor, " n"], rho_p: Float[Tensor, " n"]) -> Losses:
        """Return L_real, L_fake, L_g for D's raw outputs on x and on G(z)."""
        return self.real(rho_q), self.fake(rho_p), self.generator(rho_p)


VALUE_FUNCTIONS: dict[str, ValueFunction] = {
    # Equation 7, with the generator's non-saturating -log D(G(z)).
    "gan": ValueFunction(real=real, fake=fake, generator=real),
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


def relativistic(rho_q: Float[Tensor, " n"], rho_p: Float[Tensor, " n"]) -> Losses:
    """Return the losses of a game of pairs (RSGAN of Jolicoeur-Martineau, 2019; R3GAN of Huang et al., 2024).

    D minimises -E log sigmoid(D(x) - D(G(z))), each x with one G(z): half of it is called L_real, half L_fake.
    G minimises -E log sigmoid(D(G(z)) - D(x)), the same with its labels exchanged, which does not saturate.
    """
    half = real(rho_q - rho_p) / 2
    return half, half, real(rho_p - rho_q)


# What the option `value` of AIM and of the GAN chooses from: the value functions, and the one that judges pairs.
GAMES: dict[str, Callable[[Tensor, Tensor], Losses]] = {
    **{name: value.losses for name, value in VALUE_FUNCTIONS.items()},
    "relativistic": relativistic,
}


def likelihood_weight(value: str, dim: int) -> float:
    """Return the lambda of equation 9 that goes with a value function, for codes of `dim` dimensions.

    With equation 6 both terms are divergences and lambda is 1 (the paragraph below equation 9); otherwise it is 1/d,
    so that a sum over d dimensions is on the scale of D's one output (section 5).
    """
    return 1.0 if value in ("f-gan", "f-gan-swapped") else 1 / dim


def gradient_penalty(rho: Float[Tensor, " n"], x: Float[Tensor, "n ..."]) -> Float[Tensor, ""]:
    """Return the mean over samples of |d rho_i / d x_i|^2 (Mescheder et al., 2018, section 4.1), zero-centred.

    R1 where x are real, R2 where they are generated. rho must be computed from x, and x need a gradient. That gradient
    is part of the loss: no parameter moves down it, so it is taken here and not by the engine. It is the sum's, each
    sample's own unless D mixes the samples of a batch (batch norm).
    """
    (slope,) = torch.autograd.grad(rho.sum(), x, create_graph=True)
    return slope.square().sum() / len(x)


def gaussian_nll(q: DiagonalGaussian, z: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Return -log N(z_j; mean_j, variance_j) for each sample and dimension: equation 8 before its sum over j."""
    return 0.5 * ((z - q.mean).square() * (-q.log_variance).exp() + q.log_variance + math.log(2 * math.pi))


def likelihood_loss(nll: Float[Tensor, "n d"], q: DiagonalGaussian, beta: float = 0.0) -> Float[Tensor, ""]:
    """Return the mean over samples of sum_j sg(variance_j)^beta nll_j (Seitzer et al. 2022; sg: no gradient).

    beta = 0 is equation 8. The weight belongs to each sample and dimension and is never averaged first.
    """
    weighted = nll if beta == 0 else (beta * q.log_variance.detach()).exp() * nll
    return weighted.sum() / len(nll)


def squared_distance(a: Float[Tensor, "n ..."], b: Float[Tensor, "n ..."]) -> Float[Tensor, ""]:
    """Return the mean over samples of |a - b|^2, summed over a sample's elements."""
    return (a - b).square().sum() / len(a)


def gaussian_kl(q: DiagonalGaussian) -> Float[Tensor, ""]:
    """Return the mean over samples of KL(q(z|x) || N(0, I)): equation 5's first term, a closed form."""
    return 0.5 * (q.mean.square() + q.log_variance.exp() - 1 - q.log_variance).sum() / len(q.mean)


def gaussian_likelihood(x: Float[Tensor, "n ..."], mean: Float[Tensor, "n ..."], sigma: float) -> Float[Tensor, ""]:
    """Return the mean over samples of -log N(x; mean, sigma^2 I): equation 5's second term."""
    constant = 0.5 * math.log(2 * math.pi * sigma**2) * x[0].numel()
    return squared_distance(x, mean) / (2 * sigma**2) + constant


def bernoulli_likelihood(x: Float[Tensor, "n ..."], rate: Float[Tensor, "n ..."]) -> Float[Tensor, ""]:
    """Return the mean over samples of -sum_j log Bernoulli(x_j; rate_j), x and rate in [0, 1]."""
    return F.binary_cross_entropy(rate, x, reduction="sum") / len(x)


LIKELIHOODS = ("gaussian", "bernoulli")


def data_likelihood(
    kind: str, x: Float[Tensor, "n ..."], x_z_x: Float[Tensor, "n ..."], sigma: float
) -> Float[Tensor, ""]:
    """Return the mean over samples of -log p(x|z), x_z_x = G(z), for p(x|z) of a kind of LIKELIHOODS."""
    return bernoulli_likelihood(x, x_z_x) if kind == "bernoulli" else gaussian_likelihood(x, x_z_x, sigma)


def batch_gaussian_kl(z: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Return KL(N(m, diag(s^2)) || N(0, I)), m and s^2 the batch's mean and variance: a distance of whole batches."""
    variance = z.var(dim=0, correction=0)
    return 0.5 * (z.mean(dim=0).square() + variance - 1 - variance.log()).sum()
