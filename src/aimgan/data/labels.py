"""Classes that a collection writes beside its images: metadata.csv or .jsonl (the Hub's), KEY.cls (WebDataset's)."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BufferedReader, BytesIO, TextIOWrapper
from pathlib import Path

from aimgan.checked import regular
from aimgan.data.decode import UndecodableError
from aimgan.data.files import Files
from aimgan.data.names import Skipped
from aimgan.errors import first_line

COLUMNS = ("label", "labels", "fine_label", "y", "targets", "target", "class")  # the first that is there counts
TABLES = ("metadata.csv", "metadata.jsonl")
MAX_TABLE, MAX_ROW = 256 * 2**20, 2**20  # characters, of which a row is read into memory at a time
MIN_LINE = 32  # what a line counts for at least: eight million of them take seconds
MAX_CLASS = 200  # of a .cls


def is_beside(name: str) -> bool:
    """Return whether a file is not an image but says what the images are."""
    return name.endswith(".cls") or name.rpartition("/")[2] in TABLES


def written(files: Files, images: Sequence[int], beside: Sequence[int]) -> tuple[list[object], list[Skipped]]:
    """Return what is written of each image, None where nothing is, and the tables that cannot be read.

    `images` and `beside` are numbers of files: of the images, and of those that `is_beside` finds.
    """
    found: dict[str, object] = {}
    classes: dict[str, int] = {}
    known = {files.names[k] for k in images}
    skipped = []
    for k in beside:
        name = files.names[k]
        if name.endswith(".cls"):
            classes[name.removesuffix(".cls")] = k
            continue
        try:
            with TextIOWrapper(_opened(files.open(k)), "utf-8-sig", "replace", newline="") as file:
                found |= {image: value for image, value in _rows(name, file) if image in known}
        except Exception as error:  # a damaged table, in the words of whoever reads it
            skipped.append(Skipped(name, first_line(error)))
    if not found and not classes:
        return [None] * len(images), skipped
    return [found.get(files.names[k], _class_of(files, files.names[k], classes)) for k in images], skipped


def value_of(text: str) -> int | str | None:
    """Return a label that was written as text."""
    text = text.strip()
    return int(text) if text.removeprefix("-").isdecimal() and len(text) < 10 else text or None


class _Lines:
    """The lines of a table. Raises ValueError where one row, which may be several lines of a .csv, is too long."""

    def __init__(self, file: TextIOWrapper) -> None:
        self.file, self.read, self.row = file, 0, 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self.file.readline(MAX_ROW + 1)
        self.read, self.row = self.read + max(len(line), MIN_LINE), self.row + len(line)
        if self.read > MAX_TABLE or self.row > MAX_ROW:
            raise ValueError(f"over {MAX_TABLE:,} characters, or {MAX_ROW:,} in a row")
        if not line:
            raise StopIteration
        return line


def _rows(name: str, file: TextIOWrapper) -> Iterator[tuple[str, object]]:
    """Yield the images of a table and their labels; nothing where it has no column of labels."""
    lines, (folder, slash, _) = _Lines(file), name.rpartition("/")
    for image, label in _of_json(lines) if name.endswith(".jsonl") else _of_csv(lines):
        lines.row = 0
        if isinstance(image, str):
            yield folder + slash + image.replace("\\", "/"), _plain(label)


def _of_json(lines: Iterable[str]) -> Iterator[tuple[object, object]]:
    for row in (json.loads(line) for line in lines if line.strip()):
        column = next((name for name in COLUMNS if name in row), None)
        yield (None, None) if column is None else (row.get("file_name"), row[column])


def _of_csv(lines: Iterable[str]) -> Iterator[tuple[object, object]]:
    rows = csv.reader(lines)
    names = next(rows, [])
    column = next((names.index(name) for name in COLUMNS if name in names), None)
    if column is None or "file_name" not in names:
        return
    image = names.index("file_name")
    for row in rows:
        yield (row[image], row[column]) if len(row) > max(image, column) else (None, None)


def _plain(value: object) -> object:
    """Return a label; of lists and the like only their kind."""
    return value_of(value) if isinstance(value, str) else type(value)() if isinstance(value, list | dict) else value


def _class_of(files: Files, image: str, classes: Mapping[str, int]) -> object:
    """Return what the .cls of an image says: the one of its own name, or of the name up to the first dot."""
    folder, slash, file = image.rpartition("/")
    keys = (image.rpartition(".")[0], f"{folder}{slash}{file.partition('.')[0]}")
    k = next((classes[key] for key in keys if key in classes), None)
    if k is None:
        return None
    try:
        return value_of(_read(files.open(k), MAX_CLASS))
    except (OSError, ValueError, UndecodableError):  # an image without a class, as any other that has none
        return None


def _opened(file: Path | BytesIO) -> BufferedReader | BytesIO:
    return regular(file).open("rb") if isinstance(file, Path) else file


def _read(file: Path | BytesIO, most: int) -> str:
    with _opened(file) as opened:
        content = opened.read(most + 1)
    if len(content) > most:
        raise ValueError(f"over {most:,} bytes")
    return content.decode("utf-8-sig", "replace")
