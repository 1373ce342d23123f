"""An encoder that reads the image itself, for a generator that is trained already."""

from __future__ import annotations

import math

from torch import nn

from aimgan.errors import near_miss
from aimgan.networks.gaussian import GaussianHead

WIDTH = 512  # of the layers
DEPTH = 3  # layers
LARGEST = 32  # pixels: the side above which an image is averaged to a smaller one
GROUPS, SMALLEST = 8, 4  # of `halving`: groups of a norm, and the side in pixels at which halving ends


def own_encoder(shape: tuple[int, ...], dim: int, width: int = WIDTH, trunk: str = "layers") -> nn.Module:
    """Return a network x (n, c, h, w) -> q(z|x), a Gaussian of `dim` dimensions. `trunk` is one of TRUNKS.

    None of them uses batch norm, so that an image has the same code whatever the other images of the batch are.
    """
    if trunk not in TRUNKS:
        raise near_miss("trunk of an encoder", trunk, TRUNKS)
    layers, features = TRUNKS[trunk](shape, width)
    head = GaussianHead(nn.Linear(features, dim), nn.Linear(features, dim))
    return nn.Sequential(*layers, head)


def fully_connected(shape: tuple[int, ...], width: int) -> tuple[list[nn.Module], int]:
    """Return layers, each connected to all of the one before, and the number of their outputs.

    Without convolutions a step costs a third, and at equal time the error is lower, on images that fill the frame as
    well as on digits and faces (benchmarks/results/encoder_ideas.md).
    """
    channels, side, _ = shape
    times = math.ceil(side / LARGEST)
    layers: list[nn.Module] = [nn.AvgPool2d(times)] if times > 1 else []
    layers.append(nn.Flatten())
    inputs = channels * (side // times) ** 2
    for _ in range(DEPTH):
        layers += [nn.Linear(inputs, width), nn.LayerNorm(width), nn.SiLU()]
        inputs = width
    return layers, width


def halving(shape: tuple[int, ...], width: int) -> tuple[list[nn.Module], int]:
    """Return convolutions from `width` to 4 `width` maps, which halve the side, and the number of outputs.

    Models that were saved in format 4 have this encoder.
    """
    channels, side, _ = shape
    layers: list[nn.Module] = []
    maps = width
    while side > SMALLEST:
        layers += [nn.Conv2d(channels, maps, 4, stride=2, padding=1), nn.GroupNorm(GROUPS, maps), nn.SiLU()]
        channels, side, maps = maps, side // 2, min(2 * maps, 4 * width)
    return [*layers, nn.Flatten(), nn.Linear(channels * side * side, 4 * width), nn.SiLU()], 4 * width


TRUNKS = {"layers": fully_connected, "halving": halving}
