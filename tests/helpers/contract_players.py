"""What the contract suite trains: tiny networks in float64, by a plain rule, also by processes in threads."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from aimgan import noise
from aimgan.networks import MLP, Networks, StandardNormal, Table4
from aimgan.objectives import OBJECTIVES, Objective
from aimgan.recipes.assemble import make_player, player_names
from aimgan.training.adam import Adam, Rule
from aimgan.training.engine import Engine, players

FAMILIES: dict[str, Networks] = {
    "plain": MLP(shape=(2,), dim=3, width=8, generator_depth=2),
    "batch norm": Table4(shape=(3, 8, 8), dim=3, width=8),
}


def make(name: str, family: str = "plain", seed: int = 0, **options: Any) -> Any:
    """Make the objective `name` with fresh players, in float64 as their codes are."""
    networks, objective = FAMILIES[family], cast(Any, OBJECTIVES[name])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = {key: make_player(key, networks, objective).double() for key in player_names(name, options)}
    return objective(**made, prior=StandardNormal(networks.dim).double(), **options)


def data(family: str, step: int = 0, n: int = 6) -> Tensor:
    """Draw the batch of a step."""
    return noise.normal(
        n, *FAMILIES[family].shape, generator=noise.generator("data", family, step), dtype=torch.float64
    )


@dataclass
class SGD:
    """p <- p - lr * gradient, and a record of who was moved."""

    moved: list[set[int]] = field(default_factory=list)

    @torch.no_grad()
    def move(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], lr: float) -> None:
        self.moved.append({id(parameter) for parameter in parameters})
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter -= lr * gradient

    def state(self, parameter: Tensor) -> dict[str, Tensor]:
        return {}


@dataclass
class Cluster:
    """`world` processes that live in threads: a reduction waits for all of them."""

    world: int

    def __post_init__(self) -> None:
        self.barrier = threading.Barrier(self.world, timeout=30)
        self.parts: list[Tensor] = [torch.empty(0)] * self.world

    def mean(self, rank: int, tensor: Tensor) -> Tensor:
        self.parts[rank] = tensor
        self.barrier.wait()
        mean = torch.stack(self.parts).mean(dim=0)
        self.barrier.wait()
        return mean


class Process(Accelerator):
    """What the engine uses of an Accelerator, without its global state: by default the only process."""

    def __init__(self, cluster: Cluster | None = None, rank: int = 0) -> None:
        self.cluster, self.rank = cluster or Cluster(1), rank

    process_index = property(lambda self: self.rank)
    num_processes = property(lambda self: self.cluster.world)
    device = property(lambda self: torch.device("cpu"))
    mixed_precision = property(lambda self: "no")

    def reduce(self, tensor: Tensor, reduction: str = "sum", scale: float = 1.0) -> Tensor:
        assert reduction == "mean"
        return self.cluster.mean(self.rank, tensor)


CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in OBJECTIVES),
    ("aim", {"weighting": "both"}),
    ("aim", {"weighting": "encoder", "beta": 0.5}),
    ("aim", {"weighting": "generator"}),
    ("aim", {"value": "f-gan"}),
    ("aim", {"value": "f-gan-swapped", "weight": 1.0}),
    ("aim", {"penalty": 0.1}),
    ("gan", {"penalty": 0.1}),
    ("alice", {"cycle": "l1", "weight": 0.3}),
    ("alice", {"cycle": "adversarial"}),
    ("veegan", {"weight": 0.3}),
    ("unrolled-gan", {"generator": "non-saturating", "unrolling": 2}),
    ("mdgan", {"variant": "manifold-diffusion"}),
    ("cyclegan", {"history": "none", "weight": 0.3}),
    ("dualgan", {"weight": 0.3, "clip": 0.1, "critic_steps": 1}),
]
# Of D's outputs only differences are in the loss, which therefore leaves D's last bias where it is.
OF_PAIRS: list[tuple[str, dict[str, Any]]] = [
    (name, {"value": "relativistic", "penalty": 0.1}) for name in ("aim", "gan")
]
# Their losses are no means over samples, so n processes are not one; their pages say why.
OF_A_WHOLE_BATCH = {"age", "unrolled-gan"}
# Each process has a pool of its own.
WITH_A_POOL = ("cyclegan", {})
every_objective = pytest.mark.parametrize("name", OBJECTIVES)
every_family = pytest.mark.parametrize("family", FAMILIES)


def of_cases(cases: list[tuple[str, dict[str, Any]]]) -> pytest.MarkDecorator:
    ids = ["-".join([name, *map(str, options.values())]) for name, options in cases]
    return pytest.mark.parametrize(("name", "options"), cases, ids=ids)


every_case = of_cases(CASES)
ONE_AND_MANY = [case for case in CASES if case[0] not in OF_A_WHOLE_BATCH and case != WITH_A_POOL]
every_split_case = of_cases(ONE_AND_MANY + OF_PAIRS)


def last_biases_of_critics(name: str, objective: Any) -> set[str]:
    """Parameters that a step may leave where they are: a critic's loss is a difference of its outputs."""
    if name != "dualgan":
        return set()
    last = {player: [*dict(getattr(objective, player).named_parameters())][-1] for player in ("D", "D_z")}
    assert all(key.endswith("bias") for key in last.values())
    return {f"{player}.{key}" for player, key in last.items()}


def engine(objective: Objective, rule: Rule | None = None, ema: float = 0.0, seed: int = 0) -> Engine:
    """An engine alone in the world."""
    return Engine(objective, rule or Adam(), Process(), seed, ema)


def parameters(objective: Any) -> dict[str, Tensor]:
    """Copy the players' parameters, by name."""
    named = ((name, *item) for name, network in players(objective).items() for item in network.named_parameters())
    return {f"{name}.{key}": parameter.detach().clone() for name, key, parameter in named}


def assert_equal(got: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 0.0) -> None:
    """Compare by name, bit for bit unless a tolerance is given."""
    assert got.keys() == expected.keys()
    for name, value in got.items():
        label = f"{name}: {{}}".format
        torch.testing.assert_close(value, expected[name], rtol=tolerance, atol=tolerance, msg=label)
