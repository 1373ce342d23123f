"""Checks of the sizes of networks, before memory is allocated for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch

from aimgan.errors import AimganError, first_line

MAX_SIDE = 2**20  # width and dim
MAX_LAYERS = 256  # depths and blocks
MAX_SHAPE = 2**28  # numbers in one sample
MAX_WEIGHTS = 2**31  # of one player: 8 GiB


def require_square(family: str, shape: Sequence[int]) -> None:
    """Raise AimganError unless a shape is (c, side, side), the side a power of two that is at least 8."""
    if len(shape) != 3 or shape[1] != shape[2] or shape[1] not in [2**k for k in range(3, 31)]:
        raise AimganError(
            f"{family} networks got samples of {tuple(shape)}; expected images (c, side, side) with a side "
            "of 8, 16, 32, 64, ...: pass --size"
        )


def require_width(width: int, side: int, count: int, unit: str) -> None:
    """Raise AimganError unless `count` layers (or sizes: `unit`), each half as wide as the last, end with 8 or more."""
    smallest = 8 * 2 ** (count - 1)
    if width < smallest or width % smallest != 0:
        raise AimganError(
            f"width is {width} at side {side}; expected a multiple of {smallest}, since each of the "
            f"{count} {unit} has half as many maps as the one before"
        )


def require_sizes(networks: Any) -> None:
    """Raise AimganError unless a family's depths, widths and shape are positive and within the bounds above."""
    for f in fields(networks):
        name, value = f.name, getattr(networks, f.name)
        if type(value) is not int:
            continue
        least = 0 if name == "encoder_depth" else 1
        most = MAX_LAYERS if "depth" in name or name == "blocks" else MAX_SIDE
        if value < least:
            raise AimganError(f"networks.{name} is {value}; expected at least {least}")
        if value > most:
            raise AimganError(f"networks.{name} is {value}; expected at most {most:,}")
    if min(networks.shape, default=0) < 1 or math.prod(networks.shape) > MAX_SHAPE:
        raise AimganError(f"networks.shape is {networks.shape}; expected positive sizes, at most {MAX_SHAPE:,} numbers")


def require_weights(networks: Any) -> None:
    """Raise AimganError where G or D has over MAX_WEIGHTS weights or layers that do not fit. None is allocated."""
    require_sizes(networks)
    for make, inputs in ((networks.G, (networks.dim,)), (networks.D, networks.shape)):
        with torch.device("meta"):
            network = make()
            count = sum(parameter.numel() for parameter in network.parameters())
            try:
                network(torch.empty(2, *inputs))
            except (RuntimeError, IndexError) as reason:
                raise AimganError(f"these networks cannot take {inputs}: {first_line(reason)}") from None
        if count > MAX_WEIGHTS:
            raise AimganError(
                f"a network would have {count:,} weights; expected at most {MAX_WEIGHTS:,}: reduce networks.width"
            )
