"""Where images come from: a folder, a zip, arrays, parquet or a Hub id becomes pixels, or a list of files to decode."""

from __future__ import annotations

import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8

from aimgan.checked import require_memory
from aimgan.data.arrays import array_pixels, read_arrays
from aimgan.data.decode import Opener, UndecodableError
from aimgan.data.names import Skipped, Tag, layout, split_word, splits_of, wrapper
from aimgan.errors import AimganError

SUFFIX = re.compile(r"\.(jpe?g|jpe|jfif|png|webp|bmp|dib|gif|tiff?|p[pgbn]m|pfm)$", re.IGNORECASE)
MAX_NESTED = 100  # folders
MAX_MEMBER = 256 * 2**20  # bytes of one zip member, uncompressed
EXPECTED = "expected a folder of images, a .zip of one, .npy, .npz, a folder of .parquet, or a Hub id owner/name"


@dataclass(frozen=True)
class Listing:
    """`total` images still to be opened and decoded, in order."""

    total: int
    items: Iterable[tuple[Tag, Opener]]
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class Block:
    """Images that were stored as one array; `test` as in `Tag`."""

    pixels: UInt8[np.ndarray, "n c h w"]
    labels: Int64[np.ndarray, " n"] | None
    test: bool | None = None


def find(source: str, stack: ExitStack) -> Listing | list[Block]:
    """Return what `source` holds. What must stay open until all is decoded is closed by `stack`."""
    path = Path(os.path.expanduser(source))
    path = path if os.path.exists(path) else _download(source)
    return _directory(path) if path.is_dir() else _file(path, source, stack)


def _directory(path: Path) -> Listing | list[Block]:
    pair = (path / "train.npz", path / "test.npz")
    if all(file.is_file() for file in pair):
        return _arrays(pair[0], False) + _arrays(pair[1], True)
    tables = [path / name for name in walked(path, lambda error: None, _is_table) if (path / name).is_file()]
    # A banner beside train-*.parquet makes no folder of images, and annotations in parquet no data set of them.
    named = any(split_word(Path(file.name)) for file in tables)
    return _parquet(path, tables) if tables and (named or not _folder(path).total) else _folder(path)


def _file(path: Path, source: str, stack: ExitStack) -> Listing | list[Block]:
    readers: dict[str, Callable[[], Listing | list[Block]]] = {
        ".zip": lambda: _zip(path, stack),
        ".npy": lambda: _arrays(path),
        ".npz": lambda: _arrays(path),
        ".parquet": lambda: _parquet(path.parent, [path]),
    }
    if path.suffix.lower() not in readers:
        raise AimganError(f"{source!r} is not a source of images: {EXPECTED}")
    if not path.is_file():  # a pipe would block for ever
        raise AimganError(f"{source!r} is not a regular file: {EXPECTED}")
    return readers[path.suffix.lower()]()


