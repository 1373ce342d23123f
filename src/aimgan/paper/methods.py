"""The methods that the tables compare: an objective with settings, and what was published about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from aimgan.errors import AimganError, near_miss
from aimgan.objectives import OBJECTIVES
from aimgan.recipes import RECIPES
from aimgan.recipes.mixtures import TABLE_2

MIXTURES = ("grid", "ring", "unbalanced")
IMAGES = ("mnist", "cifar10", "celeba")


@dataclass(frozen=True)
class Method:
    """An objective with settings, and its published numbers on the grid.

    `paper` is (modes, HQ %) of AIM's paper, `pacgan` (HQ %, modes, KL) of PacGAN's. A method without an objective is
    only shown, because there are published numbers of it.
    """

    key: str
    label: str
    objective: str | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    paper: tuple[float, float] | None = None
    pacgan: tuple[float, float, float] | None = None

    def with_settings(self, settings: Mapping[str, Any]) -> Method:
        """Return the method with further settings, which replace those of its own with the same name."""
        return replace(self, settings={**self.settings, **settings})

    def recipe(self, data: str) -> str:
        """Return the name of the recipe on a data set. Raises AimganError if there is none."""
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


# Table 1's. ALICE has three values of lambda, because its own paper searches for the best, and figure 7 compares them.
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
    """Return the methods of these names, or all of the data set's table; an objective's own name is a name too.

    Raises AimganError for an unknown name, with the nearest known one.
    """
    table = METHODS
    if data in IMAGES:
        table = IMAGE_METHODS
    if names is None:
        return list(table.values())
    methods = {}
    for name in filter(None, map(str.strip, names)):
        method = table.get(name) or Method(name, name, name)
        if method.objective not in OBJECTIVES:
            raise near_miss("method", name, {*table, *OBJECTIVES})
        methods[name] = method
    if not methods:
        raise AimganError(f"--methods names nothing; expected names with commas between, such as {','.join(table)}")
    return list(methods.values())
