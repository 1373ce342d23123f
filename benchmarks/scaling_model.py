"""How long a step of AIM takes on n processes, and what it keeps in memory: counts, formulas, machines.

`scaling.py` fits and uses it; docs/scaling.md says where each number is from.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from aimgan.networks import StandardNormal, Table4
from aimgan.objectives.aim import AIM
from aimgan.recipes.assemble import make_player
from aimgan.training.engine import Engine

sys.path.append(str(Path(__file__).parents[1] / "tests" / "helpers"))
from arithmetic import formula

NORMS = ("aten.native_batch_norm.default", "aten.native_batch_norm_backward.default")


@dataclass(frozen=True)
class Counts:
    """What a step consists of. An image is one of the global batch."""

    updates: tuple[int, ...]  # the parameters that each update moves: what one all-reduce sends
    flop: float  # an image
    activations: float  # elements kept for the backward passes, an image
    operations: int  # calls of a kernel, views left out
    norms: int  # batch-norm calls, forward and backward: if statistics are of all processes, a collective each

    @property
    def parameters(self) -> int:
        return sum(self.updates)


class Still:
    """Moves nothing."""

    def move(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], lr: Any) -> None:
        pass

    def state(self, parameter: Tensor) -> dict[str, Tensor]:
        return {}


class Calls(TorchDispatchMode):
    """Counts the kernels that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen[str(func)] += not func.is_view
        return func(*args, **(kwargs or {}))


