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

from aimgan.checked import numbers, positive, read_json, values_for
from aimgan.data.sources import Listing, Skipped
from aimgan.errors import AimganError
from aimgan.files import recover, replacing_folder, write_json
from aimgan.model import LatentVariableModel
from aimgan.search import nearest
from aimgan.search.encoding import encoded, require_encoder
from aimgan.search.images import listing
from aimgan.search.rows import CODES, NAMES, Row, Rows, read_rows, write_rows

INSIDE = ".aimgan-index"  # where a folder of images has its own index: readers of images pass such names over
RECORD, FORMAT = "index.json", 1
NAMED = 1_000  # broken images that the record names
FILES = {RECORD, CODES, NAMES, nearest.FILE, f".{RECORD}.new"}

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Record:
    """index.json: what the codes are of. `images` is None until the index is finished."""

    model: str  # SHA-256 of its weights
    source: str
    dim: int
    images: int | None = None
    search: dict[str, Any] | None = None  # how the nearest are found, with the measured recall
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
    find: nearest.Searcher

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
    """Index the images of `source` (a folder, a zip, a tar, .npy, .npz, parquet, a Hub id) in `folder`, and open it.

    After a kill at any moment the same call goes on, and ends with the same bytes. Where there is an index already,
    only images that are new or changed are encoded, and those that are gone are dropped. `progress(done, total)`.
    Raises AimganError where the folder holds anything else, or codes of another model or source; for a model without
    an encoder; and for a source without a single good image.
    """
    require_encoder(model)
    folder, name = Path(folder), _identity(source)
    recover(folder)
    with ExitStack() as stack:
        images = listing(name, stack)
        record = _begun(folder, Record(checksum(model), name, model.dim))
        rows = stack.enter_context(Rows(folder, model.dim))
        order, skipped = _add_missing(model, images, rows, progress or (lambda done, total: None))
        if not order:
            first = "".join(f": {item.name!r}, {item.reason}" for item in skipped[:1])
            raise AimganError(f"{name!r} has no image that can be used{first}")
        record = replace(record, skipped=tuple(skipped[:NAMED]), skipped_images=len(skipped))
        if not _is_current(folder, record, order, len(rows.rows)):
            _finish(folder, record, rows, order)
    return open_index(folder)


def _add_missing(
    model: LatentVariableModel, images: Listing, rows: Rows, progress: Progress
) -> tuple[array[int], list[Skipped]]:
    """Append the images that have no row yet, and return the row of each good image in the source's order."""
    order, skipped, done = array("q"), list(images.skipped), 0
    row_of = {row.key: number for number, row in enumerate(rows.rows)}
    for part in encoded(model, images, row_of.keys()):
        if part.new:
            added = [Row(part.names[k], part.keys[k]) for k in part.new]
            row_of.update({row.key: len(rows.rows) + number for number, row in enumerate(added)})
            rows.append(added, part.codes)
        order.extend(row_of[key] for key in part.keys)
        skipped += part.skipped
        done += len(part.keys) + len(part.skipped)
        progress(done, images.total)
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
        names, codes = read_rows(folder, record.images, record.dim)
        find = nearest.searcher(folder, codes)
    except (OSError, ValueError, EOFError, RuntimeError, MemoryError) as reason:
        if isinstance(reason, AimganError):
            raise
        line = " ".join(str(reason).split())[:200]
        raise AimganError(f"the index in {folder} is damaged ({line}): remove that folder and build it again") from None
    return Index(folder, record, names, codes, find)


def query(index: Index, z: Float[Tensor, " d"], k: int = 12) -> list[Hit]:
    """Return the k images whose codes are nearest to z, nearest first; fewer where the index has fewer (finite) ones.

    z is one code: of an image x (1, c, h, w) it is `model.encode(x).mean[0]`. Raises AimganError for another dimension.
    """
    if z.shape != (index.record.dim,) or not bool(z.isfinite().all()):
        raise AimganError(f"got a code of {tuple(z.shape)}, expected {index.record.dim} finite numbers")
    wanted = min(positive("k", k), len(index))
    distances, rows = index.find(z.detach().cpu().float().numpy()[None], wanted)
    found = zip(distances[0].tolist(), rows[0].tolist(), strict=True)
    return [Hit(index.names[row], distance, row) for distance, row in found if row >= 0 and math.isfinite(distance)]


def require_model(index: Index, model: LatentVariableModel) -> None:
    """Raise AimganError for a model whose codes are not those of the index."""
    _require_same(index.folder, index.record, Record(checksum(model), index.record.source, model.dim))


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
    search = values.pop("search")
    skipped = [Skipped(str(item["name"]), str(item["reason"])) for item in values.pop("skipped")]
    if search is not None:
        search = {"kind": str(search["kind"])} | numbers(search)
    return values_for(Record, values, "name in it") | {"search": search, "skipped": tuple(skipped)}


def _identity(source: str | Path) -> str:
    """Return a path as the same text wherever it is named from; a Hub id as it is."""
    path = os.path.expanduser(source)
    return os.path.realpath(path) if os.path.exists(path) else str(source)


def _begun(folder: Path, wanted: Record) -> Record:
    """Open the folder for this model and source, or make it."""
    found = read_record(folder)
    if found is not None and not (found.images is None and _is_empty(folder / NAMES)):
        _require_same(folder, found, wanted)
        return found
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


def _require_same(folder: Path, found: Record, wanted: Record) -> None:
    if found.model != wanted.model:
        both = f"{found.model[:12]}, this one's {wanted.model[:12]}"
        raise AimganError(f"{folder} holds codes of another model (weights {both}): build an index of its own for it")
    if found.source != wanted.source:
        raise AimganError(f"{folder} is of {found.source!r}, not of {wanted.source!r}: choose another folder")


def _is_current(folder: Path, record: Record, order: array[int], rows: int) -> bool:
    """Whether the finished index has these rows in this order, and faiss's file if that can be had."""
    same = record == read_record(folder) and record.images == len(order) == rows
    in_order = same and bool((np.frombuffer(order, np.int64) == np.arange(rows)).all())
    return in_order and (folder / nearest.FILE).exists() == (nearest.faiss() is not None)


def _finish(folder: Path, record: Record, rows: Rows, order: array[int]) -> None:
    """Write the index beside the rows that it is made of, then put it in their place."""
    with replacing_folder(folder) as fresh:
        write_rows(fresh, rows.rows, rows.codes(), order)
        codes = np.load(fresh / CODES, mmap_mode="r")
        _write_record(fresh, replace(record, images=len(order), search=nearest.write(fresh, codes)))


def _write_record(folder: Path, record: Record) -> None:
    write_json(folder / RECORD, {"format": FORMAT, **asdict(record)})
