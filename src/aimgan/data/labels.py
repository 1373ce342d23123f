"""Labels in files beside the images: metadata.csv and .jsonl as on the Hub, KEY.cls as in WebDataset."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import TextIOWrapper

from aimgan.data.decode import UndecodableError, opened
from aimgan.data.files import Files
from aimgan.data.names import Skipped
from aimgan.errors import first_line

COLUMNS = ("label", "labels", "fine_label", "y", "targets", "target", "class")  # the first that is present is read
TABLES = ("metadata.csv", "metadata.jsonl")
MAX_TABLE = 256 * 2**20  # characters of a table
MAX_ROW = 2**20  # characters of a row, which is in memory as a whole
MIN_LINE = 32  # characters that a line counts for at least, since reading eight million lines takes seconds
MAX_CLASS = 200  # bytes of a .cls


def has_labels(name: str) -> bool:
    """Return whether a file is not an image but may hold labels of images."""
    return name.endswith(".cls") or name.rpartition("/")[2] in TABLES


def written(files: Files, images: Sequence[int], others: Sequence[int]) -> tuple[list[object], list[Skipped]]:
    """Return the label of each image, None where there is none, and the tables that cannot be read.

    `images` and `others` are numbers of files: of the images, and of the files for which `has_labels` is true.
    """
    known = {files.names[k] for k in images}
    found: dict[str, object] = {}
    classes: dict[str, int] = {}
    skipped = []
    for k in others:
        name = files.names[k]
        if name.endswith(".cls"):
            classes[name.removesuffix(".cls")] = k
            continue
        try:
            with opened(files.open(k)) as file:
                for image, label in _rows(name, TextIOWrapper(file, "utf-8-sig", "replace", newline="")):
                    if image in known:
                        found[image] = label
        except Exception as error:  # the readers of a damaged table raise many kinds of errors
            skipped.append(Skipped(name, first_line(error)))
    labels = []
    for k in images:
        name = files.names[k]
        labels.append(found[name] if name in found else _class_of(files, name, classes))
    return labels, skipped


def label_of(text: str) -> int | str | None:
    """Return a label that was written as text: a whole number, text, or None for nothing."""
    text = text.strip()
    if text.removeprefix("-").isdecimal() and len(text) < 10:
        return int(text)
    return text or None


class _Lines:
    """The lines of a table. Raises ValueError if the table, or a row (which may be several lines), is too long.

    Whoever reads them sets `row` to 0 at the end of each row.
    """

    def __init__(self, file: TextIOWrapper) -> None:
        self.file, self.read, self.row = file, 0, 0

    def __iter__(self) -> Iterator[str]:
        while line := self.file.readline(MAX_ROW + 1):
            self.read += max(len(line), MIN_LINE)
            self.row += len(line)
            if self.read > MAX_TABLE or self.row > MAX_ROW:
                raise ValueError(f"over {MAX_TABLE:,} characters, or {MAX_ROW:,} in a row")
            yield line


def _rows(name: str, file: TextIOWrapper) -> Iterator[tuple[str, object]]:
    """Yield the name and the label of each image in a table; nothing if it has no column of labels."""
    lines = _Lines(file)
    folder, slash, _ = name.rpartition("/")
    for image, label in _of_json(lines) if name.endswith(".jsonl") else _of_csv(lines):
        lines.row = 0
        if isinstance(label, str):
            label = label_of(label)
        elif isinstance(label, list | dict):
            label = type(label)()  # its kind is enough to say why it is not used
        if isinstance(image, str):
            yield folder + slash + image.replace("\\", "/"), label


def _of_json(lines: Iterable[str]) -> Iterator[tuple[object, object]]:
    for line in lines:
        row = json.loads(line) if line.strip() else {}
        columns = [name for name in COLUMNS if name in row]
        if columns:
            yield row.get("file_name"), row[columns[0]]
        else:
            yield None, None


def _of_csv(lines: Iterable[str]) -> Iterator[tuple[object, object]]:
    rows = csv.reader(lines)
    names = next(rows, [])
    columns = [name for name in COLUMNS if name in names]
    if not columns or "file_name" not in names:
        return
    image, label = names.index("file_name"), names.index(columns[0])
    for row in rows:
        if len(row) > max(image, label):
            yield row[image], row[label]
        else:
            yield None, None


def _class_of(files: Files, image: str, classes: Mapping[str, int]) -> object:
    """Return the label in the .cls of an image: that of its whole name, or of its name up to the first dot."""
    folder, slash, file = image.rpartition("/")
    for key in (image.rpartition(".")[0], f"{folder}{slash}{file.partition('.')[0]}"):
        if key not in classes:
            continue
        try:
            with opened(files.open(classes[key])) as cls:
                content = cls.read(MAX_CLASS + 1)
        except (OSError, UndecodableError):
            return None
        return label_of(content.decode("utf-8-sig", "replace")) if len(content) <= MAX_CLASS else None
    return None
