"""Writes that a kill cannot tear: beside the target, flushed to the disk, then renamed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


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
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    for path in fresh.rglob("*"):
        if path.is_file():
            _flush(path)
    _flush(fresh)
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
    fresh = target.with_name(f".{target.name}.new")
    fresh.write_text(text, encoding="utf-8")
    _flush(fresh)
    fresh.replace(target)
    _flush(target.parent)


def write_json(target: Path, value: Any) -> None:
    """Write a value as readable JSON, whole or not at all."""
    write_text(target, json.dumps(value, indent=2, allow_nan=False) + "\n")


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
