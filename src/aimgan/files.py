"""Atomic file writes: each file is written under another name, flushed to the disk, then renamed.

A folder may come from a stranger, with links in it that lead to any file of this user. So nothing is written through a
link: a new file gets a random name and must not exist, and a target that is a link is refused.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import IO, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from aimgan.errors import AimganError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

REMEDIES = {  # how to fix each error of a refused write
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there",
    errno.EROFS: "make it writable",
    errno.EACCES: "make it writable",
    errno.EPERM: "make it writable",
    errno.ENOENT: "put its folder back",
    errno.EIO: "check the disk",
    errno.ELOOP: "remove it",
    errno.EEXIST: "remove it",
}
NO_LINK = getattr(os, "O_NOFOLLOW", 0)  # Windows has no such flag
LEFTOVER = re.compile(r"\..*\.[0-9a-f]{16}\.new")  # the name of an unfinished write
KEPT = 50  # characters of a target's name in it, since a name has at most 255 bytes
FOREIGN = ("wandb", "mlruns")  # folders in a run that trackers write, with links of their own
MARKED = 2**20  # bytes at the beginning of a file in which its mark is looked for


def cache_folder() -> Path:
    """Return the folder of downloads and other files that all runs share: AIMGAN_CACHE, else ~/.cache/aimgan."""
    return Path(os.environ.get("AIMGAN_CACHE") or Path.home() / ".cache" / "aimgan")


def lock(file: int | IO[bytes], wait: bool = False) -> None:
    """Lock an open file or folder for this process until it is closed or the process ends, however it ends.

    Raises BlockingIOError if another process has locked it, or waits for that process if `wait` is set. Where Python
    has no `fcntl` (Windows), nothing is locked.
    """
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder to write into; when the block ends without an error, it replaces the target.

    A kill between the two renames leaves the old folder under another name; `recover` puts it back.
    """
    target = target.resolve()  # "." has no name, and a link must stay a link
    fresh, old = _unfinished(target), _set_aside(target)
    sweep(target.parent, f".{escape(target.name[:KEPT])}.*.new")
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
    """Put back a folder that a kill removed between the two renames of `replacing_folder`."""
    target = target.resolve()
    old = _set_aside(target)
    if old.exists() and not target.exists():
        old.rename(target)


def _set_aside(target: Path) -> Path:
    return target.parent / f".{target.name}.old"


def _unfinished(target: Path) -> Path:
    """Return a random name beside a target, at which nobody can have put a link."""
    return target.with_name(f".{target.name[:KEPT]}.{secrets.token_hex(8)}.new")


def sweep(folder: Path, pattern: str = "**/.*.new") -> None:
    """Remove what kills have left of unfinished writes in a folder, by default anywhere in it."""
    for path in list(folder.glob(pattern)):
        if not LEFTOVER.fullmatch(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):  # the folder of a complete run may be read-only
                path.unlink()


@contextmanager
def replacing_file(target: Path) -> Iterator[Path]:
    """Yield the path of an empty file to write; when the block ends without an error, it replaces the target.

    Several processes may write the same target at once. Raises OSError for a target that is a link, a pipe or a device.
    """
    require_replaceable(target)
    fresh = _unfinished(target)
    os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK, 0o666))
    try:
        yield fresh
        _flush(fresh)
        fresh.replace(target)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    _flush(target.parent)


def require_replaceable(target: Path) -> None:
    """Raise OSError for a file to write that is a link, a pipe, a device or a folder."""
    if target.is_symlink():
        raise OSError(errno.ELOOP, "it is a link", str(target))
    if target.exists() and not target.is_file():
        raise OSError(errno.EEXIST, "it is not a regular file", str(target))


def appending(path: Path) -> IO[bytes]:
    """Open a file for reading and appending. Raises OSError for a link.

    A file with other names, such as those that `cp -al` gives, is copied first: under those it stays as it is.
    """
    if path.is_file() and not path.is_symlink() and path.stat().st_nlink > 1:
        copy_file(path, path)
    return open(path, "a+b", opener=lambda name, flags: os.open(name, flags | NO_LINK, 0o666))


