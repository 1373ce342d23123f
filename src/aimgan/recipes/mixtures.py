"""Table 2 and figure 3: 25 modes on a grid, and how many of them a model finds (section 5.3).

    aimgan train grid/aim --seed 0         about two minutes on two cores; expected: 25 modes, high-quality 97 %
                                           (18 of 20 other seeds: benchmarks/results/grid-success.md)

The paper gives neither its networks nor its optimiser here; these were chosen on seed 0 and are the same for every
objective. `grid/aim` weights the likelihood by its own variance (docs/science.md 2), which the paper does not:
`--set weighting=none` is the paper's loss.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aimgan.data import Grid, Ring, Unbalanced
from aimgan.networks import MLP
from aimgan.recipes.recipe import Recipe

WEIGHTED = {"weighting": "both"}

# Of DualGAN. With its own, 0.01 and 200, the critics of points are too flat, and the loss of the cycles outweighs them.
CRITICS_OF_POINTS = {"clip": 0.1, "weight": 20.0}

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
RING = replace(GRID, name="ring/aim", data=Ring(), networks=MLP(scale=2.0))
UNBALANCED = replace(GRID, name="unbalanced/aim", data=Unbalanced())

# Learning rates that benchmarks/lr_search.py chose (benchmarks/results/lr-search.md). All others have GRID's.
RATES = {"veegan": 1e-3, "age": 5e-4}  # age: docs/objectives/age.md


def options_of(objective: str, data: Any) -> dict[str, Any]:
    """Return the options of an objective on a mixture: the paper's loss of every method, but for AIM's weighting."""
    if objective in ("vae", "avb", "symmetric-vae"):
        return {"sigma": data.std}  # the likelihood of x has the modes' own deviation
    if objective == "age":
        return {"code_weight": 10.0}  # its authors' 1,000 is for codes of 64 and 128 dimensions
    if objective == "dualgan":
        return CRITICS_OF_POINTS
    return WEIGHTED if objective == "aim" else {}


# Table 2 of the paper. The baselines' numbers are those of Srivastava et al. (2017).
TABLE_2 = {
    "Vanilla GAN": (3.3, 0.5),
    "ALI": (15.84, 1.6),
    "Unrolled GAN": (23.6, 16.0),
    "VEEGAN": (24.6, 40.0),
    "AIM (the paper)": (25.0, 81.1),
}
