"""Indexes of shards: arrays, made once and kept in the cache folder for as long as the shards stay as they are."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import numpy as np

from aimgan.data.decoder import Stamp
from aimgan.files import cache_folder

Arrays = dict[str, np.ndarray]
VERSION = 1  # of what the arrays mean


def indexed(
    kind: str,
    files: Sequence[Stamp | tuple[str, int, str]],
    dtypes: Mapping[str, str],
    make: Callable[[], Arrays],
) -> Arrays:
    """Return the arrays of these files' index: as kept, or made and then kept.

    A kept index that is torn, damaged (a zip's checksums tell) or of other arrays is made anew. Where nothing can be
    written the index is made each time.
    """
    described = json.dumps([VERSION, kind, files])
    path = cache_folder() / "streams" / f"{hashlib.sha256(described.encode('utf-8', 'replace')).hexdigest()[:32]}.npz"
    kept = _read(path)
    if kept is not None and {name: array.dtype.name for name, array in kept.items()} == dict(dtypes):
        return kept
    made = make()
    assert {name: array.dtype.name for name, array in made.items()} == dict(dtypes)
    with suppress(OSError):
        _write(path, made)
    return made


def _read(path: os.PathLike[str]) -> Arrays | None:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, KeyError, AttributeError, MemoryError, zipfile.BadZipFile, zlib.error):
        return None  # AttributeError: a plain .npy has no names


def _write(path: os.PathLike[str], arrays: Arrays) -> None:
    """Write whole or not at all; under a name of this process's own, since several may index the same shards."""
    fresh = f"{os.fspath(path)}.{os.getpid()}.new"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(fresh, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)