def _download(source: str) -> Path:
    """Fetch the parquet files of the Hub's data set `source`, and return the folder they are in."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", source):
        raise AimganError(f"there is no file or folder {source!r}: {EXPECTED}")
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(source, repo_type="dataset", allow_patterns=["*.parquet"]))
    except Exception as error:  # no network, no such data set, no right to it, no room on the disk
        raise unreachable(source, error) from error


def unreachable(source: str, error: Exception) -> AimganError:
    """Return the error for what is neither here nor on the Hub, as far as that can be told."""
    return AimganError(
        f"there is no file or folder {source!r}, and the Hub could not be reached for a data set of that id "
        f"({type(error).__name__}: {first_line(error)}); check the path, or the id and the network"
    )


def first_line(error: Exception) -> str:
    """Return what an error says, without the lines after the first."""
    return (str(error).strip().splitlines() or [""])[0]


# --- files: a folder, a zip ---------------------------------------------------------------------------------------


def _folder(root: Path) -> Listing:
    unreadable: list[Skipped] = []
    names = walked(root, lambda error: unreadable.append(Skipped(str(error.filename), str(error.strerror))))
    tags, outside = layout(names)
    return Listing(len(tags), [(tag, partial(regular_file, root / tag.name)) for tag in tags], (*unreadable, *outside))


def walked(root: Path, on_error: Callable[[OSError], None], wanted: Callable[[str], bool] | None = None) -> list[str]:
    """Return the relative names of the images below `root`, sorted; a folder is entered once, whatever links to it.

    `wanted` chooses other files. What is nested deeper than MAX_NESTED folders is an error: os.walk calls itself.
    """
    wanted = wanted or is_image
    names: list[str] = []
    entered = set()
    for folder, folders, files in os.walk(root, onerror=on_error, followlinks=True):
        identity = os.stat(folder)
        if (identity.st_dev, identity.st_ino) in entered:
            folders.clear()
            continue
        entered.add((identity.st_dev, identity.st_ino))
        below = Path(folder).relative_to(root)
        if len(below.parts) >= MAX_NESTED and folders:
            on_error(OSError(0, "folders are nested too deep", str(below)))
            folders.clear()
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        names += [(below / name).as_posix() for name in files if wanted(name)]
    return sorted(names)


def _is_table(name: str) -> bool:
    return name.endswith(".parquet") and name != "metadata.parquet"


def is_image(name: str) -> bool:
    """Return whether a name is that of an image file that is not hidden."""
    hidden = any(part.startswith(".") and part.strip(".") for part in name.split("/"))
    return SUFFIX.search(name) is not None and not hidden


def regular_file(path: Path) -> Path:
    """Return the path of a file that has content. Raises UndecodableError for any other."""
    try:
        found = path.stat()
    except OSError as error:
        raise UndecodableError(str(error.strerror)) from error
    if not stat.S_ISREG(found.st_mode):  # a pipe would block for ever
        raise UndecodableError("not a regular file")
    if found.st_size == 0:
        raise UndecodableError("empty file")
    return path


def _zip(path: Path, stack: ExitStack) -> Listing:
    """List a zip's images; members are read into memory one at a time, and never written anywhere."""
    try:
        archive = stack.enter_context(zipfile.ZipFile(path))
    except Exception as error:  # zipfile raises nearly anything at a damaged directory
        raise AimganError(f"cannot read {str(path)!r} as a zip: {first_line(error)}") from error
    lock = Lock()  # ZipFile counts its open members without one

    def read(member: zipfile.ZipInfo) -> BytesIO:
        if member.file_size > MAX_MEMBER:
            raise UndecodableError(f"{member.file_size:,} bytes, over {MAX_MEMBER:,}")
        with lock:
            return blob(archive.read(member))

    members = {member.filename: member for member in archive.infolist() if is_image(member.filename)}
    outer = wrapper(members)
    members = {name.removeprefix(outer): member for name, member in members.items()}
    tags, outside = layout(sorted(members))
    return Listing(len(tags), [(tag, partial(read, members[tag.name])) for tag in tags], outside)


def blob(content: bytes | None) -> BytesIO:
    """Return stored bytes as a file. Raises UndecodableError where there are none."""
    if not content:
        raise UndecodableError("empty file")
    return BytesIO(content)


# --- arrays: .npy, .npz -------------------------------------------------------------------------------------------


def _arrays(path: Path, test: bool | None = None) -> list[Block]:
    members = read_arrays(path)
    if {"x_train", "x_test"} <= members.keys():
        parts = (("train", False), ("test", True))
        return [_block(path, members[f"x_{name}"], members.get(f"y_{name}"), part) for name, part in parts]
    labels = members.pop("labels", None)
    if "images" not in members and len(members) != 1:
        found = ", ".join(sorted(members)) or "nothing"
        raise AimganError(f"{str(path)!r} holds {found}; expected `images` (and `labels`), or x_train and x_test")
    images = members["images"] if "images" in members else next(iter(members.values()))
    return [_block(path, images, labels, test)]


