"""Packs: images that do not fit in memory, decoded once into memory-mapped files in the cache folder.

    <cache>/packed/<fingerprint>/    train.npy  test.npy  journal.jsonl
    and, when it is finished         contents.jsonl  pack.json

The fingerprint is computed from the names, sizes and times of the source's files, and from the form and the split of
the images. So a pack is found again for the same files only, without opening them. A pack without pack.json
is not finished: the next process that needs it continues where the last one stopped. One process writes a pack; others
that need it wait.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aimgan.checked import read_json, regular, shown_bytes, values_for
from aimgan.data.image_data import TOGETHER, ImageData, Split, measured
from aimgan.data.names import Skipped
from aimgan.errors import AimganError
from aimgan.files import cache_folder, unwritable, write_json, write_text
from aimgan.growing import AppendOnlyArrays, Line, RowType, open_array

RECORD, JOURNAL, CONTENTS, FORMAT = "pack.json", "journal.jsonl", "contents.jsonl", 2
SPLITS = ("train", "test")
DAMAGE = (OSError, ValueError, TypeError, LookupError, ArithmeticError, RuntimeError)  # raised by damaged files

Say = Callable[[str], None]


@dataclass(frozen=True)
class Record:
    """The fields of pack.json. Names, labels and notes are in contents.jsonl."""

    format: int
    source: str
    settings: str
    shape: tuple[int, ...]
    train: int
    test: int
    lines: int  # of contents.jsonl
    range: tuple[int, ...]
    fingerprint: str
    by: str
    black: float | None
    white: float | None


@dataclass(frozen=True)
class Pack:
    """A pack in the cache: its folder, its pack.json (None if it is not finished), and its size in bytes."""

    folder: Path
    record: dict[str, Any] | None
    size: int


def packs() -> list[Pack]:
    """Return the packs in the cache folder, finished or not."""
    root = cache_folder() / "packed"
    found = []
    for folder in sorted(root.iterdir() if root.is_dir() else ()):
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        found.append(Pack(folder, _record(folder), size))
    return found


def remove(name: str) -> list[Pack]:
    """Remove the pack of this name, or "all", and return what was removed. Raises AimganError if there is none."""
    chosen = [pack for pack in packs() if name in ("all", pack.folder.name)]
    if not chosen:
        names = ", ".join(pack.folder.name for pack in packs()) or "there are none"
        raise AimganError(f"no pack is called {name!r}; expected all, or one of: {names}")
    for pack in chosen:
        shutil.rmtree(pack.folder)
    return chosen


def folder_of(state: str, row_type: RowType, settings: str) -> Path:
    """Return the folder for the images of a source in this state, with this shape and these settings."""
    about = f"{FORMAT} {state} {row_type.shape} {settings}"
    return cache_folder() / "packed" / hashlib.sha256(about.encode()).hexdigest()[:16]


def found(source: str, row_type: RowType, settings: str) -> Path | None:
    """Return the newest finished pack of a source, for when the source itself cannot be reached."""
    wanted = {"source": source, "shape": row_type.shape, "settings": settings}
    own = [pack.folder for pack in packs() if pack.record is not None and wanted.items() <= pack.record.items()]
    return max(own, key=lambda folder: (folder / RECORD).stat().st_mtime, default=None)


class Packing:
    """A pack that is being written: `done` images are decoded so far, and `lines` of the journal record them.

    Only one process writes: another one waits here. Raises AimganError if the disk is too small.
    """

    def __init__(self, folder: Path, row_type: RowType, total: int, say: Say) -> None:
        self.folder, self.row_type = folder, row_type
        try:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                self._arrays = self._locked(wait=False)
            except AimganError:
                say("another process is packing these images: waiting for it")
                self._arrays = self._locked(wait=True)
        except OSError as reason:
            raise unwritable(folder, reason) from None
        self.lines = self._arrays.lines
        self.done = sum(line["images"] for line in self.lines)
        numbers = [k for line in self.lines for k in (*dict(line["broken"]), *line["paged"])]
        if self.done > total or not all(0 <= k < self.done for k in numbers):
            raise self.discard_damaged()
        if not self.is_finished:
            self._require_room(total, say)

    def _locked(self, wait: bool) -> AppendOnlyArrays:
        return AppendOnlyArrays(self.folder, dict.fromkeys(SPLITS, self.row_type), JOURNAL, _is_valid, wait)

    @property
    def is_finished(self) -> bool:
        """Whether pack.json is complete."""
        return _record(self.folder) is not None

    def _require_room(self, total: int, say: Say) -> None:
        needed, free = (total - self.done) * self.row_type.size, shutil.disk_usage(self.folder).free
        where = f"{self.folder} (AIMGAN_CACHE names another place)"
        if needed > free:
            self.close()
            raise AimganError(
                f"{total:,} images are packed on the disk, which takes {shown_bytes(needed)}, but {shown_bytes(free)} "
                f"are free in {where}: make room there, or pass a smaller --size"
            )
        again = f", going on after {self.done:,}" if self.done else ""
        say(f"packing {total:,} images of {self.row_type.shape} once: {shown_bytes(needed)} of disk in {where}{again}")

    def append(self, images: int, splits: Sequence[Sequence[np.ndarray]], record: Mapping[str, Any]) -> None:
        """Add the next `images` images: the pixels of the good ones by split, and a record of all."""
        rows = {name: np.stack(pixels) for name, pixels in zip(SPLITS, splits, strict=True) if pixels}
        try:
            self._arrays.append(rows, images=images, **record)
        except OSError as reason:
            raise unwritable(self.folder, reason) from None
        self.done += images

    def pixels(self) -> list[np.ndarray]:
        """Return the pixels of the two splits so far."""
        return [self._arrays.array(name) for name in SPLITS]

    def discard_damaged(self) -> AimganError:
        """Remove the pack, because its parts contradict each other, and return the error to raise."""
        self.close()
        shutil.rmtree(self.folder)
        return AimganError(f"the pack in {self.folder} was damaged and has been removed: run the same command again")

    def finish(self, data: ImageData, settings: str) -> None:
        """Write everything but the pixels, and then pack.json, with which the pack is finished."""
        texts = _contents(data)
        known = measured(data, [self._arrays.parts(name, TOGETHER) for name in SPLITS])
        black, white = data.scale or (None, None)
        record = Record(
            format=FORMAT,
            source=data.source,
            settings=settings,
            shape=data.shape,
            train=len(data.train),
            test=len(data.test),
            lines=len(texts),
            range=tuple(known["range"]),
            fingerprint=known["fingerprint"],
            by=data.by,
            black=black,
            white=white,
        )
        try:
            self._arrays.finish()
            write_text(self.folder / CONTENTS, "".join(f"{json.dumps(text)}\n" for text in texts))
            write_json(self.folder / RECORD, asdict(record))
        except OSError as reason:
            raise unwritable(self.folder, reason) from None

    def close(self) -> None:
        """Close the files, so that other processes can open the folder."""
        self._arrays.close()


def _contents(data: ImageData) -> list[tuple[str, str, Any]]:
    """Return the lines of contents.jsonl: the kind of a text, the text, and a value that belongs to it."""
    texts: list[tuple[str, str, Any]] = []
    for name, split in zip(SPLITS, (data.train, data.test), strict=True):
        labels = [None] * len(split) if split.labels is None else split.labels.tolist()
        texts += [(name, image, label) for image, label in zip(split.names, labels, strict=True)]
    texts += [("class", name, None) for name in data.classes]
    texts += [("note", note, None) for note in data.notes]
    texts += [("skipped", item.name, item.reason) for item in data.skipped]
    texts += [("not read", suffix, count) for suffix, count in data.not_read.items()]
    return texts


def opened(folder: Path, row_type: RowType) -> ImageData | None:
    """Open a finished pack; None if there is none. A damaged pack loses its pack.json, and so counts as unfinished."""
    record = _record(folder)
    if record is None:
        return None
    try:
        texts = _texts(folder / CONTENTS, record["lines"])
        train, test = (_split(folder / f"{name}.npy", row_type, record[name], texts[name]) for name in SPLITS)
        return ImageData(
            train,
            test,
            skipped=tuple(Skipped(str(name), str(why)) for name, why in texts["skipped"]),
            source=record["source"],
            by=record["by"],
            classes=tuple(str(name) for name, _ in texts["class"]),
            not_read={str(suffix): int(count) for suffix, count in texts["not read"]},
            notes=tuple(str(note) for note, _ in texts["note"]),
            scale=None if record["black"] is None else (record["black"], record["white"]),
            packed=folder,
            known={"range": list(record["range"]), "fingerprint": record["fingerprint"]},
        )
    except DAMAGE:
        (folder / RECORD).unlink()
        return None


def _texts(path: Path, count: int) -> dict[str, list[tuple[Any, Any]]]:
    texts: dict[str, list[tuple[Any, Any]]] = {kind: [] for kind in (*SPLITS, "class", "note", "skipped", "not read")}
    with regular(path).open(encoding="utf-8") as file:
        for line in file:
            kind, text, value = json.loads(line)
            texts[kind].append((text, value))
    if sum(map(len, texts.values())) != count:
        raise ValueError(f"expected {count:,} lines")
    return texts


def _split(path: Path, row_type: RowType, count: int, rows: Sequence[tuple[Any, Any]]) -> Split:
    labels = [label for _, label in rows if label is not None]
    if len(rows) != count or len(labels) not in (0, count):
        raise ValueError(f"{len(rows):,} names and {len(labels):,} labels, expected {count:,}")
    pixels = torch.from_numpy(open_array(path, row_type, count))
    return Split(pixels, torch.tensor(labels, dtype=torch.int64) if labels else None, [str(name) for name, _ in rows])


def _record(folder: Path) -> dict[str, Any] | None:
    """Return pack.json; None if there is none, or it is of another format or damaged."""
    try:
        record = asdict(Record(**values_for(Record, read_json(folder / RECORD), "name in it")))
    except DAMAGE:
        return None
    is_pair = len(record["range"]) == 2 and (record["black"] is None) == (record["white"] is None)
    return record if record["format"] == FORMAT and is_pair else None


def _is_valid(line: Line) -> bool:
    """Return whether a line of the journal accounts for all of its images.

    May raise TypeError, KeyError or ValueError on malformed lines.
    """
    broken, scale = dict(line["broken"]), line["scale"]
    if scale is not None:
        black, white = scale
        if not black < white:
            return False
    numbers = [line["images"], *broken, *line["paged"]]
    if not all(type(k) is int for k in numbers) or not all(isinstance(why, str) for why in broken.values()):
        return False
    return line["images"] == sum(line["rows"].values()) + len(broken)
