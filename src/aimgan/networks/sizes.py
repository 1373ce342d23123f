"""How large networks may be, so that absurd ones are refused before memory is taken for them."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import torch

from aimgan.errors import AimganError

MAX_SIDE, MAX_LAYERS, MAX_SHAPE = 2**20, 256, 2**28  # of width and dim; of depths and blocks; numbers in one sample
MAX_WEIGHTS = 2**31  # of one player: 8 GiB


def require_sizes(networks: Any) -> None:
    """Raise AimganError for a family whose depths, widths or shape are not positive, or absurd."""
    for name, value in asdict(networks).items():
        layers = "depth" in name or name == "blocks"
        least, most = int("depth" not in name), MAX_LAYERS if layers else MAX_SIDE
        if type(value) is int and not least <= value <= most:
            bound = f"at least {least}" if value < least else f"at most {most:,}"
            raise AimganError(f"networks.{name} is {value}; expected {bound}")
    if min(networks.shape, default=0) < 1 or math.prod(networks.shape) > MAX_SHAPE:
        raise AimganError(f"networks.shape is {networks.shape}; expected positive sizes, at most {MAX_SHAPE:,} numbers")


def require_weights(networks: Any) -> None:
    """Raise AimganError where G or D would have more than MAX_WEIGHTS, found without making them."""
    require_sizes(networks)
    with torch.device("meta"):
        count = max(sum(p.numel() for p in make().parameters()) for make in (networks.G, networks.D))
    if count > MAX_WEIGHTS:
        raise AimganError(f"a network would have {count:,} weights; expected at most {MAX_WEIGHTS:,}: a smaller width")
