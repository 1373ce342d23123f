"""The folder of one run: run.json, metrics.jsonl, checkpoints/, model/, figures/, report.md."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from aimgan._version import __version__
from aimgan.errors import AimganError
from aimgan.files import write_json, write_text

PACKAGES = ("torch", "numpy", "accelerate", "safetensors", "pillow", "scikit-learn")
LENGTH = ("steps", "recipe.steps", "recipe.epochs")  # the settings that --extend may change: the first is what counts


def environment() -> dict[str, Any]:
    """Return what decides the bits of a run: versions, processor, threads (science.md 4.5)."""
    return {
        "aimgan": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "processor": _processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
    }


class RunDir:
    """Paths and records of one run."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.record = self.path / "run.json"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.model = self.path / "model"
        self.figures = self.path / "figures"
        self.evaluation = self.path / "evaluation.json"

    def read(self) -> dict[str, Any] | None:
        """Return run.json, or None for a folder without one. Raises AimganError where it cannot be read."""
        if not self.record.exists():
            return None
        try:
            record = json.loads(self.record.read_text(encoding="utf-8"))
            return record | {"settings": dict(record["settings"])}
        except (OSError, ValueError, KeyError, TypeError) as reason:
            raise AimganError(f"{self.record} cannot be read ({reason!r}): choose another --output") from None

    def begin(self, settings: Mapping[str, Any], extend: bool = False) -> list[str]:
        """Open the folder for a run with these settings, new or to be resumed, and return warnings.

        Raises AimganError where the folder holds a run with other settings, or files that are not a run's.
        """
        recorded = self.read()
        if recorded is None:
            if self.path.exists() and not self._empty():
                raise AimganError(f"{self.path} exists and holds no run: choose another --output")
            self._create(settings)
            return []
        self._same(recorded["settings"], settings, extend)
        then = recorded.get("environment", {})
        changed = [
            f"{name}: {then.get(name)} then, {value} now"
            for name, value in environment().items()
            if then.get(name) != value
        ]
        if recorded["settings"] != dict(settings):
            write_json(self.record, recorded | {"settings": dict(settings)})
        warning = f"this machine differs, so the run may not continue bit for bit ({'; '.join(changed)})"
        return [warning] if changed else []

    def _empty(self) -> bool:
        """Whether a run can begin here: what a kill left of the first write of run.json does not count."""
        return self.path.is_dir() and all(path.name == f".{self.record.name}.new" for path in self.path.iterdir())

    def _create(self, settings: Mapping[str, Any]) -> None:
        record = {
            "settings": dict(settings),
            "environment": environment(),
            "git": _git_commit(),
            "command": " ".join(sys.argv),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_json(self.record, record)
        except OSError as reason:
            raise AimganError(f"cannot create {self.path} ({reason.strerror}): choose another --output") from None

    def _same(self, recorded: dict[str, Any], settings: Mapping[str, Any], extend: bool) -> None:
        """Refuse to resume a run whose settings differ: another schedule is another run (science.md 4.6)."""
        then, now = dict(_flat(recorded)), dict(_flat(settings))
        differing = [name for name in {**then, **now} if name not in LENGTH and then.get(name) != now.get(name)]
        more = now.get("steps", 0) - then.get("steps", 0)
        if differing or more < 0 or (more > 0 and not extend):
            name = differing[0] if differing else "steps"
            hint = (
                "pass --extend to go on with the new schedule" if name == "steps" and more > 0 else "repeat its command"
            )
            raise AimganError(
                f"{self.path} holds a run with {name} = {then.get(name)}, but {now.get(name)} was asked for: "
                f"{hint}, or choose another --output"
            )

    def rewind(self, step: int) -> None:
        """Drop the rows of metrics.jsonl past `step`: those steps will be done again."""
        if not self.metrics.exists():
            return
        kept = []
        for line in self.metrics.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line)
            except (ValueError, KeyError, TypeError):  # the torn last line of a killed run
                continue
        write_text(self.metrics, "".join(line + "\n" for line in kept))

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row to metrics.jsonl."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of metrics.jsonl; a line that was torn, by a kill, is no row."""
        found = []
        for line in self.metrics.read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):
                found.append(json.loads(line))
        return found


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested settings by dotted name, as `recipe.networks.width`."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _git_commit() -> str | None:
    """The commit of the code that runs, where it runs from a checkout."""
    try:
        answer = subprocess.run(
            ["git", "-C", os.path.dirname(__file__), "rev-parse", "HEAD"],
            capture_output=True, text=True, timeout=5, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
