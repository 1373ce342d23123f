"""How many threads a run's arithmetic takes on a CPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from aimgan.objectives.base import Objective
from aimgan.training.engine import players, trainable

# Multiply-adds of one pass of a batch through all networks. Below, a second thread does not help on an idle machine and
# waits for its turn on a busy one. The grid's MLPs have 17 million, the digits' 30. Table 3's networks at a quarter of
# their width are faster on two threads (docs/distributed.md).
TINY = 2**26


@contextmanager
def as_many_as_pay(objective: Objective, batch_size: int, device: torch.device) -> Iterator[None]:
    """Compute in one thread inside the block if a step on a CPU is tiny; OMP_NUM_THREADS overrules it."""
    if device.type != "cpu" or "OMP_NUM_THREADS" in os.environ or not is_tiny(objective, batch_size):
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def is_tiny(objective: Objective, batch_size: int) -> bool:
    """Return whether a batch costs fewer than TINY multiply-adds. Convolutions, which use a weight often, never do."""
    weights = [weight for network in players(objective).values() for weight in trainable(network).values()]
    has_convolutions = any(weight.dim() > 2 for weight in weights)
    return not has_convolutions and batch_size * sum(weight.numel() for weight in weights) < TINY
