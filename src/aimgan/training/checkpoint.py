"""Checkpoints: folders with a safetensors file and JSON. A run resumes from the newest one with correct checksums."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from aimgan.checked import read_json, regular, require_memory
from aimgan.errors import AimganError
from aimgan.files import replacing_folder, save_tensors, sha256_of, write_json

TENSORS, META = "state.safetensors", "state.json"
KEPT = 2  # checkpoints
ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
DAMAGED = (*ABSENT, ValueError, KeyError, TypeError, AttributeError, SafetensorError)


class TornCheckpointWarning(UserWarning):
    """A checkpoint is damaged and is ignored."""


@dataclass(frozen=True)
class Checkpoint:
    """The state after `step` steps, and copies of the run's files (run.json, metrics.jsonl) of that moment, by name."""

    step: int
    tensors: dict[str, Tensor]
    files: Mapping[str, Path] = field(default_factory=dict)


def save(folder: Path, step: int, tensors: Mapping[str, Tensor], files: Iterable[Path] = ()) -> Path:
    """Write the state after `step` steps and copies of `files` to folder/<step>; remove all but the newest KEPT.

    Raises OSError if the disk refuses a write; earlier checkpoints are then kept.
    """
    target = folder / f"{step:09d}"
    folder.mkdir(exist_ok=True)  # without its parents: if the run's folder was removed, the run must fail
    with replacing_folder(target) as fresh:
        save_tensors(fresh / TENSORS, tensors)
        copies = {}
        for path in files:
            shutil.copyfile(path, fresh / path.name)
            copies[path.name] = sha256_of(fresh / path.name)
        write_json(fresh / META, {"step": step, "sha256": sha256_of(fresh / TENSORS), "files": copies})
    prune(folder, step)
    return target


def prune(folder: Path, step: int) -> None:
    """Remove all checkpoints but the newest KEPT up to `step`, and temporary folders of interrupted saves.

    A checkpoint after `step` is a damaged one that was ignored.
    """
    found = _checkpoints(folder)
    kept = [path for path in found if int(path.name) <= step][:KEPT]
    for path in {*found, *folder.glob(".*.new"), *folder.glob(".*.old")} - {*kept}:
        if not path.is_symlink():  # rmtree refuses a link, and what it leads to is not ours
            shutil.rmtree(path)


def newest(folder: Path) -> Checkpoint | None:
    """Return the newest undamaged checkpoint, or None. Damaged ones are ignored with a warning.

    Raises AimganError if the disk fails to read one: it may be undamaged, and training without it would remove it.
    """
    found = _checkpoints(folder)
    for path in found:
        try:
            return _read(path)
        except DAMAGED as reason:
            warnings.warn(f"checkpoint {path} is damaged and is ignored ({reason})", TornCheckpointWarning, 2)
        except OSError as reason:
            raise AimganError(
                f"cannot read checkpoint {path} ({reason.strerror}): make it readable, or remove it to go on without it"
            ) from None
    if found:
        warnings.warn(f"all checkpoints in {folder} are damaged", TornCheckpointWarning, 2)
    return None


def _read(path: Path) -> Checkpoint:
    meta = read_json(path / META)
    require_memory(2 * regular(path / TENSORS).stat().st_size, f"checkpoint {path}", "remove it, or free memory")
    if meta["step"] != int(path.name) or sha256_of(path / TENSORS) != meta["sha256"]:
        raise ValueError("its checksum differs")
    copies = {}
    for name, checksum in meta.get("files", {}).items():
        copies[name] = path / Path(name).name  # a name in a damaged file may hold a path
        if sha256_of(regular(copies[name])) != checksum:
            raise ValueError("its checksum differs")
    return Checkpoint(meta["step"], load_file(path / TENSORS), copies)


def _checkpoints(folder: Path) -> list[Path]:
    """Return the folders of checkpoints, the newest first."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if path.name.isdecimal() and path.is_dir() and not path.is_symlink()]
    return sorted(found, key=lambda path: int(path.name), reverse=True)
