"""An index of the codes of a source's images: built once, brought up to date by the same call, searched by code.

Codes are posterior means, and distances Euclidean in the prior's units: p(z) is N(0, I), so one unit is a standard
deviation in every dimension and no dimension needs a weight. Two codes drawn from the prior are sqrt(2 d) apart.
"""

from __future__ import annotations

import hashlib
import math
import os
from array import array
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor

from aimgan.checked import positive, read_json, regular, values_for
from aimgan.data.listing import Listing
from aimgan.data.names import Skipped
from aimgan.data.sources import find, state
from aimgan.errors import AimganError
from aimgan.files import recover, replacing_folder, unwritable, write_json
from aimgan.growing import Growing, Kind, Line, open_array, read_lines
from aimgan.model import LatentVariableModel
from aimgan.search.encoding import encoded, require_encoder
from aimgan.search.nearest import exact

INSIDE = ".aimgan-index"  # where a folder of images has its own index: readers of images pass such names over
RECORD, CODES, ROWS, FORMAT = "index.json", "codes", "rows.jsonl", 2
NAMED = 1_000  # broken images that the record names
LINE = 128  # rows to a line of a finished index's ROWS
FILES = {RECORD, f"{CODES}.npy", ROWS, "index.faiss", f".{RECORD}.new"}

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Record:
    """index.json: what the codes are of. `images` is None until the index is finished."""

    model: str  # SHA-256 of its weights
    source: str
    dim: int
    images: int | None = None
    fingerprint: str = ""  # of the source's images, which tells that they were only moved
    skipped: tuple[Skipped, ...] = ()  # the first NAMED of them
    skipped_images: int = 0


class Hit(NamedTuple):
    """An image's name in the source, its distance in the prior's units, and its row in the index."""

    name: str
    distance: float
    row: int


@dataclass(frozen=True)
class Index:
    """A finished index; `codes` (n, d) stay on the disk until they are read."""

    folder: Path
    record: Record
    names: list[str]
    codes: Float[np.ndarray, "n d"]

    def __len__(self) -> int:
        """The number of images."""
        return len(self.names)

    @property
    def unrelated(self) -> float:
        """How far apart two codes drawn from the prior are (root mean square)."""
        return math.sqrt(2 * self.record.dim)


def build(
    model: LatentVariableModel, source: str | Path, folder: str | Path, progress: Progress | None = None
) -> Index:
    """Index the images of `source` (anything that data/sources.py reads) in `folder`, and open it.

    After a kill at any moment the same call goes on, and ends with the same bytes. Where there is an index already,
    only images that are new or changed are encoded, and those that are gone are dropped. `progress(done, total)`.
    Raises AimganError where the folder holds anything else, or codes of another model or source; for a model without
    an encoder; and for a source without a single good image.
    """
    require_encoder(model)
    folder, name = Path(folder), _identity(source)
    recover(folder)
    with ExitStack() as stack:
        images = find(name, stack)
        record = _begun(folder, Record(checksum(model), name, model.dim, fingerprint=state(name)))
        rows = stack.enter_context(_rows(folder, model.dim))
        order, skipped = _add_missing(model, images, rows, name, progress or (lambda done, total: None))
        if not order:
            first = "".join(f": {item.name!r}, {item.reason}" for item in skipped[:1])
            raise AimganError(f"{name!r} has no image that can be used{first}")
        record = replace(record, images=len(order), skipped=tuple(skipped[:NAMED]), skipped_images=len(skipped))
        if record != read_record(folder) or not _is_finished(rows, order):
            _finish(folder, record, rows, order)
    return open_index(folder)


def _kind(dim: int) -> Kind:
    return Kind("<f4", (dim,))


def _is_sound(line: Line) -> bool:
    """Return whether a line of ROWS names as many images as it has codes. Raises what is no line."""
    names, keys = line["names"], line["keys"]
    kinds = all(isinstance(name, str) for name in names) and all(type(key) is int for key in keys)
    return kinds and len(names) == len(keys) == line["rows"][CODES]


def _rows(folder: Path, dim: int) -> Growing:
    try:
        return Growing(folder, {CODES: _kind(dim)}, ROWS, _is_sound)
    except OSError as reason:
        raise unwritable(folder, reason) from None


def _add_missing(
    model: LatentVariableModel, images: Listing, rows: Growing, source: str, progress: Progress
) -> tuple[array[int], list[Skipped]]:
    """Append the images that have no row yet, and return the row of each good image in the source's order."""
    order, skipped, done = array("q"), list(images.skipped), 0
    row_of = {key: row for row, key in enumerate(key for line in rows.lines for key in line["keys"])}
    for part in encoded(model, source, images, row_of.keys()):
        if part.new:
            keys = [part.keys[k] for k in part.new]
            begin = rows.counts[CODES]
            row_of.update({key: begin + number for number, key in enumerate(keys)})
            rows.append({CODES: part.codes}, names=[part.names[k] for k in part.new], keys=keys)
        order.extend(row_of[key] for key in part.keys)
        skipped += part.skipped
        done += len(part.keys) + len(part.skipped)
        progress(done, len(images))
    return order, skipped


