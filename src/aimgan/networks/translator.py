"""Networks between two data sets A and B: G: B -> A, E: A -> B, where a code z is a sample of B, flattened.

Not in the paper of AIM. The images' layers are those of CycleGAN (Zhu et al., 2017) with the residual blocks of
`networks/residual.py` instead of its own, and without normalisation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from aimgan.errors import AimganError
from aimgan.networks.data_prior import DataPrior
from aimgan.networks.discriminator import Discriminator, JointDiscriminator, PairDiscriminator
from aimgan.networks.gaussian import GaussianHead
from aimgan.networks.layers import Geometry, conv, leaky
from aimgan.networks.mlp import MLP
from aimgan.networks.posterior import LOG_VARIANCES
from aimgan.networks.residual import GAIN, SLOPE, ResidualBlock, conv3, scaled

HALVINGS = 2  # of the side, at most
FIXED = ("unit", "point")  # the posteriors whose variance is fixed
SMALLEST = 8  # pixels: a side that is not halved


@dataclass(frozen=True)
class PointTranslator(MLP):
    """The multilayer perceptrons between points of A, `shape`, and points of B, of `dim` numbers."""

    scale: float = 1.0
    second: Tensor | None = field(default=None, compare=False, repr=False)  # the samples of B to train on

    @property
    def codes(self) -> tuple[int, ...]:
        """The shape of a sample of B."""
        return (self.dim,)

    def between(self, shape: tuple[int, ...], second: Tensor) -> PointTranslator:
        """Return the family for samples of A of this shape, and these samples of B."""
        return replace(self, shape=shape, dim=second.shape[1], second=second)

    def prior(self) -> DataPrior:
        """Return p(z): the samples of B."""
        return DataPrior(self.dim, self.second)


@dataclass(frozen=True)
class Translator:
    """Images in [-1, 1] inside, of one side, a multiple of 4; `shape` are A's and `codes` B's.

    The side is halved up to twice, but not below 8, where there are `width` maps and `blocks` residual blocks.
    """

    shape: tuple[int, ...] = (3, 32, 32)
    codes: tuple[int, ...] = (3, 32, 32)
    width: int = 64
    blocks: int = 3
    min_log_variance: float | None = None
    second: Tensor | None = field(default=None, compare=False, repr=False)  # the images of B to train on, bytes

    value_range = (-1.0, 1.0)  # of pixels inside the networks, of A and of B

    def __post_init__(self) -> None:
        for name, shape in (("A", self.shape), ("B", self.codes)):
            if len(shape) != 3 or shape[1] != shape[2] or shape[1] % 4:
                raise AimganError(
                    f"the translator got samples of {tuple(shape)} in {name}; expected images (c, side, side) with a "
                    "side that is a multiple of 4: pass --size"
                )

    @property
    def dim(self) -> int:
        """The number of elements of an image of B."""
        return math.prod(self.codes)

    @property
    def halvings(self) -> int:
        """How often the side is halved."""
        return sum(self.shape[1] >> k >= 2 * SMALLEST for k in range(HALVINGS))

    def between(self, shape: tuple[int, ...], second: Tensor) -> Translator:
        """Return the family for images of A of this shape, and these images of B."""
        return replace(self, shape=shape, codes=tuple(second.shape[1:]), second=second)

    def prior(self) -> DataPrior:
        """Return p(z): the images of B."""
        return DataPrior(self.dim, self.second, self.value_range)

    def G(self) -> nn.Module:
        """(n, dim) -> (n, *shape): from B to A."""
        return nn.Sequential(
            nn.Unflatten(1, self.codes), self._down(self.codes[0]), *self._up(self.shape[0]), nn.Tanh()
        )

    def features(self) -> nn.Module:
        """(n, *shape) -> (n, width, side / 2^halvings, ...)."""
        return self._down(self.shape[0])

    def D(self, outputs: int = 1) -> Discriminator:
        """(n, *shape) -> (n,), or (n, outputs)."""
        return Discriminator(self.features(), self._judge(outputs), outputs)

    def D_z(self) -> nn.Module:
        """(n, dim) -> (n,): D of images of B."""
        return nn.Sequential(nn.Unflatten(1, self.codes), self._down(self.codes[0]), self._judge(1), nn.Flatten(0))

    def D_xz(self) -> JointDiscriminator:
        """(n, *shape), (n, dim) -> (n,): D of the channels of both."""
        both = self.shape[0] + self.codes[0]
        join = nn.Unflatten(1, (both, *self.shape[1:]))
        return JointDiscriminator(nn.Identity(), nn.Identity(), nn.Sequential(join, self._down(both), self._judge(1)))

    def D_xx(self) -> PairDiscriminator:
        """(n, *shape), (n, *shape) -> (n,): D of twice the channels."""
        return PairDiscriminator(Discriminator(self._down(2 * self.shape[0]), self._judge(1)))

    def E(self, reads_features: bool = True, posterior: str = "gaussian") -> nn.Module:
        """D's features, or x through its own features, -> q(z|x) of a kind of POSTERIORS: from A to B."""
        if posterior not in ("gaussian", *FIXED):
            raise AimganError(f"the translator has no posterior {posterior}; expected gaussian, unit or point")
        mean = nn.Sequential(*self._up(self.codes[0]), nn.Flatten(), nn.Tanh())
        log_variance: nn.Module | float = LOG_VARIANCES.get(posterior, 0.0)
        if posterior == "gaussian":
            log_variance = nn.Sequential(*self._up(self.codes[0]), nn.Flatten())
        on_features = GaussianHead(mean, log_variance, self.min_log_variance)
        return on_features if reads_features else nn.Sequential(self.features(), on_features)

    def _down(self, channels: int) -> nn.Sequential:
        layers = nn.Sequential(scaled(conv3(channels, self.width, leaky(SLOPE)), GAIN))
        for _ in range(self.halvings):
            layers.append(scaled(conv(self.width, self.width, leaky(SLOPE)), GAIN))
        return layers.append(scaled(conv3(self.width, self.width, leaky(SLOPE)), GAIN))

    def _up(self, channels: int) -> list[nn.Module]:
        layers: list[nn.Module] = [ResidualBlock(self.width, self.blocks) for _ in range(self.blocks)]
        for _ in range(self.halvings):
            layers += [nn.Upsample(scale_factor=2), scaled(conv3(self.width, self.width, leaky(SLOPE)), GAIN)]
        return [*layers, scaled(conv3(self.width, channels))]

    def _judge(self, outputs: int) -> nn.Module:
        side = self.shape[1] >> self.halvings
        return scaled(conv(self.width, outputs, geometry=Geometry(side, 1, 0)))
