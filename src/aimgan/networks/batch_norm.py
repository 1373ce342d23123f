"""Batch-norm statistics for inference (docs/science.md 4.1).

There are two kinds of batches. A *prior* batch has codes of the prior, or the images that G makes from them. A *data*
batch has images of the data, or the codes that E infers from them.

During training a network is normalised by the statistics of each batch. The running averages mix both kinds, and lag
behind the weights. So before a model is saved or evaluated, the statistics are estimated again, as a plain average over
batches of one kind. A network that gets both kinds in training has one set of statistics for each (aimgan.model).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

PRIOR, DATA, BOTH = "prior", "data", "both"
BATCHES = {PRIOR: (PRIOR,), DATA: (DATA,), BOTH: (PRIOR, DATA)}  # the kinds of batches for each `G_sees` or `E_sees`


def batch_norms(network: nn.Module) -> list[_BatchNorm]:
    """Return the network's batch-norm layers."""
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]


@torch.no_grad()
def reestimate(network: nn.Module, forward: Callable[[Tensor], object], batches: Iterable[Tensor]) -> None:
    """Replace the running statistics inside `network` by their plain average over `forward(batch)` in training mode.

    A network without batch norm is left as it is, and no forward pass is made.
    """
    if batch_norms(network):
        with _plain_average(network):
            for batch in batches:
                forward(batch)


@contextmanager
def _plain_average(network: nn.Module) -> Iterator[None]:
    """Reset the running statistics, and average them over the forward passes inside the block."""
    momenta = {layer: layer.momentum for layer in batch_norms(network)}
    modes = {module: module.training for module in network.modules()}
    for layer in momenta:
        layer.reset_running_stats()
        layer.momentum = None  # for torch, a cumulative average
    network.train()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        for layer, momentum in momenta.items():
            layer.momentum = momentum
