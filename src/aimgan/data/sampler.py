"""The order of the data as a function of (seed, epoch): nothing to store, any step can be the first."""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Int
from torch import Tensor

from aimgan import noise


@lru_cache(maxsize=8)  # stacked digits take three at a time, and the test order's three
def order(n: int, seed: int, epoch: int) -> Int[Tensor, " n"]:
    """Return the permutation of n items in epoch 0, 1, ... of this seed."""
    return torch.randperm(n, generator=noise.generator(seed, "order", epoch))


def indices(n: int, batch_size: int, seed: int, step: int, rank: int = 0, world: int = 1) -> Int[Tensor, " b"]:
    """Return which items make the global batch of step 0, 1, ..., or rank's share of it (batch_size / world).

    An epoch has n // batch_size batches: the remainder is left out, another one each epoch.
    """
    epoch, position = divmod(step, n // batch_size)
    share = batch_size // world
    start = position * batch_size + rank * share
    return order(n, seed, epoch)[start : start + share]
