"""Short runs with something wrong in them, each of which must raise its alarm, and the training of such a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console

from aimgan.evaluation.collapse import collapse_signs
from aimgan.model import to_range
from aimgan.recipes.assemble import assemble, config_of, model_of
from aimgan.recipes.resolving import fitted, prepared
from aimgan.runs.loading import loaded
from aimgan.runs.train import engine_of
from aimgan.training.engine import Engine
from aimgan.training.loop import Loop, NonFiniteLoss, learning_rate
from aimgan.training.run_dir import RunDir

SEED, LOG_EVERY, EVALUATE_EVERY = 0, 5, 25


@dataclass(frozen=True)
class Case:
    """A recipe, its settings, what is done to it halfway, and the alarm that must stand at the end (None: none)."""

    recipe: str
    alarm: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 200
    spoil: Callable[[Engine], None] | None = None  # called after half of the steps
    faster: float = 1.0  # the learning rate of the second half, over that of the first


def saturate(value: float) -> Callable[[Engine], None]:
    """Return what gives all of G's outputs before its sigmoid one value."""

    def spoil(engine: Engine) -> None:
        layers = [layer for layer in engine.networks["G"].modules() if isinstance(layer, torch.nn.Linear)]
        layers[-1].bias.data.fill_(value)

    return spoil


def widen(engine: Engine) -> None:
    """Make E's variances e^8 for every input, as they become where its learning rate is too high."""
    head = engine.networks["E"][-1].log_variance
    head.weight.data.zero_()
    head.bias.data.fill_(8.0)


def mislead(engine: Engine) -> None:
    """Make E answer every image with one code that is far from the prior."""
    head = engine.networks["E"][-1].mean
    head.weight.data.zero_()
    head.bias.data.fill_(5.0)


SMALL = {"networks.width": 32, "ema": 0.0}
FLOOR = {**SMALL, "networks.min_log_variance": -1.0, "networks.width": 64}
PROVOKED = (
    Case("grid/gan", "generator-dead", {**SMALL, "lr": 0.2}),
    Case("digits/gan", "discriminator-saturated", SMALL, spoil=saturate(-50), faster=20.0),
    Case("digits/gan", "output-saturated", SMALL, spoil=saturate(50)),
    Case("digits/vae", "posterior-collapse", {**SMALL, "sigma": 10.0}),
    Case("ring/aim", "variance-at-floor", FLOOR),
    Case("grid/aim", "variance-at-ceiling", SMALL, spoil=widen),
    Case("digits/aim", "worse-than-mean-image", SMALL, spoil=mislead),
    Case("grid/aim", "mode-kl-rising", {**SMALL, "weight": 1000.0}),
    Case("grid/aim-minus", "losses-growing", {**SMALL, "schedule": "constant"}, faster=100.0),
)


def trained(case: Case, folder: Path) -> tuple[list[dict[str, Any]], str]:
    """Train, and return the rows of metrics.jsonl and the error that ended the run, or an empty string."""
    recipe = prepared(case.recipe, settings=case.settings)
    data = loaded(recipe.data, Console(quiet=True))
    recipe = fitted(recipe, data)
    engine = engine_of(recipe, assemble(recipe, SEED), Accelerator(cpu=True), SEED)
    rate = learning_rate(recipe.schedule, recipe.lr, case.steps, case.steps, recipe.final_lr)
    half = case.steps // 2

    def spoil(step: int, row: object) -> None:
        if case.spoil and step == half:
            case.spoil(engine)

    run = RunDir(folder)
    run.begin({"steps": case.steps})
    loop = Loop(
        engine,
        batch=lambda step: to_range(data.batch(SEED, step, recipe.batch_size), recipe.networks.value_range),
        rate=lambda step: rate(step) * (case.faster if step >= half else 1.0),
        steps=case.steps,
        run=run,
        log_every=LOG_EVERY,
        evaluate=lambda step: collapse_signs(model_of(engine, config_of(recipe, {})), data, SEED),
        evaluate_every=EVALUATE_EVERY,
        checkpoint_seconds=1e9,
        progress=spoil,
    )
    error = ""
    try:
        loop.train()
    except NonFiniteLoss as reason:
        error = str(reason)
    return run.rows(), error
