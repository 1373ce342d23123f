"""Arrays that grow on the disk and survive a kill: .npy files, and a journal that says how many of their rows count.

Rows are written first and a line of the journal after them, so a line that is whole has its rows; what a kill left
beyond the last such line is cut off when the files are opened again. The headers of the arrays count no row until the
arrays are finished.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.lib import format

from aimgan.checked import regular
from aimgan.errors import AimganError
from aimgan.files import lock

MAX_LINE = 2**24  # bytes: a longer line of a journal is taken for a torn one

Line = dict[str, Any]
Sound = Callable[[Line], bool]


class Kind(NamedTuple):
    """What the rows of an array are: their type, as "<f4", and their shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """The bytes of a row."""
        return np.dtype(self.dtype).itemsize * math.prod(self.shape)


class Growing:
    """The arrays of a folder, `<name>.npy` each, and the lines of their journal, up to the first that is not sound.

    One process at a time: another one waits, or gets an AimganError where `wait` is not set.
    """

    def __init__(
        self, folder: Path, kinds: Mapping[str, Kind], journal: str, is_sound: Sound = bool, wait: bool = False
    ) -> None:
        self.folder, self.kinds, self._is_sound = folder, dict(kinds), is_sound
        self._journal = _opened(folder / journal)
        try:
            lock(self._journal, wait)
        except OSError:
            self._journal.close()
            raise AimganError(f"another process is building {folder}: wait for it, or take another folder") from None
        self._files: dict[str, BinaryIO] = {}
        self.lines: list[Line] = []
        self.counts = dict.fromkeys(self.kinds, 0)
        try:
            for name in self.kinds:
                self._files[name] = _opened(folder / f"{name}.npy")
            self._starts = {name: _header(self._files[name], kind) for name, kind in self.kinds.items()}
            self._recover()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Growing:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files, and let others have the folder."""
        for file in (*self._files.values(), self._journal):
            with suppress(OSError):  # what a full disk refused to take is still in the buffer, and refused again
                file.close()

    def _recover(self) -> None:
        """Read the lines that are whole and have their rows, and cut off the rest."""
        room = {
            name: (file.seek(0, os.SEEK_END) - self._starts[name]) // self.kinds[name].size
            for name, file in self._files.items()
        }
        end = 0
        for line, after in read_lines(self._journal, self.kinds, self._is_sound):
            counts = {name: self.counts[name] + line["rows"][name] for name in self.kinds}
            if any(counts[name] > room[name] for name in counts):
                break
            self.counts, end = counts, after
            self.lines.append(line)
        self._journal.truncate(end)
        for name, file in self._files.items():
            file.truncate(self._starts[name] + self.kinds[name].size * self.counts[name])

    def append(self, rows: Mapping[str, np.ndarray], **said: Any) -> None:
        """Add rows to the arrays, and to the journal a line that counts them and says `said`."""
        for name, values in rows.items():
            kind = self.kinds[name]
            assert values.shape[1:] == kind.shape
            self._files[name].write(np.ascontiguousarray(values, kind.dtype).data)
            self._files[name].flush()
        line = {"rows": {name: len(rows.get(name, ())) for name in self.kinds}, **said}
        self._journal.write(as_line(line))
        self._journal.flush()
        self.lines.append(line)
        self.counts = {name: self.counts[name] + line["rows"][name] for name in self.kinds}

    def array(self, name: str) -> np.ndarray:
        """Map an array's rows into memory."""
        kind, shape = self.kinds[name], (self.counts[name], *self.kinds[name].shape)
        if not shape[0]:
            return np.empty(shape, kind.dtype)
        return np.memmap(self._files[name], kind.dtype, "c", self._starts[name], shape)

    def parts(self, name: str, most: int) -> Iterator[np.ndarray]:
        """Read an array's rows, `most` at a time: those of a map would stay in this process's memory."""
        kind = self.kinds[name]
        with (self.folder / f"{name}.npy").open("rb") as file:
            file.seek(self._starts[name])
            for start in range(0, self.counts[name], most):
                count = min(most, self.counts[name] - start)
                yield np.frombuffer(file.read(count * kind.size), kind.dtype).reshape(count, *kind.shape)

    def finish(self) -> None:
        """Write how many rows there are into the headers of the arrays, and all of it to the disk."""
        for name, kind in self.kinds.items():
            with (self.folder / f"{name}.npy").open("r+b") as file:
                file.write(_header_of(kind, self.counts[name]))
                assert file.tell() == self._starts[name]
                file.flush()
                os.fsync(file.fileno())


def _opened(path: Path) -> BinaryIO:
    """Open a file to be added to. Raises OSError for a link, behind which is a file that is none of ours."""
    if path.is_symlink():
        raise OSError(0, "it is a link")
    return regular(path).open("a+b")


def as_line(line: Line) -> bytes:
    """Return a line of a journal: JSON in ASCII, so that no name can break it."""
    return json.dumps(line).encode() + b"\n"


def read_lines(file: BinaryIO, arrays: Collection[str], is_sound: Sound = bool) -> Iterator[tuple[Line, int]]:
    """Yield each line of the journal of some arrays, and where it ends, up to the first that is torn or not sound."""
    file.seek(0)
    end = 0
    for text in iter(lambda: file.readline(MAX_LINE), b""):
        end += len(text)
        try:
            line = json.loads(text)
            counts = [line["rows"][name] for name in arrays]
            whole = text.endswith(b"\n") and all(type(count) is int and count >= 0 for count in counts)
            whole = whole and is_sound(line)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return
        if not whole:
            return
        yield line, end


def open_array(path: Path, kind: Kind, count: int | None = None) -> np.ndarray:
    """Map a finished array into memory: a plain one, whatever else a file of that name is.

    The pages that are written to are the process's own. Raises ValueError or OSError for any other array than the one
    of this kind, and of `count` rows.
    """
    try:
        with np.errstate(over="ignore"):  # a shape beyond 64 bits
            array = format.open_memmap(regular(path), "c")
    except OSError:
        raise
    except Exception as error:  # numpy's reader of headers raises nearly anything at a damaged one
        raise ValueError(f"{path.name}: {error}") from error
    expected = (len(array) if count is None else count, *kind.shape)
    if array.dtype != np.dtype(kind.dtype) or array.shape != expected:
        raise ValueError(f"{path.name} holds {array.dtype} {array.shape}, expected {kind.dtype} {expected}")
    return array


def _header(file: BinaryIO, kind: Kind) -> int:
    """Return where the numbers of an array begin; in a new file, after a header that counts none."""
    file.seek(0)
    try:
        format.read_magic(file)
        shape, _, _ = format.read_array_header_1_0(file)
        own = _header_of(kind, shape[0])
        file.seek(0)
        if file.read(len(own)) == own:
            return len(own)
    except Exception:  # a new file, or one whose header a kill tore: numpy raises nearly anything at it
        pass
    file.truncate(0)
    file.write(_header_of(kind, 0))
    file.flush()
    return file.tell()


def _header_of(kind: Kind, count: int) -> bytes:
    """Return a header, which is as long for any count: numpy leaves room for the digits."""
    about = {"descr": kind.dtype, "fortran_order": False, "shape": (count, *kind.shape)}
    format.write_array_header_1_0(header := BytesIO(), about)
    return header.getvalue()
