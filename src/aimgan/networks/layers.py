"""The layers that the convolutional families are made of, and their initial weights."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn


class Geometry(NamedTuple):
    """Kernel, stride and padding of a convolution, in pixels."""

    kernel: int
    stride: int
    padding: int


HALVE = Geometry(4, 2, 1)  # half the side; transposed: twice the side
WHOLE = Geometry(4, 1, 0)  # from 4 x 4 to 1 x 1; transposed: the reverse


def leaky(slope: float) -> nn.Module:
    """Leaky ReLU."""
    return nn.LeakyReLU(slope, inplace=True)


def relu() -> nn.Module:
    """ReLU."""
    return nn.ReLU(inplace=True)


# A layer before batch norm has no bias: its true gradient would be zero.


def fc(inputs: int, outputs: int, activation: nn.Module | None = None, norm: bool = False) -> nn.Sequential:
    """Fully connected layer, batch norm if `norm`, activation."""
    layer = nn.Linear(inputs, outputs, bias=not norm)
    return _sequence(layer, nn.BatchNorm1d(outputs) if norm else None, activation)


def conv(
    inputs: int, outputs: int, activation: nn.Module | None = None, norm: bool = False, geometry: Geometry = HALVE
) -> nn.Sequential:
    """Convolution, batch norm if `norm`, activation."""
    layer = nn.Conv2d(inputs, outputs, *geometry, bias=not norm)
    return _sequence(layer, nn.BatchNorm2d(outputs) if norm else None, activation)


def transposed(
    inputs: int, outputs: int, activation: nn.Module | None = None, norm: bool = False, geometry: Geometry = HALVE
) -> nn.Sequential:
    """Transposed convolution, batch norm if `norm`, activation."""
    layer = nn.ConvTranspose2d(inputs, outputs, *geometry, bias=not norm)
    return _sequence(layer, nn.BatchNorm2d(outputs) if norm else None, activation)


def code_discriminator(dim: int, width: int, slope: float) -> nn.Sequential:
    """(n, dim) -> (n,): fully connected layers for codes."""
    return nn.Sequential(
        fc(dim, width, leaky(slope)),
        fc(width, width, leaky(slope)),
        fc(width, 1),
        nn.Flatten(0),
    )


def _sequence(*layers: nn.Module | None) -> nn.Sequential:
    return nn.Sequential(*[layer for layer in layers if layer is not None])


def initialise(network: nn.Module) -> nn.Module:
    """Draw weights from N(0, 0.02^2) and set biases to zero (appendices B and C); batch norm keeps scale 1, shift 0."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            if module.weight.is_meta:  # there is nothing to draw, and torch would import its compiler, for two seconds
                continue
            nn.init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network
