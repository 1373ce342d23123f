"""The layers that Tables 3 and 4 are made of, and their initial weights."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from aimgan.errors import AimganError


def require_square(family: str, shape: Sequence[int]) -> None:
    """Raise AimganError unless a shape is (c, side, side) with a power of two from 8 as its side: halved, it is 4."""
    _, h, w = shape if len(shape) == 3 else (0, 0, 0)
    if h != w or h < 8 or h & (h - 1):
        raise AimganError(
            f"{family} networks got samples of {tuple(shape)}; expected images (c, side, side) with a side "
            "of 8, 16, 32, 64, ...: pass --size"
        )


def require_width(width: int, side: int, count: int, unit: str) -> None:
    """Raise AimganError unless the width can be halved at each of `count` layers (or sizes: `unit`) but one, to 8."""
    smallest = 8 * 2 ** (count - 1)
    if width < smallest or width % smallest:
        raise AimganError(
            f"width {width} at side {side}; expected a multiple of {smallest}, since each of the "
            f"{count} {unit} has half as many maps as the one before"
        )


def leaky(slope: float) -> nn.Module:
    """Leaky ReLU."""
    return nn.LeakyReLU(slope, inplace=True)


def relu() -> nn.Module:
    """ReLU."""
    return nn.ReLU(inplace=True)


def fc(inputs: int, outputs: int, activation: nn.Module | None = None, norm: bool = False) -> nn.Sequential:
    """Fully connected; before batch norm without a bias, whose true gradient would be zero."""
    layers = [nn.Linear(inputs, outputs, bias=not norm)]
    return _finish(layers, nn.BatchNorm1d(outputs) if norm else None, activation)


def conv(
    inputs: int, outputs: int, activation: nn.Module | None = None, norm: bool = False, kernel: int = 4,
    stride: int = 2, padding: int = 1,
) -> nn.Sequential:  # fmt: skip
    """Convolution, by default 4 x 4, stride 2, padding 1: half the side."""
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=not norm)]
    return _finish(layers, nn.BatchNorm2d(outputs) if norm else None, activation)


def transposed(
    inputs: int, outputs: int, activation: nn.Module | None = None, norm: bool = False, kernel: int = 4,
    stride: int = 2, padding: int = 1,
) -> nn.Sequential:  # fmt: skip
    """Transposed convolution, by default 4 x 4, stride 2, padding 1: twice the side."""
    layers = [nn.ConvTranspose2d(inputs, outputs, kernel, stride, padding, bias=not norm)]
    return _finish(layers, nn.BatchNorm2d(outputs) if norm else None, activation)


def initialise(network: nn.Module) -> nn.Module:
    """Weights from Gaussian(0, 0.02), biases zero (appendices B and C); batch norm keeps scale 1 and shift 0."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


def _finish(layers: Sequence[nn.Module], norm: nn.Module | None, activation: nn.Module | None) -> nn.Sequential:
    return nn.Sequential(*layers, *[layer for layer in (norm, activation) if layer is not None])
