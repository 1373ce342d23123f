"""What lies in folders: tables of labels, a pack, an index of codes, runs that are compared and described.

Properties as those of properties.py, and run beside them.
"""

from __future__ import annotations

import atexit
import io
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest import mock

import files
import numpy as np
import torch
from hypothesis import strategies as st
from PIL import Image
from properties import MODEL, RUN, Property, damaged, edited, headers, lines, lines_of, odd, sound, text_of
from rich.console import Console

from aimgan.data import decoding
from aimgan.data.decoding import Form
from aimgan.data.images import Reader, load_images
from aimgan.errors import AimganError
from aimgan.pages.compare import compare
from aimgan.search.clusters import cluster
from aimgan.search.index import build, open_index, query
from aimgan.sharing import hub

MARKUP = st.sampled_from([
    "<script>x()</script>", "<img src=x onerror=x()>", "</style><b>", '"><svg onload=x()>', "](javascript:x)", "`<b>`",
])  # fmt: skip
ALIVE = ("<script", "<img src=x", "<svg onload", "</style><b>", "<b>")  # what MARKUP is where it is not escaped


FOLDER = [f"{split}/{k}.png" for split in ("train", "test") for k in range(6)]


def _tree(folder: Path) -> Path:
    """Make a folder of images, two of which are broken, whose labels lie beside them."""
    for k, name in enumerate(FOLDER):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(k).integers(0, 255, (8, 8), np.uint8)
        Image.fromarray(pixels).save(path)
        path.with_suffix(".cls").write_text(str(k % 3))
    for name in (FOLDER[3], FOLDER[10]):
        (folder / name).write_bytes(b"no image")
    return folder


def _home() -> Path:
    """Return a folder that is gone when the process ends."""
    home = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    return Path(home)


# --- labels that are written beside images ----------------------------------------------------------------------------


def _beside(name: str) -> Any:
    """Read a folder, and a zip of it, with a damaged table: no image is lost by it."""

    def check(example: bytes, folder: Path) -> None:
        path = folder / f"beside-{name}"
        members = {f"train/{k}.png": files.picture() for k in range(3)} | {f"train/{name}": example}
        for member, content in members.items():
            (path / member).parent.mkdir(parents=True, exist_ok=True)
            (path / member).write_bytes(content)
        (folder / "beside.zip").write_bytes(files.zipped(members))
        for source in (path, folder / "beside.zip"):
            data = load_images(source, size=8, channels=1)
            sound(data, (1, 8, 8))
            assert len(data.train) + len(data.test) == 3

    return check


CSV = [
    b"file_name,label\n0.png,1\n1.png,0\n2.png,2\n", b'file_name,text,label\r\n0.png,"a\nb",cat\r\n1.png,"",dog\r\n',
    b"\xef\xbb\xbffile_name,label,label\n0.png,-1,\n",
    b"file_name,label\n0.png,99999999999999999999\n1.png,1\n2.png,2\n",
]  # fmt: skip
cells = st.lists(st.lists(st.text(max_size=6) | st.sampled_from(["file_name", "label", "0.png", "1", '"']), max_size=5))
rows_of_jsonl = st.lists(
    odd | st.fixed_dictionaries({"file_name": st.sampled_from(["0.png", "1.png", "2.png"]) | odd, "label": odd}),
    max_size=4,
)


def _as_csv(rows: Sequence[Sequence[str]]) -> bytes:
    return "\n".join(",".join(row) for row in [["file_name", "label"], *rows]).encode("utf-8", "replace")


def _as_jsonl(rows: Sequence[Any]) -> bytes:
    return lines_of(rows).encode("utf-8", "replace")


# --- packs ----------------------------------------------------------------------------------------------------------


def _pack() -> tuple[Path, dict[str, bytes]]:
    """Return a folder of images and the files of its pack, which is made once."""
    if not _PACKS:
        home = _home()
        _packed(_tree(home / "tree"), home / "cache")
        (folder,) = (home / "cache" / "packed").iterdir()
        files_of_it = {str(path.relative_to(folder.parent)): path for path in folder.rglob("*") if path.is_file()}
        _PACKS.append((home / "tree", {name: path.read_bytes() for name, path in files_of_it.items()}))
    return _PACKS[0]


_PACKS: list[tuple[Path, dict[str, bytes]]] = []


def _packed(source: Path, cache: Path) -> None:
    in_parts = mock.patch.object(decoding, "CHUNK", 4)
    with in_parts, mock.patch("os.fsync"), mock.patch.dict(os.environ, AIMGAN_CACHE=str(cache)):
        data = Reader(str(source), Form(8, 1), packed=True).read()
    sound(data, (1, 8, 8))
    assert (len(data.train), len(data.test), len(data.skipped)) == (5, 5, 2)
    assert data.train.labels is not None


def _repacked(example: tuple[str, bytes], folder: Path) -> None:
    """Read a pack of which one file is another: in one line, or packed anew; then it is whole again."""
    tree, whole = _pack()
    name, content = example
    for other, own in whole.items():
        path = folder / "cache" / "packed" / other
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if other == name else own)
    with suppress(AimganError):
        _packed(tree, folder / "cache")
    _packed(tree, folder / "cache")


