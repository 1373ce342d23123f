"""Parquet in the Hub's layout, which is read a row group at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from aimgan.checked import require_memory
from aimgan.data.decode import UndecodableError
from aimgan.data.files import blob
from aimgan.data.labels import COLUMNS
from aimgan.data.listing import Listing
from aimgan.data.names import Skipped, held_out_split, numbered, split_of
from aimgan.errors import AimganError, first_line

IMAGES = ("image", "img")  # the column; the first that is there counts
ROW = 500  # bytes of memory that the names and labels of a row take, at most
KEPT = 2  # row groups in memory, as stored: threads may read from the end of one and the begin of the next


@dataclass(frozen=True)
class Table:
    """A parquet file: where it is, and the split that its path names."""

    path: str
    split: str | None


@dataclass(frozen=True)
class RowGroup:
    """Rows that are read together: of which file, which of its groups, how many, and the file's footer."""

    table: Table
    number: int
    rows: int
    image: str  # the column
    footer: Any


class Contents(NamedTuple):
    """What a parquet file says beside the images: its row groups, and each row's label and path."""

    groups: list[RowGroup]
    values: list[object]
    paths: list[object]
    classes: tuple[str, ...]
    notes: set[str]


def local(root: Path, paths: Sequence[Path]) -> Listing:
    """List the rows of parquet files below `root`. Raises AimganError for what is damaged, or no table of images."""
    tables = [Table(str(path), split_of(str(path.relative_to(root)))) for path in paths]
    return listed_tables(str(root), tables, lambda path: open(path, "rb"))


def listed_tables(source: str, tables: Sequence[Table], opener: Callable[[str], BinaryIO]) -> Listing:
    """List the rows of parquet files that `opener` opens. Raises AimganError as `local` does."""
    held_out = held_out_split(table.split for table in tables)
    used = [table for table in tables if held_out is None or table.split in ("train", held_out)]
    outside = [table.split or table.path for table in tables if table not in used]
    _require_one(source, used, held_out)
    parts = [_contents(table, opener) for table in used]
    require_memory(ROW * sum(len(part.values) for part in parts), f"a list of the rows of {source!r}", "take fewer")
    groups = [group for part in parts for group in part.groups]
    labels, classes, note = numbered([value for part in parts for value in part.values])
    test = [group.table.split == held_out for group in groups]
    rows = _Rows(groups, opener)
    return Listing(
        names=_names(groups, [path for part in parts for path in part.paths], held_out is not None),
        open=rows.open,
        test=None if held_out is None else np.repeat(test, [group.rows for group in groups]),
        by="hash" if held_out is None else "file",
        labels=labels,
        classes=classes or next((part.classes for part in parts if part.classes), ()),
        skipped=tuple(Skipped(name, f"{outside.count(name)} files in neither split") for name in sorted({*outside})),
        notes=(*sorted({note for part in parts for note in part.notes}), *([note] if note else [])),
    )


def _require_one(source: str, tables: Sequence[Table], held_out: str | None) -> None:
    """Raise AimganError where the files of a split lie in several folders: those are several data sets."""
    for split in {table.split for table in tables}:
        folders = {table.path.rpartition("/")[0] for table in tables if held_out is None or table.split == split}
        if len(folders) > 1:
            listed = ", ".join(sorted(folders))
            raise AimganError(f"{source!r} holds several data sets; name the folder of one: {listed}")


def _contents(table: Table, opener: Callable[[str], BinaryIO]) -> Contents:
    """Read of a file all but the images. Raises AimganError for what is damaged, or no table of images."""
    with _opened(table.path, opener) as file:
        image, label = _columns(file.schema_arrow, table.path)
        groups = []
        for k in range(file.num_row_groups):
            about = file.metadata.row_group(k)
            require_memory(about.total_byte_size, f"a row group of {table.path!r}", "write smaller ones")
            require_memory(ROW * about.num_rows, f"a list of {about.num_rows:,} rows", "take fewer")
            groups.append(RowGroup(table, k, about.num_rows, image, file.metadata))
        values, paths = _column(file, label), _column(file, f"{image}.path")
        count = sum(group.rows for group in groups)
        if min((group.rows for group in groups), default=0) < 0 or not len(values) == len(paths) == count:
            raise ValueError(f"it says {count:,} rows, and holds others")
        classes, notes = _class_names(file.schema_arrow, label), _unused(file.schema_arrow, label)
        return Contents(groups, values, paths, classes, notes)


class _Rows:
    """The images of row groups, as stored; the last KEPT groups stay in memory."""

    def __init__(self, groups: Sequence[RowGroup], opener: Callable[[str], BinaryIO]) -> None:
        self.groups, self.opener = groups, opener
        self.ends = list(accumulate(group.rows for group in groups))
        self._kept: OrderedDict[int, Any] = OrderedDict()
        self._lock = Lock()

    def group_of(self, row: int) -> int:
        """Return which group a row is in."""
        return int(np.searchsorted(self.ends, row, "right"))

    def open(self, row: int) -> BytesIO:
        """Return the bytes of a row's image. Raises UndecodableError where it has none."""
        number = self.group_of(row)
        with self._lock:
            if number not in self._kept:
                self._kept[number] = self._read(self.groups[number])
                if len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            column = self._kept[number]
        try:
            value = column[row - self.ends[number] + self.groups[number].rows].as_py()
        except ValueError as error:  # text that is none
            raise UndecodableError(first_line(error)) from error
        return blob(_content(value))

    def _read(self, group: RowGroup) -> Any:
        with _opened(group.table.path, self.opener, group.footer) as file:
            column = file.read_row_group(group.number, [group.image]).column(0)
            if len(column) != group.rows:
                raise ValueError(f"row group {group.number} says {group.rows:,} rows, and holds {len(column):,}")
            return column


