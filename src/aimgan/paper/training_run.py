"""One training run of a table: the `aimgan train` command that makes it, and its outcome.

Beside the run's folder is <name>.json with the time that all attempts took and, if training diverged, the error.
Divergence is a result, so such a run is repeated only if that is asked for.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import quote

from aimgan.checked import read_json, regular
from aimgan.extensions import IMPORTED
from aimgan.files import write_json
from aimgan.recipes.recipe import Recipe
from aimgan.recipes.resolving import fitted, prepared, settings_of
from aimgan.training.loop import REMEDY
from aimgan.training.precision import AUTO, FLOAT32
from aimgan.training.run_dir import RunDir, differing

# Exit codes of a run that was asked to stop: with its state saved, or before it had anything to save.
INTERRUPTED = (130, -signal.SIGINT, -signal.SIGTERM)


class Outcome(NamedTuple):
    """The outcome of a run: finished (it has scores), stopped (it diverged), failed (an error) or missing."""

    state: str
    scores: Mapping[str, Any] | None = None
    environment: Mapping[str, Any] | None = None
    seconds: float | None = None
    error: str | None = None

    @property
    def has_result(self) -> bool:
        """Whether there is a result."""
        return self.state in ("finished", "stopped")


@dataclass(frozen=True)
class TrainingRun:
    """A recipe with settings, a seed, a number of steps (None: the recipe's own) and a device (cpu or cuda).

    `preset` sets how large the networks are and how long they train. `path` is where the images are; it is not part of
    the run's name.
    """

    recipe: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    steps: int | None = None
    device: str = "cpu"
    preset: str | None = None
    path: str | None = None

    @property
    def name(self) -> str:
        """The name of the run's folder, different for every run: grid-aim-weighting=none-seed0."""
        parts = [self.recipe.replace("/", "-")]
        if self.preset:
            parts.append(self.preset)
        parts += self._settings_as_text()
        if self.steps is not None:
            parts.append(f"steps={self.steps}")
        if self.device != "cpu":
            parts.append(self.device)
        parts.append(f"seed{self.seed}")
        return quote("-".join(parts), safe="=,()+")

    @property
    def command(self) -> list[str]:
        """The words of the command that trains the run, without the folder."""
        words = ["aimgan", "train", self.recipe]
        words += [f"--import={name}" for name in IMPORTED]
        if self.preset:
            words.append(f"--preset={self.preset}")
        if self.path:
            words.append(f"--data={self.path}")
        words += [f"--set={setting}" for setting in self._settings_as_text()]
        words.append(f"--seed={self.seed}")
        if self.steps is not None:
            words.append(f"--steps={self.steps}")
        return [*words, f"--device={self.device}"]

    def _settings_as_text(self) -> list[str]:
        """Return the settings as `--set` reads them."""
        texts = []
        for name, value in self.settings.items():
            text = str(value)
            if value is None or isinstance(value, bool):
                text = text.lower()
            texts.append(f"{name}={text}")
        return texts

    @property
    def ready(self) -> tuple[Recipe, Any]:
        """The recipe with the settings applied and its networks fitted to the data, and the data."""
        recipe = prepared(self.recipe, self.path, None, self.steps, self.settings, self.preset)
        data = _loaded(cast(Hashable, recipe.data))
        return fitted(recipe, data), data

    @cached_property
    def recorded_settings(self) -> dict[str, Any]:
        """The settings that the run's run.json has; a folder with other settings was made by another recipe."""
        recipe, data = self.ready
        return settings_of(recipe, self.seed, recipe.length(data.epoch_size // recipe.batch_size))

    @property
    def length(self) -> int:
        """The number of steps."""
        return self.recorded_settings["steps"]


@lru_cache(maxsize=1)
def _loaded(source: Any) -> Any:
    """Load the data that all runs of a table share, once."""
    return source.load()


def outcome(run: TrainingRun, folder: Path) -> Outcome:
    """Read a run's result from `folder`, which holds the folders of all runs."""
    expected = run.recorded_settings  # raises AimganError for settings that are wrong
    saved = RunDir(folder / run.name)
    record = _record(run, folder)
    seconds = record.get("seconds")
    try:
        made = saved.read() or {}
        if "settings" not in made or _differs(made["settings"], expected):
            return Outcome("missing", seconds=seconds)
        precision = made["settings"]["recipe"].get("precision", FLOAT32)
        environment = {**made["environment"], "git": made.get("git"), "precision": precision}
        if record.get("stopped"):
            return Outcome("stopped", None, environment, seconds, record["stopped"])
        scores = read_json(saved.evaluation)
    except (OSError, ValueError):  # the run was not started or not finished, or a file is incomplete
        return Outcome("missing", seconds=seconds)
    if scores.pop("steps") == run.length and saved.model.exists():
        return Outcome("finished", scores, environment, seconds)
    return Outcome("missing", scores, environment, seconds)


def _differs(made: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
    different = set(differing(made, expected))
    if expected["recipe"]["precision"] == AUTO:  # the run records what that stood for where it began
        different.discard("recipe.precision")
    return bool(different)


def last_step(run: TrainingRun, folder: Path) -> int:
    """Return the last step that a running run has logged; 0 if there is none yet."""
    try:
        with regular(RunDir(folder / run.name).metrics).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 8_192))
            lines = file.read().decode(errors="replace").splitlines()
        return json.loads(lines[-1])["step"]
    except (OSError, ValueError, LookupError, TypeError):  # no line yet, or half of one
        return 0


class Attempt:
    """A process that trains a run, or continues its training from the newest checkpoint.

    On the CPU a run has one thread, so that its result does not depend on how many runs share the machine. What the
    process prints goes to <name>.log, which is kept only if the run fails.
    """

    def __init__(self, run: TrainingRun, folder: Path) -> None:
        self.run = run
        self.folder = folder
        self.began = time.monotonic()
        self.log = folder / f"{run.name}.log"
        environment = dict(os.environ)
        if run.device == "cpu":
            environment["OMP_NUM_THREADS"] = "1"
        with regular(self.log).open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *run.command, f"--output={folder / run.name}"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal reaches the parent only, which passes it on once
            )

    def ended(self) -> bool:
        """Whether the process has ended."""
        return self.process.poll() is not None

    def stop(self) -> None:
        """Ask the process to save its state and end. A background job of a shell may ignore SIGINT, but not SIGTERM."""
        self.process.terminate()

    def outcome(self) -> Outcome:
        """Wait for the process, record the attempt, and return the outcome."""
        code = self.process.wait()
        error = diverged = None
        if code:
            error = self._error(code)
            if REMEDY in error:
                diverged = error.removesuffix(f": {REMEDY}")
        before = _record(self.run, self.folder)
        record = {
            "command": shlex.join(self.run.command),
            "attempts": before.get("attempts", 0) + 1,
            "seconds": round(before.get("seconds", 0.0) + time.monotonic() - self.began, 2),
            "stopped": diverged,
        }
        write_json(self.folder / f"{self.run.name}.json", record)
        if error and not diverged and code not in INTERRUPTED:
            return Outcome("failed", error=error)
        self.log.unlink()
        if code in INTERRUPTED:
            return Outcome("missing")
        return outcome(self.run, self.folder)

    def _error(self, code: int) -> str:
        """Return why the process ended: the last line that it printed, unless it was killed."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        if code < 0 or not lines:
            return f"the process ended with code {code}; it may have been killed"
        return lines[-1].removeprefix("aimgan: ")


def remove(run: TrainingRun, folder: Path) -> None:
    """Remove a run's folder and its record."""
    shutil.rmtree(folder / run.name, ignore_errors=True)
    (folder / f"{run.name}.json").unlink(missing_ok=True)


def _record(run: TrainingRun, folder: Path) -> dict[str, Any]:
    try:
        return read_json(folder / f"{run.name}.json")
    except (OSError, ValueError):
        return {}