def open_index(folder: str | Path) -> Index:
    """Open an index that `build` has finished. Raises AimganError where there is none, or it is damaged."""
    folder = Path(folder)
    recover(folder)
    record = read_record(folder)
    if record is None:
        raise AimganError(f"{folder} holds no index: name the images that it is to be of (--images)")
    if record.images is None:
        raise AimganError(f"the index in {folder} is not finished: repeat the command that builds it")
    try:
        codes = open_array(folder / f"{CODES}.npy", _kind(record.dim), record.images)
        with regular(folder / ROWS).open("rb") as file:
            names = [name for line, _ in read_lines(file, (CODES,), _is_sound) for name in line["names"]]
        if len(names) < record.images:  # more are being added
            raise ValueError(f"{len(names):,} names, expected {record.images:,}")
    except (OSError, ValueError, MemoryError) as reason:
        line = " ".join(str(reason).split())[:200]
        raise AimganError(f"the index in {folder} is damaged ({line}): remove that folder and build it again") from None
    return Index(folder, record, names[: record.images], codes)


def query(index: Index, z: Float[Tensor, " d"], k: int = 12) -> list[Hit]:
    """Return the k images whose codes are nearest to z, nearest first; fewer where the index has fewer (finite) ones.

    z is one code: of an image x (1, c, h, w) it is `model.encode(x).mean[0]`. Raises AimganError for another dimension.
    """
    if z.shape != (index.record.dim,) or not bool(z.isfinite().all()):
        raise AimganError(f"got a code of {tuple(z.shape)}, expected {index.record.dim} finite numbers")
    wanted = min(positive("k", k), len(index))
    distances, rows = exact(index.codes, z.detach().cpu().float().numpy()[None], wanted)
    found = zip(distances[0].tolist(), rows[0].tolist(), strict=True)
    return [Hit(index.names[row], distance, row) for distance, row in found if math.isfinite(distance)]


def require_model(index: Index, model: LatentVariableModel) -> None:
    """Raise AimganError for a model whose codes are not those of the index."""
    _require_model(index.folder, index.record, Record(checksum(model), index.record.source, model.dim))


def checksum(model: LatentVariableModel) -> str:
    """Return the SHA-256 of a model's weights and their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy())
    return digest.hexdigest()


def read_record(folder: Path) -> Record | None:
    """Read index.json; None where there is none. Raises AimganError where it is damaged."""
    path = folder / RECORD
    if not path.exists():
        return None
    try:
        values = read_json(path)
        if values.pop("format") != FORMAT:
            raise ValueError("of another format")
        return Record(**_checked(values))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as reason:
        raise AimganError(f"{path} cannot be read ({reason}): remove that folder and build the index again") from None


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a record, each of its type. Raises what `read_record` expects."""
    skipped = [Skipped(str(item["name"]), str(item["reason"])) for item in values.pop("skipped")]
    return values_for(Record, values, "name in it") | {"skipped": tuple(skipped)}


def _identity(source: str | Path) -> str:
    """Return a path as the same text wherever it is named from; a Hub id as it is."""
    path = os.path.expanduser(source)
    return os.path.realpath(path) if os.path.exists(path) else str(source)


def _begun(folder: Path, wanted: Record) -> Record:
    """Open the folder for this model and source, or make it."""
    found = read_record(folder)
    if found is not None and not (found.images is None and _is_empty(folder / ROWS)):
        _require_model(folder, found, wanted)
        moved = found.fingerprint == wanted.fingerprint or folder.resolve().parent == Path(wanted.source)
        if found.source != wanted.source and not moved:
            raise AimganError(
                f"{folder} is of {found.source!r}, and {wanted.source!r} holds other images: choose another folder"
            )
        return wanted
    others = sorted({path.name for path in folder.iterdir()} - FILES) if folder.is_dir() else []
    if others:
        raise AimganError(f"{folder} holds {others[0]!r}, which is no part of an index: choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_record(folder, wanted)
    except OSError as reason:
        raise AimganError(f"cannot write {folder} ({reason.strerror}): choose another folder") from None
    return wanted


def _is_empty(path: Path) -> bool:
    return not path.exists() or path.stat().st_size == 0


def _require_model(folder: Path, found: Record, wanted: Record) -> None:
    if (found.model, found.dim) != (wanted.model, wanted.dim):
        both = f"{found.model[:12]}, this one's {wanted.model[:12]}"
        raise AimganError(f"{folder} holds codes of another model (weights {both}): build an index of its own for it")


def _is_finished(rows: Growing, order: array[int]) -> bool:
    """Return whether the rows are as `_finish` leaves them: in the source's order, LINE together, and all counted."""
    count, lines = rows.counts[CODES], [line["rows"][CODES] for line in rows.lines]
    if len(order) != count or not (np.frombuffer(order, np.int64) == np.arange(count)).all():
        return False
    try:
        open_array(rows.folder / f"{CODES}.npy", rows.kinds[CODES], count)
    except (OSError, ValueError):
        return False
    return lines == [min(LINE, count - start) for start in range(0, count, LINE)]


def _finish(folder: Path, record: Record, rows: Growing, order: array[int]) -> None:
    """Write the index beside the rows that it is made of, then put it in their place."""
    names = [name for line in rows.lines for name in line["names"]]
    keys = [key for line in rows.lines for key in line["keys"]]
    codes = rows.array(CODES)
    with replacing_folder(folder) as fresh:
        with Growing(fresh, rows.kinds, ROWS) as kept:
            for start in range(0, len(order), LINE):
                part = list(order[start : start + LINE])
                kept.append({CODES: codes[part]}, names=[names[k] for k in part], keys=[keys[k] for k in part])
            kept.finish()
        _write_record(fresh, record)


def _write_record(folder: Path, record: Record) -> None:
    write_json(folder / RECORD, {"format": FORMAT, **asdict(record)})
