"""An index of the codes of a source's images: built once, updated by the same call, and searched by code.

Codes are posterior means. Distances are Euclidean: the prior p(z) is N(0, I), so one unit is a standard deviation in
every dimension.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor

from aimgan.checked import positive, read_json, regular, values_for
from aimgan.data.listing import Listing
from aimgan.data.names import Skipped
from aimgan.data.sources import find, state
from aimgan.errors import AimganError
from aimgan.files import LEFTOVER, recover, refuse_links, replacing_folder, unwritable, write_json
from aimgan.growing import AppendOnlyArrays, Line, RowType, open_array, read_array, read_lines
from aimgan.model import LatentVariableModel
from aimgan.named import is_signed, signature
from aimgan.search.encoding import encoded, require_encoder
from aimgan.search.nearest import exact

INSIDE = ".aimgan-index"  # the index in a folder of images, which readers of images skip as hidden
RECORD, CODES, ROWS, FORMAT = "index.json", "codes", "rows.jsonl", 2
NAMED = 1_000  # broken images that the record names
LINE = 128  # images in a line of ROWS, when the index is finished
FILES = {RECORD, f"{CODES}.npy", ROWS}

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class IndexRecord:
    """index.json: the model and the source of the codes. `images` is None until the index is finished."""

    model: str  # SHA-256 of its weights
    source: str
    dim: int
    images: int | None = None
    fingerprint: str = ""  # of the source's files, by which a source that was moved is recognised
    skipped: tuple[Skipped, ...] = ()  # the first NAMED broken images
    skipped_images: int = 0
    signature: str = ""  # of the source, by the user who has built the index


class Hit(NamedTuple):
    """An image's name in the source, the distance of its code, and its row in the index."""

    name: str
    distance: float
    row: int


@dataclass(frozen=True)
class Index:
    """A finished index; `codes` (n, d) are in memory."""

    folder: Path
    record: IndexRecord
    names: list[str]
    codes: Float[np.ndarray, "n d"]

    def __len__(self) -> int:
        """The number of images."""
        return len(self.names)

    @property
    def is_own(self) -> bool:
        """Whether this user has built the index, or it lies in the folder of its images."""
        source = self.record.source
        return source == str(self.folder.resolve().parent) or is_signed(source, self.record.signature)


def build(
    model: LatentVariableModel, source: str | Path, folder: str | Path, progress: Progress | None = None
) -> Index:
    """Index the images of `source` (anything that data/sources.py reads) in `folder`, and open the index.

    An existing index is updated: new and changed images are encoded, missing ones are dropped. After a kill at any
    moment, the same call continues and ends with the same bytes. `progress(done, total)` is called now and then.
    Raises AimganError if the folder has other files, or codes of another model or source, for a model without an
    encoder, and for a source without a usable image.
    """
    require_encoder(model)
    folder, name = Path(folder), _identity(source)
    if folder.name != INSIDE:  # a link that the user names is followed, but none in a folder of images
        folder = folder.resolve()
    recover(folder)
    refuse_links(folder)
    with ExitStack() as stack:
        images = find(name, stack)
        record = IndexRecord(checksum(model), name, model.dim, fingerprint=state(name), signature=signature(name))
        _begin(folder, record)
        rows = stack.enter_context(_open_rows(folder, model.dim))
        order, skipped = _add_missing(model, images, rows, name, progress)
        if not order:
            first = f": {skipped[0].name!r}, {skipped[0].reason}" if skipped else ""
            raise AimganError(f"{name!r} has no usable image{first}")
        record = replace(record, images=len(order), skipped=tuple(skipped[:NAMED]), skipped_images=len(skipped))
        if record != read_record(folder) or not _is_finished(rows, order):
            _finish(folder, record, rows, order)
    return open_index(folder)


def _identity(source: str | Path) -> str:
    """Return the absolute path of a source, or the Hub id as it is."""
    path = os.path.expanduser(source)
    return os.path.realpath(path) if os.path.exists(path) else str(source)


def _open_rows(folder: Path, dim: int) -> AppendOnlyArrays:
    try:
        return AppendOnlyArrays(folder, {CODES: RowType("<f4", (dim,))}, ROWS, _is_valid)
    except OSError as reason:
        raise unwritable(folder, reason) from None


def _is_valid(line: Line) -> bool:
    """Return whether a line of ROWS names as many images as it has codes.

    May raise TypeError, KeyError or ValueError on malformed lines.
    """
    names, keys = line["names"], line["keys"]
    if not all(isinstance(name, str) for name in names) or not all(type(key) is int for key in keys):
        return False
    return len(names) == len(keys) == line["rows"][CODES]


def _add_missing(
    model: LatentVariableModel, images: Listing, rows: AppendOnlyArrays, source: str, progress: Progress | None
) -> tuple[list[int], list[Skipped]]:
    """Append the codes of images that have no row yet; return the row of each good image in the source's order."""
    order: list[int] = []
    skipped = list(images.skipped)
    done = 0
    keys = [key for line in rows.lines for key in line["keys"]]
    row_of = {key: row for row, key in enumerate(keys)}
    for part in encoded(model, source, images, row_of.keys()):
        if part.new:
            new_keys = [part.keys[k] for k in part.new]
            for row, key in enumerate(new_keys, rows.counts[CODES]):
                row_of[key] = row
            rows.append({CODES: part.codes}, names=[part.names[k] for k in part.new], keys=new_keys)
        order += [row_of[key] for key in part.keys]
        skipped += part.skipped
        done += len(part.keys) + len(part.skipped)
        if progress is not None:
            progress(done, len(images))
    return order, skipped


