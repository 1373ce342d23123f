"""The files of a folder, a zip or tar shards by name. A file is read only when it is asked for."""

from __future__ import annotations

import os
import re
import stat
import zipfile
from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from threading import Lock

from aimgan.data.decode import UndecodableError, reason, require_size
from aimgan.data.names import MAX_NESTED, Skipped
from aimgan.data.tars import members
from aimgan.errors import AimganError, first_line

# A folder in the Hub's cache: <kind>s--<owner>--<name>/snapshots/<commit>.
SNAPSHOT = re.compile(r"(.*/(?:dataset|model|space)s--[^/]+)/snapshots/[0-9a-f]{40}(?:/|$)")


@dataclass(frozen=True, eq=False)
class Files:
    """File k is named `names[k]`, with "/" between folders.

    `open` returns its path or its bytes. It raises UndecodableError for a file that cannot be used, such as a pipe or
    an empty file.
    """

    names: Sequence[str]
    open: Callable[[int], Path | BytesIO]
    skipped: tuple[Skipped, ...] = ()


def folder(root: Path) -> Files:
    """List the files below a folder, sorted; folders that may not be read are reported.

    A folder is entered once, whatever links to it. Reported too, and not followed, are links that lead out of the
    folder, and folders nested deeper than MAX_NESTED. In a snapshot of the Hub's cache, files are links to the
    repository's `blobs`, which belong to it.
    """
    names: list[str] = []
    skipped: list[Skipped] = []
    home = os.path.realpath(root)
    snapshot = SNAPSHOT.match(home)
    homes = [home, os.path.join(snapshot[1], "blobs")] if snapshot else [home]
    entered: set[str] = set()
    waiting = [""]  # folders, each with "/" at its end
    while waiting:
        below = waiting.pop()
        try:
            identity = os.path.realpath(root / below)
            entries = [] if identity in entered else list(os.scandir(root / below))
        except OSError as error:
            skipped.append(Skipped(below.rstrip("/") or str(root), str(error.strerror)))
            continue
        entered.add(identity)
        folders = []
        for entry in entries:
            name = below + entry.name
            if entry.is_symlink() and not _is_inside(os.path.realpath(entry.path), homes):
                skipped.append(Skipped(name, "a link out of the folder"))
            elif not entry.is_dir():
                names.append(name)
            elif not entry.name.startswith("."):
                folders.append(f"{name}/")
        if folders and below.count("/") >= MAX_NESTED:
            skipped.append(Skipped(below.rstrip("/"), "folders are nested too deep"))
            continue
        waiting += sorted(folders, reverse=True)
    names.sort()
    skipped.sort(key=lambda item: item.name)
    return Files(names, lambda k: regular_file(root / names[k]), tuple(skipped))


def _is_inside(path: str, folders: Sequence[str]) -> bool:
    return any(path == folder or path.startswith(os.path.join(folder, "")) for folder in folders)


def regular_file(path: Path) -> Path:
    """Return the path of a file with content. Raises UndecodableError for anything else."""
    try:
        found = path.stat()
    except OSError as error:
        raise UndecodableError(str(error.strerror)) from error
    if not stat.S_ISREG(found.st_mode):  # a pipe would block for ever
        raise UndecodableError("not a regular file")
    if found.st_size == 0:
        raise UndecodableError("empty file")
    return path


def archive(path: Path, stack: ExitStack) -> Files:
    """List a .zip or a .tar, which `stack` closes; its members are read into memory one at a time.

    Raises AimganError if it is damaged, cut off or compressed as a whole.
    """
    if not path.is_file():  # a pipe would block for ever
        raise AimganError(f"{str(path)!r} is not a regular file")
    try:
        return _zip(path, stack) if path.suffix.lower() == ".zip" else _tar(path, stack)
    except Exception as error:  # zipfile and tarfile raise nearly anything for a damaged file
        kind = path.suffix.lower().lstrip(".")
        raise AimganError(f"cannot read {str(path)!r} as a {kind}: {first_line(error)}; copy it again") from error


def archives(root: Path, paths: Sequence[Path], stack: ExitStack) -> Files:
    """List several archives as one collection, in which each is a folder with the name of its file."""
    parts = [archive(path, stack) for path in paths]
    begins = [0, *accumulate(len(part.names) for part in parts)]
    names: list[str] = []
    skipped: list[Skipped] = []
    for path, part in zip(paths, parts, strict=True):
        names += [f"{path.relative_to(root).as_posix()}/{name}" for name in part.names]
        skipped += part.skipped

    def opened(k: int) -> Path | BytesIO:
        which = bisect_right(begins, k) - 1
        return parts[which].open(k - begins[which])

    return Files(names, opened, tuple(skipped))


def blob(content: bytes | None) -> BytesIO:
    """Return stored bytes as a file. Raises UndecodableError if there are none."""
    if not content:
        raise UndecodableError("empty file")
    return BytesIO(content)


def require_deflate(member: zipfile.ZipInfo) -> None:
    """Raise ValueError for a compression that zipfile unpacks as a whole, beyond the size that the member states."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("compressed by another method than deflate")


def _zip(path: Path, stack: ExitStack) -> Files:
    opened = stack.enter_context(zipfile.ZipFile(path))
    lock = Lock()  # ZipFile counts its open members without one
    # Some programs write "\" between folders, against the format. Of two members with one name the last is read.
    found = {member.filename.replace("\\", "/"): member for member in opened.infolist() if not member.is_dir()}
    members_in_order = list(found.values())

    def read(k: int) -> BytesIO:
        member = members_in_order[k]
        require_size(member.file_size)
        try:
            require_deflate(member)
            with lock, opened.open(member) as file:
                content = file.read(member.file_size)
        except Exception as error:  # as in `archive`
            raise UndecodableError(reason(error)) from error
        return blob(content)

    return Files(list(found), read)


def _tar(path: Path, stack: ExitStack) -> Files:
    """List a tar. Its members are read by position, so threads do not wait for each other."""
    file = stack.enter_context(path.open("rb"))
    found = {member.name: member for member in members(file)}  # of two with one name the last is read, as in a zip
    stored = [member for member in found.values() if not member.is_sparse]
    skipped = [Skipped(member.name, "a sparse member of a tar") for member in found.values() if member.is_sparse]

    def read(k: int) -> BytesIO:
        member = stored[k]
        require_size(member.size)
        return blob(os.pread(file.fileno(), member.size, member.begin))

    return Files([member.name for member in stored], read, tuple(skipped))
