"""A cell of a table: one `aimgan train` in a process and a folder of its own, and what came out of it.

Beside the run's folder stands <name>.json: how long it took over all attempts, and why it stopped if it diverged. That
is a result as any other, so such a cell is not tried again unless that is asked for.
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
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import quote

from aimgan.files import write_json
from aimgan.recipes.recipe import Recipe
from aimgan.recipes.resolving import fitted, prepared, settings_of
from aimgan.training.loop import REMEDY
from aimgan.training.run_dir import RunDir, differing

# Exit codes of a run that was told to stop: with its state saved, or while it had nothing new to save.
INTERRUPTED = (130, -signal.SIGINT, -signal.SIGTERM)
Started = Callable[[subprocess.Popen[str]], None]


class Outcome(NamedTuple):
    """What a cell came to: finished (scores), stopped (it diverged), failed (a mistake, to be mended), or missing."""

    state: str
    scores: Mapping[str, Any] | None = None
    environment: Mapping[str, Any] | None = None
    seconds: float | None = None
    error: str | None = None

    @property
    def settled(self) -> bool:
        """Whether there is a result."""
        return self.state in ("finished", "stopped")


@dataclass(frozen=True)
class Cell:
    """A recipe with settings, a seed, a length (the recipe's without one) and a device (cpu or cuda).

    `preset` is how large and how long, `path` where images are: it is no part of the cell's name.
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
        """A folder's name that tells the cell from all others: grid-aim-weighting=none-seed0."""
        given = [f"{name}={_text(value)}" for name, value in self.settings.items()]
        length = [] if self.steps is None else [f"steps={self.steps}"]
        device = [] if self.device == "cpu" else [self.device]
        preset = [self.preset] if self.preset else []
        parts = (self.recipe.replace("/", "-"), *preset, *given, *length, *device, f"seed{self.seed}")
        return quote("-".join(parts), safe="=,()+")

    @property
    def command(self) -> list[str]:
        """The words of the command that makes the cell, but for its folder."""
        given = [f"--set={name}={_text(value)}" for name, value in self.settings.items()]
        length = [] if self.steps is None else [f"--steps={self.steps}"]
        preset = [f"--preset={self.preset}"] if self.preset else []
        path = [f"--data={self.path}"] if self.path else []
        return ["aimgan", "train", self.recipe, *preset, *path, *given, f"--seed={self.seed}", *length,
                f"--device={self.device}"]  # fmt: skip

    @property
    def ready(self) -> tuple[Recipe, Any]:
        """The recipe with the settings, its networks fitted to the data, and the data, which are not carried along."""
        recipe = prepared(self.recipe, self.path, None, self.steps, self.settings, self.preset)
        batches = _loaded(cast(Hashable, recipe.data))
        return fitted(recipe, batches), batches

    @cached_property
    def recorded_settings(self) -> dict[str, Any]:
        """What run.json of this very cell says: a folder that says otherwise was made by another recipe."""
        recipe, batches = self.ready
        return settings_of(recipe, self.seed, recipe.length(batches.epoch_size // recipe.batch_size))

    @property
    def length(self) -> int:
        """How many steps it has."""
        return self.recorded_settings["steps"]


@lru_cache(maxsize=1)
def _loaded(source: Any) -> Any:
    """Load what all cells of a table share once."""
    return source.load()


def _text(value: Any) -> str:
    """Write a value as `--set` reads it."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def outcome(cell: Cell, folder: Path) -> Outcome:
    """Read a cell's result out of `folder`, where all cells are."""
    run, record, expected = RunDir(folder / cell.name), _record(cell, folder), cell.recorded_settings
    seconds = record.get("seconds")
    try:
        made = run.read() or {}
        if "settings" not in made or differing(made["settings"], expected):
            return Outcome("missing", seconds=seconds)
        environment = {**made["environment"], "git": made.get("git")}
        if record.get("stopped"):
            return Outcome("stopped", None, environment, seconds, record["stopped"])
        scores = json.loads(run.evaluation.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not begun, not finished, or torn
        return Outcome("missing", seconds=seconds)
    finished = scores.pop("steps") == cell.length and run.model.exists()
    return Outcome("finished" if finished else "missing", scores, environment, seconds)


def step_of(cell: Cell, folder: Path) -> int:
    """Return the step that a running cell logged last."""
    try:
        with RunDir(folder / cell.name).metrics.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 8_192))
            lines = file.read().decode(errors="replace").splitlines()
        return json.loads(lines[-1])["step"]
    except (OSError, ValueError, LookupError, TypeError):  # no line yet, or half of one
        return 0


def run(cell: Cell, folder: Path, started: Started = lambda process: None) -> Outcome:
    """Train a cell, or go on with it, in a process of its own. `started` is handed the process, to be able to stop it.

    On the CPU a cell has one thread: as many run side by side as there are cores, and a cell's result then does not
    depend on how many.
    """
    threads = {"OMP_NUM_THREADS": "1"} if cell.device == "cpu" else {}
    command = [sys.executable, "-m", *cell.command, f"--output={folder / cell.name}"]
    begun = time.monotonic()
    # In a session of its own: Ctrl-C reaches it once, from the one who waits for it, and not from the terminal too.
    with subprocess.Popen(command, env={**os.environ, **threads}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, start_new_session=True) as process:  # fmt: skip
        started(process)
        told, errors = process.communicate()
    error = _last_line(errors) if process.returncode else None
    diverged = error if error and REMEDY in error else None
    _write_record(cell, folder, time.monotonic() - begun, diverged)
    if process.returncode in INTERRUPTED:
        return Outcome("missing")
    if error and not diverged:
        (folder / f"{cell.name}.log").write_text(told + errors, encoding="utf-8")
        return Outcome("failed", error=error)
    return outcome(cell, folder)


def begin_again(cell: Cell, folder: Path) -> None:
    """Remove a cell and its record."""
    shutil.rmtree(folder / cell.name, ignore_errors=True)
    (folder / f"{cell.name}.json").unlink(missing_ok=True)


def _record(cell: Cell, folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / f"{cell.name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _write_record(cell: Cell, folder: Path, seconds: float, diverged: str | None) -> None:
    before = _record(cell, folder)
    record = {
        "command": shlex.join(cell.command),
        "attempts": before.get("attempts", 0) + 1,
        "seconds": round(before.get("seconds", 0.0) + seconds, 2),
        "stopped": diverged and diverged.removesuffix(f": {REMEDY}"),
    }
    write_json(folder / f"{cell.name}.json", record)


def _last_line(errors: str) -> str:
    lines = errors.strip().splitlines()
    return lines[-1].removeprefix("aimgan: ") if lines else "it ended without a word (was it killed?)"