def _block(path: Path, images: np.ndarray, labels: np.ndarray | None, test: bool | None) -> Block:
    pixels = array_pixels(images, str(path))
    if labels is None:
        return Block(pixels, None, test)
    if labels.dtype.kind not in "iu" or labels.size != len(pixels):
        got = f"{labels.dtype} labels {labels.shape}"
        raise AimganError(f"{str(path)!r}: got {got}, expected one integer for each of {len(pixels):,} images")
    return Block(pixels, labels.reshape(-1).astype(np.int64), test)


# --- parquet in the Hub's image layout ----------------------------------------------------------------------------


def _parquet(root: Path, files: list[Path]) -> Listing:
    """List the rows of `train-*.parquet` and `test-*.parquet`; of all files if those two are not both there."""
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise AimganError(f"reading parquet in {str(root)!r} needs pyarrow: pip install 'aimgan[data]'") from error
    groups: dict[str, list[Path]] = {}
    for file in files:
        groups.setdefault(split_word(file.relative_to(root)), []).append(file)
    splits = splits_of(groups)
    chosen = {word: groups[word] for word in splits} or {"": files}
    for group in chosen.values():
        if len(folders := sorted({str(file.parent) for file in group})) > 1:
            raise AimganError(f"{str(root)!r} holds several data sets; name the folder of one: {', '.join(folders)}")
    try:
        metadata = [pq.read_metadata(file) for group in chosen.values() for file in group]
        total = sum(table.num_rows for table in metadata)
        largest = max((t.row_group(k).total_byte_size for t in metadata for k in range(t.num_row_groups)), default=0)
    except Exception as error:  # Arrow's readers raise nearly anything at damaged metadata
        raise AimganError(f"cannot read the parquet files in {str(root)!r}: {first_line(error)}") from error
    require_memory(largest, f"a row group in {str(root)!r}", "write smaller ones")
    left = [
        Skipped(word, f"{len(groups[word])} files in neither split") for word in groups if splits and word not in splits
    ]
    return Listing(total, _rows(chosen, splits), tuple(left))


def _rows(groups: dict[str, list[Path]], splits: dict[str, bool]) -> Iterator[tuple[Tag, Opener]]:
    for word, files in groups.items():
        rows = (row for file in files for row in _read(file))
        for index, (content, label) in enumerate(rows):
            yield Tag(f"{word} row {index}".strip(), label, splits.get(word)), partial(blob, content)


def _read(file: Path) -> Iterator[tuple[bytes | None, int | None]]:
    """Yield a file's images as stored, and their labels, a batch in memory at a time."""
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as table:
            image, label = image_columns(table.schema_arrow, str(file))
            for batch in table.iter_batches(256, columns=[image, label] if label else [image]):
                images = batch.column(image).to_pylist()
                labels = batch.column(label).to_pylist() if label else [None] * len(images)
                yield from zip(map(image_of, images), labels, strict=True)
    except AimganError:
        raise
    except Exception as error:  # Arrow's readers raise nearly anything at damaged pages
        raise AimganError(f"cannot read {str(file)!r} as parquet: {first_line(error)}") from error


def image_columns(schema: Any, path: str) -> tuple[str, str | None]:
    """Return the names of a table's columns of images and, if there is one, of labels."""
    import pyarrow as pa

    image = next((name for name in ("image", "img") if name in schema.names), None)
    if image is None:
        raise AimganError(f"{path!r} has columns {', '.join(schema.names)}; expected `image` or `img`")
    kind = schema.field("label").type if "label" in schema.names else None
    labelled = kind is not None and pa.types.is_integer(kind) and kind != pa.uint64()
    return image, "label" if labelled else None


def image_of(value: Any) -> bytes | None:
    """Return the bytes of a row's image, None where it has none: the Hub keeps them in a field beside the path."""
    content = value.get("bytes") if isinstance(value, dict) else value
    return content if isinstance(content, bytes) else None
