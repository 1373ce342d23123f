"""Gaussian mixtures: the 25-mode grid of section 5.3, the same turned and unbalanced, rings, and any other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from aimgan import noise
from aimgan.errors import AimganError

MODES = 2_500  # the most that a grid or a ring may have: each is compared with 50,000 samples
EPOCH = 100_000  # samples: an epoch of a mixture (science.md 1, figure 3a)


class Mixture:
    """sum_k weights_k N(means_k, covariances_k), in any dimension.

    `covariances` is (k, d, d), one number (every component's variance in each direction), or (k,) of them. Weights are
    normalised; equal without any. Raises AimganError where shapes do not fit, a number is not finite or a covariance is
    not positive definite.
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
        self.covariances = given if given.ndim == 3 else given.expand(k)[:, None, None] * torch.eye(d)
        self._factors, failed = torch.linalg.cholesky_ex(self.covariances)
        bad = (failed > 0) | ~self.covariances.isclose(self.covariances.mT).flatten(1).all(1)
        if bad.any():
            raise AimganError(f"covariance {int(bad.nonzero()[0])} is not symmetric and positive definite")
        self.weights = torch.ones(k) if weights is None else torch.as_tensor(weights, dtype=torch.float32)
        if self.weights.shape != (k,) or not bool(((self.weights > 0) & self.weights.isfinite()).all()):
            raise AimganError(f"weights have shape {(*self.weights.shape,)}; expected ({k},), finite and above zero")
        self.weights = self.weights / self.weights.sum()
        self._uniform = bool((self.weights == self.weights[0]).all())

    @property
    def shape(self) -> tuple[int, ...]:
        """One sample's shape."""
        return (self.means.shape[1],)

    @property
    def epoch_size(self) -> int:
        """How many samples count as an epoch: there is no end to them."""
        return EPOCH

    def sample(self, n: int, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """Draw n samples, in the data's own units."""
        return self.labelled(n, generator)[0]

    def labelled(self, n: int, generator: torch.Generator) -> tuple[Float[Tensor, "n d"], Int[Tensor, " n"]]:
        """Draw n samples and say which component made each."""
        k, d = self.means.shape
        if self._uniform:
            component = torch.randint(k, (n,), generator=generator)
        else:
            component = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        eps = torch.randn(n, d, 1, generator=generator)
        return self.means[component] + (self._factors[component] @ eps).squeeze(2), component

    def batch(self, seed: int, step: int, batch_size: int, rank: int = 0, world: int = 1) -> Float[Tensor, "b d"]:
        """Return the batch of step 0, 1, ... (or rank's share of it): fresh samples each time."""
        share = batch_size // world
        return self.sample(batch_size, noise.generator(seed, "data", step))[rank * share : (rank + 1) * share]

    def test(self, n: int = 10_000, seed: int = 0) -> Float[Tensor, "n d"]:
        """Return n held-out samples: their own stream, which no training step draws from."""
        return self.sample(n, noise.generator(seed, "test data"))

    def chunks(self) -> Sequence[Float[Tensor, "n d"]]:
        """Return the held-out samples, a thousand at a time."""
        return self.test().split(1_000)


def _require_modes(name: str, value: int, most: int) -> None:
    if value > most:
        raise AimganError(f"data.{name} is {value}; expected at most {most:,}")


@dataclass(frozen=True)
class Grid:
    """`side` x `side` modes `spacing` apart about the origin, of standard deviation `std`: the 25 of Table 2."""

    side: int = 5
    spacing: float = 2.0
    std: float = 0.05

    def load(self, progress: object = None, say: object = None) -> Mixture:
        """Return the mixture. Raises AimganError for more than MODES of them."""
        _require_modes("side", self.side, math.isqrt(MODES))
        line = [(i - (self.side - 1) / 2) * self.spacing for i in range(self.side)]
        return Mixture([(a, b) for a in line for b in line], self.std**2)


@dataclass(frozen=True)
class Unbalanced:
    """The 25 modes of `Grid`, turned by `angle` degrees about the origin, the heaviest `ratio` times the lightest.

    Turned, no coordinate alone tells a mode; unbalanced, a model has to get the frequencies right, not only equal.
    The weights are geometric, ratio^(rank / 24), and mode k (row by row) has rank 7 k mod 25: fixed, every rank once,
    and with no trend along either axis of the grid. If they rose along an axis, or outwards, the rare modes would lie
    together at an edge, and missing a region could not be told from missing what is rare.
    """

    angle: float = 30.0
    ratio: float = 10.0
    spacing: float = 2.0
    std: float = 0.05

    def load(self, progress: object = None, say: object = None) -> Mixture:
        """Return the mixture. Raises AimganError for a ratio that is not a finite number from 1 up."""
        if not 1 <= self.ratio < math.inf:
            raise AimganError(f"ratio is {self.ratio}; expected the heaviest weight over the lightest, 1 or more")
        straight = Grid(spacing=self.spacing, std=self.std).load()
        cos, sin = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        turn = torch.tensor([[cos, sin], [-sin, cos]])  # of rows, counter-clockwise
        k = len(straight.means)
        weights = [self.ratio ** (7 * i % k / (k - 1)) for i in range(k)]
        return Mixture(straight.means @ turn, straight.covariances, weights)


@dataclass(frozen=True)
class Ring:
    """`count` modes on a circle of `radius`, standard deviation `std` (Metz et al. 2017: 8, 2, 0.02)."""

    count: int = 8
    radius: float = 2.0
    std: float = 0.02

    def load(self, progress: object = None, say: object = None) -> Mixture:
        """Return the mixture. Raises AimganError for more than MODES of them."""
        _require_modes("count", self.count, MODES)
        angles = [2 * math.pi * k / self.count for k in range(self.count)]
        return Mixture([(self.radius * math.cos(a), self.radius * math.sin(a)) for a in angles], self.std**2)
