"""Networks that share their parameters and differ in their batch-norm statistics."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from torch import nn


def twin(network: nn.Module) -> nn.Module:
    """Return a copy that has the network's own parameters, and buffers of its own."""
    return deepcopy(network, {id(parameter): parameter for parameter in network.parameters()})


class Twins(nn.ModuleDict):
    """Twins of networks that are kept elsewhere in a model: only their buffers are part of its state."""

    def __init__(self) -> None:
        super().__init__()
        self.register_state_dict_post_hook(_leave_parameters_out)
        self.register_load_state_dict_pre_hook(_keep_parameters)


def _leave_parameters_out(twins: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for name, _parameter in twins.named_parameters():
        del state[prefix + name]


def _keep_parameters(twins: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Say that the parameters are there: they are loaded with the network that they are shared with."""
    for name, parameter in twins.named_parameters():
        state[prefix + name] = parameter
