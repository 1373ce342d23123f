"""The layers that Tables 3 and 4 are made of, and their initial weights."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn


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
