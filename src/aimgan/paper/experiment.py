"""An experiment: methods x seeds on one data set, each a training run, and the results file made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from aimgan.errors import AimganError
from aimgan.files import refuse_links
from aimgan.paper.methods import Method
from aimgan.paper.training_run import Outcome, TrainingRun
from aimgan.recipes.assemble import assemble
from aimgan.training.engine import players, trainable

Results = Mapping[str, Any]  # the contents of a results file


@dataclass(frozen=True)
class Experiment:
    """What is to be trained, with everything decided. Runs are in `output`/cells, tables and figures in `output`."""

    target: str
    methods: tuple[Method, ...]
    data: str
    seeds: tuple[int, ...]
    steps: int | None  # None: each recipe's own number
    output: Path
    workers: int
    device: str  # cpu or cuda
    retry: bool
    command: str
    preset: str | None = None  # how large the networks of images are, and how long they train
    path: str | None = None  # where the images are; None: on the Hub
    columns: tuple[str, ...] = ()  # of the short table; none: as many as a terminal has room for

    @property
    def folder(self) -> Path:
        """Where the runs are."""
        return self.output / "cells"

    @property
    def keys(self) -> list[tuple[Method, int]]:
        """The method and the seed of every run."""
        return [(method, seed) for method in self.methods for seed in self.seeds]

    @property
    def runs(self) -> list[TrainingRun]:
        """All runs, method by method."""
        return [self.run(method, seed) for method, seed in self.keys]

    def run(self, method: Method, seed: int) -> TrainingRun:
        """Return a method's run with a seed."""
        recipe = method.recipe(self.data)
        return TrainingRun(recipe, method.settings, seed, self.steps, self.device, self.preset, self.path)

    def head(self) -> dict[str, Any]:
        """Return the first entries of a results file."""
        head: dict[str, Any] = {"target": self.target, "data": self.data, "command": self.command}
        if self.preset:
            head["preset"] = self.preset
        head["date"] = datetime.now(UTC).strftime("%Y-%m-%d")
        head["device"] = self.device
        if self.device == "cuda":
            head["gpu"] = torch.cuda.get_device_name()
        return {**head, "workers": self.workers, "seeds": list(self.seeds)}

    def records(self, outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
        """Return every run as a results file holds it, from the outcomes of `runs`."""
        records = []
        for (method, seed), outcome in zip(self.keys, outcomes, strict=True):
            run = self.run(method, seed)
            record = {"method": method.key, "seed": seed, "folder": run.name, "command": " ".join(run.command)}
            scores = None if outcome.scores is None else without_lists(outcome.scores)
            records.append({**record, **outcome._asdict(), "scores": scores})
        return records

    def trained_as(self, method: Method) -> dict[str, Any]:
        """Return how a method's runs are trained, as a results file holds it."""
        run = self.run(method, self.seeds[0])
        recipe = run.recorded_settings["recipe"]
        networks = players(assemble(run.ready[0], seed=0)).values()
        return {
            "objective": method.objective,
            "recipe": run.recipe,
            "settings": dict(method.settings),
            "steps": run.length,
            "batch_size": recipe["batch_size"],
            "lr": recipe["lr"],
            "beta1": recipe["beta1"],
            "parameters": sum(weights.numel() for network in networks for weights in trainable(network).values()),
        }


def make_folder(folder: Path) -> None:
    """Make a folder to write into. Raises AimganError where that is not possible, or if there is a link in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        refuse_links(folder.resolve())
    except OSError as reason:
        raise AimganError(f"cannot write in {folder} ({reason.strerror}): choose another --output") from None


def without_lists(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Drop long lists, such as a number for each mode; pairs stay."""
    return {name: value for name, value in scores.items() if not isinstance(value, list) or len(value) <= 2}
