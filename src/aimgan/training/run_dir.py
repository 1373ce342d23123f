"""The folder of one run: run.json, metrics.jsonl, checkpoints/, model/, figures/, report.md."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from aimgan._version import __version__
from aimgan.checked import parse_json, read_json, regular
from aimgan.errors import AimganError
from aimgan.files import REMEDIES, as_json, copy_file, unwritable, write_json, write_text
from aimgan.training import checkpoint

PACKAGES = ("torch", "numpy", "accelerate", "safetensors", "pillow", "scikit-learn")
NO_LOCKS = (errno.EBADF, errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS)
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
        self.errors = self.path / "errors.npy"  # of each test image's reconstruction

    def read(self) -> dict[str, Any] | None:
        """Return run.json, or None for a folder without a run.

        Where it is damaged or gone, its copy in the newest checkpoint counts, with a warning. Raises AimganError where
        there is none.
        """
        damage = None
        try:
            return _record(read_json(self.record))
        except (FileNotFoundError, NotADirectoryError):
            pass
        except (OSError, ValueError, KeyError, TypeError) as reason:
            damage = repr(reason)
        found = checkpoint.newest(self.checkpoints)
        if found and self.record.name in found.files:
            what = f"cannot be read ({damage})" if damage else "is gone"
            warnings.warn(f"{self.record} {what}: its copy in checkpoint {found.step} is taken", RuntimeWarning, 2)
            return _record(read_json(found.files[self.record.name]))
        if damage:
            raise AimganError(f"{self.record} cannot be read ({damage}): choose another --output")
        return None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder, which is made where there is none, while a run is trained in it.

        The lock is on the folder itself, so that nothing is left behind, and the kernel drops it when the process ends,
        however it ends. Raises AimganError where another process holds it, and for whatever the disk refuses inside.
        """
        self._make()
        folder = os.open(self.path, os.O_RDONLY)
        try:
            self._lock(folder)
            yield
        except OSError as reason:
            raise self._refused(reason) from None
        finally:
            os.close(folder)

    def _make(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise self._no_run() from None
        except OSError as reason:
            raise AimganError(f"cannot create {self.path} ({reason.strerror}): choose another --output") from None

    def _lock(self, folder: int) -> None:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AimganError(
                f"another process is training in {self.path}: wait until it ends, stop it, or choose another --output"
            ) from None
        except OSError as reason:  # a network's file system may have no locks on folders
            if reason.errno not in NO_LOCKS:
                raise

    def _refused(self, reason: OSError) -> Exception:
        """Return the one line for a write that failed in this folder; what failed elsewhere as it is."""
        path = Path(os.fsdecode(reason.filename)) if isinstance(reason.filename, str | bytes) else self.path
        path = self.path if len(path.parts) == 1 else path  # a bare name is of a call that had its folder open (rmtree)
        inside = path.absolute().is_relative_to(self.path.absolute()) or path.is_relative_to(self.path.resolve())
        return unwritable(path, reason) if inside and reason.errno in REMEDIES else reason

    def _no_run(self) -> AimganError:
        return AimganError(f"{self.path} exists and holds no run: choose another --output")

    def begin(
        self,
        settings: Mapping[str, Any],
        extend: bool = False,
        data: Mapping[str, Any] | None = None,
        new_data: bool = False,
    ) -> list[str]:
        """Open the folder for a run with these settings, new or to be resumed, and return warnings.

        `data` is what was read of the images, with a `fingerprint`. Raises AimganError where the folder holds a run
        with other settings, or (without `new_data`) on other images, or files that are not a run's.
        """
        recorded = self.read()
        if recorded is None:
            if self.path.exists() and not self._empty():
                raise self._no_run()
            self._create(settings, data)
            return []
        changes = self._changed(recorded, data, new_data)
        self._same(recorded["settings"], settings, extend)
        then = recorded.get("environment", {})
        changed = [
            f"{name}: {then.get(name)} then, {value} now"
            for name, value in environment().items()
            if then.get(name) != value
        ]
        self._keep(recorded | {"settings": dict(settings)} | changes)
        warning = f"this machine differs, so the run may not continue bit for bit ({'; '.join(changed)})"
        return [warning] if changed else []

    def _empty(self) -> bool:
        """Whether a run can begin here: what a kill left of the first write of run.json does not count."""
        return self.path.is_dir() and all(path.name == f".{self.record.name}.new" for path in self.path.iterdir())

    def _create(self, settings: Mapping[str, Any], data: Mapping[str, Any] | None) -> None:
        record = {
            "settings": dict(settings),
            **({} if data is None else {"data": dict(data)}),
            "environment": environment(),
            "git": _git_commit(),
            "command": " ".join(sys.argv),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._make()
        try:
            self._keep(record)
        except OSError as reason:
            raise unwritable(self.record, reason) from None

    def _keep(self, record: Mapping[str, Any]) -> None:
        """Write run.json, if it is not that already: a run that is complete may lie where nothing can be written."""
        if not self.record.exists() or as_json(record) != self.record.read_text(encoding="utf-8", errors="replace"):
            write_json(self.record, record)

    def _changed(self, recorded: Mapping[str, Any], data: Mapping[str, Any] | None, new_data: bool) -> dict[str, Any]:
        """Return what run.json is to say of the data from now on; what the run was trained on before stays beside it.

        Raises AimganError for other images, unless they are asked for.
        """
        then = recorded.get("data")
        if data is None or not isinstance(then, dict):
            return {} if data is None else {"data": dict(data)}
        if then.get("fingerprint") == data["fingerprint"]:
            return {"data": dict(data)}
        if not new_data:
            raise AimganError(
                f"{self.path} holds a run on other images: {then.get('images'):,} then, {data['images']:,} now, and "
                "their pixels differ; give it the images that it was begun with, pass --new-data to go on with these, "
                "or choose another --output"
            )
        found = checkpoint.newest(self.checkpoints)
        earlier = {**then, "until_step": found.step if found else 0}
        return {"data": dict(data), "earlier_data": [*recorded.get("earlier_data", []), earlier]}

    def _same(self, recorded: dict[str, Any], settings: Mapping[str, Any], extend: bool) -> None:
        """Refuse to resume a run whose settings differ: another schedule is another run (science.md 4.6)."""
        then, now = dict(flat(recorded)), dict(flat(settings))
        different = [name for name in differing(recorded, settings) if name not in LENGTH]
        more = now.get("steps", 0) - then.get("steps", 0)
        if different or more < 0 or (more > 0 and not extend):
            name = different[0] if different else "steps"
            hint = (
                "pass --extend to go on with the new schedule" if name == "steps" and more > 0 else "repeat its command"
            )
            raise AimganError(
                f"{self.path} holds a run with {name} = {then.get(name)}, but {now.get(name)} was asked for: "
                f"{hint}, or choose another --output"
            )

    def records(self) -> list[Path]:
        """Return what a checkpoint keeps a copy of: run.json, and metrics.jsonl so far."""
        return [path for path in (self.record, self.metrics) if path.exists()]

    def rewind(self, step: int, files: Mapping[str, Path] | None = None) -> None:
        """Put metrics.jsonl back to what it was after `step`: the steps past it will be done again.

        `files` has the checkpoint's copy, which no accident to the file has touched. Without one, as in checkpoints of
        aimgan 0.1, the rows past `step` are dropped.
        """
        if files and self.metrics.name in files:
            copy_file(files[self.metrics.name], self.metrics)
        elif self.metrics.exists():
            self._drop_rows(step)

    def _drop_rows(self, step: int) -> None:
        kept = []
        for line in self.metrics.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                if parse_json(line)["step"] <= step:
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
        for line in regular(self.metrics).read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError):
                row = parse_json(line)
                found += [row] if type(row.get("step")) is int else []
        return found


def _record(record: dict[str, Any]) -> dict[str, Any]:
    """Check what run.json holds. Raises what `read` expects."""
    settings = dict(record["settings"])
    if not isinstance(record.get("environment", {}), dict) or type(settings.get("steps", 0)) is not int:
        raise ValueError("expected settings and an environment")
    return record | {"settings": settings}


def differing(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the names of settings that differ; what an earlier version did not record counts as None."""
    before, after = dict(flat(then)), dict(flat(now))
    return [name for name in {**before, **after} if before.get(name) != after.get(name)]


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested settings by dotted name, as `recipe.networks.width`."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
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
