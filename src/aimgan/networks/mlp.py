"""Multilayer perceptrons: the 2-D mixtures (section 5.3, whose networks the paper does not give), and tiny images."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor, nn

from aimgan.errors import AimganError
from aimgan.networks.discriminator import Discriminator
from aimgan.networks.joint import JointDiscriminator, PairDiscriminator
from aimgan.networks.posterior import head


class Scale(nn.Module):
    """x / divisor: data in their own units become inputs of order one."""

    def __init__(self, divisor: float) -> None:
        super().__init__()
        self.factor = 1 / divisor

    def forward(self, x: Tensor) -> Tensor:
        """Return x / divisor."""
        return x * self.factor


def hidden(
    inputs: int, width: int, depth: int, activation: Callable[[], nn.Module], norm: bool = False
) -> list[nn.Module]:
    """Return `depth` linear layers of `width`, each with its activation, and with batch norm if asked."""
    layers: list[nn.Module] = []
    for size in ([inputs] + [width] * depth)[:depth]:
        layers += [nn.Linear(size, width, bias=not norm), *([nn.BatchNorm1d(width)] if norm else []), activation()]
    return layers


@dataclass(frozen=True)
class MLP:
    """Hidden layers of `width`: `generator_depth` in G, `depth` in D's features, `encoder_depth` more in E upon those.

    ReLU in G, leaky ReLU (0.2) in D and E, torch's own initial weights. `shape` is one sample's: (2,) for points,
    (c, h, w) for images, whose G ends in a sigmoid. `scale` divides D's input; `generator_norm` is batch norm in G.
    """

    shape: tuple[int, ...] = (2,)
    dim: int = 2
    width: int = 128
    depth: int = 2
    generator_depth: int = 3
    encoder_depth: int = 1
    scale: float = 4.0
    generator_norm: bool = False
    min_log_variance: float | None = None

    def __post_init__(self) -> None:
        if len(self.shape) not in (1, 3):
            raise AimganError(f"the MLPs got samples of {tuple(self.shape)}; expected points (k,) or images (c, h, w)")

    @property
    def value_range(self) -> tuple[float, float] | None:
        """The pixel range inside the networks; None for points in their own units."""
        return (0.0, 1.0) if len(self.shape) == 3 else None

    def G(self) -> nn.Module:
        """(n, dim) -> (n, *shape)."""
        out = nn.Linear(self.width, math.prod(self.shape))
        images = [nn.Sigmoid(), nn.Unflatten(1, self.shape)] if len(self.shape) == 3 else []
        relu = partial(nn.ReLU, inplace=True)
        layers = hidden(self.dim, self.width, self.generator_depth, relu, self.generator_norm)
        return nn.Sequential(*layers, out, *images)

    def features(self) -> nn.Module:
        """(n, *shape) -> (n, width)."""
        return nn.Sequential(*self._inputs(), *self._leaky(math.prod(self.shape), self.depth))

    def D(self) -> Discriminator:
        """(n, *shape) -> (n,)."""
        return Discriminator(self.features(), nn.Linear(self.width, 1))

    def D_z(self) -> nn.Module:
        """(n, dim) -> (n,): of codes."""
        return nn.Sequential(*self._leaky(self.dim, self.depth), nn.Linear(self.width, 1), nn.Flatten(0))

    def D_xz(self) -> JointDiscriminator:
        """(n, *shape), (n, dim) -> (n,): D with the code as further inputs."""
        head = nn.Sequential(*self._leaky(math.prod(self.shape) + self.dim, self.depth), nn.Linear(self.width, 1))
        return JointDiscriminator(nn.Sequential(*self._inputs()), nn.Identity(), head)

    def D_xx(self) -> PairDiscriminator:
        """Two of (n, *shape) -> (n,)."""
        return PairDiscriminator(replace(self, shape=(2 * self.shape[0], *self.shape[1:])).D())

    def E(self, reads_features: bool = True, posterior: str = "gaussian") -> nn.Module:
        """D's features (n, width), or x itself by a trunk of its own, -> q(z|x) of a kind of POSTERIORS."""

        def noisy(extra: int) -> nn.Module:
            return nn.Sequential(*self._leaky(self.width + extra, 1), nn.Linear(self.width, self.dim))

        end = head(posterior, self.dim, partial(nn.Linear, self.width), noisy, self.min_log_variance)
        on_features = nn.Sequential(*self._leaky(self.width, self.encoder_depth), end)
        return on_features if reads_features else nn.Sequential(self.features(), on_features)

    def _inputs(self) -> list[nn.Module]:
        return [*([nn.Flatten()] if len(self.shape) == 3 else []), Scale(self.scale)]

    def _leaky(self, inputs: int, depth: int) -> list[nn.Module]:
        return hidden(inputs, self.width, depth, partial(nn.LeakyReLU, 0.2, inplace=True))
