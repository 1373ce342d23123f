"""Table 4: the 64 x 64 networks (CIFAR-10, CelebA), layer by layer as docs/science.md 3 reads the printed table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

from torch import nn

from aimgan.networks.discriminator import Discriminator, JointDiscriminator, PairDiscriminator
from aimgan.networks.layers import WHOLE, Geometry, code_discriminator, conv, fc, initialise, leaky, relu, transposed
from aimgan.networks.posterior import posterior_head, two_layers
from aimgan.networks.sizes import require_square, require_width

SLOPE = 0.2


@dataclass(frozen=True)
class Table4:
    """Images in [-1, 1] inside (G ends in tanh). The defaults are the paper's.

    The same rule makes other sizes: the side is a power of two from 8, D halves it to 4 x 4, the widest layer has
    `width` maps and each step towards the image has half as many.
    """

    shape: tuple[int, ...] = (3, 64, 64)
    dim: int = 64
    width: int = 1024
    min_log_variance: float | None = None

    value_range = (-1.0, 1.0)  # of pixels inside the networks

    def __post_init__(self) -> None:
        require_square("Table 4's", self.shape)
        require_width(self.width, self.shape[1], len(self.maps), "layers")

    @property
    def maps(self) -> list[int]:
        """D's feature maps from the image down to 4 x 4: 128, 256, 512, 1024 at 64 x 64."""
        halvings = self.shape[1].bit_length() - 3
        return [self.width >> k for k in reversed(range(halvings))]

    def G(self) -> nn.Module:
        """(n, dim) -> (n, c, side, side)."""
        maps = self.maps[::-1]
        layers = nn.Sequential(nn.Unflatten(1, (self.dim, 1, 1)))
        layers.append(transposed(self.dim, maps[0], relu(), norm=True, geometry=WHOLE))  # 4 x 4
        for a, b in pairwise(maps):
            layers.append(transposed(a, b, relu(), norm=True))
        layers.append(transposed(maps[-1], self.shape[0], nn.Tanh()))
        return initialise(layers)

    def features(self) -> nn.Module:
        """(n, c, side, side) -> (n, width, 4, 4)."""
        layers = nn.Sequential(conv(self.shape[0], self.maps[0], leaky(SLOPE)))
        for a, b in pairwise(self.maps):
            layers.append(conv(a, b, leaky(SLOPE), norm=True))
        return initialise(layers)

    def D(self, outputs: int = 1) -> Discriminator:
        """(n, c, side, side) -> (n,), or (n, outputs), logits: the printed sigmoid is in the loss."""
        return Discriminator(self.features(), initialise(conv(self.width, outputs, geometry=WHOLE)), outputs)

    def D_z(self) -> nn.Module:
        """(n, dim) -> (n,). Not in the paper."""
        return initialise(code_discriminator(self.dim, self.width, SLOPE))

    def D_xz(self) -> JointDiscriminator:
        """(n, c, side, side), (n, dim) -> (n,): half the features from the image, half from the code."""
        half = self.width // 2
        features = nn.Sequential(self.features(), conv(self.width, half, leaky(SLOPE), geometry=WHOLE))
        head = nn.Sequential(fc(self.width, self.width, leaky(SLOPE)), fc(self.width, 1))
        return JointDiscriminator(initialise(features), initialise(fc(self.dim, half, leaky(SLOPE))), initialise(head))

    def D_xx(self) -> PairDiscriminator:
        """(n, c, side, side), (n, c, side, side) -> (n,): D of twice the channels."""
        channels, side, _ = self.shape
        return PairDiscriminator(replace(self, shape=(2 * channels, side, side)).D())

    def E(self, reads_features: bool = True, posterior: str = "gaussian") -> nn.Module:
        """D's features (n, width, 4, 4), or x through its own features, -> q(z|x) of a kind of POSTERIORS."""
        half, quarter, eighth = self.width // 2, self.width // 4, self.width // 8
        trunk = nn.Sequential(
            conv(self.width, half, leaky(SLOPE)),  # 2 x 2
            conv(half, half, leaky(SLOPE), norm=True),  # 1 x 1
            conv(half, quarter, leaky(SLOPE), norm=True, geometry=Geometry(2, 1, 1)),  # 2 x 2
            conv(quarter, eighth, leaky(SLOPE), norm=True, geometry=Geometry(1, 1, 0)),
            nn.Flatten(),  # 512
        )
        layer = partial(two_layers, 4 * eighth, 64, slope=SLOPE)  # 64 maps whatever the code's dimension
        noisy = partial(two_layers, 4 * eighth + self.dim, 256, self.dim, SLOPE)
        head = posterior_head(posterior, self.dim, layer, noisy, self.min_log_variance)
        on_features = initialise(nn.Sequential(trunk, head))
        if reads_features:
            return on_features
        return nn.Sequential(self.features(), on_features)
