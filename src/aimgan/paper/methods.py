"""The rows of the comparisons: what each method is as a recipe, and what was published about it on the grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aimgan.errors import AimganError, near_miss
from aimgan.objectives import OBJECTIVES
from aimgan.recipes import RECIPES
from aimgan.recipes.mixtures import TABLE_2

MIXTURES = ("grid", "ring", "unbalanced")  # of the plane
IMAGES = ("mnist", "cifar10", "celeba")


@dataclass(frozen=True)
class Method:
    """A row: an objective with settings on any of the data; the paper's (modes, HQ %), PacGAN's (HQ %, modes, KL).

    Published numbers belong to the grid. A method without an objective is a reference: it is shown, never run.
    """

    key: str
    label: str
    objective: str | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    paper: tuple[float, float] | None = None
    pacgan: tuple[float, float, float] | None = None

    def recipe(self, data: str) -> str:
        """Return the recipe's name. Raises AimganError where there is none yet."""
        name = f"{data}/{self.objective}"
        if name not in RECIPES:
            raise near_miss("recipe", name, [known for known in RECIPES if known.startswith(f"{data}/")])
        return name


# PacGAN's numbers: Lin et al. (NeurIPS 2018), Table 1, ten trials, 2,500 samples by the same rule.
METHODS: dict[str, Method] = {
    method.key: method
    for method in (
        Method("gan", "GAN", "gan", {}, TABLE_2["Vanilla GAN"], (94.8, 17.3, 0.70)),
        Method("ali", "ALI", "ali", {}, TABLE_2["ALI"], (95.7, 24.1, 0.14)),
        Method("bigan", "BiGAN", "bigan"),
        Method("alice", "ALICE", "alice"),
        Method("unrolled-gan", "Unrolled GAN", "unrolled-gan", {}, TABLE_2["Unrolled GAN"]),
        Method("veegan", "VEEGAN", "veegan", {}, TABLE_2["VEEGAN"]),
        Method("aim-minus", "AIM-", "aim-minus"),
        Method("aim", "AIM (the paper's loss)", "aim", {"weighting": "none"}, TABLE_2["AIM (the paper)"]),
        Method("aim-weighted", "AIM, weighted likelihood", "aim"),
    )
}
REFERENCES = (Method("pacgan4", "PacGAN4", None, pacgan=(93.6, 24.8, 0.04)),)


# Table 1's. ALICE "best of three lambdas": its own paper searches it, and figure 7 is about nothing else.
IMAGE_METHODS: dict[str, Method] = {
    method.key: method
    for method in (
        Method("gan", "GAN", "gan"),
        Method("ali", "ALI", "ali"),
        *(Method(f"alice-{w}", f"ALICE, λ = {w}", "alice", {"weight": float(w)}) for w in (1, 10, 100)),
        Method("aim-minus", "AIM-", "aim-minus"),
        Method("aim", "AIM", "aim"),
        Method("vae", "VAE, σ = 0.1", "vae"),
    )
}


def chosen(names: Sequence[str] | None, data: str) -> list[Method]:
    """Return a data set's methods of these names (all of its table's without any), or objectives by their own names.

    Raises AimganError for a method that is not known, with the near miss.
    """
    table = IMAGE_METHODS if data in IMAGES else METHODS
    wanted = dict.fromkeys(name.strip() for name in (table if names is None else names) if name.strip())
    if not wanted:
        raise AimganError(f"--methods names nothing; expected names with commas between, such as {','.join(table)}")
    for name in wanted:
        if not {table[name].objective if name in table else name} <= set(OBJECTIVES):
            known = [key for key, method in table.items() if method.objective in OBJECTIVES]
            raise near_miss("method", name, {*known, *OBJECTIVES})
    return [table.get(name) or Method(name, name, name) for name in wanted]
