"""Table 3: the MNIST networks, layer by layer as science.md 3 settles the printed table (28 x 28, one channel)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from aimgan.errors import AimganError
from aimgan.networks.discriminator import Discriminator
from aimgan.networks.gaussian import GaussianHead
from aimgan.networks.layers import conv, fc, initialise, leaky, relu, transposed

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
        return initialise(
            nn.Sequential(
                conv(1, 64, leaky(SLOPE)),  # 14 x 14
                conv(64, 128, leaky(SLOPE), norm=True),  # 7 x 7
            )
        )

    def D(self) -> Discriminator:
        """(n, 1, 28, 28) -> (n,), raw: the printed sigmoid is in the loss."""
        head = nn.Sequential(nn.Flatten(), fc(6272, 1024, leaky(SLOPE), norm=True), fc(1024, 64), fc(64, 1))
        return Discriminator(self.features(), initialise(head))

    def E(self, reads_features: bool = True, learned_variance: bool = True) -> nn.Module:
        """D's features (n, 128, 7, 7), or x itself by a trunk of its own, -> q(z|x)."""
        trunk = nn.Sequential(conv(128, 64, leaky(SLOPE), norm=True), nn.Flatten())  # 3 x 3, 576
        head = GaussianHead(self._fc(), self._fc() if learned_variance else None, self.min_log_variance)
        on_features = initialise(nn.Sequential(trunk, head))
        return on_features if reads_features else nn.Sequential(self.features(), on_features)

    def _fc(self) -> nn.Sequential:
        """FC (mu) and FC (sigma): 32 maps whatever the code's dimension, then a linear layer."""
        return nn.Sequential(fc(576, 32, leaky(SLOPE), norm=True), fc(32, self.dim))
