"""Table 2 and figure 3: 25 modes on a grid, and how many of them a model finds (section 5.3).

    aimgan train grid/aim --seed 0         about two minutes on two cores; expected: 25 modes, high-quality 97 %

The paper gives neither its networks nor its optimiser here; these were chosen on seed 0 and are the same for every
objective. `grid/aim` weights the likelihood by its own variance (science.md 2), which the paper does not:
`--set weighting=none` is the paper's loss.
"""

from __future__ import annotations

from dataclasses import replace

from aimgan.data import Grid, Ring
from aimgan.experiments.recipe import Recipe
from aimgan.networks import MLP
from aimgan.objectives import OBJECTIVES

WEIGHTED = {"weighting": "both"}

GRID = Recipe(
    name="grid/aim",
    data=Grid(),
    networks=MLP(),
    objective="aim",
    options=WEIGHTED,
    batch_size=256,
    steps=30_000,
    lr=2e-3,
    schedule="linear",
    final_lr=0.4,
    ema=0.999,
)


def _recipes(base: Recipe, data: str) -> dict[str, Recipe]:
    return {
        f"{data}/{name}": replace(
            base, name=f"{data}/{name}", objective=name, options=base.options if name == "aim" else {}
        )
        for name in OBJECTIVES
    }


RECIPES = _recipes(GRID, "grid") | _recipes(replace(GRID, data=Ring(), networks=MLP(scale=2.0)), "ring")

# Table 2 of the paper. The baselines' numbers are Srivastava et al.'s (2017).
TABLE_2 = {
    "Vanilla GAN": (3.3, 0.5),
    "ALI": (15.84, 1.6),
    "Unrolled GAN": (23.6, 16.0),
    "VEEGAN": (24.6, 40.0),
    "AIM (the paper)": (25.0, 81.1),
}
