"""The engine's path on a GPU, on tensors that have a device, a type and a shape, but no numbers.

    python fake_cuda.py no bf16       where Python finds fake_cuda_device, which test_fake_cuda.py compiles

Each objective takes five steps; the fourth is the one that a CUDA graph would record. A line for each says what would
fail on a GPU: an operation between devices, a type that a kernel or autocast refuses, a number that is read or drawn
while a graph is recorded, a logged value that is not float32. There are no kernels, streams or graphs here: they need
a card (test_card.py).
"""

from __future__ import annotations

import copy
import sys
import warnings
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import fake_cuda_device  # noqa: F401 - before torch, which asks for its devices once
import torch
import torch.cuda.amp.common
from contract_players import CASES, OF_PAIRS
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from aimgan.networks import Table3, Table4
from aimgan.recipes import RECIPES
from aimgan.recipes.assemble import assemble
from aimgan.training import engine as engines
from aimgan.training.adam import Adam
from aimgan.training.graph import Capture, StaticStep

DEVICE = torch.device("cuda", 0)
FAMILIES = {"folder": Table4(shape=(3, 8, 8), dim=4, width=16), "mnist": Table3(width=16)}
BERNOULLI = [(name, {"likelihood": "bernoulli"}) for name in ("vae", "avb")]
READS = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "is_nonzero", "equal", "allclose"}
INITIALISERS = ("uniform_", "normal_", "zeros_", "ones_", "kaiming_uniform_", "kaiming_normal_", "constant_")
BATCH = 8


class Watch(TorchDispatchMode):
    """Looks at each operation, and notes those that a graph could not record."""

    def __init__(self) -> None:
        super().__init__()
        self.recording = False
        self.found: set[str] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = function._schema.name.removeprefix("aten::")
        if name == "_fused_adam_":  # it has no rule for fake tensors
            for tensor in tree_leaves(args[:4]):
                assert (tensor.dtype, tensor.device) == (torch.float32, DEVICE)
            assert kwargs["lr"].device == DEVICE
            return None
        out = function(*args, **kwargs)
        if self.recording:
            devices = {one.device.type for one in tree_leaves((args, kwargs, out)) if isinstance(one, Tensor)}
            if name in READS or devices - {"cuda"}:
                self.found.add(f"{name} on {sorted(devices)} while a graph is recorded")
        return out


class Stream:
    """The draws of a step."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def normal(self, n: int, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        if self.watch.recording:
            self.watch.found.add("drew while a graph is recorded")
        return torch.empty(n, *shape, device=DEVICE, dtype=dtype)


class Recording(Capture):
    """Says when a graph would be recorded."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def record(self, body: Any) -> Any:
        self.watch.recording = True
        try:
            log = body()
        finally:
            self.watch.recording = False
        return lambda: log


def moved(network: nn.Module, *_: Any, memory_format: Any = None) -> nn.Module:
    """Stand for `Module.to`, which cannot move fake tensors."""
    with torch.no_grad():
        for module in network.modules():
            for kept in (module._parameters, module._buffers):
                for name, tensor in kept.items():
                    if tensor is not None:
                        new = tensor.detach().to(DEVICE)
                        if memory_format and new.dim() == 4:
                            new = new.contiguous(memory_format=memory_format)
                        kept[name] = nn.Parameter(new) if kept is module._parameters else new
    return network


def engine_of(recipe: Any, precision: str, watch: Watch, mode: FakeTensorMode) -> engines.Engine:
    """Return the engine of a recipe on the fake device."""
    accelerator: Any = SimpleNamespace(device=DEVICE, num_processes=1, process_index=0, mixed_precision=precision)
    accelerator.autocast = lambda: torch.autocast("cuda", torch.bfloat16)
    deepcopy = lambda network: copy.deepcopy(network, {id(mode): mode})  # noqa: E731
    with patch.object(engines, "deepcopy", deepcopy), patch.object(torch, "Generator", SimpleNamespace):
        made = engines.Engine(recipe, Adam(), accelerator, 0, 0.9, channels_last=True)
    made._static = StaticStep(made._run_step, lambda step: Stream(watch), made._ema_rate, DEVICE, Recording(watch))
    return made


def faults_of(name: str, options: dict[str, Any], precision: str) -> list[str]:
    """Return what would go wrong with an objective on a GPU."""
    data = "mnist" if (name, options) in BERNOULLI else "folder"
    recipe = RECIPES[f"{data}/{name}"]
    recipe = replace(recipe, networks=FAMILIES[data], options={**recipe.options, **options})
    watch = Watch()
    with FakeTensorMode() as mode, watch, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            with torch.device(DEVICE):
                objective = assemble(recipe, 0, DEVICE)
            engine = engine_of(objective, precision, watch, mode)
            for step in range(5):
                log = engine.step(torch.empty(BATCH, *recipe.networks.shape, device=DEVICE), step, 1e-3)
        except Exception as error:
            return [f"{type(error).__name__}: {str(error).splitlines()[0]}"]
        found = [f"{term} is {value.dtype}" for term, value in log.items() if value.dtype != torch.float32]
        found += [f"{term} is on {value.device}" for term, value in engine.state().items() if value.device != DEVICE]
    found += [str(one.message) for one in warned if "CUDA graph" in str(one.message)]
    return [*found, *sorted(watch.found)]


def main(*precisions: str) -> None:
    """Print a line for each precision and objective; exit with 1 if one fails."""
    nn.Module.to = moved  # type: ignore[method-assign, assignment]
    for name in INITIALISERS:
        setattr(nn.init, name, lambda tensor, *_, **__: tensor)
    torch.cuda.amp.common.amp_definitely_not_available = lambda: False
    torch.cuda.is_available = lambda: False
    torch.cuda.is_bf16_supported = lambda *_, **__: True
    failed = False
    for precision in precisions:
        for name, options in [*CASES, *OF_PAIRS, *BERNOULLI]:
            found = faults_of(name, options, precision)
            failed = failed or bool(found)
            print(precision, name, options, "; ".join(found) or "ok", flush=True)  # noqa: T201
    sys.exit(int(failed))


if __name__ == "__main__":
    main(*sys.argv[1:])
