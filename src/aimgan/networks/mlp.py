"""Multilayer perceptrons: the 2-D mixtures (section 5.3, whose networks the paper does not give), and tiny images."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor, nn

from aimgan.errors import AimganError
from aimgan.networks.discriminator import Discriminator, JointDiscriminator, PairDiscriminator
from aimgan.networks.layers import fc, leaky, relu
from aimgan.networks.posterior import posterior_head

SLOPE = 0.2


class Scale(nn.Module):
    """x / divisor: data in their own units become inputs of order one."""

    def __init__(self, divisor: float) -> None:
        super().__init__()
        self.factor = 1 / divisor

    def forward(self, x: Tensor) -> Tensor:
        """Return x / divisor."""
        return x * self.factor


@dataclass(frozen=True)
class MLP:
    """Hidden layers of `width`: `generator_depth` in G, `depth` in D's features, `encoder_depth` in E on top of those.

    ReLU in G, leaky ReLU (0.2) in D and E, torch's default initial weights. `shape` is one sample's: (k,) for points,
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
        if self.scale <= 0:
            raise AimganError(f"networks.scale is {self.scale:g}; expected a number above zero, which divides the data")

    @property
    def _is_image(self) -> bool:
        return len(self.shape) == 3

    @property
    def value_range(self) -> tuple[float, float] | None:
        """The pixel range inside the networks; None for points in their own units."""
        return (0.0, 1.0) if self._is_image else None

    def G(self) -> nn.Module:
        """(n, dim) -> (n, *shape)."""
        last = nn.Linear(self.width, math.prod(self.shape))
        layers: list[nn.Module] = []
        inputs = self.dim
        for _ in range(self.generator_depth):
            layers += fc(inputs, self.width, relu(), self.generator_norm)
            inputs = self.width
        layers.append(last)
        if self._is_image:
            layers += [nn.Sigmoid(), nn.Unflatten(1, self.shape)]
        return nn.Sequential(*layers)

    def features(self) -> nn.Module:
        """(n, *shape) -> (n, width)."""
        return nn.Sequential(*self._inputs(), *self._hidden(math.prod(self.shape), self.depth))

    def D(self, outputs: int = 1) -> Discriminator:
        """(n, *shape) -> (n,), or (n, outputs)."""
        return Discriminator(self.features(), nn.Linear(self.width, outputs), outputs)

    def D_z(self) -> nn.Module:
        """(n, dim) -> (n,)."""
        return nn.Sequential(*self._hidden(self.dim, self.depth), nn.Linear(self.width, 1), nn.Flatten(0))

    def D_xz(self) -> JointDiscriminator:
        """(n, *shape), (n, dim) -> (n,): D with the code as further inputs."""
        layers = self._hidden(math.prod(self.shape) + self.dim, self.depth)
        head = nn.Sequential(*layers, nn.Linear(self.width, 1))
        return JointDiscriminator(nn.Sequential(*self._inputs()), nn.Identity(), head)

    def D_xx(self) -> PairDiscriminator:
        """(n, *shape), (n, *shape) -> (n,): D of twice the channels."""
        both = replace(self, shape=(2 * self.shape[0], *self.shape[1:]))
        return PairDiscriminator(both.D())

    def E(self, reads_features: bool = True, posterior: str = "gaussian") -> nn.Module:
        """D's features (n, width), or x through its own layers, -> q(z|x) of a kind of POSTERIORS."""
        layer = partial(nn.Linear, self.width)
        head = posterior_head(posterior, self.dim, layer, self._noisy, self.min_log_variance)
        on_features = nn.Sequential(*self._hidden(self.width, self.encoder_depth), head)
        if reads_features:
            return on_features
        return nn.Sequential(self.features(), on_features)

    def _noisy(self) -> nn.Module:
        return nn.Sequential(*self._hidden(self.width + self.dim, 1), nn.Linear(self.width, self.dim))

    def _inputs(self) -> list[nn.Module]:
        scale = Scale(self.scale)
        return [nn.Flatten(), scale] if self._is_image else [scale]

    def _hidden(self, inputs: int, depth: int) -> list[nn.Module]:
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += fc(inputs, self.width, leaky(SLOPE))
            inputs = self.width
        return layers
