"""Residual networks without batch norm, for square images: not in the paper, in the manner of R3GAN."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from torch import Tensor, nn

from aimgan.networks.discriminator import Discriminator
from aimgan.networks.joint import JointDiscriminator, PairDiscriminator
from aimgan.networks.layers import conv, fc, leaky, require_square, require_width
from aimgan.networks.posterior import head as posterior_head

SLOPE = 0.2
GAIN = math.sqrt(2 / (1 + SLOPE**2))  # what keeps the variance through a leaky ReLU (He et al., 2015)
LAST = 0.1  # gain of E's last layers: q(z|x) starts near the prior


def scaled(network: nn.Module, gain: float = 1.0) -> nn.Module:
    """Weights from Gaussian(0, gain / sqrt(fan in)), biases zero. All layers: no batch norm corrects a wrong scale."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.normal_(module.weight, std=gain / math.sqrt(module.weight[0].numel()))
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    return network


conv1, conv3 = partial(conv, kernel=1, stride=1, padding=0), partial(conv, kernel=3, stride=1, padding=1)


class Block(nn.Module):
    """x + f(x), f a 1 x 1, a 3 x 3 and a 1 x 1 convolution, the middle at half the maps. A block starts as identity.

    The last layer of f starts at zero, the others are scaled by depth^(-1/4), `depth` the network's number of blocks
    (Fixup, Zhang et al., 2019): the output then grows with neither.
    """

    def __init__(self, maps: int, depth: int) -> None:
        super().__init__()
        half, gain = maps // 2, GAIN * depth**-0.25
        first, middle = conv1(maps, half, leaky(SLOPE)), conv3(half, half, leaky(SLOPE))
        self.f = nn.Sequential(scaled(first, gain), scaled(middle, gain), scaled(conv1(half, maps), 0.0))

    def forward(self, x: Tensor) -> Tensor:
        """Return x + f(x)."""
        return x + self.f(x)


@dataclass(frozen=True)
class Residual:
    """Images in [-1, 1] inside (G ends in tanh). The side is a power of two from 8, which D halves to 4 x 4.

    At 4 x 4 there are `width` maps, at each doubling half as many. Every size has `blocks` residual blocks: the cost of
    a pass hardly depends on the size. Bilinear upsampling, average pooling; leaky ReLU 0.2. Nothing is normalised.
    """

    shape: tuple[int, ...] = (3, 32, 32)
    dim: int = 64
    width: int = 256
    blocks: int = 1
    min_log_variance: float | None = None

    def __post_init__(self) -> None:
        require_square("the residual", self.shape)
        require_width(self.width, self.shape[1], len(self.maps), "sizes")

    @property
    def value_range(self) -> tuple[float, float]:
        """The pixel range inside the networks."""
        return (-1.0, 1.0)

    @property
    def maps(self) -> list[int]:
        """D's maps from the image's side down to 4 x 4: 32, 64, 128, 256 at 32 x 32."""
        sizes = self.shape[1].bit_length() - 2
        return [self.width >> k for k in reversed(range(sizes))]

    def G(self) -> nn.Module:
        """(n, dim) -> (n, c, side, side)."""
        maps = self.maps[::-1]
        first = [scaled(fc(self.dim, 16 * maps[0])), nn.Unflatten(1, (maps[0], 4, 4)), *self._blocks(maps[0])]
        doublings = [layer for a, b in pairwise(maps) for layer in (*self._up(a, b), *self._blocks(b))]
        return nn.Sequential(*first, *doublings, leaky(SLOPE), scaled(conv3(maps[-1], self.shape[0])), nn.Tanh())

    def features(self) -> nn.Module:
        """(n, c, side, side) -> (n, width, 4, 4)."""
        return self._features(self.shape[0])

    def D(self) -> Discriminator:
        """(n, c, side, side) -> (n,), raw."""
        return self._discriminator(self.shape[0])

    def D_z(self) -> nn.Module:
        """(n, dim) -> (n,): of codes."""
        w = self.width
        layers = scaled(fc(self.dim, w, leaky(SLOPE))), scaled(fc(w, w, leaky(SLOPE)), GAIN), scaled(fc(w, 1))
        return nn.Sequential(*layers, nn.Flatten(0))

    def D_xz(self) -> JointDiscriminator:
        """(n, c, side, side), (n, dim) -> (n,): half the features from the image, half from the code."""
        w, half = self.width, self.width // 2
        features = nn.Sequential(self.features(), scaled(self._whole(half, leaky(SLOPE)), GAIN))
        head = nn.Sequential(scaled(fc(w, w, leaky(SLOPE)), GAIN), scaled(fc(w, 1)))
        return JointDiscriminator(features, scaled(fc(self.dim, half, leaky(SLOPE))), head)

    def D_xx(self) -> PairDiscriminator:
        """Two of (n, c, side, side) -> (n,): D of twice the channels."""
        return PairDiscriminator(self._discriminator(2 * self.shape[0]))

    def E(self, reads_features: bool = True, posterior: str = "gaussian") -> nn.Module:
        """D's features (n, width, 4, 4), or x itself by a trunk of its own, -> q(z|x) of a kind of POSTERIORS."""
        half = self.width // 2
        trunk = nn.Sequential(
            conv(self.width, half, leaky(SLOPE)),  # 2 x 2
            conv(half, half, leaky(SLOPE)),  # 1 x 1
            nn.Flatten(),
            fc(half, half, leaky(SLOPE)),
        )
        layer, noisy = partial(self._fc, half), partial(self._noisy, half)
        end = posterior_head(posterior, self.dim, layer, noisy, self.min_log_variance)
        on_features = nn.Sequential(scaled(trunk, GAIN), end)
        return on_features if reads_features else nn.Sequential(self.features(), on_features)

    def _fc(self, inputs: int, outputs: int) -> nn.Sequential:
        """64 maps whatever the code's dimension, then a linear layer, as in Table 4."""
        return nn.Sequential(scaled(fc(inputs, 64, leaky(SLOPE)), GAIN), scaled(fc(64, outputs), LAST))

    def _noisy(self, inputs: int, extra: int) -> nn.Module:
        return nn.Sequential(scaled(fc(inputs + extra, 256, leaky(SLOPE)), GAIN), scaled(fc(256, self.dim)))

    def _blocks(self, maps: int) -> list[nn.Module]:
        return [Block(maps, self.blocks * len(self.maps)) for _ in range(self.blocks)]

    def _up(self, a: int, b: int) -> list[nn.Module]:
        """Fewer maps, then twice the side: the cheaper order."""
        return [scaled(conv1(a, b)), nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)]

    def _down(self, a: int, b: int) -> list[nn.Module]:
        return [nn.AvgPool2d(2), scaled(conv1(a, b))]

    def _whole(self, outputs: int, activation: nn.Module | None = None) -> nn.Sequential:
        """One convolution of all 4 x 4."""
        return nn.Sequential(conv(self.width, outputs, activation, stride=1, padding=0), nn.Flatten())

    def _features(self, channels: int) -> nn.Module:
        maps = self.maps
        first = [scaled(conv3(channels, maps[0])), *self._blocks(maps[0])]
        halvings = [layer for a, b in pairwise(maps) for layer in (*self._down(a, b), *self._blocks(b))]
        return nn.Sequential(*first, *halvings, leaky(SLOPE))

    def _discriminator(self, channels: int) -> Discriminator:
        return Discriminator(self._features(channels), scaled(self._whole(1)))
