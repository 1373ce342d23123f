"""How long a step of AIM takes on one and two processes: what is counted, the formula, and its fit (scaling.py)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import common  # noqa: F401  # makes tests/helpers importable
import numpy as np
import torch
from arithmetic import formula
from scipy.optimize import nnls
from torch import Tensor

from aimgan.networks import StandardNormal, Table4
from aimgan.objectives.aim import AIM
from aimgan.recipes.assemble import make_player

SIZES = [(width, batch) for width in (32, 64, 128) for batch in (16, 48, 96)]  # Table 4's networks at 32 x 32


def family(width: int, side: int = 32) -> Table4:
    """Return Table 4's networks at another size."""
    return Table4(shape=(3, side, side), width=width)


@dataclass(frozen=True)
class Counts:
    """What a step consists of. An image is one of the global batch."""

    updates: tuple[int, ...]  # the parameters that each update moves: what one all-reduce sends
    flop: float  # an image
    activations: float  # elements kept for the backward passes, an image

    @property
    def parameters(self) -> int:
        return sum(self.updates)


@cache
def counts(family: Table4, n: int = 32) -> Counts:
    """Count a step of AIM on meta tensors, which have shapes and no values."""
    with torch.device("meta"):
        players = {name: make_player(name, family, AIM) for name in ("G", "E", "D")}
        objective: Any = AIM(**players, prior=StandardNormal(family.dim))
        x = torch.empty(n, *family.shape)
    weights = {p.untyped_storage()._cdata for network in players.values() for p in network.parameters()}
    kept: dict[int, int] = {}  # elements, by storage

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage.nbytes() // 4
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        _losses = list(objective.step(x))  # keeps the tensors alive until all are counted
    size = {name: sum(p.numel() for p in network.parameters()) for name, network in players.items()}
    moved = (size["D"], size["G"] + size["E"])
    return Counts(moved, formula("aim", objective, x) / n, sum(kept.values()) / n)


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
    """Return what one process does, in the units of Fit's first four numbers."""
    return [1.0, c.flop * images / 1e9, c.activations * images / 1e6, c.parameters / 1e6]


def own_seconds(fit: Fit, c: Counts, images: float) -> float:
    """Return the seconds of a step of one process alone."""
    return float(np.dot([fit.step, fit.gflop, fit.activation, fit.parameter], terms(c, images)))


def ring_bytes(n: int, size: float) -> float:
    """Return the bytes that each of n processes sends in an all-reduce of `size` bytes: two passes of n - 1 parts."""
    return 2 * (n - 1) / n * size


def sent_seconds(fit: Fit, c: Counts, n: int) -> float:
    """Return the seconds of a step's all-reduces, one an update, in float32."""
    if n == 1:
        return 0.0
    return sum(fit.latency + ring_bytes(n, 4 * parameters) / fit.link for parameters in c.updates)


def step_seconds(fit: Fit, c: Counts, batch: int, n: int) -> float:
    """Return the seconds of a step of n processes (1 or 2, a thread each) on a global batch."""
    own = own_seconds(fit, c, batch / n)
    if n == 1:
        return own
    return fit.contention * own + fit.flat * c.parameters / 1e6 + sent_seconds(fit, c, n)


def fitted(measured: dict[tuple[int, int, int], float], sent: dict[int, float]) -> Fit:
    """Fit the model to steps by (processes, width, batch) and all-reduces by bytes, in seconds.

    Least squares of relative errors, no rate below zero: all-reduces alone, then one process, then what two add.
    """
    latency, byte = least_squares([[1.0, size] for size in sent], list(sent.values()))
    of = {width: counts(family(width)) for width, _ in SIZES}
    alone = least_squares([terms(of[w], b) for w, b in SIZES], [measured[1, w, b] for w, b in SIZES])
    fit = Fit(*alone, latency=latency, link=1 / byte)
    both = [[own_seconds(fit, of[w], b / 2), of[w].parameters / 1e6] for w, b in SIZES]
    left = [measured[2, w, b] - sent_seconds(fit, of[w], 2) for w, b in SIZES]
    contention, flat = least_squares(both, left, [measured[2, w, b] for w, b in SIZES])
    return replace(fit, contention=contention, flat=flat)


def least_squares(rows: list[list[float]], wanted: list[float], scale: list[float] | None = None) -> list[float]:
    """Return the coefficients, none below zero, with the least sum of squared errors in units of `scale`."""
    weights = 1 / np.array(scale or wanted)
    return nnls(np.array(rows) * weights[:, None], np.array(wanted) * weights)[0].tolist()
