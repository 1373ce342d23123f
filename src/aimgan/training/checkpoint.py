"""Checkpoints: one folder each, safetensors and JSON, written beside and renamed. The newest valid one wins."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from aimgan.errors import AimganError
from aimgan.files import replacing_folder, save_tensors, write_json

TENSORS, META = "state.safetensors", "state.json"
ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class TornCheckpointWarning(UserWarning):
    """A checkpoint was not whole and was passed over."""


@dataclass(frozen=True)
class Checkpoint:
    """The state after `step` steps; and by name the run's own files (run.json, metrics.jsonl), as they were then."""

    step: int
    tensors: dict[str, Tensor]
    files: Mapping[str, Path] = field(default_factory=dict)


def save(folder: Path, step: int, tensors: Mapping[str, Tensor], files: Iterable[Path] = (), keep: int = 2) -> Path:
    """Write the state after `step` steps to folder/<step>, then remove all but the newest `keep`.

    Of `files` it gets copies, with checksums too. Raises OSError where the disk refuses; what was there stays.
    """
    target = folder / f"{step:09d}"
    folder.mkdir(exist_ok=True)  # and not its parents: a run whose folder was removed ends here
    with replacing_folder(target) as fresh:
        save_tensors(fresh / TENSORS, tensors)
        copies = {path.name: _checksum(Path(shutil.copyfile(path, fresh / path.name))) for path in files}
        write_json(fresh / META, {"step": step, "sha256": _checksum(fresh / TENSORS), "files": copies})
    prune(folder, step, keep)
    return target


def prune(folder: Path, step: int, keep: int = 2) -> None:
    """Remove all but the newest `keep` checkpoints up to `step`.

    What a kill left half written goes too, and torn checkpoints past this step: they were passed over.
    """
    kept = [path for path in _candidates(folder) if int(path.name) <= step][:keep]
    for path in {*_candidates(folder), *folder.glob(".*.new"), *folder.glob(".*.old")} - {*kept}:
        shutil.rmtree(path)


def newest(folder: Path) -> Checkpoint | None:
    """Return the newest checkpoint that is whole, or None. A torn one is passed over with a warning.

    Raises AimganError for one that cannot be read: it may be whole, and going on without it would remove it.
    """
    candidates = _candidates(folder)
    for path in candidates:
        try:
            return _read(path)
        except (*ABSENT, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as reason:
            warnings.warn(f"checkpoint {path} is not whole ({reason}): it is passed over", TornCheckpointWarning, 2)
        except OSError as reason:
            raise AimganError(
                f"cannot read checkpoint {path} ({reason.strerror}): make it readable, or remove it to go on without it"
            ) from None
    if candidates:
        warnings.warn(f"no checkpoint in {folder} is whole: there is none to go on from", TornCheckpointWarning, 2)
    return None


def _read(path: Path) -> Checkpoint:
    meta = json.loads((path / META).read_text(encoding="utf-8"))
    copies = {name: path / Path(name).name for name in meta.get("files", {})}
    wanted = {path / TENSORS: meta["sha256"], **{file: meta["files"][name] for name, file in copies.items()}}
    if meta["step"] != int(path.name) or any(_checksum(file) != checksum for file, checksum in wanted.items()):
        raise ValueError("its checksum differs")
    return Checkpoint(meta["step"], load_file(path / TENSORS), copies)


def _candidates(folder: Path) -> list[Path]:
    found = [path for path in folder.iterdir() if path.name.isdecimal()] if folder.is_dir() else []
    return sorted(found, key=lambda path: int(path.name), reverse=True)


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
