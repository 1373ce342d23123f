"""Parquet files in the Hub's layout, read one row group at a time."""

from __future__ import annotations

import json
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

import numpy as np

from aimgan.checked import require_memory
from aimgan.data.decode import UndecodableError
from aimgan.data.files import blob
from aimgan.data.labels import COLUMNS
from aimgan.data.listing import Listing
from aimgan.data.names import divide, in_neither_split, numbered, split_of
from aimgan.errors import AimganError, first_line

IMAGES = ("image", "img")  # names of the column of images; the first that is present is read
BYTES = ("binary", "large_binary", "string", "large_string", "null")  # Arrow's types of values of any length
ROW = 500  # an upper bound, in bytes of memory, for the name and the label of a row
WIDEST = 4  # bytes of memory for a byte of text, at most
PART = 256  # rows that Arrow unpacks at a time
KEPT = 2  # row groups in memory: threads may read the end of one and the beginning of the next at the same time

Opener = Callable[[str], BinaryIO]


@dataclass(frozen=True)
class ParquetTable:
    """A parquet file without its images: its footer, the rows of its row groups, the label and the name of each row."""

    path: str
    footer: Any
    image: str  # the column
    rows: list[int]
    labels: list[object]
    names: list[object]
    classes: tuple[str, ...]
    unused: list[str]  # notes on columns of labels that are not used


def local(root: Path, paths: Sequence[Path]) -> Listing:
    """List the rows of parquet files below `root`. Raises AimganError for a file that is damaged or has no images."""
    splits = [split_of(str(path.relative_to(root))) for path in paths]
    return listed_tables(str(root), [str(path) for path in paths], splits, lambda path: open(path, "rb"))


def listed_tables(source: str, paths: Sequence[str], splits: Sequence[str | None], opener: Opener) -> Listing:
    """List the rows of parquet files that `opener` opens and whose paths name these splits; errors as in `local`."""
    used, test, unused = divide(splits)
    own_splits = [None if test is None else splits[k] for k in used]
    _require_one_folder(source, [paths[k] for k in used], own_splits)
    tables = [_table(paths[k], opener) for k in used]
    counts = [sum(table.rows) for table in tables]
    require_memory(ROW * sum(counts), f"a list of the rows of {source!r}", "take fewer")
    values: list[object] = []
    classes: tuple[str, ...] = ()
    notes: set[str] = set()
    for table in tables:
        values += table.labels
        classes = classes or table.classes
        notes |= {*table.unused}
    labels, own_classes, note = numbered(values)
    outside = Counter(splits[k] or paths[k] for k in unused)
    return Listing(
        names=_names(tables, counts, own_splits),
        open=_Rows(tables, opener).open,
        test=None if test is None else np.repeat(test, counts),
        by="hash" if test is None else "file",
        labels=labels,
        classes=own_classes or classes,
        skipped=in_neither_split(outside, "files"),
        notes=(*sorted(notes), *([note] if note else [])),
    )


def _require_one_folder(source: str, paths: Sequence[str], splits: Sequence[str | None]) -> None:
    """Raise AimganError if the files of one split are in several folders: those are several data sets."""
    for split in {*splits}:
        folders = {path.rpartition("/")[0] for path, own in zip(paths, splits, strict=True) if own == split}
        if len(folders) > 1:
            listed = ", ".join(sorted(folders))
            raise AimganError(f"{source!r} holds several data sets; name the folder of one: {listed}")


def _names(tables: Sequence[ParquetTable], counts: Sequence[int], splits: Sequence[str | None]) -> Sequence[str]:
    """Return the names that the rows give their images if those all differ; otherwise the number of the row."""
    own = [name for table in tables for name in table.names]
    if len(set(own)) == len(own) and all(isinstance(name, str) and name for name in own):
        return [str(name) for name in own]
    names: list[str] = []
    begun: Counter[str | None] = Counter()
    for split, count in zip(splits, counts, strict=True):
        prefix = f"{split} row" if split else "row"
        names += [f"{prefix} {begun[split] + k}" for k in range(count)]
        begun[split] += count
    return names


