"""Many runs at once are the runs themselves: the same draws, gradients, moves and averages, in float64."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from aimgan import noise
from aimgan.errors import AimganError
from aimgan.networks import MLP, Table4
from aimgan.recipes import RECIPES
from aimgan.recipes.assemble import assemble
from aimgan.training.adam import Adam
from aimgan.training.engine import Engine, players
from aimgan.training.ensemble import Ensemble

SEEDS, RATES, BETAS, WEIGHTS = [0, 0, 3], [1e-2, 3e-3, 1e-2], [0.0, 0.5, 0.9], [0.1, 0.5, 2.5]
CASES: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("gan", {}, ()),
    ("ali", {}, ()),
    ("veegan", {}, ("weight",)),
    ("aim", {"weighting": "none"}, ("weight",)),
    ("aim", {"weighting": "both"}, ("weight",)),
    ("aim-minus", {}, ("weight",)),
]


def run(name: str, options: dict[str, Any], k: int, numbers: tuple[str, ...]) -> Any:
    given = {**options, **({"weight": WEIGHTS[k]} if numbers else {})}
    recipe = replace(RECIPES[f"grid/{name}"], networks=MLP(width=8), options=given)
    made: Any = assemble(recipe, SEEDS[k])
    for network in players(made).values():
        network.double()
    made.prior.double()
    return made


def batch(k: int, step: int) -> Tensor:
    return torch.randn(6, 2, generator=noise.generator(SEEDS[k], "data", step), dtype=torch.float64)


@pytest.mark.parametrize(("name", "options", "numbers"), CASES, ids=lambda case: str(case))
def test_a_member_is_its_own_run(name: str, options: dict[str, Any], numbers: tuple[str, ...]) -> None:
    runs = [run(name, options, k, numbers) for k in range(3)]
    together = Ensemble(runs, SEEDS, batch(0, 0), BETAS, ema=0.9, numbers=numbers)
    for step in range(4):
        losses = together.step(torch.stack([batch(k, step) for k in range(3)]), step, RATES)
    for k in range(3):
        alone = Engine(runs[k], Adam(BETAS[k]), Accelerator(cpu=True, mixed_precision="no"), SEEDS[k], ema=0.9)
        for step in range(4):
            log = alone.step(batch(k, step), step, RATES[k])
        expected = [value for key, value in log.items() if key.startswith("loss/")]
        torch.testing.assert_close(losses[:, k], torch.stack(expected), rtol=1e-9, atol=1e-9)
        for player, network in together.member(k).inference_networks.items():
            average = dict(alone.inference_networks[player].named_parameters())
            for key, parameter in network.named_parameters():
                torch.testing.assert_close(parameter, average[key], rtol=1e-9, atol=1e-9)


def test_what_cannot_be_vectorised_is_refused() -> None:
    aae: Any = assemble(replace(RECIPES["grid/aae"], networks=MLP(width=8)), 0)
    with pytest.raises(AimganError, match="AAE's step has 3 parts"):
        Ensemble([aae], [0], torch.randn(4, 2), [0.5])
    small = Table4(shape=(1, 8, 8), width=8, dim=2)
    with pytest.raises(AimganError, match="batch norm"):
        Ensemble([assemble(replace(RECIPES["folder/gan"], networks=small), 0)], [0], torch.randn(4, 1, 8, 8), [0.5])
