"""An encoder that reads the image itself, for a generator that is trained already."""

from __future__ import annotations

import math

from torch import nn

from aimgan.errors import near_miss
from aimgan.networks.gaussian import GaussianHead

WIDTH = 512  # of the layers
DEPTH = 3  # layers
MAPS, SQUARE, GRID = 64, 4, 8  # of the patches: numbers for each, the least side in pixels, the most along a side
GROUPS, SMALLEST = 8, 4  # groups of a norm; and of `halving`: the side in pixels at which it ends


def own_encoder(shape: tuple[int, ...], dim: int, width: int = WIDTH, trunk: str = "patches") -> nn.Module:
    """Return a network x (n, c, h, w) -> q(z|x), a Gaussian of `dim` dimensions. `trunk` is one of TRUNKS.

    None of them uses batch norm, so that an image has the same code whatever the other images of the batch are.
    """
    if trunk not in TRUNKS:
        raise near_miss("trunk of an encoder", trunk, TRUNKS)
    layers, features = TRUNKS[trunk](shape, width)
    head = GaussianHead(nn.Linear(features, dim), nn.Linear(features, dim))
    return nn.Sequential(*layers, head)


def patches(shape: tuple[int, ...], width: int) -> tuple[list[nn.Module], int]:
    """Return layers that turn squares of pixels into MAPS numbers each, then mix all of those; and how many come out.

    Squares do not overlap, and the layers are fully connected: a step costs less than half of one of `halving`, and at
    equal time the error is lower, on digits and on faces (benchmarks/results/encoder_ideas.md).
    """
    channels, side, _ = shape
    square = max(SQUARE, math.ceil(side / GRID))
    numbers = [nn.Conv2d(channels, MAPS, square, stride=square), nn.GroupNorm(GROUPS, MAPS), nn.SiLU(), nn.Flatten()]
    return [*numbers, *fully_connected(MAPS * (side // square) ** 2, width)], width


def fully_connected(inputs: int, width: int) -> list[nn.Module]:
    """Return DEPTH layers of `width`, each on all numbers of the one before."""
    layers: list[nn.Module] = []
    for _ in range(DEPTH):
        layers += [nn.Linear(inputs, width), nn.LayerNorm(width), nn.SiLU()]
        inputs = width
    return layers


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


TRUNKS = {"patches": patches, "halving": halving}
