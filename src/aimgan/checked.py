"""Checks of values from outside (files, the command line, callers): JSON, numbers, sizes, fields of a dataclass.

docs/security.md lists the files that are read and the limits.
"""

from __future__ import annotations

import errno
import json
import math
import operator
import os
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from numbers import Integral, Real
from pathlib import Path
from reprlib import repr as shown
from typing import Any

import numpy as np

from aimgan.errors import AimganError, near_miss

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

MAX_JSON = 8 * 2**20  # bytes
MAX_FILE = 256 * 2**20  # bytes of an image, alone or in an archive, and of a table of labels
MOST_READS = 200_000  # of one image
MAX_DEPTH = 50  # of nested lists and objects in JSON
MAX_INT, MAX_FLOAT = 2**63 - 1, 1e30
HUB_ID = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")  # owner/name[@revision] of the Hugging Face Hub
CGROUP = Path("/sys/fs/cgroup/memory.max")  # the memory limit of a container


class NotAFileError(OSError):
    """A path leads to a pipe, a device or a folder, whose reading might never end."""

    def __init__(self, path: Path) -> None:
        super().__init__(errno.EINVAL, "not a regular file", str(path))

    def __str__(self) -> str:
        return f"{self.filename} is {self.strerror}"  # without "[Errno 22]"


class BoundedReader:
    """A file that is handed to a parser which may read it without end, byte by byte, or a header again and again.

    `read` raises ValueError after MOST_READS reads. A file of MAX_FILE bytes needs fewer in any block size that
    writers of images use. It has no `fileno`, so that no parser reads around it.
    """

    def __init__(self, file: Any) -> None:
        self._file, self._reads = file, 0
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        """Read as the file itself does."""
        self._reads += 1
        if self._reads > MOST_READS:
            raise ValueError(f"its parts are too small or too many: over {MOST_READS:,} reads")
        return bytes(self._file.read(size))


def regular(path: Path) -> Path:
    """Return the path. Raises NotAFileError for a pipe or a device, whose reading might never end."""
    if path.exists() and not path.is_file():
        raise NotAFileError(path)
    return path


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file. Raises OSError, or ValueError for a large file or other content."""
    if regular(path).stat().st_size > MAX_JSON:
        raise ValueError(f"over {MAX_JSON:,} bytes")
    return parse_json(path.read_text(encoding="utf-8"))


def parse_json(text: str) -> dict[str, Any]:
    """Parse a JSON object. Raises ValueError for other text, and if values are nested deeper than MAX_DEPTH."""
    try:
        value = json.loads(text)
        too_deep = _is_deeper(value, MAX_DEPTH)
    except RecursionError:
        too_deep = True
    if too_deep:
        raise ValueError(f"nested more than {MAX_DEPTH} levels")
    if not isinstance(value, dict):
        raise ValueError(f"got a {type(value).__name__}, expected an object")
    return value


def _is_deeper(value: Any, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    items = value.values() if isinstance(value, dict) else value
    return depth == 0 or any(_is_deeper(item, depth - 1) for item in items)


def values_for(cls: type, values: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Check arguments for a dataclass and return them with their fields' types.

    Raises AimganError for an unknown name (`what` is the kind of name, for the message) and a value of another type.
    """
    names = {f.name for f in fields(cls)}
    unknown = set(values) - names
    if unknown:
        raise near_miss(what, str(min(unknown, key=str)), names)
    return {name: typed(cls, name, value) for name, value in values.items()}


def typed(cls: type, name: str, value: Any) -> Any:
    """Return a value for a dataclass's field, of the type that the field's annotation names.

    Text is parsed: "1" for a number, "none" for None. Raises AimganError for a value of another type or out of bounds.
    """
    value = python_number(value)
    annotation = str(next(f.type for f in fields(cls) if f.name == name))
    allowed = {part.strip().split("[")[0] for part in annotation.split("|")}
    kinds = [KINDS[kind] for kind in KINDS if kind in allowed]
    for _, types, parse in kinds:
        if isinstance(value, types) and (bool in types or not isinstance(value, bool)):
            return _bounded(name, value)
        if isinstance(value, str):
            try:
                parsed = parse(value)
            except (ValueError, KeyError):
                continue
            return _bounded(name, parsed)
    expected = " or ".join(words for words, _, _ in reversed(kinds))
    raise AimganError(f"{name} is {shown(value)}; expected {expected or annotation}")