def open_index(folder: str | Path) -> Index:
    """Open an index that `build` has finished. Raises AimganError if there is none, or it is damaged."""
    folder = Path(folder)
    recover(folder)
    record = read_record(folder)
    if record is None:
        raise AimganError(f"{folder} is not an index: pass --images to build it")
    if record.images is None:
        raise AimganError(f"the index in {folder} is not finished: repeat the command that builds it")
    names: list[str] = []
    try:
        codes = read_array(folder / f"{CODES}.npy", RowType("<f4", (record.dim,)), record.images)
        with regular(folder / ROWS).open("rb") as file:
            for line, _ in read_lines(file, (CODES,), _is_valid):
                names += line["names"]
        if len(names) < record.images:  # there may be more, while images are added
            raise ValueError(f"{len(names):,} names, expected {record.images:,}")
    except (OSError, ValueError, MemoryError) as reason:
        why = " ".join(str(reason).split())[:200]
        raise AimganError(f"the index in {folder} is damaged ({why}): remove that folder and build it again") from None
    return Index(folder, record, names[: record.images], codes)


def query(index: Index, z: Float[Tensor, " d"], k: int = 12) -> list[Hit]:
    """Return the k images whose codes are nearest to the code z (d,), the nearest first.

    The code of an image x (1, c, h, w) is `model.encode(x).mean[0]`. Raises AimganError for another dimension.
    """
    if z.shape != (index.record.dim,) or not bool(z.isfinite().all()):
        raise AimganError(f"got a code of {tuple(z.shape)}, expected {index.record.dim} finite numbers")
    distances, rows = exact(index.codes, z.detach().cpu().float().numpy()[None], positive("k", k))
    hits = []
    for distance, row in zip(distances[0].tolist(), rows[0].tolist(), strict=True):
        if math.isfinite(distance):
            hits.append(Hit(index.names[row], distance, row))
    return hits


def require_model(index: Index, model: LatentVariableModel) -> None:
    """Raise AimganError unless the index was built with this model."""
    _require_same_model(index.folder, index.record, replace(index.record, model=checksum(model), dim=model.dim))


def _require_same_model(folder: Path, found: IndexRecord, wanted: IndexRecord) -> None:
    if (found.model, found.dim) != (wanted.model, wanted.dim):
        both = f"{found.model[:12]}, this one's {wanted.model[:12]}"
        raise AimganError(f"{folder} has codes of another model (weights {both}): build a new index for this model")


def checksum(model: LatentVariableModel) -> str:
    """Return the SHA-256 of a model's weights and their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy())
    return digest.hexdigest()


def read_record(folder: Path) -> IndexRecord | None:
    """Read index.json; None if there is none. Raises AimganError if it is damaged."""
    path = folder / RECORD
    if not path.exists():
        return None
    try:
        values = read_json(path)
        if values.pop("format") != FORMAT:
            raise ValueError("it has another format")
        skipped = tuple(Skipped(str(item["name"]), str(item["reason"])) for item in values.pop("skipped"))
        return IndexRecord(**values_for(IndexRecord, values, "name in it"), skipped=skipped)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as reason:
        raise AimganError(f"{path} cannot be read ({reason}): remove that folder and build the index again") from None


def _begin(folder: Path, wanted: IndexRecord) -> None:
    """Make the folder and its record, or check that an existing index is of this model and source.

    The same images may have been moved since then, alone or with an index inside their folder.
    """
    found = read_record(folder)
    rows = folder / ROWS
    if found is not None and (found.images is not None or (rows.exists() and rows.stat().st_size)):
        _require_same_model(folder, found, wanted)
        is_moved = found.fingerprint == wanted.fingerprint or folder.resolve().parent == Path(wanted.source)
        if found.source != wanted.source and not is_moved:
            raise AimganError(f"{folder} was built from {found.source!r}, not {wanted.source!r}: choose another folder")
        return
    names = sorted({path.name for path in folder.iterdir()} - FILES) if folder.is_dir() else []
    others = [name for name in names if not LEFTOVER.fullmatch(name)]
    if others:
        raise AimganError(f"{folder} contains {others[0]!r}, which is not part of an index: choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_record(folder, wanted)
    except OSError as reason:
        raise AimganError(f"cannot write {folder} ({reason.strerror}): choose another folder") from None


def _is_finished(rows: AppendOnlyArrays, order: Sequence[int]) -> bool:
    """Return whether the rows are as `_finish` leaves them: in the source's order, and LINE of them to a line."""
    count = rows.counts[CODES]
    if list(order) != list(range(count)):
        return False
    try:
        open_array(rows.folder / f"{CODES}.npy", rows.row_types[CODES], count)
    except (OSError, ValueError):
        return False
    lines = [line["rows"][CODES] for line in rows.lines]
    return lines == [min(LINE, count - start) for start in range(0, count, LINE)]


def _finish(folder: Path, record: IndexRecord, rows: AppendOnlyArrays, order: Sequence[int]) -> None:
    """Write a new index from the rows, in the source's order, and replace the folder by it."""
    names = [name for line in rows.lines for name in line["names"]]
    keys = [key for line in rows.lines for key in line["keys"]]
    with replacing_folder(folder) as fresh:
        with AppendOnlyArrays(fresh, rows.row_types, ROWS) as kept:
            for start in range(0, len(order), LINE):
                part = order[start : start + LINE]
                codes = rows.take(CODES, part)
                kept.append({CODES: codes}, names=[names[k] for k in part], keys=[keys[k] for k in part])
            kept.finish()
        _write_record(fresh, record)


def _write_record(folder: Path, record: IndexRecord) -> None:
    write_json(folder / RECORD, {"format": FORMAT, **asdict(record)})
