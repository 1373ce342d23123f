"""The order of an image's numbers in memory: with channels last, convolutions are matrix products without a copy."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def to_channels_last(networks: Iterable[nn.Module]) -> None:
    """Put the networks' 4-D weights and buffers in channels-last order, in place. Values and shapes stay."""
    for network in networks:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # documented, not in the stubs


def batch_channels_last(x: Tensor) -> Tensor:
    """Return a batch of images (n, c, h, w) in channels-last order; other data as they are."""
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x
