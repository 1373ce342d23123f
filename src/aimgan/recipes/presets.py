"""Presets of size and length: the code of the paper's runs, at a cost that smaller machines can afford.

paper    the recipe as it stands: Tables 3 and 4, 400 and 300 epochs
quick    the paper's networks, ten epochs
cpu      networks of a quarter of the width, colour at 32 x 32 pixels, three epochs: minutes on two cores. Of folders:
         narrower networks, a fresh encoder at the end; for ten minutes, if no length is given
refined  of aim on mixtures: the paper's loss with a floor under the variance of q(z|x), slower averages of the weights,
         a fresh encoder at the end; compiled steps, about three minutes
residual, residual-cpu
         beyond the paper, of aim and gan on colour: residual networks without batch norm, a relativistic game with
         gradient penalties on both sides (R3GAN, Huang et al. 2024), averaged weights; at 64 and 32 pixels
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from aimgan.errors import AimganError, near_miss
from aimgan.networks import Networks, Residual
from aimgan.objectives import OBJECTIVES
from aimgan.recipes.recipe import Recipe, objective_options, setting_names, with_settings

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Preset:
    """What a preset makes of the recipes of one data set.

    `refit` is by objective, and `minutes` is how long a run takes whose command says no length.
    """

    settings: Settings = field(default_factory=dict)
    networks: Networks | None = None  # instead of the recipe's
    refit: Mapping[str, float] = field(default_factory=dict)
    minutes: float | None = None


# Adam moves a weight by about lr whatever the width, so a layer's output moves with its number of inputs: a quarter
# of them takes four times the rate (Yang et al. 2022, muP). At the paper's 2e-4 D wins outright (docs/images.md).
_LR = 8e-4
_R3GAN: Settings = {"value": "relativistic", "penalty": 1.0, "ema": 0.999, "beta1": 0.0, "beta2": 0.99}
_COLOUR = ("cifar10", "celeba")
_FOLDERS = ("folder", "stream")
_CPU_MNIST: Settings = {"networks.width": 256, "lr": _LR, "epochs": 3, "samples": 10_000}
_CPU_COLOUR: Settings = {
    **_CPU_MNIST,
    "data.size": 32,
    "channels_last": True,  # a sixth faster (benchmarks/results/step.md)
}
_CPU_FOLDER: Settings = {  # chosen on three folders (benchmarks/results/folder_search.md)
    "data.size": 32,
    "networks.width": 64,
    "lr": 1e-3,
    "samples": 10_000,
    "channels_last": True,
    "evaluate_every": 25,
}
# The paper's loss finds every mode, and spoils them once q(z|x) is narrow: its pull on G is divided by the variance.
# With a floor under the variance they stay (docs/objectives/aim.md). Averages are of 5,000 steps, since the width of
# G's modes changes from step to step.
_REFINED: Settings = {
    "weighting": "none",
    "networks.min_log_variance": -1.5,
    "steps": 45_000,
    "schedule": "cosine",
    "final_lr": 0.1,
    "ema": 0.9998,
    "compile": True,
    "refit": 0.07,
}
_ON_FOLDERS = Preset(_CPU_FOLDER, refit={"aim": 0.5, "aim-minus": 0.5}, minutes=10.0)
_RESIDUAL_CPU = Preset({**_CPU_COLOUR, "lr": 2e-4, **_R3GAN}, networks=Residual())
PRESETS: dict[str, dict[str, Preset]] = {
    "paper": dict.fromkeys(("mnist", *_COLOUR, *_FOLDERS), Preset()),
    "quick": dict.fromkeys(("mnist", *_COLOUR), Preset({"epochs": 10})),
    "cpu": {
        "mnist": Preset(_CPU_MNIST),
        **dict.fromkeys(_COLOUR, Preset(_CPU_COLOUR)),
        **dict.fromkeys(_FOLDERS, _ON_FOLDERS),
    },
    "refined": dict.fromkeys(("grid", "ring", "unbalanced"), Preset(_REFINED)),
    "residual": dict.fromkeys(_COLOUR, Preset(_R3GAN, networks=Residual(shape=(3, 64, 64), width=512))),
    "residual-cpu": dict.fromkeys(_COLOUR, _RESIDUAL_CPU),
}
ON_A_CPU = dict.fromkeys(_FOLDERS, "cpu")  # the presets that a CPU has where none is named


def preset_of(recipe: Recipe, preset: str) -> Preset:
    """Return a preset for the data of a recipe. Raises AimganError if it is not available for them."""
    if preset not in PRESETS:
        raise near_miss("preset", preset, PRESETS)
    data = recipe.name.split("/")[0]
    if data not in PRESETS[preset]:
        having = ", ".join(PRESETS[preset])
        raise AimganError(
            f"preset {preset!r} is not available for {recipe.name}; expected a recipe of {having}, or no --preset"
        )
    return PRESETS[preset][data]


def with_preset(recipe: Recipe, preset: str) -> Recipe:
    """Return the recipe with a preset's settings. Raises AimganError if the preset is not available for it."""
    found = preset_of(recipe, preset)
    options = {name for name in found.settings if "." not in name} - {*setting_names(recipe)}
    unknown = sorted(options - objective_options(recipe.objective))
    if unknown:
        having = " and ".join(name for name in sorted(OBJECTIVES) if options <= objective_options(name))
        raise AimganError(f"preset {preset!r} is for {having}: {recipe.objective} has no option {unknown[0]!r}")
    settings = {**found.settings}
    if found.refit:
        settings["refit"] = found.refit.get(recipe.objective)
    return with_settings(replace(recipe, networks=found.networks or recipe.networks), settings)