@cache
def counts(family: Table4, n: int = 32) -> Counts:
    """Count a step of AIM on meta tensors, which have shapes and no values."""
    with torch.device("meta"):
        players = {name: make_player(name, family, AIM) for name in ("G", "E", "D")}
        objective: Any = AIM(**players, prior=StandardNormal(family.dim))
        x = torch.empty(n, *family.shape)
    engine = Engine(objective, Still(), Accelerator(cpu=True))
    kept: dict[int, Tensor] = {}
    weights = {p.untyped_storage()._cdata for network in players.values() for p in network.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), Calls() as calls:
        engine.step(x, 0, 0.0)
    size = {name: sum(p.numel() for p in network.parameters()) for name, network in players.items()}
    return Counts(
        updates=(size["D"], size["G"] + size["E"]),
        flop=formula("aim", objective, x) / n,
        activations=sum(t.untyped_storage().nbytes() // 4 for key, t in kept.items() if key not in weights) / n,
        operations=sum(calls.seen.values()),
        norms=sum(calls.seen[name] for name in NORMS),
    )


# --- this machine: fitted -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fit:
    """Seconds on one thread: of a step, of 10^9 FLOP, of 10^6 elements and parameters; and what two processes add."""

    step: float
    gflop: float
    activation: float
    parameter: float
    latency: float  # of an all-reduce
    link: float  # bytes a second
    contention: float = 1.0  # how much longer a process computes when the other one does
    flat: float = 0.0  # of 10^6 parameters: to lay gradients out flat, copy and divide them


def terms(c: Counts, images: float) -> list[float]:
    """What one process does, in the units of Fit's first four."""
    return [1.0, c.flop * images / 1e9, c.activations * images / 1e6, c.parameters / 1e6]


def own_seconds(fit: Fit, c: Counts, images: float) -> float:
    """A step of one process alone."""
    rates = (fit.step, fit.gflop, fit.activation, fit.parameter)
    return sum(rate * term for rate, term in zip(rates, terms(c, images), strict=True))


def ring_bytes(n: int, size: float) -> float:
    """Bytes that each of n processes sends in an all-reduce of `size` bytes: two passes of n - 1 parts in n."""
    return 2 * (n - 1) / n * size


def sent_seconds(fit: Fit, c: Counts, n: int) -> float:
    """The all-reduces of a step, one an update, in float32."""
    return sum(fit.latency + ring_bytes(n, 4 * p) / fit.link for p in c.updates) if n > 1 else 0.0


def step_seconds(fit: Fit, c: Counts, batch: int, n: int) -> float:
    """A step of n processes (1 or 2, a thread each) on a global batch."""
    own = own_seconds(fit, c, batch / n)
    if n == 1:
        return own
    return fit.contention * own + fit.flat * c.parameters / 1e6 + sent_seconds(fit, c, n)


# --- GPUs: from stated speeds -------------------------------------------------------------------------------------

US = 1e-6


@dataclass(frozen=True)
class GPU:
    """An SXM card in a node of 8. FLOP/s are dense; bytes a second in one direction."""

    name: str
    peak: float  # TF32
    memory: float  # bytes
    hbm: float
    nvlink: float = 450e9
    network: float = 50e9  # 400 Gb/s a GPU
    node: int = 8


H100 = GPU("H100", 494.7e12, 80e9, 3.35e12)
H200 = GPU("H200", 494.7e12, 141e9, 4.8e12)
WIRE = 0.8  # assumed: what of a link's stated speed an all-reduce sees
TRAFFIC = 20  # bytes to and from memory for an element kept: written, read twice, its gradient written and read
MOVED = 28 + 24  # bytes for a parameter: Adam reads 4 numbers and writes 3; flat copy, reduce's copy, the mean
SYNC_CALLS = 8  # kernels of a synchronised batch norm beyond a plain one: 13 forward, 3 backward (torch, _functions.py)
RING, TREE, SMALL = (8.4, 3.4, 9.6), (0.0, 28.0, 50.0), (4.4, 0.52 * 1.8, 5.0)  # us: base, a hop in a node, between


def all_reduce(gpu: GPU, n: int, size: float) -> float:
    """Seconds by NCCL's own cost model: the better of ring and tree (its "simple" protocol)."""
    if n == 1:
        return 0.0
    inside, nodes = min(n, gpu.node), math.ceil(n / gpu.node)
    bus = WIRE * (gpu.nvlink if nodes == 1 else min(gpu.nvlink, inside * gpu.network))
    between = 2 * (nodes - 1)
    ring = (RING[0] + (2 * (n - 1) - between) * RING[1] + between * RING[2]) * US + ring_bytes(n, size) / bus
    return min(ring, tree_latency(TREE, inside, nodes) + 2 * size / (0.9 * bus))


def tree_latency(us: tuple[float, float, float], inside: int, nodes: int) -> float:
    return (us[0] + 2 * ((inside - 1) * us[1] + math.log2(nodes) * us[2])) * US


@dataclass(frozen=True)
class Scaled:
    """A step on n GPUs, in seconds by cause. Nothing overlaps but the host with its GPU."""

    gpus: int
    batch: float  # global
    arithmetic: float
    memory: float
    host: float
    reduce: float
    norm: float

    @property
    def seconds(self) -> float:
        return max(self.arithmetic + self.memory, self.host) + self.reduce + self.norm

    @property
    def graphed(self) -> float:
        """Seconds if a step were one graph, which costs the host next to nothing."""
        return self.arithmetic + self.memory + self.reduce + self.norm

    @property
    def limit(self) -> str:
        """What takes longest."""
        if self.batch / self.gpus < 1:
            return "less than an image a GPU"
        parts = {"arithmetic": self.arithmetic, "memory": self.memory, "all-reduce": self.reduce, "norm": self.norm}
        names = {"host": "host: calls of kernels", "norm": "batch-norm statistics", "memory": "memory traffic"}
        waits = self.host > self.arithmetic + self.memory
        shown = {"host": self.host, "all-reduce": self.reduce, "norm": self.norm} if waits else parts
        longest = max(shown, key=shown.__getitem__)
        return names.get(longest, longest)


def scaled(gpu: GPU, c: Counts, batch: float, n: int, utilisation: float, call: float) -> Scaled:
    """A step on n GPUs. `utilisation` is of peak FLOP/s, `call` the host's seconds for a kernel; both measured."""
    images = batch / n
    inside, nodes = min(n, gpu.node), math.ceil(n / gpu.node)
    synced = c.norms if n > 1 else 0
    return Scaled(
        gpus=n,
        batch=batch,
        arithmetic=c.flop * images / (utilisation * gpu.peak),
        memory=(TRAFFIC * c.activations * images + MOVED * c.parameters) / gpu.hbm,
        host=call * (c.operations + SYNC_CALLS * synced) if n > 1 else 0.0,  # one process: the step is one graph
        reduce=sum(all_reduce(gpu, n, 4 * p) for p in c.updates),
        norm=synced * tree_latency(SMALL, inside, nodes),
    )


def bytes_a_parameter(c: Counts, averages: bool = True) -> float:
    """Weights, gradients, two moments, averages, and an update's flat gradients with their reduced copy; float32."""
    return 4 + 4 + 8 + 4 * averages + 8 * max(c.updates) / c.parameters


def largest(gpu: GPU, c: Counts, room: float = 0.9) -> float:
    """Parameters that fit a GPU whole, activations left aside: beyond, they must be shared out (sharded)."""
    return room * gpu.memory / bytes_a_parameter(c)
