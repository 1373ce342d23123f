"""The arithmetic of a step: as many passes of each network as arithmetic.py says, and not one more (science.md 3).

Counted by torch's own counter (2 x multiply-adds) on meta tensors, which have shapes and no values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
import torch
from accelerate import Accelerator
from arithmetic import PASSES, cost, flops, formula
from torch import Tensor

from aimgan.networks import MLP, Networks, StandardNormal, Table3, Table4
from aimgan.objectives import OBJECTIVES
from aimgan.objectives.aim import AIM
from aimgan.recipes.assemble import make_player, player_names
from aimgan.training.engine import Engine

N = 100
FAMILIES: dict[str, Networks] = {
    "mlp": MLP(),
    "table3": Table3(),
    "table4": Table4(shape=(3, 16, 16), dim=5, width=32),
}
OF_TABLE_4 = ["aim", "ali", "avb", "unrolled-gan"]  # where its networks are another kind of thing than Table 3's
OPTIONS: dict[str, dict[str, Any]] = {
    "alice, adversarial": {"cycle": "adversarial"},
    "mdgan, manifold-diffusion": {"variant": "manifold-diffusion"},
    "unrolled-gan": {"unrolling": 2},
}


class Still:
    """Moves nothing: a step's arithmetic without the optimiser's."""

    def move(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], lr: float) -> None:
        assert len(parameters) == len(gradients)

    def state(self, parameter: Tensor) -> dict[str, Tensor]:
        return {}


def made(name: str, family: Networks, **options: Any) -> tuple[Any, Tensor]:
    """An objective and a batch, on meta tensors."""
    cls = cast(Any, OBJECTIVES[name])
    with torch.device("meta"):
        networks = {player: make_player(player, family, cls) for player in player_names(name, options)}
        return cls(**networks, prior=StandardNormal(family.dim), **options), torch.empty(N, *family.shape)


def step_flops(objective: Any, x: Tensor) -> int:
    engine = Engine(objective, Still(), Accelerator(cpu=True, mixed_precision="no"))
    return flops(lambda: engine.step(x, 0, 0.0))


@pytest.mark.parametrize(
    ("case", "family"),
    [*((case, family) for case in PASSES for family in ("mlp", "table3")), *((case, "table4") for case in OF_TABLE_4)],
)
def test_a_step_has_the_passes_of_its_formula(case: str, family: str) -> None:
    objective, x = made(case.split(",")[0], FAMILIES[family], **OPTIONS.get(case, {}))
    assert step_flops(objective, x) == formula(case, objective, x)


@pytest.mark.parametrize("generator", ["minimax", "non-saturating"])
@pytest.mark.parametrize(("family", "k"), [("mlp", 0), ("mlp", 1), ("mlp", 3), ("table4", 1), ("table4", 3)])
def test_unrolling_costs_what_it_says(family: str, k: int, generator: str) -> None:
    objective, x = made("unrolled-gan", FAMILIES[family], unrolling=k, generator=generator)
    assert step_flops(objective, x) == formula("unrolled-gan", objective, x)


def test_every_objective_has_a_formula() -> None:
    assert {case.split(",")[0] for case in PASSES} == {*OBJECTIVES}


@pytest.mark.parametrize(("family", "billions"), [(Table3(), 26.85), (Table4(), 839.9)], ids=["Table 3", "Table 4"])
def test_a_step_of_aim_has_no_redundant_arithmetic(family: Table3 | Table4, billions: float) -> None:
    """G 3 x, D 7 x, E 3 x one forward, less z's gradient, and x's and x_z's where D's own loss is descended."""
    objective, x = made("aim", family)
    assert isinstance(objective, AIM)
    with torch.device("meta"):
        z = torch.empty(N, family.dim)
    G, D = cost(objective.G, (z,)), cost(objective.D, (x,))
    E = cost(objective.E, (objective.D.features(x).detach(),))  # type: ignore[operator]
    step = step_flops(objective, x)
    assert step == 3 * G["F"] + 7 * D["F"] + 3 * E["F"] - G["first"] - 2 * D["first"]
    assert step == pytest.approx(billions * 1e9, rel=1e-3)
