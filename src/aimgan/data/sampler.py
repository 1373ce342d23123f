"""The order of the data as a function of (seed, epoch): nothing to store, any step can be the first."""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Int
from torch import Tensor

from aimgan import noise


@lru_cache(maxsize=8)
def order(n: int, seed: int, epoch: int) -> Int[Tensor, " n"]:
    """Return the permutation of n items in an epoch, counted from 0."""
    return torch.randperm(n, generator=noise.generator(seed, "order", epoch))


def indices(n: int, batch_size: int, seed: int, step: int, rank: int = 0, world: int = 1) -> Int[Tensor, " b"]:
    """Return the items in the global batch of a step, counted from 0, or one rank's share (batch_size / world of them).

    An epoch has n // batch_size batches; the items that are left over differ from epoch to epoch.
    """
    epoch, position = divmod(step, n // batch_size)
    share = batch_size // world
    start = position * batch_size + rank * share
    return order(n, seed, epoch)[start : start + share]
