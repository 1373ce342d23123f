"""Where images come from: a folder, a zip, tar shards, arrays, parquet or a Hub id becomes one listing of images."""

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
from aimgan.data.files import Files, archive, archives, folder, stamp
from aimgan.data.labels import is_beside
from aimgan.data.listing import Listing, listed
from aimgan.data.names import SHARD, is_hidden, is_image, split_of, suffix_of
from aimgan.errors import AimganError

EXPECTED = (
    "expected a folder of images, a .zip or .tar of one, .npy, .npz, a folder of .parquet, .tar or .zip, "
    "or a Hub id owner/name"
)
ARRAYS = (".npy", ".npz")


def find(source: str, stack: ExitStack) -> Listing:
    """Return the images of `source`. What must stay open until all is decoded is closed by `stack`.

    Raises AimganError for a source that is missing, unreadable or of no kind that is known.
    """
    path = Path(os.path.expanduser(source))
    if os.path.exists(path):  # which knows names that are too long, or have a NUL in them
        return _directory(path, stack) if path.is_dir() else _file(path, source, stack)
    if several := _matching(source):
        return _several(several, source, stack)
    if HUB_ID.fullmatch(source):
        return hub.listed_hub(source)
    raise AimganError(f"there is no file or folder {source!r}: {EXPECTED}")


def state(source: str) -> str:
    """Return what changes when the files of a source do: names, sizes and times; on the Hub, the commit.

    They are not opened, so it is known at once, also of a million images in shards. Raises AimganError where the Hub
    cannot be reached.
    """
    path = Path(os.path.expanduser(source))
    files: list[tuple[object, ...]]
    if os.path.isdir(path):
        files = [(name, *stamp(path / name)) for name in folder(path).names if _counts(name)]
    else:
        several = [path] if os.path.exists(path) else _matching(source)
        root = _common(several)
        files = [(str(file.relative_to(root)), *stamp(file)) for file in several]
        if not files and HUB_ID.fullmatch(source):
            files = [(source, hub.commit(source))]
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()


def _counts(name: str) -> bool:
    """Return whether a file in a folder can be, or hold, an image or what is said of one."""
    kinds = (".parquet", *ARRAYS)
    return not is_hidden(name) and (
        is_image(name) or is_beside(name) or name.endswith(kinds) or bool(SHARD.search(name))
    )


def _matching(source: str) -> list[Path]:
    """Return what a pattern such as shards/*.tar names."""
    pattern = os.path.expanduser(source)
    return [] if "\0" in source else [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]


def _common(paths: Sequence[Path]) -> Path:
    """Return the folder that files are in, each at some depth."""
    return Path(os.path.commonpath([path.parent for path in paths]) if paths else "")


def _file(path: Path, source: str, stack: ExitStack) -> Listing:
    suffix = path.suffix.lower()
    if suffix not in (".zip", ".tar", ".parquet", *ARRAYS):
        packed = suffix in (".gz", ".bz2", ".xz", ".zst", ".tgz")
        hint = ": unpack it first" if packed else f": {EXPECTED}"
        raise AimganError(f"{source!r} is not a source of images{hint}")
    if not path.is_file():  # a pipe would block for ever
        raise AimganError(f"{source!r} is not a regular file: {EXPECTED}")
    if suffix == ".parquet":
        return tables.local(path.parent, [path])
    return listed_arrays([path]) if suffix in ARRAYS else listed(archive(path, stack))


def _several(paths: Sequence[Path], source: str, stack: ExitStack) -> Listing:
    """Read what a pattern such as shards/*.tar names: files of one kind."""
    suffixes = {path.suffix.lower() for path in paths}
    if len(suffixes) > 1 or not all(path.is_file() for path in paths):
        raise AimganError(f"{source!r} names {len(paths)} files of several kinds: {EXPECTED}")
    if suffixes == {".parquet"}:
        return tables.local(_common(paths), paths)
    if suffixes <= {".tar", ".zip"}:
        return listed(archives(_common(paths), paths, stack))
    if len(paths) > 1:
        raise AimganError(f"{source!r} names {len(paths)} files: {EXPECTED}")
    return _file(paths[0], source, stack)


def _directory(root: Path, stack: ExitStack) -> Listing:
    """Read a folder as what most of it is: image files, shards of them, tables or arrays."""
    files = folder(root)
    there = [name for name in files.names if not is_hidden(name)]
    images = sum(map(is_image, there))
    kinds: dict[str, list[str]] = {
        "shards": [name for name in there if SHARD.search(name)],
        "tables": [name for name in there if name.endswith(".parquet") and not name.endswith("metadata.parquet")],
        "arrays": [name for name in there if name.endswith(ARRAYS) and split_of(name)],
    }
    kind = max(kinds, key=lambda kind: len(kinds[kind]))
    names = [name for name in kinds[kind] if (root / name).is_file()]
    # A banner beside train-*.parquet makes no folder of images, and annotations in parquet make no data set of them.
    named = kind != "shards" and any(split_of(name) for name in names)
    if not names or (images and not named and images >= len(names)):
        return listed(files)
    paths = [root / name for name in names]
    if kind == "shards":
        found = listed(archives(root, paths, stack))
    else:
        found = tables.local(root, paths) if kind == "tables" else listed_arrays(paths)
    return _with_others(found, files, there, {*names})


def _with_others(found: Listing, files: Files, there: Sequence[str], names: set[str]) -> Listing:
    """Count what lies in a folder beside the shards, tables or arrays that are read."""
    others = Counter(suffix_of(name) for name in there if name not in names) + Counter(found.not_read)
    return replace(found, skipped=(*found.skipped, *files.skipped), not_read=dict(sorted(others.items())))
