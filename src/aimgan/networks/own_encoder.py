"""An encoder that reads the sample itself, for a generator that is trained already."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aimgan.errors import near_miss
from aimgan.networks.gaussian import GaussianHead

MAPS, SQUARE, GRID = 64, 4, 8  # of the patches: numbers for each, the least side in pixels, the most along a side
GROUPS, SMALLEST = 8, 4  # groups of a norm; and of `halving`: the side in pixels at which it ends
FREQUENCIES = (2.0, 4.0, 8.0, 16.0, 32.0)  # radians for each standard deviation of the samples


class FourierFeatures(nn.Module):
    """x (n, k) in units of `deviation`, beside its sines and cosines at FREQUENCIES: (n, 11 k).

    From x alone, small networks do not learn what differs within a mode much narrower than the data (Tancik et al.
    2020).
    """

    deviation: Tensor  # (k,), to be set from samples before the encoder is fitted

    def __init__(self, k: int) -> None:
        super().__init__()
        self.register_buffer("deviation", torch.ones(k))

    def forward(self, x: Float[Tensor, "n k"]) -> Float[Tensor, "n f"]:
        """Return x / deviation with its sines and cosines."""
        x = x / self.deviation
        waves = torch.cat([x * frequency for frequency in FREQUENCIES], dim=1)
        return torch.cat((x, waves.sin(), waves.cos()), dim=1)


def own_encoder(shape: tuple[int, ...], dim: int, width: int, trunk: str) -> nn.Module:
    """Return a network x (n, *shape) -> q(z|x), a Gaussian of `dim` dimensions. `trunk` is one of TRUNKS.

    None of them uses batch norm, so that a sample has the same code whatever the other samples of the batch are.
    """
    if trunk not in TRUNKS:
        raise near_miss("trunk of an encoder", trunk, TRUNKS)
    layers, features = TRUNKS[trunk](shape, width)
    head = GaussianHead(nn.Linear(features, dim), nn.Linear(features, dim))
    return nn.Sequential(*layers, head)


def fourier(shape: tuple[int, ...], width: int) -> tuple[list[nn.Module], int]:
    """Return layers for points: FourierFeatures and two fully connected layers; and how many outputs there are."""
    (k,) = shape
    return [FourierFeatures(k), *fully_connected(k * (1 + 2 * len(FREQUENCIES)), width, depth=2)], width


def patches(shape: tuple[int, ...], width: int) -> tuple[list[nn.Module], int]:
    """Return layers that turn squares of pixels into MAPS numbers each, then mix all of those; and how many come out.

    Squares do not overlap, and the layers are fully connected: a step costs less than half of one of `halving`, and at
    equal time the error is lower, on digits and on faces (benchmarks/results/encoder_ideas.md).
    """
    channels, side, _ = shape
    square = max(SQUARE, math.ceil(side / GRID))
    numbers = [nn.Conv2d(channels, MAPS, square, stride=square), nn.GroupNorm(GROUPS, MAPS), nn.SiLU(), nn.Flatten()]
    return [*numbers, *fully_connected(MAPS * (side // square) ** 2, width)], width


def fully_connected(inputs: int, width: int, depth: int = 3) -> list[nn.Module]:
    """Return `depth` layers of `width`, each on all numbers of the one before."""
    layers: list[nn.Module] = []
    for _ in range(depth):
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


TRUNKS: dict[str, Callable[[tuple[int, ...], int], tuple[list[nn.Module], int]]] = {
    "fourier": fourier,
    "patches": patches,
    "halving": halving,
}


class Kind(NamedTuple):
    """The trunk of a fresh encoder and the width of its layers."""

    trunk: str
    width: int


def kind_for(shape: tuple[int, ...]) -> Kind:
    """Return the kind of fresh encoder for samples of a shape: points (k,) or images (c, h, w)."""
    return Kind("fourier", 256) if len(shape) == 1 else Kind("patches", 512)
