"""The rows of an index on the disk, a chunk more at a time: codes.npy, and rows.jsonl with their names and keys.

A chunk's codes are written first and its line of rows.jsonl after them, so a line that is whole has its codes; what a
kill left beyond the last such line is cut off. The header of codes.npy counts the rows of the finished index: readers
of that never see the ones that are being added.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from jaxtyping import Float32
from numpy.lib import format

from aimgan.checked import regular
from aimgan.errors import AimganError

CODES, NAMES = "codes.npy", "rows.jsonl"
LINE = 128  # rows of a line, in a finished index


class Row(NamedTuple):
    """An image's name in the source, and the hash that tells whether it has changed."""

    name: str
    key: int


class Rows:
    """The open rows of an index that is being made. One process at a time: raises AimganError for a second."""

    def __init__(self, folder: Path, dim: int) -> None:
        self.dim = dim
        self._codes = (folder / CODES).open("a+b")
        self._names = (folder / NAMES).open("a+b")
        try:
            fcntl.flock(self._names, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AimganError(f"another process is building {folder}: wait for it, or take another folder") from None
        self._start = _header(self._codes, dim)
        self.rows: list[Row] = self._recovered()

    def __enter__(self) -> Rows:
        return self

    def __exit__(self, *_: object) -> None:
        self._codes.close()
        self._names.close()

    def _recovered(self) -> list[Row]:
        """Read the rows that are whole, and cut off the rest."""
        whole = (self._codes.seek(0, 2) - self._start) // (4 * self.dim)
        rows: list[Row] = []
        end = 0
        for line, after in _lines(self._names):
            if len(rows) + len(line) > whole:
                break
            rows += line
            end = after
        self._names.truncate(end)
        self._codes.truncate(self._start + 4 * self.dim * len(rows))
        return rows

    def append(self, rows: Sequence[Row], codes: Float32[np.ndarray, "n d"]) -> None:
        """Add images and their codes."""
        assert len(rows) == len(codes)
        self._codes.write(np.ascontiguousarray(codes, "<f4").tobytes())
        self._codes.flush()
        self._names.write(to_line(rows))
        self._names.flush()
        self.rows += rows

    def codes(self) -> Float32[np.ndarray, "n d"]:
        """Return the codes of all rows, mapped into memory."""
        return np.memmap(self._codes, "<f4", "r", offset=self._start, shape=(len(self.rows), self.dim))


def to_line(rows: Sequence[Row]) -> bytes:
    """Return a line of rows.jsonl: JSON in ASCII, so that no name can break it."""
    return json.dumps({"names": [row.name for row in rows], "keys": [row.key for row in rows]}).encode() + b"\n"


def write_rows(folder: Path, rows: Sequence[Row], codes: Float32[np.ndarray, "m d"], order: Sequence[int]) -> None:
    """Write both files of a finished index: rows order[0], order[1], ... of these."""
    kept = format.open_memmap(folder / CODES, "w+", "<f4", (len(order), codes.shape[1]))
    with (folder / NAMES).open("wb") as names:
        for start in range(0, len(order), LINE):
            part = list(order[start : start + LINE])
            kept[start : start + LINE] = codes[part]
            names.write(to_line([rows[row] for row in part]))
    kept.flush()


def read_rows(folder: Path, count: int, dim: int) -> tuple[list[str], Float32[np.ndarray, "n d"]]:
    """Return the names and codes of a finished index. Raises ValueError or OSError where they are damaged."""
    codes = _codes(folder / CODES)
    names: list[str] = []
    with regular(folder / NAMES).open("rb") as file:
        for line, _ in _lines(file):
            names += [row.name for row in line]
            if len(names) >= count:
                break
    if len(names) < count or codes.shape != (count, dim) or codes.dtype != np.dtype("<f4"):
        raise ValueError(f"{len(names):,} names and codes of {codes.dtype} {codes.shape}, expected {(count, dim)}")
    return names[:count], codes


def _codes(path: Path) -> np.ndarray:
    """Map codes.npy into memory: a plain array, whatever else a file of that name is."""
    try:
        with np.errstate(over="ignore"):  # a shape beyond 64 bits
            return format.open_memmap(regular(path), "r")
    except OSError:
        raise
    except Exception as error:  # numpy's reader of headers raises nearly anything at a damaged one
        raise ValueError(f"{path.name}: {error}") from error


def _header(file: BinaryIO, dim: int) -> int:
    """Return where the numbers of codes.npy begin; in a new file, after a header that counts none."""
    file.seek(0)
    with suppress(Exception):  # a new file, or one whose header a kill tore: numpy raises nearly anything at it
        format.read_magic(file)
        format.read_array_header_1_0(file)
        return file.tell()
    file.truncate(0)
    format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (0, dim)})
    file.flush()
    return file.tell()


def _lines(file: BinaryIO) -> Iterator[tuple[list[Row], int]]:
    """Yield the rows of each whole line, and where it ends."""
    file.seek(0)
    end = 0
    for line in file:
        end += len(line)
        try:
            values = json.loads(line)
            rows = [_row(name, key) for name, key in zip(values["names"], values["keys"], strict=True)]
        except (ValueError, LookupError, TypeError, RecursionError):  # torn
            return
        if line.endswith(b"\n"):
            yield rows, end


def _row(name: Any, key: Any) -> Row:
    """Check what a line says of an image. Raises TypeError."""
    if not isinstance(name, str) or type(key) is not int:
        raise TypeError("expected a name and a number")
    return Row(name, key)
