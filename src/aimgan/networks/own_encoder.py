"""An encoder with a trunk of its own, for a generator that is trained already: convolutions and group norm."""

from __future__ import annotations

from torch import nn

from aimgan.networks.gaussian import GaussianHead

WIDTH = 32  # maps of the first layer
GROUPS = 8
SMALLEST = 4  # pixels: the side at which halving ends


def own_encoder(shape: tuple[int, ...], dim: int, width: int = WIDTH) -> nn.Module:
    """Return a network x (n, c, h, w) -> q(z|x), a Gaussian of `dim` dimensions.

    Each convolution halves the side and doubles the maps, from `width` to 4 `width`, until the side is 4 pixels or
    less. Group norm, unlike batch norm, gives an image the same code whatever the other images of the batch are.
    """
    channels, side, _ = shape
    layers: list[nn.Module] = []
    maps = width
    while side > SMALLEST:
        layers += [nn.Conv2d(channels, maps, 4, stride=2, padding=1), nn.GroupNorm(GROUPS, maps), nn.SiLU()]
        channels, side, maps = maps, side // 2, min(2 * maps, 4 * width)
    features = 4 * width
    layers += [nn.Flatten(), nn.Linear(channels * side * side, features), nn.SiLU()]
    head = GaussianHead(nn.Linear(features, dim), nn.Linear(features, dim))
    return nn.Sequential(*layers, head)
