"""Writes that a kill cannot tear: beside the target, flushed to the disk, then renamed."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from aimgan.errors import AimganError

REMEDIES = {  # what a disk refuses a write with, and what mends it
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there",
    errno.EROFS: "make it writable",
    errno.EACCES: "make it writable",
    errno.EPERM: "make it writable",
    errno.ENOENT: "put its folder back",
    errno.EIO: "check the disk",
}


def cache_folder() -> Path:
    """Return where what was downloaded or trained once is kept: ~/.cache/aimgan, or what AIMGAN_CACHE names."""
    return Path(os.environ.get("AIMGAN_CACHE") or Path.home() / ".cache" / "aimgan")


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """Give an empty folder to write into; on leaving without an error it takes the target's place.

    The old target is set aside before the rename and removed after it, so that one of them is there at any moment but
    for the instant between two renames, which `recover` mends.
    """
    target = target.resolve()  # "." has no name, and a link is not what is to be replaced
    fresh, old = (target.parent / f".{target.name}.{kind}" for kind in ("new", "old"))
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        yield fresh
        for path in fresh.rglob("*"):
            if path.is_file():
                _flush(path)
        _flush(fresh)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
    fresh.rename(target)
    _flush(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def recover(target: Path) -> None:
    """Put back a folder that a kill caught between `replacing_folder`'s two renames."""
    target = target.resolve()
    old = target.parent / f".{target.name}.old"
    if not target.exists() and old.exists():
        old.rename(target)


def write_text(target: Path, text: str) -> None:
    """Write a small file whole or not at all."""
    with _replacing(target) as fresh:
        fresh.write_text(text, encoding="utf-8")


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """Give the name of a file to write; on leaving without an error it takes the target's place."""
    fresh = target.with_name(f".{target.name}.new")
    try:
        yield fresh
        _flush(fresh)
        fresh.replace(target)
    except OSError:
        fresh.unlink(missing_ok=True)  # on a full disk, what it takes is missed
        raise
    _flush(target.parent)


def as_json(value: Any) -> str:
    """Return a value as readable JSON. Raises ValueError for a number that is none."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def write_json(target: Path, value: Any) -> None:
    """Write a value as readable JSON, whole or not at all."""
    write_text(target, as_json(value))


def save_array(target: Path, values: np.ndarray) -> None:
    """Write an array as a .npy file, whole or not at all."""
    with _replacing(target) as fresh, fresh.open("wb") as file:
        np.save(file, values)


def copy_file(source: Path, target: Path) -> None:
    """Put a copy of a file in the target's place, whole or not at all."""
    with _replacing(target) as fresh:
        shutil.copyfile(source, fresh)


def save_tensors(target: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors as a safetensors file that may be read as other files may. Raises OSError where the disk refuses.

    safetensors puts a file of its own making in the target's place, which it lets nobody else read. It has one error
    for all that fails; its text ends in the system's number.
    """
    values = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    target.touch()  # a new file's mode is the umask's
    mode = target.stat().st_mode
    try:
        save_file(values, target, metadata)
        if target.stat().st_mode != mode:
            target.chmod(mode)
    except SafetensorError as reason:
        found = re.search(r"os error (\d+)", str(reason))
        if not found:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1])), str(target)) from None


def unwritable(path: Path, reason: OSError) -> AimganError:
    """Return the error for a write that the disk refused: what could not be written, the room there, the fix."""
    there = next(parent for parent in (path.absolute(), *path.absolute().parents) if os.path.exists(parent))
    free = shutil.disk_usage(there).free / 2**20
    remedy = REMEDIES.get(reason.errno or 0, "check the disk")
    return AimganError(
        f"cannot write {path} ({reason.strerror}; {free:,.1f} MiB free there): {remedy}, and run the same command "
        "again; or choose another folder"
    )


def unreadable(folder: Path | str, reason: PermissionError) -> AimganError:
    """Return the error for a folder of which this user may not read a file."""
    path = os.fsdecode(reason.filename or folder)
    return AimganError(f"{folder} cannot be read ({reason.strerror}: {path}): make it readable, or check the path")


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
