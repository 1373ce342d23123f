"""Residual networks without batch norm, for square images: not in the paper, similar to R3GAN's."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

from torch import Tensor, nn

from aimgan.networks.discriminator import Discriminator, JointDiscriminator, PairDiscriminator
from aimgan.networks.layers import WHOLE, Geometry, conv, fc, leaky
from aimgan.networks.posterior import posterior_head
from aimgan.networks.sizes import require_square, require_width

SLOPE = 0.2
GAIN = math.sqrt(2 / (1 + SLOPE**2))  # keeps the variance through a leaky ReLU (He et al., 2015)
LAST = 0.1  # gain of E's last layers: q(z|x) starts near the prior


def scaled(network: nn.Module, gain: float = 1.0) -> nn.Module:
    """Draw all weights from N(0, gain^2 / fan in) and set biases to zero: no batch norm corrects a wrong scale."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and not module.weight.is_meta:  # as in layers.initialise
            nn.init.normal_(module.weight, std=gain / math.sqrt(module.weight[0].numel()))
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    return network


conv1 = partial(conv, geometry=Geometry(1, 1, 0))
conv3 = partial(conv, geometry=Geometry(3, 1, 1))


class ResidualBlock(nn.Module):
    """x + f(x), f a 1 x 1, a 3 x 3 and a 1 x 1 convolution, the middle at half the maps. A block starts as identity.

    The last layer of f starts at zero, the others are scaled by depth^(-1/4), `depth` the network's number of blocks
    (Fixup, Zhang et al., 2019), so that the output's scale does not grow with the depth.
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

    At 4 x 4 there are `width` maps, at each doubling half as many, and at every size `blocks` residual blocks, so the
    cost of a pass hardly depends on the size. Bilinear upsampling, average pooling, leaky ReLU 0.2.
    """

    shape: tuple[int, ...] = (3, 32, 32)
    dim: int = 64
    width: int = 256
    blocks: int = 1
    min_log_variance: float | None = None

    value_range = (-1.0, 1.0)  # of pixels inside the networks

    def __post_init__(self) -> None:
        require_square("the residual", self.shape)
        require_width(self.width, self.shape[1], len(self.maps), "sizes")

    @property
    def maps(self) -> list[int]:
        """D's maps from the image's side down to 4 x 4: 32, 64, 128, 256 at 32 x 32."""
        sizes = self.shape[1].bit_length() - 2
        return [self.width >> k for k in reversed(range(sizes))]

    def G(self) -> nn.Module:
        """(n, dim) -> (n, c, side, side)."""
        maps = self.maps[::-1]
        layers = nn.Sequential(scaled(fc(self.dim, 16 * maps[0])), nn.Unflatten(1, (maps[0], 4, 4)))
        layers.extend(self._blocks(maps[0]))
        for a, b in pairwise(maps):
            layers.append(scaled(conv1(a, b)))  # before the upsampling: cheaper
            layers.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
            layers.extend(self._blocks(b))
        layers.extend([leaky(SLOPE), scaled(conv3(maps[-1], self.shape[0])), nn.Tanh()])
        return layers

    def features(self) -> nn.Module:
        """(n, c, side, side) -> (n, width, 4, 4)."""
        maps = self.maps
        layers = nn.Sequential(scaled(conv3(self.shape[0], maps[0])))
        layers.extend(self._blocks(maps[0]))
        for a, b in pairwise(maps):
            layers.extend([nn.AvgPool2d(2), scaled(conv1(a, b)), *self._blocks(b)])
        return layers.append(leaky(SLOPE))

    def D(self, outputs: int = 1) -> Discriminator:
        """(n, c, side, side) -> (n,), or (n, outputs), logits."""
        return Discriminator(self.features(), scaled(self._whole(outputs)), outputs)

    def D_z(self) -> nn.Module:
        """(n, dim) -> (n,)."""
        w = self.width
        first, second = scaled(fc(self.dim, w, leaky(SLOPE))), scaled(fc(w, w, leaky(SLOPE)), GAIN)
        return nn.Sequential(first, second, scaled(fc(w, 1)), nn.Flatten(0))

    def D_xz(self) -> JointDiscriminator:
        """(n, c, side, side), (n, dim) -> (n,): half the features from the image, half from the code."""
        w, half = self.width, self.width // 2
        features = nn.Sequential(self.features(), scaled(self._whole(half, leaky(SLOPE)), GAIN))
        head = nn.Sequential(scaled(fc(w, w, leaky(SLOPE)), GAIN), scaled(fc(w, 1)))
        return JointDiscriminator(features, scaled(fc(self.dim, half, leaky(SLOPE))), head)

    def D_xx(self) -> PairDiscriminator:
        """(n, c, side, side), (n, c, side, side) -> (n,): D of twice the channels."""
        channels, side, _ = self.shape
        return PairDiscriminator(replace(self, shape=(2 * channels, side, side)).D())

    def E(self, reads_features: bool = True, posterior: str = "gaussian") -> nn.Module:
        """D's features (n, width, 4, 4), or x through its own features, -> q(z|x) of a kind of POSTERIORS."""
        half = self.width // 2
        trunk = nn.Sequential(
            conv(self.width, half, leaky(SLOPE)),  # 2 x 2
            conv(half, half, leaky(SLOPE)),  # 1 x 1
            nn.Flatten(),
            fc(half, half, leaky(SLOPE)),
        )
        layer, noisy = partial(self._fc, half), partial(self._noisy, half)
        head = posterior_head(posterior, self.dim, layer, noisy, self.min_log_variance)
        on_features = nn.Sequential(scaled(trunk, GAIN), head)
        if reads_features:
            return on_features
        return nn.Sequential(self.features(), on_features)

    def _fc(self, inputs: int, outputs: int) -> nn.Sequential:
        """64 maps whatever the code's dimension, then a linear layer, as in Table 4."""
        return nn.Sequential(scaled(fc(inputs, 64, leaky(SLOPE)), GAIN), scaled(fc(64, outputs), LAST))

    def _noisy(self, inputs: int) -> nn.Module:
        return nn.Sequential(scaled(fc(inputs + self.dim, 256, leaky(SLOPE)), GAIN), scaled(fc(256, self.dim)))

    def _blocks(self, maps: int) -> list[nn.Module]:
        return [ResidualBlock(maps, self.blocks * len(self.maps)) for _ in range(self.blocks)]

    def _whole(self, outputs: int, activation: nn.Module | None = None) -> nn.Sequential:
        """One convolution of all 4 x 4."""
        return nn.Sequential(conv(self.width, outputs, activation, geometry=WHOLE), nn.Flatten())
