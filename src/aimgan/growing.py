"""Arrays that grow on the disk and survive a kill: .npy files, and a journal that says how many rows are valid.

Rows are written before their line of the journal. So the rows of every complete line are there, and whatever a kill has
left after the last complete line is cut off when the files are opened again. The headers of the arrays contain the
number of rows only after `finish`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format

from aimgan.checked import regular, require_memory
from aimgan.errors import AimganError
from aimgan.files import appending, lock, refuse_links

MAX_LINE = 2**24  # bytes: a longer line of a journal counts as damaged

Line = dict[str, Any]
IsValid = Callable[[Line], bool]


class RowType(NamedTuple):
    """The type of an array's rows, such as "<f4", and their shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """The bytes of a row."""
        return np.dtype(self.dtype).itemsize * math.prod(self.shape)

    def header(self, count: int) -> bytes:
        """Return the header of a .npy file of `count` rows; its length is the same for any count."""
        about = {"descr": self.dtype, "fortran_order": False, "shape": (count, *self.shape)}
        header = BytesIO()
        format.write_array_header_1_0(header, about)
        return header.getvalue()


class AppendOnlyArrays:
    """The arrays `<name>.npy` of a folder, and the lines of their journal up to the first invalid one.

    Only one process at a time can open a folder: another one waits if `wait` is set, else it gets an AimganError. A
    folder with a link in it is refused.
    """

    def __init__(
        self, folder: Path, row_types: Mapping[str, RowType], journal: str, is_valid: IsValid = bool, wait: bool = False
    ) -> None:
        self.folder, self.row_types = folder, dict(row_types)
        self.lines: list[Line] = []
        self.counts = dict.fromkeys(row_types, 0)
        self._files: dict[str, IO[bytes]] = {}
        refuse_links(folder)
        self._journal = appending(regular(folder / journal))
        try:
            self._lock(wait)
            for name in row_types:
                self._files[name] = appending(regular(folder / f"{name}.npy"))
            self._recover(is_valid)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> AppendOnlyArrays:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files, so that another process can open the folder."""
        for file in (*self._files.values(), self._journal):
            with suppress(OSError):  # a full disk refuses again to write the buffer
                file.close()

    def _lock(self, wait: bool) -> None:
        try:
            lock(self._journal, wait)
        except OSError:
            building = f"another process is building {self.folder}"
            raise AimganError(f"{building}: wait for it, or take another folder") from None

    def _recover(self, is_valid: IsValid) -> None:
        """Read the lines that are complete and whose rows are there, and cut off the rest."""
        room = {name: _room(self._files[name], row_type) for name, row_type in self.row_types.items()}
        end = 0
        for line, after in read_lines(self._journal, self.row_types, is_valid):
            counts = {name: self.counts[name] + line["rows"][name] for name in self.row_types}
            if any(counts[name] > room[name] for name in counts):
                break
            self.counts, end = counts, after
            self.lines.append(line)
        self._journal.truncate(end)
        for name, file in self._files.items():
            file.truncate(self._begin(name) + self.row_types[name].size * self.counts[name])

    def _begin(self, name: str) -> int:
        return len(self.row_types[name].header(0))

    def append(self, rows: Mapping[str, np.ndarray], **values: Any) -> None:
        """Add rows to the arrays, and a line with their numbers and these values to the journal."""
        for name, array in rows.items():
            row_type = self.row_types[name]
            assert array.shape[1:] == row_type.shape
            self._files[name].write(np.ascontiguousarray(array, row_type.dtype).data)
            self._files[name].flush()
        line = {"rows": {name: len(rows.get(name, ())) for name in self.row_types}, **values}
        self._journal.write(json.dumps(line).encode() + b"\n")  # in ASCII, so that no name can break it
        self._journal.flush()
        self.lines.append(line)
        for name in self.row_types:
            self.counts[name] += line["rows"][name]

    def array(self, name: str) -> np.ndarray:
        """Map the rows of an array into memory."""
        row_type, shape = self.row_types[name], (self.counts[name], *self.row_types[name].shape)
        if not shape[0]:
            return np.empty(shape, row_type.dtype)
        return np.memmap(self._files[name], row_type.dtype, "c", self._begin(name), shape)

    def parts(self, name: str, most: int) -> Iterator[np.ndarray]:
        """Read the rows of an array, `most` at a time: rows that are mapped would stay in memory."""
        for start in range(0, self.counts[name], most):
            yield self._read(name, start, min(most, self.counts[name] - start))

    def take(self, name: str, rows: Sequence[int]) -> np.ndarray:
        """Read rows of an array by their numbers, at least one."""
        return np.concatenate([self._read(name, row, 1) for row in rows])

    def _read(self, name: str, start: int, count: int) -> np.ndarray:
        """Read rows from the file. Raises AimganError if another program has cut it, where a map would crash."""
        file, row_type = self._files[name], self.row_types[name]
        file.seek(self._begin(name) + start * row_type.size)
        content = file.read(count * row_type.size)
        if len(content) < count * row_type.size:
            raise AimganError(f"{self.folder / name}.npy was cut while it was read: run the same command again")
        return np.frombuffer(content, row_type.dtype).reshape(count, *row_type.shape)

    def finish(self) -> None:
        """Write the numbers of rows into the headers, and make sure that everything is on the disk."""
        for name, row_type in self.row_types.items():
            with (self.folder / f"{name}.npy").open("r+b") as file:
                file.write(row_type.header(self.counts[name]))
                file.flush()
                os.fsync(file.fileno())


def _room(file: IO[bytes], row_type: RowType) -> int:
    """Return how many rows the file holds; a file of another kind is reset."""
    file.seek(0)
    with suppress(Exception):  # a new file, or an incomplete header: numpy raises nearly any error for it
        format.read_magic(file)
        shape, _, _ = format.read_array_header_1_0(file)
        header = row_type.header(shape[0])
        file.seek(0)
        if file.read(len(header)) == header:
            return (file.seek(0, os.SEEK_END) - len(header)) // row_type.size
    file.truncate(0)
    file.write(row_type.header(0))
    file.flush()
    return 0


def read_lines(file: IO[bytes], arrays: Collection[str], is_valid: IsValid = bool) -> Iterator[tuple[Line, int]]:
    """Yield each line of a journal of these arrays and where it ends, up to the first incomplete or invalid one."""
    file.seek(0)
    end = 0
    while text := file.readline(MAX_LINE):
        end += len(text)
        try:
            line = json.loads(text)
            counts = [line["rows"][name] for name in arrays]
            if not text.endswith(b"\n") or not is_valid(line):
                return
            if not all(type(count) is int and count >= 0 for count in counts):
                return
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return
        yield line, end


def open_array(path: Path, row_type: RowType, count: int | None = None) -> np.ndarray:
    """Map a finished array into memory; changes to it stay in this process.

    Raises ValueError or OSError for anything that is not a .npy file of this type, with `count` rows if that is given.
    """
    try:
        with np.errstate(over="ignore"):  # for a shape beyond 64 bits
            array = format.open_memmap(regular(path), "c")
    except OSError:
        raise
    except Exception as error:  # numpy raises nearly any error for a damaged header
        raise ValueError(f"{path.name}: {error}") from error
    expected = (len(array) if count is None else count, *row_type.shape)
    if array.dtype != np.dtype(row_type.dtype) or array.shape != expected:
        raise ValueError(f"{path.name} holds {array.dtype} {array.shape}, expected {row_type.dtype} {expected}")
    return array


def read_array(path: Path, row_type: RowType, count: int) -> np.ndarray:
    """Read a finished array into memory, which stays as it is when the file is cut. Raises errors as `open_array`."""
    mapped = open_array(path, row_type, count)
    require_memory(mapped.nbytes, f"the array in {path}", "take fewer rows")
    with path.open("rb") as file:
        file.seek(mapped.offset)  # type: ignore[attr-defined]
        content = bytearray(mapped.nbytes)
        if file.readinto(content) < mapped.nbytes:
            raise ValueError(f"{path.name} was cut while it was read")
    return np.frombuffer(content, mapped.dtype).reshape(mapped.shape)
