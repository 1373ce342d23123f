"""Table 3: the MNIST networks, layer by layer as science.md 3 settles the printed table (28 x 28, one channel)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from torch import nn

from aimgan.errors import AimganError
from aimgan.networks.discriminator import Discriminator
from aimgan.networks.joint import JointDiscriminator, PairDiscriminator
from aimgan.networks.layers import conv, fc, initialise, leaky, relu, transposed
from aimgan.networks.posterior import head as posterior_head

SLOPE = 0.1


@dataclass(frozen=True)
class Table3:
    """Images in [0, 1] inside (G ends in a sigmoid). The printed G makes 3 maps; MNIST has one (science.md 3)."""

    shape: tuple[int, ...] = (1, 28, 28)
    dim: int = 32
    min_log_variance: float | None = None

    def __post_init__(self) -> None:
        if tuple(self.shape) != (1, 28, 28):
            raise AimganError(
                f"Table 3's networks got images of {tuple(self.shape)}; expected (1, 28, 28): pass --size 28"
            )

    @property
    def value_range(self) -> tuple[float, float]:
        """The pixel range inside the networks."""
        return (0.0, 1.0)

    def G(self) -> nn.Module:
        """(n, dim) -> (n, 1, 28, 28)."""
        return initialise(
            nn.Sequential(
                fc(self.dim, 1024, relu(), norm=True),
                fc(1024, 6272, relu(), norm=True),
                nn.Unflatten(1, (128, 7, 7)),
                transposed(128, 64, relu(), norm=True),  # 14 x 14
                transposed(64, 1, nn.Sigmoid()),  # 28 x 28
            )
        )

    def features(self) -> nn.Module:
        """(n, 1, 28, 28) -> (n, 128, 7, 7)."""
        return self._features(1)

    def D(self) -> Discriminator:
        """(n, 1, 28, 28) -> (n,), raw: the printed sigmoid is in the loss."""
        return self._discriminator(1)

    def D_z(self) -> nn.Module:
        """(n, dim) -> (n,): of codes (not in the paper)."""
        layers = fc(self.dim, 1024, leaky(SLOPE)), fc(1024, 1024, leaky(SLOPE)), fc(1024, 1)
        return initialise(nn.Sequential(*layers, nn.Flatten(0)))

    def D_xz(self) -> JointDiscriminator:
        """(n, 1, 28, 28), (n, dim) -> (n,): D whose first FC layer also reads 1,024 features of the code."""
        embed = initialise(fc(self.dim, 1024, leaky(SLOPE)))
        head = nn.Sequential(fc(6272 + 1024, 1024, leaky(SLOPE), norm=True), fc(1024, 64), fc(64, 1))
        return JointDiscriminator(self.features(), embed, initialise(head))

    def D_xx(self) -> PairDiscriminator:
        """Two of (n, 1, 28, 28) -> (n,): D of two channels."""
        return PairDiscriminator(self._discriminator(2))

    def E(self, reads_features: bool = True, posterior: str = "gaussian") -> nn.Module:
        """D's features (n, 128, 7, 7), or x itself by a trunk of its own, -> q(z|x) of a kind of POSTERIORS."""
        trunk = nn.Sequential(conv(128, 64, leaky(SLOPE), norm=True), nn.Flatten())  # 3 x 3, 576
        end = posterior_head(posterior, self.dim, partial(self._fc, 576), self._noisy, self.min_log_variance)
        on_features = initialise(nn.Sequential(trunk, end))
        return on_features if reads_features else nn.Sequential(self.features(), on_features)

    def _noisy(self, extra: int) -> nn.Module:
        return nn.Sequential(fc(576 + extra, 256, leaky(SLOPE), norm=True), fc(256, self.dim))

    def _fc(self, inputs: int, outputs: int) -> nn.Sequential:
        """FC (mu) and FC (sigma): 32 maps whatever the code's dimension, then a linear layer."""
        return nn.Sequential(fc(inputs, 32, leaky(SLOPE), norm=True), fc(32, outputs))

    def _features(self, channels: int) -> nn.Module:
        return initialise(
            nn.Sequential(
                conv(channels, 64, leaky(SLOPE)),  # 14 x 14
                conv(64, 128, leaky(SLOPE), norm=True),  # 7 x 7
            )
        )

    def _discriminator(self, channels: int) -> Discriminator:
        head = nn.Sequential(nn.Flatten(), fc(6272, 1024, leaky(SLOPE), norm=True), fc(1024, 64), fc(64, 1))
        return Discriminator(self._features(channels), initialise(head))