@st.composite
def _files_of(draw: st.DrawFn, whole: Mapping[str, bytes]) -> tuple[str, bytes]:
    """Draw one of some files: damaged, with other values in its JSON, or of something else."""
    name = draw(st.sampled_from(sorted(whole)))
    content = whole[name]
    if name.endswith(".npy"):
        return name, draw(damaged([content]) | headers)
    if name.endswith(".json"):
        return name, draw(edited(json.loads(content)).map(lambda v: text_of(v).encode()) | damaged([content]))
    rows = draw(_edited_lines([json.loads(line) for line in content.splitlines()]))
    return name, draw(st.just(_as_jsonl(rows) + b"\n") | damaged([content]))


@st.composite
def _edited_lines(draw: st.DrawFn, rows: Sequence[Any]) -> list[Any]:
    """Draw these rows, one of which is another, gone, or there twice."""
    k, more = draw(st.integers(0, max(0, len(rows) - 1))), [*rows[:1]]
    if rows and isinstance(rows[k], dict):
        more = [draw(edited(rows[k])), {**rows[k], draw(st.sampled_from(sorted(rows[k]))): draw(odd)}]
    new = draw(st.sampled_from(more) | odd if more else odd)
    return [*rows[:k], *draw(st.sampled_from([[], [new], [new, *rows[k : k + 1]]])), *rows[k + 1 :]]


# --- indexes --------------------------------------------------------------------------------------------------------


def index_files() -> dict[str, bytes]:
    """Return the files of a small index, built once."""
    if not _INDEX:
        home = _home()
        build(files.model(), _tree(home / "tree"), home / "index")
        _INDEX.append((home / "tree", {path.name: path.read_bytes() for path in (home / "index").iterdir()}))
    return _INDEX[0][1]


_INDEX: list[tuple[Path, dict[str, bytes]]] = []


def tree() -> Path:
    """Return the folder of images that the index is of."""
    index_files()
    return _INDEX[0][0]


def _opened(example: tuple[str, bytes], folder: Path) -> None:
    """Search, cluster, and bring up to date an index of which one file is another."""
    name, content = example
    there = folder / "index"
    there.mkdir(exist_ok=True)
    for other, whole in index_files().items():
        (there / other).write_bytes(content if other == name else whole)
    with suppress(AimganError):
        index = open_index(there)
        hits = query(index, torch.zeros(index.record.dim), 5)
        assert all(np.isfinite(hit.distance) and 0 <= hit.row < len(index) for hit in hits)
        cluster(index.codes, 2)
    with mock.patch("os.fsync"):
        assert len(build(files.model(), tree(), there)) == 10


def _run(folder: Path, record: Any, rows: list[Any], scores: Any) -> Path:
    folder.mkdir(exist_ok=True)
    texts = {"run.json": text_of(record), "metrics.jsonl": lines_of(rows), "evaluation.json": text_of(scores)}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", errors="surrogateescape")
    return folder


def _compared(example: tuple[Any, list[Any], Any], folder: Path) -> None:
    """Compare a stranger's run with a sound one: nothing of it is alive in the page."""
    sides = [_run(folder / "theirs", *example), _run(folder / "ours", RUN, [{"step": 1, "loss/D": 2.0}], {})]
    page = folder / "compare.html"
    page.unlink(missing_ok=True)
    compare(sides, page, Console(file=io.StringIO(), width=80))
    _require_dead(page.read_text(encoding="utf-8"))


def _carded(example: tuple[Any, Any, list[Any], Any], folder: Path) -> None:
    """Describe a stranger's run, as `info` and `push --dry-run` do."""
    run = _run(folder / "described", *example[1:])
    files.model().save(run / "model")
    (run / "model" / "config.json").write_text(text_of(example[0]), encoding="utf-8", errors="surrogateescape")
    page = folder / "page"
    hub.write_page(run, "somebody/model", page)
    _require_dead((page / "README.md").read_text(encoding="utf-8"))


def _require_dead(page: str) -> None:
    assert not [alive for alive in ALIVE if alive in page.lower()]


records = edited(RUN) | st.builds(lambda text: {**RUN, "environment": {text: text}, "git": text}, MARKUP)
scored = st.dictionaries(st.text(max_size=5) | MARKUP, odd | MARKUP, max_size=4)
rows = lines | MARKUP.map(lambda text: [{"step": 1, text: 1.0, "alarms": [text], text + "x": text}])

# What a coverage-guided fuzzer is given beside those of properties.py.
FOLDER_TARGETS = {
    "metadata.csv": (CSV, _beside("metadata.csv")),
    "metadata.jsonl": ([b'{"file_name": "0.png", "label": 3}\n'], _beside("metadata.jsonl")),
}
FOLDERS: dict[str, Property] = {
    "metadata.csv": Property(damaged(CSV) | cells.map(_as_csv), _beside("metadata.csv")),
    "metadata.jsonl": Property(rows_of_jsonl.map(_as_jsonl), _beside("metadata.jsonl")),
    ".cls": Property(st.binary(max_size=250) | damaged([b"3", b"cat\n", b"-1"]), _beside("0.cls")),
    "pack": Property(st.deferred(lambda: _files_of(_pack()[1])), _repacked),
    "index of codes": Property(st.deferred(lambda: _files_of(index_files())), _opened),
    "compared runs": Property(st.tuples(records, rows, scored), _compared),
    "model card": Property(st.tuples(edited(MODEL), records, rows, scored), _carded),
}
