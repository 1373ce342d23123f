"""Checkpoints: one folder each, safetensors and JSON, written beside and renamed. The newest valid one wins."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from aimgan.files import replacing_folder, write_json

TENSORS, META = "state.safetensors", "state.json"


class TornCheckpointWarning(UserWarning):
    """A checkpoint was not whole and was passed over."""


@dataclass(frozen=True)
class Checkpoint:
    """The state after `step` steps."""

    step: int
    tensors: dict[str, Tensor]


def save(folder: Path, step: int, tensors: Mapping[str, Tensor], keep: int = 2) -> Path:
    """Write the state after `step` steps to folder/<step>, then remove all but the newest `keep`.

    What a kill left half written goes too, and torn checkpoints past this step: they were passed over.
    """
    target = folder / f"{step:09d}"
    with replacing_folder(target) as fresh:
        save_file({name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}, fresh / TENSORS)
        write_json(fresh / META, {"step": step, "sha256": _checksum(fresh / TENSORS)})
    kept = [path for path in _candidates(folder) if int(path.name) <= step][:keep]
    for path in {*_candidates(folder), *folder.glob(".*.new"), *folder.glob(".*.old")} - {*kept}:
        shutil.rmtree(path)
    return target


def newest(folder: Path) -> Checkpoint | None:
    """Return the newest checkpoint that is whole, or None. A torn one is passed over with a warning."""
    for path in _candidates(folder):
        try:
            meta = json.loads((path / META).read_text(encoding="utf-8"))
            if _checksum(path / TENSORS) != meta["sha256"]:
                raise ValueError("its checksum differs")
            return Checkpoint(int(meta["step"]), load_file(path / TENSORS))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as reason:
            warnings.warn(f"checkpoint {path} is not whole ({reason}); taking an older one", TornCheckpointWarning, 2)
    return None


def _candidates(folder: Path) -> list[Path]:
    found = [path for path in folder.iterdir() if path.name.isdecimal()] if folder.is_dir() else []
    return sorted(found, key=lambda path: int(path.name), reverse=True)


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