class _Rows:
    """The stored images of tables; the last KEPT row groups stay in memory."""

    def __init__(self, tables: Sequence[ParquetTable], opener: Opener) -> None:
        self.opener = opener
        self.groups = [(table, number) for table in tables for number in range(len(table.rows))]
        self.begins = [0, *accumulate(rows for table in tables for rows in table.rows)]
        self._kept: OrderedDict[int, Any] = OrderedDict()
        self._lock = Lock()

    def open(self, row: int) -> BytesIO:
        """Return the bytes of the image in a row. Raises UndecodableError if there are none."""
        group = int(np.searchsorted(self.begins, row, "right")) - 1
        with self._lock:
            if group not in self._kept:
                self._kept[group] = self._read(*self.groups[group])
                if len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            column = self._kept[group]
        try:
            value = column[row - self.begins[group]].as_py()
        except ValueError as error:  # a text that is not valid UTF-8
            raise UndecodableError(first_line(error)) from error
        return blob(_image_bytes(value))

    def _read(self, table: ParquetTable, number: int) -> Any:
        from pyarrow import chunked_array

        with _opened(table.path, self.opener, table.footer) as file:
            parts = list(_parts(file, number, table.image))
            if sum(map(len, parts)) != table.rows[number]:
                raise ValueError(f"row group {number} has other rows than the {table.rows[number]:,} its footer says")
            return chunked_array(parts)


def _parts(file: Any, number: int, column: str) -> Iterator[Any]:
    """Yield a column of a row group, PART rows at a time. Raises AimganError if they take too much memory.

    A footer may say what it likes of the size, and a file of a kilobyte can hold gigabytes.
    """
    from pyarrow import total_allocated_bytes

    before = total_allocated_bytes()
    for batch in file.iter_batches(PART, row_groups=[number], columns=[column]):
        yield batch.column(0)
        taken = KEPT * (total_allocated_bytes() - before)
        require_memory(taken, f"{KEPT} row groups with what is stored in them", "write smaller ones")


def _image_bytes(value: Any) -> bytes | None:
    """Return the bytes of the image file in a row. Raises UndecodableError if it holds anything else."""
    content = value
    if isinstance(value, dict):
        content = value.get("bytes")
        if content is None and value.get("path"):
            raise UndecodableError("the row holds a path without the image's bytes")
    if isinstance(content, bytes):
        return content
    kinds = {type(None): "nothing", str: "text", list: "a list", dict: "nothing"}
    got = kinds.get(type(content), type(content).__name__)
    raise UndecodableError(f"the row holds {got}, expected the bytes of an image file")


def _table(path: str, opener: Opener) -> ParquetTable:
    with _opened(path, opener) as file:
        schema = file.schema_arrow
        image, label = _columns(schema, path)
        rows = []
        for k in range(file.num_row_groups):
            group = file.metadata.row_group(k)
            require_memory(KEPT * group.total_byte_size, f"{KEPT} row groups of {path!r}", "write smaller ones")
            require_memory(ROW * group.num_rows, f"a list of {group.num_rows:,} rows", "take fewer")
            rows.append(group.num_rows)
        labels, names = _column(file, label), _column(file, f"{image}.path")
        if min(rows, default=0) < 0 or not len(labels) == len(names) == sum(rows):
            raise ValueError(f"its footer says {sum(rows):,} rows, which are not there")
        unused = [
            f"column {name!r} of {_type(schema, name)} is not used as the label"
            for name in (*COLUMNS, "coarse_label")
            if name in schema.names and name != label
        ]
        return ParquetTable(path, file.metadata, image, rows, labels, names, _class_names(schema, label), unused)


