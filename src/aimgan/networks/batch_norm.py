"""Batch-norm statistics at inference (science.md 4.1).

In training a network is normalised by the statistics of each batch that passes it. Batches come from two sides: codes
of the prior and the images that G makes of them, or images of the data and the codes that E infers from them. The
running averages mix the two, and lag behind the moving weights. So before a model is saved or evaluated the statistics
are taken anew: a plain average over batches of one side, which pass the networks as they did in training. A network
that training shows both sides has a set of statistics for each (aimgan.model).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

PRIOR, DATA, BOTH = "prior", "data", "both"
SIDES = {PRIOR: (PRIOR,), DATA: (DATA,), BOTH: (PRIOR, DATA)}  # of what an objective may declare that a network sees


def batch_norms(network: nn.Module) -> list[_BatchNorm]:
    """Return the network's batch-norm layers."""
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]


@torch.no_grad()
def reestimate(network: nn.Module, forward: Callable[[Tensor], object], batches: Iterable[Tensor]) -> None:
    """Replace the running statistics inside `network` by their plain average over `forward(batch)` in training mode.

    Networks without batch norm are left as they are, without a forward pass.
    """
    layers = batch_norms(network)
    if not layers:
        return
    with _cumulative(network, layers):
        for batch in batches:
            forward(batch)


@contextmanager
def _cumulative(network: nn.Module, layers: list[_BatchNorm]) -> Iterator[None]:
    momenta = [layer.momentum for layer in layers]
    training = {module: module.training for module in network.modules()}
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch's word for a cumulative average
    network.train()
    try:
        yield
    finally:
        for module, mode in training.items():
            module.training = mode
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
