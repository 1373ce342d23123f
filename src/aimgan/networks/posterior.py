"""The kinds of q(z|x) that an encoder can return, and the last layers for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from aimgan import noise
from aimgan.errors import near_miss
from aimgan.networks.gaussian import POINT, GaussianHead, Posterior
from aimgan.networks.layers import fc, leaky

POSTERIORS = {
    "gaussian": "a mean and a variance (equation 8)",
    "unit": "a mean; the variance is 1 (AIM-)",
    "point": "a point: the encoder is deterministic",
    "sphere": "a point on the sphere of radius sqrt(d)",
    "partial": "a mean and a variance of the first half of the code; the rest keeps the prior N(0, I)",
    "implicit": "samples: the network draws its own noise, and has no known density",
}
POINTS = ("point", "sphere")  # the kinds without a density
LOG_VARIANCES = {"unit": 0.0, "point": POINT, "sphere": POINT}  # of the kinds whose variance is fixed


def posterior_head(
    kind: str, dim: int, layer: Callable[[int], nn.Module], noisy: Callable[[], nn.Module], floor: float | None
) -> nn.Module:
    """Return the layers from features to q(z|x) of a kind. Raises AimganError for a kind that is not in POSTERIORS.

    `layer(outputs)` makes the layers for a mean or a log variance, and `noisy()` the network of an implicit posterior:
    features and `dim` numbers of noise -> z. `floor` is the smallest log variance (GaussianHead).
    """
    if kind not in POSTERIORS:
        raise near_miss("posterior", kind, POSTERIORS)
    if kind == "implicit":
        return ImplicitHead(noisy(), dim)
    inferred = half(dim) if kind == "partial" else dim
    log_variance = LOG_VARIANCES[kind] if kind in LOG_VARIANCES else layer(inferred)
    gaussian = GaussianHead(layer(inferred), log_variance, floor)
    if kind == "partial":
        return Padded(gaussian, dim)
    if kind == "sphere":
        return OnSphere(gaussian)
    return gaussian


def two_layers(inputs: int, hidden: int, outputs: int, slope: float) -> nn.Sequential:
    """Fully connected layer with batch norm and leaky ReLU, then a linear layer: how E ends in Tables 3 and 4."""
    return nn.Sequential(fc(inputs, hidden, leaky(slope), norm=True), fc(hidden, outputs))


def half(dim: int) -> int:
    """Return how many dimensions of a code a partial posterior infers: the larger half."""
    return (dim + 1) // 2


class Padded(nn.Module):
    """`inner` infers the first dimensions of the code; the posterior of the rest is their prior, N(0, 1)."""

    def __init__(self, inner: nn.Module, dim: int) -> None:
        super().__init__()
        self.inner, self.dim = inner, dim

    def forward(self, f: Float[Tensor, "n ..."]) -> Posterior:
        """Return q(z|x) for features f."""
        q = self.inner(f)
        rest = q.mean.new_zeros(q.mean.shape[0], self.dim - q.mean.shape[1])  # len() would fix n when exported
        return Posterior(torch.cat([q.mean, rest], dim=1), torch.cat([q.log_variance, rest], dim=1))


def on_sphere(z: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Return sqrt(d) z / |z|: the length that standard normal codes of many dimensions have."""
    return z.shape[1] ** 0.5 * F.normalize(z)


class OnSphere(nn.Module):
    """A point posterior moved to the sphere of radius sqrt(d)."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, f: Float[Tensor, "n ..."]) -> Posterior:
        """Return q(z|x) for features f."""
        q = self.inner(f)
        return Posterior(on_sphere(q.mean), q.log_variance)


class FromSphere(nn.Module):
    """A generator that reads only the direction of its code."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, z: Float[Tensor, "n d"]) -> Tensor:
        """Return G(sqrt(d) z / |z|)."""
        return self.network(on_sphere(z))


def generator_for(posterior: str | None, G: nn.Module) -> nn.Module:
    """Return the generator that goes with an encoder of this kind."""
    if posterior == "sphere":
        return FromSphere(G)
    return G


@dataclass(frozen=True, eq=False)
class ImplicitPosterior:
    """q(z|x) as a sampler, network(f, eps). Its mean and variance are those of draws with fixed noise."""

    network: nn.Module
    f: Float[Tensor, "n k"]
    noise_dim: int
    fixed: Float[Tensor, "m 1 e"]  # the noise for the mean and the variance

    def sample(self, m: int, generator: torch.Generator | None = None) -> Float[Tensor, "m n d"]:
        """Draw m codes for each image, from `generator` or from the training step's stream."""
        shape = (m, self.noise_dim)
        eps = noise.normal(len(self.f), *shape, generator=generator, device=self.f.device, dtype=self.f.dtype)
        return self._draw(eps.transpose(0, 1))

    def _draw(self, eps: Float[Tensor, "m n e"]) -> Float[Tensor, "m n d"]:
        inputs = torch.cat([self.f.expand(len(eps), *self.f.shape), eps], dim=2)
        return self.network(inputs.flatten(0, 1)).unflatten(0, eps.shape[:2])

    @cached_property
    def _draws(self) -> Float[Tensor, "m n d"]:
        return self._draw(self.fixed.expand(-1, self.f.shape[0], -1))

    @property
    def mean(self) -> Float[Tensor, "n d"]:
        """The mean of 64 draws whose noise is the same for every x."""
        return self._draws.mean(dim=0)

    @property
    def log_variance(self) -> Float[Tensor, "n d"]:
        """The logarithm of the variance of these draws."""
        return self._draws.var(dim=0).clamp(min=1e-12).log()


def fixed_noise(noise_dim: int, draws: int = 64) -> Float[Tensor, "m 1 e"]:
    """Return the noise for an implicit posterior's mean and variance, the same for every x and every model."""
    source = noise.generator("moments of an implicit posterior")
    return noise.normal(draws, 1, noise_dim, generator=source, device=source.device, dtype=torch.float32)


class ImplicitHead(nn.Module):
    """E(x, eps): features and noise -> z (Mescheder et al., 2017)."""

    fixed: Tensor

    def __init__(self, network: nn.Module, noise_dim: int) -> None:
        super().__init__()
        self.network, self.noise_dim = network, noise_dim
        self.register_buffer("fixed", fixed_noise(noise_dim), persistent=False)

    def forward(self, f: Float[Tensor, "n ..."]) -> ImplicitPosterior:
        """Return q(z|x) for features f."""
        return ImplicitPosterior(self.network, f.flatten(1), self.noise_dim, self.fixed)