def _columns(schema: Any, path: str) -> tuple[str, str | None]:
    """Return the names of the column of images and, if there is one, of the column of labels."""
    import pyarrow.types as types

    images = [name for name in IMAGES if name in schema.names]
    if not images:
        raise AimganError(f"{path!r} has columns {', '.join(schema.names)}; expected `image` or `img`")
    _require_bytes(schema.field(images[0]).type, images[0], path)
    for name in COLUMNS:
        if name in schema.names:
            kind = _type(schema, name)
            if types.is_integer(kind) or types.is_string(kind) or types.is_large_string(kind):
                return images[0], name
    return images[0], None


def _require_bytes(kind: Any, name: str, path: str) -> None:
    """Raise AimganError for a column of images that is neither bytes, nor a struct of bytes and maybe a path.

    Only values of those types are in memory once, however many rows repeat them: a file of 500 bytes may hold a hundred
    million equal numbers, which take their room in memory one by one.
    """
    parts = {name: str(kind)}
    if str(kind).startswith("struct"):
        parts = {field.name: str(field.type) for field in kind}
    for part, own in parts.items():
        values = own.removeprefix("dictionary<values=").partition(",")[0]
        if part not in (name, "bytes", "path") or values not in BYTES:
            raise AimganError(f"{path!r} has {part!r} of {own} in {name!r}; expected the bytes of image files")


def _type(schema: Any, name: str) -> Any:
    """Return the type of a column's values; a dictionary's are stored once each, and referred to by number."""
    kind = schema.field(name).type
    return kind.value_type if str(kind).startswith("dictionary") else kind


def _class_names(schema: Any, label: str | None) -> tuple[str, ...]:
    """Return the names of the classes, if `datasets` wrote them into the table's metadata."""
    try:
        about = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][label]
        return tuple(str(name) for name in about["names"])
    except (KeyError, TypeError, ValueError):
        return ()


def _column(file: Any, name: str | None) -> list[object]:
    """Return the values of a column, or None for every row if there is no such column."""
    columns = [file.schema.column(k).path for k in range(len(file.schema))]
    groups = range(file.num_row_groups)
    if name is None or name not in columns:
        return [None] * sum(file.metadata.row_group(k).num_rows for k in groups)
    values: list[object] = []
    held = 0
    for k in groups:  # one by one: Arrow cannot join nested texts
        for part in _parts(file, k, name):
            column = part.field("path") if name.endswith(".path") else part
            if hasattr(column, "dictionary"):  # each different text is in memory once
                held += WIDEST * column.dictionary.nbytes
                require_memory(held, f"the texts in {name!r}", "write shorter ones")
                texts = column.dictionary.to_pylist()
                values += [None if place is None else texts[place] for place in column.indices.to_pylist()]
            else:
                values += column.to_pylist()
    return values


@contextmanager
def _opened(path: str, opener: Opener, footer: Any = None) -> Iterator[Any]:
    """Open a parquet file. Raises AimganError without pyarrow, and for anything that fails in the block."""
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise AimganError(f"reading parquet in {path!r} needs pyarrow: pip install 'aimgan[data]'") from error
    try:
        with opener(path) as file:
            footer = footer or pq.read_metadata(file)
            # Equal values may be stored once, such as a thousand equal images of a megabyte: they are read once, too.
            once = []
            for k in range(len(footer.schema)):
                column = footer.schema.column(k)
                if column.physical_type == "BYTE_ARRAY" and column.path.partition(".")[0] in (*IMAGES, *COLUMNS):
                    once.append(column.path)
            with pq.ParquetFile(file, metadata=footer, read_dictionary=once, pre_buffer=True) as table:
                yield table
    except (AimganError, UndecodableError):
        raise
    except Exception as error:  # Arrow raises nearly anything for a damaged file, and so does the network
        raise AimganError(
            f"cannot read {path!r} as parquet: {first_line(error)}; put it back as it was and run the command again"
        ) from error
