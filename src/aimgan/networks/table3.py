"""Table 3: the MNIST networks, layer by layer as docs/science.md 3 reads the printed table (28 x 28, one channel)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from torch import nn

from aimgan.errors import AimganError
from aimgan.networks.discriminator import Discriminator, JointDiscriminator, PairDiscriminator
from aimgan.networks.layers import code_discriminator, conv, fc, initialise, leaky, relu, transposed
from aimgan.networks.posterior import posterior_head, two_layers

SLOPE = 0.1


@dataclass(frozen=True)
class Table3:
    """Images in [0, 1] inside (G ends in a sigmoid). The printed G makes 3 maps; MNIST has one (docs/science.md 3).

    `width` is that of the widest FC layer, 1024 in the paper; all other maps but those of E's heads are in proportion.
    """

    shape: tuple[int, ...] = (1, 28, 28)
    dim: int = 32
    width: int = 1024
    min_log_variance: float | None = None

    value_range = (0.0, 1.0)  # of pixels inside the networks

    def __post_init__(self) -> None:
        if tuple(self.shape) != (1, 28, 28):
            raise AimganError(
                f"Table 3's networks got images of {tuple(self.shape)}; expected (1, 28, 28): pass --size 28"
            )
        if self.width < 16 or self.width % 16 != 0:
            raise AimganError(f"width is {self.width}; expected a multiple of 16: the first layer has a 16th of it")

    @property
    def maps(self) -> tuple[int, int]:
        """The maps at 14 x 14 and at 7 x 7: 64 and 128."""
        return self.width // 16, self.width // 8

    def G(self) -> nn.Module:
        """(n, dim) -> (n, 1, 28, 28)."""
        outer, inner = self.maps
        layers = nn.Sequential(
            fc(self.dim, self.width, relu(), norm=True),
            fc(self.width, inner * 49, relu(), norm=True),  # 6272
            nn.Unflatten(1, (inner, 7, 7)),
            transposed(inner, outer, relu(), norm=True),  # 14 x 14
            transposed(outer, 1, nn.Sigmoid()),  # 28 x 28
        )
        return initialise(layers)

    def features(self, channels: int = 1) -> nn.Module:
        """(n, channels, 28, 28) -> (n, 128, 7, 7)."""
        outer, inner = self.maps
        layers = nn.Sequential(
            conv(channels, outer, leaky(SLOPE)),  # 14 x 14
            conv(outer, inner, leaky(SLOPE), norm=True),  # 7 x 7
        )
        return initialise(layers)

    def D(self, outputs: int = 1, channels: int = 1) -> Discriminator:
        """(n, channels, 28, 28) -> (n,), or (n, outputs), logits: the printed sigmoid is in the loss."""
        outer, inner = self.maps
        head = nn.Sequential(
            nn.Flatten(),
            fc(inner * 49, self.width, leaky(SLOPE), norm=True),
            fc(self.width, outer),
            fc(outer, outputs),
        )
        return Discriminator(self.features(channels), initialise(head), outputs)

    def D_z(self) -> nn.Module:
        """(n, dim) -> (n,). Not in the paper."""
        return initialise(code_discriminator(self.dim, self.width, SLOPE))

    def D_xz(self) -> JointDiscriminator:
        """(n, 1, 28, 28), (n, dim) -> (n,): D whose first FC layer also reads 1,024 features of the code."""
        w, (outer, inner) = self.width, self.maps
        embed = initialise(fc(self.dim, w, leaky(SLOPE)))
        head = nn.Sequential(
            fc(inner * 49 + w, w, leaky(SLOPE), norm=True),
            fc(w, outer),
            fc(outer, 1),
        )
        return JointDiscriminator(self.features(), embed, initialise(head))

    def D_xx(self) -> PairDiscriminator:
        """(n, 1, 28, 28), (n, 1, 28, 28) -> (n,): D of two channels."""
        return PairDiscriminator(self.D(channels=2))

    def E(self, reads_features: bool = True, posterior: str = "gaussian") -> nn.Module:
        """D's features (n, 128, 7, 7), or x through its own features, -> q(z|x) of a kind of POSTERIORS."""
        outer, inner = self.maps
        trunk = nn.Sequential(conv(inner, outer, leaky(SLOPE), norm=True), nn.Flatten())  # 3 x 3, 576
        layer = partial(two_layers, outer * 9, 32, slope=SLOPE)  # 32 maps whatever the code's dimension
        noisy = partial(two_layers, outer * 9 + self.dim, 256, self.dim, SLOPE)
        head = posterior_head(posterior, self.dim, layer, noisy, self.min_log_variance)
        on_features = initialise(nn.Sequential(trunk, head))
        if reads_features:
            return on_features
        return nn.Sequential(self.features(), on_features)
