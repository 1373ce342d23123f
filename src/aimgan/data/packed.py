"""Images that do not fit in memory, decoded once into memory-mapped files of uint8 in the cache folder.

    <cache>/packed/<fingerprint>/{train,test}/  pixels.npy  labels.npy  names.jsonl
    <cache>/packed/<fingerprint>/               journal.jsonl  and, when all is there, skipped.jsonl  pack.json

The fingerprint is of the files' names, sizes and times, and of the side and the channels they are packed at, so a pack
is found again by the same files and by no others, without a look into them. A pack without pack.json is not finished:
the next process that needs it goes on where the last one stopped. One process packs; others that need the same pack
wait for it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aimgan.checked import read_json, regular, shown_bytes
from aimgan.data.decode import Pixels
from aimgan.data.decoding import Note
from aimgan.data.names import Skipped
from aimgan.errors import AimganError
from aimgan.files import cache_folder, save_array, unwritable, write_json, write_text
from aimgan.growing import Growing, Kind, Line, open_array

RECORD, JOURNAL, FORMAT = "pack.json", "journal.jsonl", 1
LABELS, NAMES, SKIPPED = "labels.npy", "names.jsonl", "skipped.jsonl"
SPLITS = ("train", "test")
TOGETHER = 1_024  # images that are read together

Say = Callable[[str], None]
Content = tuple[np.ndarray | None, Sequence[str]]  # labels and names


@dataclass(frozen=True)
class Pack:
    """A pack in the cache: its folder, what pack.json says (None of one that is not finished), its bytes."""

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
    """Remove the pack of this name, or all of them, and return what was removed. Raises AimganError for none."""
    chosen = [pack for pack in packs() if name in ("all", pack.folder.name)]
    if not chosen:
        names = ", ".join(pack.folder.name for pack in packs()) or "there are none"
        raise AimganError(f"no pack is called {name!r}; expected all, or one of: {names}")
    for pack in chosen:
        shutil.rmtree(pack.folder)
    return chosen


def folder_of(state: str, kind: Kind, settings: str) -> Path:
    """Return where the images of a source in this state, packed at this shape and with these settings, are."""
    about = f"{FORMAT} {state} {kind.shape} {settings}"
    return cache_folder() / "packed" / hashlib.sha256(about.encode()).hexdigest()[:16]


class Packing:
    """A pack that is being made: `done` images have been looked at. Raises AimganError where the disk is too small.

    One process at a time: another one waits here until the pack is finished, or its maker has stopped.
    """

    def __init__(self, folder: Path, kind: Kind, total: int, say: Say) -> None:
        self.folder, self.kind = folder, kind
        arrays = {f"{split}/pixels": kind for split in SPLITS}
        try:
            for split in SPLITS:
                (folder / split).mkdir(parents=True, exist_ok=True)
            try:
                self._arrays = Growing(folder, arrays, JOURNAL, _is_sound)
            except AimganError:
                say("another process is packing these images: waiting for it")
                self._arrays = Growing(folder, arrays, JOURNAL, _is_sound, wait=True)
        except OSError as reason:
            raise unwritable(folder, reason) from None
        self.done = sum(line["images"] for line in self._arrays.lines)
        self.notes = [note for line in self._arrays.lines for note in line["notes"]]
        if self.done > total or not all(-1 <= k < self.done for k, _ in self.notes):
            raise self.damaged()
        if not self.is_finished:
            self._require_room(total, say)

    @property
    def is_finished(self) -> bool:
        """Whether another process has finished it."""
        return _record(self.folder) is not None

    def _require_room(self, total: int, say: Say) -> None:
        needed, free = (total - self.done) * self.kind.size, shutil.disk_usage(self.folder).free
        where = f"{self.folder} (AIMGAN_CACHE names another place)"
        if needed > free:
            self.close()
            raise AimganError(
                f"{total:,} images are packed on the disk, which takes {shown_bytes(needed)}, but {shown_bytes(free)} "
                f"are free in {where}: make room there, or pass a smaller --size"
            )
        again = f", going on after {self.done:,}" if self.done else ""
        say(f"packing {total:,} images of {self.kind.shape} once: {shown_bytes(needed)} of disk in {where}{again}")

    def append(self, images: int, train: Sequence[Pixels], test: Sequence[Pixels], notes: Sequence[Note]) -> None:
        """Add what became of the next `images` images: the pixels of the good ones, and what is to be said of them."""
        parts = dict(zip(SPLITS, (train, test), strict=True))
        rows = {f"{split}/pixels": np.stack(pixels) for split, pixels in parts.items() if len(pixels)}
        try:
            self._arrays.append(rows, images=images, notes=notes)
        except OSError as reason:
            raise unwritable(self.folder, reason) from None
        self.done += images
        self.notes += notes

    def pixels(self) -> tuple[np.ndarray, ...]:
        """Return the pixels of the two splits so far."""
        return tuple(self._arrays.array(f"{split}/pixels") for split in SPLITS)

    def parts(self) -> list[Iterator[np.ndarray]]:
        """Return the pixels of the two splits so far, to be read a part at a time."""
        return [self._arrays.parts(f"{split}/pixels", TOGETHER) for split in SPLITS]

    def damaged(self) -> AimganError:
        """Remove the pack, of which the parts do not fit each other, and return the error that says so."""
        self.close()
        shutil.rmtree(self.folder)
        return AimganError(f"the pack in {self.folder} was damaged, and is removed: run the same command again")

    def finish(self, about: Mapping[str, Any], contents: Sequence[Content], skipped: Sequence[Skipped]) -> None:
        """Write the names and labels of the two splits, what was left out, and that all is there."""
        try:
            self._arrays.finish()
            for split, (labels, names) in zip(SPLITS, contents, strict=True):
                if labels is not None:
                    save_array(self.folder / split / LABELS, labels)
                write_text(self.folder / split / NAMES, "".join(f"{json.dumps(name)}\n" for name in names))
            told = [[item.name, item.reason] for item in skipped]
            write_text(self.folder / SKIPPED, "".join(f"{json.dumps(item)}\n" for item in told))
            counts = {split: self._arrays.counts[f"{split}/pixels"] for split in SPLITS}
            labelled = any(labels is not None for labels, _ in contents)
            whole = {"format": FORMAT, **about, **counts, "skipped": len(told), "labelled": labelled}
            write_json(self.folder / RECORD, whole)
        except OSError as reason:
            raise unwritable(self.folder, reason) from None

    def close(self) -> None:
        """Let other processes have the folder."""
        self._arrays.close()


def opened(
    folder: Path, kind: Kind
) -> tuple[dict[str, Any], list[tuple[np.ndarray, Content]], tuple[Skipped, ...]] | None:
    """Return a finished pack's record, what its two splits hold, and what was left out; None where it is not whole."""
    record = _record(folder)
    if record is None:
        return None
    try:
        contents = [_opened(folder / split, kind, record[split], record["labelled"]) for split in SPLITS]
        skipped = tuple(Skipped(str(name), str(why)) for name, why in _lines(folder / SKIPPED, record["skipped"]))
        return record, contents, skipped
    except (OSError, ValueError, TypeError, RecursionError):  # it was cut off, or something else was put there
        (folder / RECORD).unlink()
        return None


