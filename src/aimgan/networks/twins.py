"""Networks that share their parameters and differ in their batch-norm statistics."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from torch import nn


def twin(network: nn.Module) -> nn.Module:
    """Return a copy that shares the network's parameters and has its own buffers."""
    return deepcopy(network, {id(parameter): parameter for parameter in network.parameters()})


class Twins(nn.ModuleDict):
    """Twins of networks that are stored elsewhere in a model: only their buffers are part of the state dict."""

    def __init__(self) -> None:
        super().__init__()
        self.register_state_dict_post_hook(_remove_parameters)
        self.register_load_state_dict_pre_hook(_add_parameters)


def _remove_parameters(twins: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for name, _parameter in twins.named_parameters():
        del state[prefix + name]


def _add_parameters(twins: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Add the parameters to a state that is loaded, so that torch does not report them as missing."""
    for name, parameter in twins.named_parameters():
        state[prefix + name] = parameter
