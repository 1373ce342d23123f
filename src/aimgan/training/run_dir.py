"""The folder of one run: run.json, metrics.jsonl, checkpoints/, model/, figures/, report.md."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from errno import EBADF, EINVAL, ENOLCK, ENOSYS, ENOTSUP
from pathlib import Path
from typing import Any

from aimgan.checked import parse_json, read_json, regular, require_memory
from aimgan.errors import AimganError
from aimgan.files import (
    LEFTOVER,
    REMEDIES,
    appending,
    as_json,
    copy_file,
    lock,
    refuse_links,
    sweep,
    unwritable,
    write_json,
    write_text,
)
from aimgan.named import is_signed, signature
from aimgan.training import checkpoint
from aimgan.training.environment import changes_of, environment, git_commit

ROW = 30  # an upper bound: bytes of memory for each byte of a row of metrics.jsonl
NO_LOCKS = (EBADF, EINVAL, ENOLCK, ENOSYS, ENOTSUP)  # the errors of a network's file system without locks
DATA_PATHS = ("data.path", "data.path_b")  # the settings that name files of this machine
LENGTH = ("steps", "recipe.steps", "recipe.epochs")  # the settings that --extend may change; "steps" decides


class RunDir:
    """The paths of one run's folder, and its records."""

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
        """Return run.json, or None if the folder contains no run.

        If the file is damaged or missing, its copy in the newest checkpoint is returned, with a warning. Raises
        AimganError if a damaged file has no copy.
        """
        damage = ""
        try:
            return _checked_record(read_json(self.record))
        except (FileNotFoundError, NotADirectoryError):
            pass
        except (OSError, ValueError, KeyError, TypeError) as reason:
            damage = repr(reason)
        found = checkpoint.newest(self.checkpoints)
        if found and self.record.name in found.files:
            what = f"cannot be read ({damage})" if damage else "is gone"
            warnings.warn(f"{self.record} {what}: its copy in checkpoint {found.step} is used", RuntimeWarning, 2)
            return _checked_record(read_json(found.files[self.record.name]))
        if damage:
            raise AimganError(f"{self.record} cannot be read ({damage}): choose another --output")
        return None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Create the folder if there is none, and lock it while a run is trained in it.

        The lock is on the folder itself: it needs no file, and ends with the process. Raises AimganError if another
        process has locked the folder, and if the disk refuses a write inside the block.
        """
        self._make()
        folder = None
        try:
            if os.name != "nt":  # Windows opens no folders
                folder = os.open(self.path, os.O_RDONLY)
                self._lock(folder)
            yield
        except OSError as reason:
            raise self._one_line(reason) from None
        finally:
            if folder is not None:
                os.close(folder)

    def _make(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise self._holds_no_run() from None
        except OSError as reason:
            raise AimganError(f"cannot create {self.path} ({reason.strerror}): choose another --output") from None

    def _lock(self, folder: int) -> None:
        try:
            lock(folder)
        except BlockingIOError:
            raise AimganError(
                f"another process is training in {self.path}: wait until it ends, stop it, or choose another --output"
            ) from None
        except OSError as reason:
            if reason.errno not in NO_LOCKS:
                raise

    def _one_line(self, reason: OSError) -> Exception:
        """Return the error for a write that the disk refused in this folder, and any other error unchanged."""
        path = self.path
        if isinstance(reason.filename, str | bytes):
            named = Path(os.fsdecode(reason.filename))
            if len(named.parts) > 1:  # a name alone comes from shutil.rmtree, inside the folder
                path = named
        inside = path.absolute().is_relative_to(self.path.absolute()) or path.is_relative_to(self.path.resolve())
        if inside and reason.errno in REMEDIES:
            return unwritable(path, reason)
        return reason

    def _holds_no_run(self) -> AimganError:
        return AimganError(f"{self.path} exists and is not a run folder: choose another --output")

    def begin(
        self,
        settings: Mapping[str, Any],
        extend: bool = False,
        data: Mapping[str, Any] | None = None,
        new_data: bool = False,
        device: str = "cpu",
    ) -> list[str]:
        """Prepare the folder for a run with these settings, a new one or one to be resumed, and return warnings.

        `data` describes the images, with a `fingerprint` of their pixels; `device` is "cpu" or "cuda". Raises
        AimganError if the folder contains a run with other settings (`extend` allows more steps) or on other images
        (`new_data` allows them), other files, or a link.
        """
        if os.path.lexists(self.record) or os.path.lexists(self.checkpoints):
            refuse_links(self.path.resolve())
        recorded = self.read()
        if recorded is None:
            self._create(settings, data, device)
            return []
        changes = self._data_record(recorded, data, new_data) | _signed(settings)
        self._require_same(recorded["settings"], settings, extend)
        sweep(self.path)
        self._keep(recorded | {"settings": dict(settings)} | changes, recorded)
        return changes_of(recorded.get("environment", {}), environment(device))

    def _create(self, settings: Mapping[str, Any], data: Mapping[str, Any] | None, device: str) -> None:
        if self.path.exists() and not self._is_empty():
            raise self._holds_no_run()
        sweep(self.path)
        record: dict[str, Any] = {"settings": dict(settings), **_signed(settings)}
        if data is not None:
            record["data"] = dict(data)
        record["environment"] = environment(device)
        record["git"] = git_commit()
        record["command"] = list(sys.argv)
        record["started"] = datetime.now(UTC).isoformat(timespec="seconds")
        self._make()
        try:
            self._keep(record)
        except OSError as reason:
            raise unwritable(self.record, reason) from None

    def _is_empty(self) -> bool:
        """Return whether the folder is empty, except for what a kill has left of the first write of run.json."""
        return self.path.is_dir() and all(LEFTOVER.fullmatch(path.name) for path in self.path.iterdir())

    def _keep(self, record: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> None:
        """Write run.json if it changes. The folder of a complete run may be read-only: then only settings matter."""
        text = as_json(record).encode()
        path = regular(self.record)
        if path.exists() and path.stat().st_size == len(text) and path.read_bytes() == text:
            return  # a file of another size is not read
        try:
            write_json(self.record, record)
        except OSError:
            if before is None or before["settings"] != record["settings"]:
                raise

    def _data_record(self, recorded: Mapping[str, Any], data: Mapping[str, Any] | None, new_data: bool) -> dict:
        """Return new entries of run.json about the data; data that earlier steps used become `earlier_data`."""
        if data is None:
            return {}
        then = recorded.get("data")
        if not isinstance(then, dict) or then.get("fingerprint") == data["fingerprint"]:
            return {"data": dict(data)}
        if not new_data:
            counts = [read.get("images", read.get("samples")) for read in (then, data)]
            raise AimganError(
                f"the run in {self.path} has other data: {counts[0]:,} samples then, {counts[1]:,} now; "
                "pass the data of its start, --new-data to go on with these, or choose another --output"
            )
        found = checkpoint.newest(self.checkpoints)
        earlier = {**then, "until_step": found.step if found else 0}
        return {"data": dict(data), "earlier_data": [*recorded.get("earlier_data", []), earlier]}

    def _require_same(self, recorded: Mapping[str, Any], settings: Mapping[str, Any], extend: bool) -> None:
        """Raise AimganError if settings differ; another schedule makes another run, too (docs/science.md 4.6)."""
        different = [name for name in differing(recorded, settings) if name not in LENGTH]
        more = settings.get("steps", 0) - recorded.get("steps", 0)
        hint = "use that run's settings"
        if not different:
            if more == 0 or (more > 0 and extend):
                return
            different = ["steps"]
            if more > 0:
                hint = "pass --extend to go on with the new schedule"
        then, now = dict(flat(recorded)), dict(flat(settings))
        name = different[0]
        raise AimganError(
            f"{self.path} holds a run with {name} = {then.get(name)}, but {now.get(name)} was asked for: "
            f"{hint}, or choose another --output"
        )

    def records(self) -> list[Path]:
        """Return the files that a checkpoint copies: run.json and metrics.jsonl, if they exist."""
        return [path for path in (self.record, self.metrics) if path.exists()]

    def rewind(self, step: int, files: Mapping[str, Path] | None = None) -> None:
        """Restore metrics.jsonl as it was after `step`: later steps will be done again.

        `files` are a checkpoint's copies. Without one (aimgan 0.1 kept none), the rows after `step` are removed.
        """
        if files and self.metrics.name in files:
            copy_file(files[self.metrics.name], self.metrics)
        elif self.metrics.exists():
            kept = [json.dumps(row) + "\n" for row in self.rows() if row["step"] <= step]
            write_text(self.metrics, "".join(kept))

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row to metrics.jsonl."""
        with appending(self.metrics) as file:
            file.write(json.dumps(row).encode() + b"\n")

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of metrics.jsonl, without a last line that a kill has left incomplete.

        Raises AimganError for a file whose rows would take more than half of the memory.
        """
        found = []
        size = regular(self.metrics).stat().st_size
        require_memory(ROW * size, f"the rows of {self.metrics}", "it is damaged; move it away")
        for line in self.metrics.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError):
                row = parse_json(line)
                if type(row.get("step")) is int:
                    found.append(row)
        return found


def data_path(settings: Mapping[str, Any]) -> str:
    """Return the path or Hub id of the images in a run's settings (of two data sets, both in two lines), or nothing."""
    values = dict(flat(settings))
    found = [values.get(f"recipe.{name}") for name in DATA_PATHS]
    return "\n".join(path for path in found if isinstance(path, str))


def names_own_data(record: Mapping[str, Any]) -> bool:
    """Return whether run.json names no images, or images that this user has trained on."""
    path = data_path(record["settings"])
    return not path or is_signed(path, record.get("data_signature"))


def _signed(settings: Mapping[str, Any]) -> dict[str, str]:
    path = data_path(settings)
    return {"data_signature": signature(path)} if path else {}


def _checked_record(record: dict[str, Any]) -> dict[str, Any]:
    """Return the content of run.json. Raises ValueError, KeyError or TypeError for anything else."""
    settings = dict(record["settings"])
    if not isinstance(record.get("environment", {}), dict) or type(settings.get("steps", 0)) is not int:
        raise ValueError("expected settings and an environment")
    return record | {"settings": settings}


def differing(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the dotted names of settings that differ. One that an earlier version did not record counts as None."""
    before, after = dict(flat(then)), dict(flat(now))
    return [name for name in {**before, **after} if before.get(name) != after.get(name)]


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested settings with dotted names, such as `recipe.networks.width`."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
