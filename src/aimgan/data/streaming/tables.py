"""Parquet in the Hub's layout, a row group at a time: of a folder, or over HTTP from the Hub and never on the disk."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Float64, Int8, Int32, Int64

from aimgan.data.images import Progress
from aimgan.data.names import hashed, split_word, splits_of
from aimgan.data.sources import blob, first_line, image_columns, image_of, unreachable
from aimgan.data.streaming.index import Arrays, indexed
from aimgan.data.streaming.source import gone, stamp
from aimgan.errors import AimganError

DTYPES = {"files": "int32", "row_groups": "int32", "rows": "int64", "stored": "int64"}
HUB_ID = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
Opener = Callable[[str], BinaryIO]
File = tuple[str, int, str]  # path, size, version


@dataclass(frozen=True, eq=False)
class Rows:
    """A row group in memory, as stored."""

    begin: int
    images: Any  # pyarrow columns
    labels: Any

    def content(self, image: int) -> BytesIO:
        """Return an image's file. Raises UndecodableError where the row has none."""
        return blob(image_of(self.images[image - self.begin].as_py()))

    def label(self, image: int) -> int | None:
        """Return its class, where there is a column of them."""
        return None if self.labels is None else self.labels[image - self.begin].as_py()


@dataclass(frozen=True, eq=False)
class Tables:
    """The rows of parquet files; group k is row group row_groups[k] of paths[files[k]]."""

    paths: tuple[str, ...]
    open: Opener
    files: Int32[np.ndarray, " groups"]
    row_groups: Int32[np.ndarray, " groups"]
    stored: Int64[np.ndarray, " groups"]
    ends: Int64[np.ndarray, " groups"]
    test: Int8[np.ndarray, " n"]
    hashes: Float64[np.ndarray, " n"]
    _footers: dict[int, Any] = field(default_factory=dict, init=False)

    def group(self, number: int) -> Rows:
        """Read a row group. Raises AimganError if its file is gone or damaged, or the network is."""
        file = int(self.files[number])
        with _table(self.paths[file], self.open, self._footers.get(file)) as table:
            self._footers[file] = table.metadata
            image, label = image_columns(table.schema_arrow, self.paths[file])
            read = table.read_row_group(int(self.row_groups[number]), [image, *([label] if label else [])])
        begin = int(self.ends[number - 1]) if number else 0
        return Rows(begin, read.column(image), read.column(label) if label else None)

    def name(self, image: int) -> str:
        """Return its file, row group, and row in that."""
        group = int(np.searchsorted(self.ends, image, "right"))
        row = image - (int(self.ends[group - 1]) if group else 0)
        return f"{Path(self.paths[self.files[group]]).name} row group {self.row_groups[group]} row {row}"


def local_tables(root: Path, paths: list[Path], progress: Progress) -> Tables:
    """Index parquet files of a folder. Raises AimganError for one that is damaged."""
    described = [(str(path), file.size, str(file.modified)) for path in paths for file in [stamp(path)]]
    words = [split_word(path.relative_to(root)) for path in paths]
    return _tables(str(root), described, words, lambda path: open(path, "rb"), progress)


def hub_tables(source: str, progress: Progress) -> Tables:
    """Index the parquet files of a Hub id owner/name, or owner/name@revision, by their footers.

    Raises AimganError where the Hub has no such data set, or cannot be reached.
    """
    match = HUB_ID.fullmatch(source)
    assert match is not None, "checked by the caller"
    try:
        from huggingface_hub import HfApi, HfFileSystem

        # The commit, so that a run reads one state of the data however often the data set is changed.
        commit = HfApi().dataset_info(match[1], revision=match[2]).sha
        system = HfFileSystem()
        root = f"datasets/{match[1]}@{commit}"
        listed: Any = system.find(root, detail=True)
        found = {path: info for path, info in listed.items() if path.endswith(".parquet")}
    except Exception as error:  # no network, no such data set, no right to it
        raise unreachable(source, error) from error
    if not found:
        raise AimganError(f"the Hub's {source!r} has no parquet files; expected a data set in the Hub's image layout")
    described = [(path, int(found[path]["size"]), str(commit)) for path in sorted(found)]
    words = [split_word(Path(path.removeprefix(f"{root}/"))) for path, *_ in described]
    # A row group is read in one request or two: a cache that reads ahead would fetch what is not asked for.
    return _tables(source, described, words, lambda path: system.open(path, "rb", cache_type="none"), progress)


def _tables(source: str, described: list[File], words: list[str], opener: Opener, progress: Progress) -> Tables:
    splits = splits_of(words)
    chosen = [(file, word) for file, word in zip(described, words, strict=True) if not splits or word in splits]
    for word in {word for _, word in chosen}:
        folders = {file[0].rpartition("/")[0] for file, own in chosen if own == word}
        if len(folders) > 1:
            raise AimganError(
                f"{source!r} holds several data sets; name the folder of one: {', '.join(sorted(folders))}"
            )
    arrays = indexed("parquet", [file for file, _ in chosen], DTYPES, lambda: _index(chosen, opener, progress))
    rows = arrays.pop("rows")
    held_out = np.array([splits.get(word, -1) if splits else -1 for _, word in chosen], np.int8)
    named = [chosen[file][1] if splits else "" for file in arrays["files"]]
    return Tables(
        paths=tuple(file[0] for file, _ in chosen),
        open=opener,
        ends=np.cumsum(rows),
        test=np.repeat(held_out[arrays["files"]], rows),
        hashes=_hashes(named, rows),
        **arrays,
    )


def _hashes(words: list[str], rows: Int64[np.ndarray, " groups"]) -> Float64[np.ndarray, " n"]:
    """Return the hashes of rows, numbered in each split, by the names that data/sources.py gives them."""
    if any(words):
        return np.zeros(int(rows.sum()))  # the splits are the source's own
    return np.array([hashed(f"row {k}") for k in range(int(rows.sum()))])


def _index(chosen: list[tuple[File, str]], opener: Opener, progress: Progress) -> Arrays:
    groups: list[tuple[int, int, int, int]] = []
    for k, ((path, *_), _word) in enumerate(chosen):
        progress(k, len(chosen))
        with _table(path, opener) as table:
            image, _ = image_columns(table.schema_arrow, path)
            for r in range(table.num_row_groups):
                about = table.metadata.row_group(r)
                columns = [about.column(c) for c in range(about.num_columns)]
                held = sum(c.total_uncompressed_size for c in columns if c.path_in_schema.split(".")[0] == image)
                groups.append((k, r, about.num_rows, held))
    columns_of = zip(*groups, strict=True) if groups else [[]] * len(DTYPES)
    return {name: np.array(column, DTYPES[name]) for name, column in zip(DTYPES, columns_of, strict=True)}


@contextmanager
def _table(path: str, opener: Opener, footer: Any = None) -> Iterator[Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise AimganError(f"reading parquet in {path!r} needs pyarrow: pip install 'aimgan[data]'") from error
    try:
        with opener(path) as file, pq.ParquetFile(file, metadata=footer, pre_buffer=True) as table:
            yield table
    except AimganError:
        raise
    except (pa.ArrowException, ValueError) as error:  # ValueError: some of ArrowInvalid's, from the C++ side
        raise AimganError(f"cannot read {path!r} as parquet: {first_line(error)}") from error
    except Exception as error:  # a file that was removed, or whatever the network and its client raise
        raise gone(path, f"{type(error).__name__}: {first_line(error)}") from error