def _names(groups: Sequence[RowGroup], paths: Sequence[object], parted: bool) -> Sequence[str]:
    """Return the images' own names where each has another one; else their rows, counted in each split."""
    if len(set(paths)) == len(paths) == sum(group.rows for group in groups) and all(map(_is_name, paths)):
        return [str(path) for path in paths]
    names: list[str] = []
    counted: dict[str, int] = {}
    for group in groups:
        word = str(group.table.split) if parted else ""
        begin = counted.get(word, 0)
        names += [f"{word} row {begin + k}".strip() for k in range(group.rows)]
        counted[word] = begin + group.rows
    return names


def _is_name(path: object) -> bool:
    return isinstance(path, str) and bool(path)


def _columns(schema: Any, path: str) -> tuple[str, str | None]:
    """Return the names of a table's columns of images and, if there is one, of labels."""
    import pyarrow.types as kinds

    image = next((name for name in IMAGES if name in schema.names), None)
    if image is None:
        raise AimganError(f"{path!r} has columns {', '.join(schema.names)}; expected `image` or `img`")
    for name in COLUMNS:
        if name in schema.names:
            kind = _kind(schema.field(name))
            if kinds.is_integer(kind) or kinds.is_string(kind) or kinds.is_large_string(kind):
                return image, name
    return image, None


def _kind(field: Any) -> Any:
    """Return the type of a column's values, which are read as numbers of a dictionary of them."""
    return getattr(field.type, "value_type", field.type) if str(field.type).startswith("dictionary") else field.type


def _unused(schema: Any, label: str | None) -> set[str]:
    """Say which columns of labels there are beside the one that is used."""
    return {
        f"column {name!r} of {_kind(schema.field(name))} is not used as the label"
        for name in (*COLUMNS, "coarse_label")
        if name in schema.names and name != label
    }


def _class_names(schema: Any, label: str | None) -> tuple[str, ...]:
    """Return the names of the classes where `datasets` wrote them into the table's metadata."""
    import json

    try:
        about = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][label]
        return tuple(str(name) for name in about["names"])
    except (KeyError, TypeError, ValueError):
        return ()


def _column(file: Any, name: str | None) -> list[object]:
    """Return a column's values, None for each row where there is no such column."""
    there = {file.schema.column(k).path for k in range(len(file.schema))}
    if name is None or name not in there:
        return [None] * sum(file.metadata.row_group(k).num_rows for k in range(file.num_row_groups))
    values: list[object] = []
    groups = (file.read_row_group(k, [name]) for k in range(file.num_row_groups))  # Arrow cannot join nested texts
    for chunk in (chunk for group in groups for chunk in group.column(0).chunks):
        column = chunk.field("path") if name.endswith(".path") else chunk
        texts = getattr(column, "dictionary", None)
        if texts is None:
            values += column.to_pylist()
        else:  # each text is in memory once
            known = texts.to_pylist()
            values += [None if k is None else known[k] for k in column.indices.to_pylist()]
    return values


def _content(value: Any) -> bytes | None:
    """Return the bytes of a row's image. Raises UndecodableError where it holds anything else."""
    content = value.get("bytes") if isinstance(value, dict) else value
    if isinstance(content, bytes):
        return content
    if isinstance(value, dict) and value.get("path"):
        raise UndecodableError("the row holds a path without the image's bytes")
    kinds = {type(None): "nothing", str: "text", list: "a list", dict: "nothing"}
    got = kinds.get(type(content), type(content).__name__)
    raise UndecodableError(f"the row holds {got}, expected the bytes of an image file")


@contextmanager
def _opened(path: str, opener: Callable[[str], BinaryIO], footer: Any = None) -> Iterator[Any]:
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise AimganError(f"reading parquet in {path!r} needs pyarrow: pip install 'aimgan[data]'") from error
    try:
        with opener(path) as file:
            about = footer or pq.read_metadata(file)
            columns = [about.schema.column(k) for k in range(len(about.schema))]
            # A thousand equal images of a megabyte may be stored in one, and are read as one.
            texts = [
                column.path
                for column in columns
                if column.physical_type == "BYTE_ARRAY" and column.path.partition(".")[0] in (*IMAGES, *COLUMNS)
            ]
            with pq.ParquetFile(file, metadata=about, read_dictionary=texts, pre_buffer=True) as table:
                yield table
    except (AimganError, UndecodableError):
        raise
    except Exception as error:  # Arrow's readers raise nearly anything at a damaged file, and so does the network
        raise AimganError(
            f"cannot read {path!r} as parquet: {first_line(error)}; put it back as it was and run the command again"
        ) from error