def _opened(folder: Path, kind: Kind, count: int, labelled: bool) -> tuple[np.ndarray, Content]:
    pixels = open_array(folder / "pixels.npy", kind, count)
    labels = np.array(open_array(folder / LABELS, Kind("<i8", ()), count)) if labelled else None
    return pixels, (labels, [str(name) for name in _lines(folder / NAMES, count)])


def _lines(path: Path, count: int) -> list[Any]:
    with regular(path).open(encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    if len(lines) != count:
        raise ValueError(f"{len(lines)} lines, expected {count}")
    return lines


def found(source: str, kind: Kind, settings: str) -> Path | None:
    """Return the newest finished pack of this source, shape and settings: for when the source is out of reach."""
    wanted = {"source": source, "shape": list(kind.shape), "settings": settings}
    own = [pack.folder for pack in packs() if pack.record and wanted.items() <= pack.record.items()]
    return max(own, key=lambda folder: (folder / RECORD).stat().st_mtime, default=None)


def _record(folder: Path) -> dict[str, Any] | None:
    try:
        record = read_json(folder / RECORD)
    except (OSError, ValueError):
        return None
    return record if _is_whole(record) else None


def _is_whole(record: Mapping[str, Any]) -> bool:
    """Return whether pack.json has all that it should have, each of its kind."""
    try:
        texts = [record[name] for name in ("source", "settings", "fingerprint", "by")]
        texts += [*record["classes"], *record["notes"]]
        numbers = [record[name] for name in (*SPLITS, "skipped")]
        numbers += [*record["shape"], *record["range"], *record["not_read"].values()]
        _, _ = record["range"]
        black, white = (0.0, 1.0) if record["scale"] is None else record["scale"]
        of_kinds = type(record["labelled"]) is bool and record["format"] == FORMAT
    except (LookupError, TypeError, ValueError, AttributeError):
        return False
    of_kinds = of_kinds and all(isinstance(record[name], list) for name in ("classes", "notes", "shape", "range"))
    of_kinds = of_kinds and all(isinstance(text, str) for text in texts)
    of_kinds = of_kinds and all(type(number) is int for number in numbers)
    return of_kinds and all(isinstance(value, int | float) for value in (black, white))


def _is_sound(line: Line) -> bool:
    """Return whether a line of the journal says what became of as many images as it counts. Raises what is no line."""
    good, broken = sum(line["rows"].values()), sum(isinstance(what, str) for _, what in line["notes"])
    for k, what in line["notes"]:
        black, white = what if isinstance(what, list) else (0.0, 1.0)
        if type(k) is not int or not isinstance(what, str | int | list) or not black < white:
            return False
    return type(line["images"]) is int and line["images"] == good + broken
