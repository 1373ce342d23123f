"""Sources of images: a folder, a zip, tar shards, arrays, parquet or a Hub id becomes one listing of images."""

from __future__ import annotations

import glob
import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from aimgan.checked import HUB_ID
from aimgan.data import hub, tables
from aimgan.data.arrays import listed_arrays
from aimgan.data.files import archive, archives, folder
from aimgan.data.labels import has_labels
from aimgan.data.listing import Listing, listed
from aimgan.data.names import SHARD, is_hidden, is_image, split_of, suffix_of
from aimgan.errors import AimganError

EXPECTED = (
    "expected a folder of images, a .zip or .tar of one, .npy, .npz, a folder of .parquet, .tar or .zip, "
    "or a Hub id owner/name"
)
ARRAYS = (".npy", ".npz")


def find(source: str, stack: ExitStack) -> Listing:
    """List the images of `source`; `stack` closes the files that must be open until all images are decoded.

    Raises AimganError for a source that is missing, unreadable or of an unknown kind.
    """
    paths = _paths(source)
    if len(paths) == 1 and paths[0].is_dir():
        return _directory(paths[0], stack)
    if paths:
        return _files(paths, source, stack)
    if HUB_ID.fullmatch(source):
        return hub.listed_hub(source)
    raise AimganError(f"there is no file or folder {source!r}: {EXPECTED}")


def state(source: str) -> str:
    """Return a hash that changes when the files of a source do: their names, sizes and times; on the Hub, the commit.

    The files are not opened, so this is fast for a million images in shards too. Raises AimganError if the Hub cannot
    be reached.
    """
    paths = _paths(source)
    files: list[tuple[object, ...]]
    if len(paths) == 1 and paths[0].is_dir():
        root = paths[0]
        files = [(name, *_status(root / name)) for name in folder(root).names if _matters(name)]
    elif paths:
        root = _common_folder(paths)
        files = [(str(path.relative_to(root)), *_status(path)) for path in paths]
    else:
        files = [(source, hub.commit(source))] if HUB_ID.fullmatch(source) else []
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()


def is_on_hub(source: str) -> bool:
    """Return whether `find` would look for a source on the Hub: an id that is no path here."""
    return not _paths(source) and HUB_ID.fullmatch(source) is not None


def _paths(source: str) -> list[Path]:
    """Return the file or folder that a source names, or all that it matches as a pattern such as shards/*.tar."""
    expanded = os.path.expanduser(source)
    if os.path.exists(expanded):  # which accepts names that are too long or hold a NUL
        return [Path(expanded)]
    if "\0" in source:
        return []
    return [Path(name) for name in sorted(glob.glob(expanded, recursive=True))]


def _status(path: Path) -> tuple[int, ...]:
    """Return a file's size and time of change; nothing for a link to a file that does not exist."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_size, found.st_mtime_ns


def _matters(name: str) -> bool:
    """Return whether a file in a folder can be an image, hold images, or hold labels of images."""
    if is_hidden(name):
        return False
    return is_image(name) or has_labels(name) or name.endswith((".parquet", *ARRAYS)) or bool(SHARD.search(name))


def _common_folder(paths: Sequence[Path]) -> Path:
    return Path(os.path.commonpath([path.parent for path in paths]))


def _files(paths: Sequence[Path], source: str, stack: ExitStack) -> Listing:
    """List the images in files of one kind."""
    suffixes = {path.suffix.lower() for path in paths}
    if len(paths) > 1 and (len(suffixes) > 1 or suffixes & {*ARRAYS}):
        raise AimganError(f"{source!r} names {len(paths)} files that cannot be read together: {EXPECTED}")
    suffix = suffixes.pop()
    if suffix in (".gz", ".bz2", ".xz", ".zst", ".tgz"):
        raise AimganError(f"{source!r} is not a source of images: unpack it first")
    if suffix not in (".zip", ".tar", ".parquet", *ARRAYS):
        raise AimganError(f"{source!r} is not a source of images: {EXPECTED}")
    if not all(path.is_file() for path in paths):  # a pipe would block for ever
        raise AimganError(f"{source!r} is not a regular file: {EXPECTED}")
    if suffix == ".parquet":
        return tables.local(_common_folder(paths), paths)
    if suffix in ARRAYS:
        return listed_arrays(paths)
    if len(paths) == 1:
        return listed(archive(paths[0], stack))
    return listed(archives(_common_folder(paths), paths, stack))


def _directory(root: Path, stack: ExitStack) -> Listing:
    """List the images in a folder, as what most of its files are: images, shards, tables or arrays."""
    files = folder(root)
    visible = [name for name in files.names if not is_hidden(name)]
    kinds = {
        "shards": [name for name in visible if SHARD.search(name)],
        "tables": [name for name in visible if name.endswith(".parquet") and not name.endswith("metadata.parquet")],
        "arrays": [name for name in visible if name.endswith(ARRAYS) and split_of(name)],
    }
    kind = max(kinds, key=lambda kind: len(kinds[kind]))
    names = [name for name in kinds[kind] if (root / name).is_file()]
    # A banner beside train-*.parquet does not make a folder of images, nor do annotations in parquet make a data set.
    images = sum(map(is_image, visible))
    are_splits = kind != "shards" and any(map(split_of, names))
    if not names or (images and not are_splits and images >= len(names)):
        return listed(files)
    paths = [root / name for name in names]
    if kind == "shards":
        found = listed(archives(root, paths, stack))
    elif kind == "tables":
        found = tables.local(root, paths)
    else:
        found = listed_arrays(paths)
    others = Counter(found.not_read) + Counter(suffix_of(name) for name in set(visible) - set(names))
    return replace(found, skipped=(*found.skipped, *files.skipped), not_read=dict(sorted(others.items())))
