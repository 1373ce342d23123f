"""What a file, a command line or a caller says, checked before it is used: JSON, numbers, sizes, a dataclass's fields.

docs/security.md says what is read and what the limits are.
"""

from __future__ import annotations

import json
import math
import operator
import os
import re
import resource
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from numbers import Integral, Real
from pathlib import Path
from reprlib import repr as shown
from typing import Any

import numpy as np

from aimgan.errors import AimganError, near_miss

MAX_JSON = 8 * 2**20  # bytes
MAX_DEPTH = 50  # of nested lists and objects in JSON
MAX_INT, MAX_FLOAT = 2**63 - 1, 1e30
HUB_ID = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")  # owner/name[@revision] of the Hugging Face Hub
CGROUP = Path("/sys/fs/cgroup/memory.max")  # what a container may take


def regular(path: Path) -> Path:
    """Return the path of a file. Raises OSError for a pipe or a device, which could be read for ever."""
    if path.exists() and not path.is_file():
        raise OSError(0, "not a regular file")
    return path


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a small JSON file. Raises OSError, or ValueError for anything else."""
    if regular(path).stat().st_size > MAX_JSON:
        raise ValueError(f"over {MAX_JSON:,} bytes")
    return parse_json(path.read_text(encoding="utf-8"))


def parse_json(text: str) -> dict[str, Any]:
    """Return the object that a text is. Raises ValueError for what is none, or nests deeper than MAX_DEPTH."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(value, dict):
        raise ValueError(f"got a {type(value).__name__}, expected an object")
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)]
        level = [inner for inner in level if isinstance(inner, dict | list)]
    if level:
        raise ValueError("nested too deep")
    return value


def values_for(cls: type, values: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return arguments for a dataclass, each of its field's type. Raises AimganError for an unknown name or a value."""
    names = {f.name for f in fields(cls)}
    unknown = set(values) - names
    if unknown:
        raise near_miss(what, str(min(unknown, key=str)), names)
    return {name: typed(cls, name, value) for name, value in values.items()}


def typed(cls: type, name: str, value: Any) -> Any:
    """Check a value against the field's annotation, and read text as what the field is: weight=1, weighting=none.

    A number comes back as Python's own.
    """
    value = python_number(value)
    annotation = str(next(f.type for f in fields(cls) if f.name == name))
    allowed = {part.strip().split("[")[0] for part in annotation.split("|")}
    for kind in [kind for kind in KINDS if kind in allowed]:
        types, read = KINDS[kind]
        fits = isinstance(value, types) and (kind == "bool" or not isinstance(value, bool))
        if not fits and not isinstance(value, str):
            continue
        try:
            got = value if fits else read(value)
        except (ValueError, KeyError):
            continue
        return _bounded(name, got)
    raise AimganError(f"{name} is {shown(value)}; expected {annotation}")


def _bounded(name: str, value: Any) -> Any:
    """Return a number, or a list of integers as a tuple of them. Raises AimganError for one that is out of bounds."""
    if isinstance(value, tuple | list):
        items = [python_number(item) for item in value]
        if not all(type(item) is int for item in items):
            raise AimganError(f"{name} is {shown(value)}; expected integers")
        return tuple(_bounded(name, item) for item in items)
    if isinstance(value, int) and abs(value) > MAX_INT:
        raise AimganError(f"{name} is {shown(value)}; expected an integer of 64 bits")
    if isinstance(value, float) and not abs(value) <= MAX_FLOAT:  # NaN too
        raise AimganError(f"{name} is {value}; expected a finite number, at most {MAX_FLOAT:g}")
    return value


def _no_text(text: str) -> Any:
    raise ValueError(text)


KINDS: dict[str, tuple[tuple[type, ...], Callable[[str], Any]]] = {
    "None": ((type(None),), lambda text: {"none": None}[text.lower()]),
    "bool": ((bool,), lambda text: {"true": True, "false": False}[text.lower()]),
    "int": ((int,), int),
    "float": ((int, float), float),
    "tuple": ((tuple, list), lambda text: tuple(int(part) for part in text.strip("()").split(","))),
    "str": ((str,), str),
    "Mapping": ((Mapping,), _no_text),
}


def python_number(value: Any) -> Any:
    """Return a number of any kind, such as numpy's, as Python's own int, float or bool; other values as they are."""
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, Integral) and not isinstance(value, bool):
        return operator.index(value)
    if isinstance(value, Real) and not isinstance(value, Integral):
        with suppress(OverflowError):  # a fraction may be larger than any float
            return float(value)
    return value


def python_numbers(value: Any) -> Any:
    """Return a value with Python's own numbers in its tuples, lists, mappings and fields of dataclasses."""
    if type(value) in (tuple, list):
        items = [python_numbers(item) for item in value]
        return value if all(map(operator.is_, items, value)) else type(value)(items)
    if isinstance(value, Mapping):
        return {name: python_numbers(item) for name, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        own = {f.name: getattr(value, f.name) for f in fields(value) if f.init}
        made = {name: python_numbers(item) for name, item in own.items()}
        changed = {name: item for name, item in made.items() if item is not own[name]}
        return replace(value, **changed) if changed else value
    return python_number(value)


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Return those values that are finite numbers, at most MAX_FLOAT."""
    given = {name: python_number(value) for name, value in values.items()}
    kinds = {name: value for name, value in given.items() if type(value) in (int, float)}
    return {name: value for name, value in kinds.items() if abs(value) <= MAX_FLOAT}


def integer(name: str, value: Any) -> int:
    """Return an integer as Python's own. Raises AimganError for what is none: a bool, 2.0, text."""
    number = python_number(value)
    if type(number) is not int:
        raise AimganError(f"{name} is {shown(value)}; expected an integer")
    return number


def positive(name: str, value: Any) -> int:
    """Return a count as Python's own integer. Raises AimganError for what is not an integer above zero."""
    number = integer(name, value)
    if number < 1:
        raise AimganError(f"{name} is {number}; expected at least 1")
    return number


def require_memory(size: int, what: str, fix: str) -> None:
    """Raise AimganError for what would take more than half of the memory that this process may have, in bytes."""
    if size > (most := memory() // 2):
        told = f"{what} would take {shown_bytes(size)}; expected at most {shown_bytes(most)}, half the memory"
        raise AimganError(f"{told}: {fix}")


def memory() -> int:
    """Return the bytes of memory that this process may take: the machine's, its container's, its own limit."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), resource.getrlimit(resource.RLIMIT_AS)[0]]
    with suppress(OSError, ValueError):  # the file says "max" where there is no limit
        found.append(int(CGROUP.read_text()))
    return min(size for size in found if size > 0)


def free_memory() -> int:
    """Return the bytes of memory that this process may still take: what the machine and its container have left."""
    found = [memory()]
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        found.append(1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]))
    with suppress(OSError, ValueError):  # no container, or one without a limit
        found.append(int(CGROUP.read_text()) - int(CGROUP.with_name("memory.current").read_text()))
    return max(0, min(found))


def shown_bytes(size: int) -> str:
    """Return a number of bytes as people write it."""
    if size >= 2**80:
        return f"2^{math.floor(math.log2(size)) - 30} GiB"
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.0f} MiB"
