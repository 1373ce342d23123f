"""What the benchmarks on folders of images share: their arguments, how long a run is, the run itself, and its model."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import common
from rich.console import Console

from aimgan.evaluation.evaluate import calibration, reconstruction
from aimgan.model import LatentVariableModel
from aimgan.recipes.assemble import assemble, config_of, engine_of, model_of
from aimgan.recipes.resolving import Plan, recorded, resolve
from aimgan.runs.finish import batch_of
from aimgan.runs.job import Job
from aimgan.runs.timing import steps_in
from aimgan.training import checkpoint
from aimgan.training.processes import accelerator_for
from aimgan.training.run_dir import RunDir


def parser(description: str | None, minutes: float) -> argparse.ArgumentParser:
    """Return a parser of folders by name, and of how many minutes a run has."""
    made = common.parser(description)
    made.add_argument("folders", nargs="+", metavar="NAME=PATH")
    made.add_argument("--minutes", type=float, default=minutes)
    return made


def parsed(given: argparse.Namespace) -> tuple[dict[str, str], str]:
    """Return the folders by name, and the words of a command that name them and the minutes, without the paths."""
    folders = dict(text.split("=", 1) for text in given.folders)
    named = " ".join(f"{name}=PATH" for name in folders)
    return folders, f"{named} --minutes {given.minutes:g}"


def steps_of(recipe: str, path: str, minutes: float, settings: Mapping[str, Any] | None = None) -> int:
    """Return how many steps of a recipe on a folder take so many minutes of CPU time of one thread."""
    plan = resolve(recipe, None, {"data": path, "device": "cpu", "settings": settings, "steps": 1})
    return steps_in(minutes, Job.begun(plan, accelerator_for("cpu"), Console(quiet=True)), clock=time.process_time)


def train(run: RunDir, recipe: str, path: str, *flags: str) -> None:
    """Train a recipe on a folder with these flags, unless that is done."""
    if not run.evaluation.exists():
        command = [sys.executable, "-m", "aimgan", "train", recipe, f"--data={path}", *flags]
        subprocess.run([*command, "--device=cpu", "--track=off", f"--output={run.path}"], check=True)


def before_refit(run: RunDir) -> tuple[LatentVariableModel, Job]:
    """Return a finished run's model as it was before its fresh encoder, and the run as a job in the same folder."""
    recipe, seed = recorded(run)
    job = Job.begun(Plan(recipe, run.path, seed), accelerator_for("cpu"), Console(quiet=True))
    engine = engine_of(recipe, assemble(recipe, seed), job.accelerator, seed)
    found = checkpoint.newest(run.checkpoints)
    assert found is not None
    engine.load_state(found.tensors)
    model = model_of(engine, config_of(recipe, {}))
    model.reestimate_batch_norm(seed, data=lambda k: batch_of(job.data, seed, k))
    return model, job


def scored(model: LatentVariableModel, job: Job) -> dict[str, float]:
    """Return the reconstruction error of a model, and the coverage of its 80 % intervals."""
    found = reconstruction(model, job.data) | calibration(model, job.plan.seed)
    return {key: found[key] for key in ("reconstruction_mse", "coverage_80")}