def refuse_links(folder: Path) -> None:
    """Raise AimganError if a folder of ours, which is to be written into, is a link or has one anywhere inside."""
    found = [folder]
    for root, folders, names in os.walk(folder):
        found += [Path(root, name) for name in (*folders, *names)]
        folders[:] = set(folders) - {*FOREIGN}
    for path in found:
        if path.is_symlink():
            raise AimganError(
                f"{path} is a link, through which other files could be overwritten: remove it, or choose another folder"
            )


def require_own(folder: Path, what: str, marks: Mapping[str, str], others: Collection[str] = ()) -> None:
    """Raise AimganError unless a folder is missing, empty, or was written by aimgan, so that it may be replaced.

    The folder may hold the files of `marks`, each of which must contain its mark, and files named in `others`, which
    have none. The first file of `marks` must be there: it tells whose the others are. `what` the folder would be is
    for the message.
    """
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    strange = names - {*marks, *others}
    first = next(iter(marks))
    if names and first not in names:
        strange = strange or names
    if strange:
        raise AimganError(f"{folder} contains {min(strange)}, which is not {what}: choose another folder")
    for name in names & {*marks}:
        require_mark(folder / name, marks[name])


def require_mark(path: Path, mark: str) -> None:
    """Raise AimganError if there is a file without this text, by which aimgan knows the files that it has written."""
    if not os.path.lexists(path):
        return
    text = ""
    if path.is_file() and not path.is_symlink():
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(MARKED)
    if mark not in text:
        raise AimganError(f"{path} was not written by aimgan: move it elsewhere, or choose another place to write to")


def write_text(target: Path, text: str) -> None:
    """Write a text file in UTF-8."""
    with replacing_file(target) as fresh:
        fresh.write_text(text, encoding="utf-8")


def as_json(value: Any) -> str:
    """Return a value as indented JSON. Raises ValueError for NaN and infinity, which JSON does not have."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def write_json(target: Path, value: Any) -> None:
    """Write a value as indented JSON."""
    write_text(target, as_json(value))


def save_array(target: Path, values: np.ndarray) -> None:
    """Write an array as a .npy file."""
    with replacing_file(target) as fresh, fresh.open("wb") as file:
        np.save(file, values)


def copy_file(source: Path, target: Path) -> None:
    """Replace a file by a copy of another one."""
    with replacing_file(target) as fresh:
        shutil.copyfile(source, fresh)


def save_tensors(target: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors as a safetensors file, in place. Raises OSError if the disk refuses.

    safetensors makes files that only their owner may read, and raises the same error for every failure, whose message
    contains the errno.
    """
    values = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    target.touch()  # a new file has the permissions of the umask
    mode = target.stat().st_mode
    try:
        save_file(values, target, metadata)
        target.chmod(mode)
    except SafetensorError as reason:
        found = re.search(r"os error (\d+)", str(reason))
        if found is None:
            raise
        number = int(found[1])
        raise OSError(number, os.strerror(number), str(target)) from None


def unwritable(path: Path, reason: OSError) -> AimganError:
    """Return the error for a write that the disk refused: the path, the reason, the free space, and what to do."""
    folder = path.absolute()
    while not os.path.exists(folder):  # Path.exists raises if a parent may not be read
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 2**20
    remedy = REMEDIES.get(reason.errno or 0, "check the disk")
    return AimganError(
        f"cannot write {path} ({reason.strerror}; {free:,.1f} MiB free there): {remedy}, and run the same command "
        "again; or choose another folder"
    )


def unreadable(folder: Path | str, reason: PermissionError) -> AimganError:
    """Return the error for a folder that contains a file which this user may not read."""
    path = os.fsdecode(reason.filename or folder)
    return AimganError(f"{folder} cannot be read ({reason.strerror}: {path}): make it readable, or check the path")


def _flush(path: Path) -> None:
    flags = os.O_RDONLY
    if os.name == "nt":  # Windows flushes only files that are open for writing, and no folders
        if path.is_dir():
            return
        flags = os.O_RDWR
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
