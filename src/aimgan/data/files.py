"""The files of a collection by name: of a folder, of a zip, of tar shards. Nothing is read before it is asked for."""

from __future__ import annotations

import os
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

from aimgan.data.decode import UndecodableError, reason
from aimgan.data.names import MAX_NESTED, Skipped
from aimgan.data.tars import members
from aimgan.errors import AimganError, first_line

MAX_MEMBER = 256 * 2**20  # bytes of one member of an archive, uncompressed


@dataclass(frozen=True, eq=False)
class Files:
    """File k is `names[k]`, with "/" between folders.

    `open` raises UndecodableError for what cannot be used, such as a pipe or an empty file.
    """

    names: Sequence[str]
    open: Callable[[int], Path | BytesIO]
    skipped: tuple[Skipped, ...] = ()


def folder(root: Path) -> Files:
    """List a folder, sorted; a folder is entered once, whatever links to it, and those that may not be read are named.

    What is nested deeper than MAX_NESTED folders is left out and named: os.walk calls itself.
    """
    names: list[str] = []
    skipped: list[Skipped] = []
    entered = set()

    def refused(error: OSError) -> None:
        name = os.path.relpath(error.filename, root) if error.filename else str(root)
        skipped.append(Skipped(name, str(error.strerror)))

    for where, folders, files in os.walk(root, onerror=refused, followlinks=True):
        identity = os.stat(where)
        if (identity.st_dev, identity.st_ino) in entered:
            folders.clear()
            continue
        entered.add((identity.st_dev, identity.st_ino))
        below = Path(where).relative_to(root)
        if len(below.parts) >= MAX_NESTED and folders:
            skipped.append(Skipped(str(below), "folders are nested too deep"))
            folders.clear()
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        names += [(below / name).as_posix() for name in files]
    names.sort()

    return Files(names, lambda k: regular_file(root / names[k]), tuple(skipped))


def stamp(path: Path) -> tuple[int, ...]:
    """Return a file's size and time, which change when it does; nothing of a link to nowhere."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_size, found.st_mtime_ns


def regular_file(path: Path) -> Path:
    """Return the path of a file that has content. Raises UndecodableError for any other."""
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
    """List a .zip or a .tar, which `stack` closes; members are read one at a time, and never written anywhere.

    Raises AimganError for one that is damaged, cut off or compressed as a whole.
    """
    if not path.is_file():  # a pipe would block for ever
        raise AimganError(f"{str(path)!r} is not a regular file")
    try:
        return _zip(path, stack) if path.suffix.lower() == ".zip" else _tar(path, stack)
    except AimganError:
        raise
    except Exception as error:  # zipfile and tarfile raise nearly anything at a damaged file
        kind = path.suffix.lower().lstrip(".")
        raise AimganError(f"cannot read {str(path)!r} as a {kind}: {first_line(error)}; copy it again") from error


def archives(root: Path, paths: Sequence[Path], stack: ExitStack) -> Files:
    """Return the files of several archives as one collection, in which each is a folder that is named like it."""
    parts = [archive(path, stack) for path in paths]
    ends = list(accumulate(len(part.names) for part in parts))

    def opened(k: int) -> Path | BytesIO:
        which = bisect_right(ends, k)
        return parts[which].open(k - (ends[which - 1] if which else 0))

    names = [f"{path.relative_to(root).as_posix()}/{name}" for path, part in zip(paths, parts, strict=True)
             for name in part.names]  # fmt: skip
    return Files(names, opened, tuple(item for part in parts for item in part.skipped))


def blob(content: bytes | None) -> BytesIO:
    """Return stored bytes as a file. Raises UndecodableError where there are none."""
    if not content:
        raise UndecodableError("empty file")
    return BytesIO(content)


def unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Return a member of a zip, and no more of it than it says its size is. Raises nearly anything at a damaged one."""
    require_deflate(member)
    with archive.open(member) as file:
        return file.read(member.file_size)


def require_deflate(member: zipfile.ZipInfo) -> None:
    """Raise ValueError for what zipfile would unpack whole, whatever the size is that it says it has."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("compressed by another method than deflate")


def _zip(path: Path, stack: ExitStack) -> Files:
    opened = stack.enter_context(zipfile.ZipFile(path))
    lock = Lock()  # ZipFile counts its open members without one
    # Some programs write "\" between folders, against the format. Of two members of one name the last counts.
    found = {member.filename.replace("\\", "/"): member for member in opened.infolist() if not member.is_dir()}
    names, held = [*found], [*found.values()]

    def read(k: int) -> BytesIO:
        _require_size(held[k].file_size)
        try:
            with lock:
                return blob(unpacked(opened, held[k]))
        except UndecodableError:
            raise
        except Exception as error:  # as in archive
            raise UndecodableError(reason(error)) from error

    return Files(names, read)


def _tar(path: Path, stack: ExitStack) -> Files:
    """List a tar. Its members are read at their places, so that threads do not wait for each other."""
    file = stack.enter_context(path.open("rb"))
    found = {member.name: member for member in members(file)}  # the last of a name, as in a zip
    names = [name for name, member in found.items() if not member.is_sparse]
    at = [(found[name].begin, found[name].size) for name in names]
    skipped = tuple(Skipped(name, "a sparse member of a tar") for name in found if found[name].is_sparse)

    def read(k: int) -> BytesIO:
        begin, size = at[k]
        _require_size(size)
        return blob(os.pread(file.fileno(), size, begin))

    return Files(names, read, skipped)


def _require_size(size: int) -> None:
    if size > MAX_MEMBER:
        raise UndecodableError(f"{size:,} bytes, over {MAX_MEMBER:,}")
