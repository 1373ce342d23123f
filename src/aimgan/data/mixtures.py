"""Gaussian mixtures: the 25-mode grid of section 5.3, the same grid turned and unbalanced, and rings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from aimgan import noise
from aimgan.errors import AimganError

MODES = 2_500  # of a grid or a ring, at most: each is compared with 50,000 samples
EPOCH = 100_000  # samples of a mixture that count as an epoch (docs/science.md 1, figure 3a)


class Mixture:
    """sum_k weights_k N(means_k, covariances_k), in any dimension.

    `covariances` are (k, d, d), or variances (k,) that are the same in every direction, or one number for all
    components. Weights are normalised, and equal if they are not given. Raises AimganError if shapes do not fit, a
    number is not finite or a covariance is not positive definite.
    """

    def __init__(
        self,
        means: Sequence[Sequence[float]] | Tensor,
        covariances: float | Sequence[float] | Tensor,
        weights: Sequence[float] | Tensor | None = None,
    ) -> None:
        self.means = torch.as_tensor(means, dtype=torch.float32)
        if self.means.ndim != 2 or not self.means.numel() or not bool(self.means.isfinite().all()):
            raise AimganError(f"means have shape {(*self.means.shape,)}; expected (components, dimension), all finite")
        k, d = self.means.shape
        given = torch.as_tensor(covariances, dtype=torch.float32)
        if given.shape not in ((), (k,), (k, d, d)):
            raise AimganError(f"covariances have shape {(*given.shape,)}; expected a number, ({k},) or ({k}, {d}, {d})")
        self.covariances = given
        if given.ndim < 3:
            self.covariances = given.expand(k)[:, None, None] * torch.eye(d)
        self._factors, failed = torch.linalg.cholesky_ex(self.covariances)
        is_symmetric = self.covariances.isclose(self.covariances.mT).flatten(1).all(1)
        bad = (failed > 0) | ~is_symmetric
        if bad.any():
            raise AimganError(f"covariance {int(bad.nonzero()[0])} is not symmetric and positive definite")
        self.weights = torch.ones(k)
        if weights is not None:
            self.weights = torch.as_tensor(weights, dtype=torch.float32)
        if self.weights.shape != (k,) or not bool(((self.weights > 0) & self.weights.isfinite()).all()):
            raise AimganError(f"weights have shape {(*self.weights.shape,)}; expected ({k},), finite and above zero")
        self.weights = self.weights / self.weights.sum()
        self._is_uniform = bool((self.weights == self.weights[0]).all())

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return (self.means.shape[1],)

    @property
    def epoch_size(self) -> int:
        """The number of samples that count as an epoch."""
        return EPOCH

    def sample(self, n: int, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """Draw n samples."""
        return self.labelled(n, generator)[0]

    def labelled(self, n: int, generator: torch.Generator) -> tuple[Float[Tensor, "n d"], Int[Tensor, " n"]]:
        """Draw n samples, and return also the number of each one's component."""
        k, d = self.means.shape
        if self._is_uniform:
            component = torch.randint(k, (n,), generator=generator)
        else:
            component = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        eps = torch.randn(n, d, 1, generator=generator)
        return self.means[component] + (self._factors[component] @ eps).squeeze(2), component

    def batch(self, seed: int, step: int, batch_size: int, rank: int = 0, world: int = 1) -> Float[Tensor, "b d"]:
        """Return the batch of a step, counted from 0, or one rank's share of it: new samples in each step."""
        share = batch_size // world
        return self.sample(batch_size, noise.generator(seed, "data", step))[rank * share : (rank + 1) * share]

    def test(self, n: int = 10_000, seed: int = 0) -> Float[Tensor, "n d"]:
        """Return n held-out samples, which no training step draws."""
        return self.sample(n, noise.generator(seed, "test data"))

    def chunks(self) -> Sequence[Float[Tensor, "n d"]]:
        """Return the held-out samples, a thousand at a time."""
        return self.test().split(1_000)


def _require_modes(name: str, value: int, most: int, std: float) -> None:
    if value > most:
        raise AimganError(f"data.{name} is {value}; expected at most {most:,}")
    if std <= 0:
        raise AimganError(f"data.std is {std:g}; expected a standard deviation above zero")


@dataclass(frozen=True)
class Grid:
    """`side` x `side` modes, `spacing` apart around the origin, of standard deviation `std`: the 25 of Table 2."""

    side: int = 5
    spacing: float = 2.0
    std: float = 0.05

    def load(self, progress: object = None, say: object = None) -> Mixture:
        """Return the mixture. Raises AimganError for more than MODES modes."""
        _require_modes("side", self.side, math.isqrt(MODES), self.std)
        line = [(i - (self.side - 1) / 2) * self.spacing for i in range(self.side)]
        return Mixture([(a, b) for a in line for b in line], self.std**2)


@dataclass(frozen=True)
class Unbalanced:
    """The 25 modes of `Grid`, turned by `angle` degrees, the heaviest `ratio` times as heavy as the lightest.

    The weights are ratio^(rank / 24), and mode k (row by row) has rank 7 k mod 25, which has no trend along the grid or
    outwards. With a trend, the rare modes would lie together, and a model that misses rare modes could not be
    distinguished from one that misses a region.
    """

    angle: float = 30.0
    ratio: float = 10.0
    spacing: float = 2.0
    std: float = 0.05

    def load(self, progress: object = None, say: object = None) -> Mixture:
        """Return the mixture. Raises AimganError for a ratio below 1 or infinite."""
        if not 1 <= self.ratio < math.inf:
            raise AimganError(f"ratio is {self.ratio}; expected the heaviest weight over the lightest, 1 or more")
        grid = Grid(spacing=self.spacing, std=self.std).load()
        cos, sin = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        turn = torch.tensor([[cos, sin], [-sin, cos]])  # of rows, counter-clockwise
        k = len(grid.means)
        weights = [self.ratio ** (7 * i % k / (k - 1)) for i in range(k)]
        return Mixture(grid.means @ turn, grid.covariances, weights)


@dataclass(frozen=True)
class Ring:
    """`count` modes on a circle of `radius`, of standard deviation `std` (Metz et al. 2017: 8, 2, 0.02)."""

    count: int = 8
    radius: float = 2.0
    std: float = 0.02

    def load(self, progress: object = None, say: object = None) -> Mixture:
        """Return the mixture. Raises AimganError for more than MODES modes."""
        _require_modes("count", self.count, MODES, self.std)
        angles = [2 * math.pi * k / self.count for k in range(self.count)]
        return Mixture([(self.radius * math.cos(a), self.radius * math.sin(a)) for a in angles], self.std**2)