def _bounded(name: str, value: Any) -> Any:
    """Return the value, a list as a tuple. Raises AimganError for a number out of bounds, or for a list of others."""
    if isinstance(value, tuple | list):
        items = [python_number(item) for item in value]
        if any(type(item) is not int for item in items):
            raise AimganError(f"{name} is {shown(value)}; expected integers")
        return tuple(_bounded(name, item) for item in items)
    if isinstance(value, int) and abs(value) > MAX_INT:
        raise AimganError(f"{name} is {shown(value)}; expected an integer of 64 bits")
    if isinstance(value, float) and not abs(value) <= MAX_FLOAT:  # NaN too
        raise AimganError(f"{name} is {value}; expected a finite number, at most {MAX_FLOAT:g}")
    return value


def _parse_integers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.strip("()").split(","))


def _parse_nothing(text: str) -> Any:
    raise ValueError(text)


# For each type that a field's annotation may name, in the order in which they are tried: the type in words, the
# Python types that fit, and the parser of text.
KINDS: dict[str, tuple[str, tuple[type, ...], Callable[[str], Any]]] = {
    "None": ("none", (type(None),), lambda text: {"none": None}[text.lower()]),
    "bool": ("true or false", (bool,), lambda text: {"true": True, "false": False}[text.lower()]),
    "int": ("an integer", (int,), int),
    "float": ("a number", (int, float), float),
    "tuple": ("integers separated by commas", (tuple, list), _parse_integers),
    "str": ("text", (str,), str),
    "Mapping": ("named values", (Mapping,), _parse_nothing),
}


def python_number(value: Any) -> Any:
    """Return a number of any kind, such as NumPy's, as Python's own int, float or bool; other values unchanged."""
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, Integral):
        return operator.index(value)
    if isinstance(value, Real):
        with suppress(OverflowError):  # a fraction may be larger than any float
            return float(value)
    return value


def python_numbers(value: Any) -> Any:
    """Return a value with Python's own numbers inside its tuples, lists, mappings and dataclass fields."""
    if type(value) in (tuple, list):
        items = [python_numbers(item) for item in value]
        unchanged = all(map(operator.is_, items, value))
        return value if unchanged else type(value)(items)
    if isinstance(value, Mapping):
        return {name: python_numbers(item) for name, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        changed = {}
        for f in fields(value):
            old = getattr(value, f.name)
            new = python_numbers(old)
            if f.init and new is not old:
                changed[f.name] = new
        return replace(value, **changed) if changed else value
    return python_number(value)


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the values that are finite numbers, at most MAX_FLOAT, and leave out the others."""
    found = {}
    for name, value in values.items():
        number = python_number(value)
        if type(number) in (int, float) and abs(number) <= MAX_FLOAT:
            found[name] = number
    return found


def integer(name: str, value: Any) -> int:
    """Return an integer as Python's own. Raises AimganError for anything else: a bool, 2.0, text."""
    number = python_number(value)
    if type(number) is not int:
        raise AimganError(f"{name} is {shown(value)}; expected an integer")
    return number


def positive(name: str, value: Any) -> int:
    """Return an integer above zero as Python's own. Raises AimganError for anything else."""
    number = integer(name, value)
    if number < 1:
        raise AimganError(f"{name} is {number}; expected at least 1")
    return number


def cores() -> int:
    """Return how many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def require_memory(size: int, what: str, fix: str) -> None:
    """Raise AimganError if `what` would take more than half of the memory of this process: `size` bytes."""
    most = memory() // 2
    if size > most:
        raise AimganError(
            f"{what} would take {shown_bytes(size)}; expected at most {shown_bytes(most)}, half the memory: {fix}"
        )


def memory() -> int:
    """Return the bytes of memory that this process may use: the lowest of machine, container and its own limit.

    On Windows, where Python cannot read them, it is sys.maxsize.
    """
    limits = [sys.maxsize]
    if hasattr(os, "sysconf"):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    if resource is not None:
        limits.append(resource.getrlimit(resource.RLIMIT_AS)[0])
    with suppress(OSError, ValueError):  # the file contains "max" if there is no limit
        limits.append(int(CGROUP.read_text()))
    return min(limit for limit in limits if limit > 0)


def free_memory() -> int:
    """Return the bytes of memory that the machine and the container have left for this process."""
    left = [memory()]
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        available = next(line for line in lines if line.startswith("MemAvailable:"))
        left.append(1024 * int(available.split()[1]))
    with suppress(OSError, ValueError):  # there may be no container, or no limit
        used = int(CGROUP.with_name("memory.current").read_text())
        left.append(int(CGROUP.read_text()) - used)
    return max(0, min(left))


def shown_bytes(size: int) -> str:
    """Return a number of bytes in MiB or GiB."""
    if size >= 2**80:  # too large for a float
        return f"2^{math.floor(math.log2(size)) - 30} GiB"
    if size >= 2**30:
        return f"{size / 2**30:,.1f} GiB"
    return f"{size / 2**20:,.0f} MiB"
