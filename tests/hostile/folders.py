"""What lies in folders: shards that are streamed, an index of codes, runs that are compared and described.

Properties as those of properties.py, and run beside them.
"""

from __future__ import annotations

import io
import os
import tarfile
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

import files
import numpy as np
import torch
from hypothesis import strategies as st
from PIL import Image
from properties import MODEL, RUN, Property, damaged, edited, headers, lines, lines_of, odd, text_of
from rich.console import Console

from aimgan import hub
from aimgan.data import decoder
from aimgan.data.streaming import Stream
from aimgan.data.streaming.feed import BrokenImage
from aimgan.experiments.compare import compare
from aimgan.search.clusters import cluster
from aimgan.search.index import build, open_index, query

MARKUP = st.sampled_from(
    ["<script>x()</script>", "<img src=x onerror=x()>", "</style><b>", '"><svg onload=x()>', "](javascript:x)", "`<b>`"]
)
ALIVE = ("<script", "<img src=x", "<svg onload", "</style><b>", "<b>")  # what MARKUP is where it is not escaped


def shard(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


SHARDS = [
    shard(("a.png", files.picture()), ("a.cls", b"3"), ("b.jpg", files.picture("JPEG")), ("c.png", b"")),
    shard(("../../" + "x" * 200 + ".png", files.picture()), ("/etc/passwd.png", files.picture())),
]
INDEX = files.npz(
    counts=np.array([3]), offsets=np.array([512, 2048, 4096]), lengths=np.array([80, 700, 1]),
    labels=np.array([3, -1, -1], np.int32), hashes=np.array([0.1, 0.5, 0.9]),
)  # fmt: skip


def _streamed(suffix: str) -> Any:
    def check(example: bytes, folder: Path) -> None:
        path = folder / f"stream{suffix}"
        path.write_bytes(example)
        _batch(path)

    return check


def _batch(path: Path) -> None:
    """Take a batch of a stream, decoded in this process: one for each example would take an hour."""
    in_here, unflushed = mock.patch.object(decoder, "_begin", return_value=None), mock.patch("os.fsync")
    cache = mock.patch.dict(os.environ, AIMGAN_CACHE=str(path.parent / "cache"))
    with in_here, unflushed, cache, warnings.catch_warnings(action="ignore", category=BrokenImage):
        data = Stream(str(path), size=8, channels=1, buffer=4, sample=2).load()
        assert data.batch(0, 0, 1).shape == (1, 1, 8, 8)


def _from_cache(example: bytes, folder: Path) -> None:
    """Stream shards whose index in the cache folder is damaged: it is made anew."""
    path = folder / "cached.tar"
    path.write_bytes(SHARDS[0])
    os.utime(path, (0, 0))
    _batch(path)
    (kept,) = (folder / "cache" / "streams").iterdir()
    kept.write_bytes(example)
    _batch(path)


def _index() -> dict[str, bytes]:
    """Return the files of a small index, built once."""
    if not _KEPT:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            for k in range(12):
                pixels = np.random.default_rng(k).integers(0, 255, (8, 8), np.uint8)
                Image.fromarray(pixels).save(Path(folder, f"{k}.png"))
            build(files.model(), folder, Path(folder, "index"))
            _KEPT.update({path.name: path.read_bytes() for path in Path(folder, "index").iterdir()})
    return _KEPT


_KEPT: dict[str, bytes] = {}


def _opened(example: tuple[str, bytes], folder: Path) -> None:
    """Search and cluster in an index of which one file is another."""
    name, content = example
    there = folder / "index"
    there.mkdir(exist_ok=True)
    for other, whole in _index().items():
        (there / other).write_bytes(content if other == name else whole)
    index = open_index(there)
    hits = query(index, torch.zeros(index.record.dim), 5)
    assert all(np.isfinite(hit.distance) and 0 <= hit.row < len(index) for hit in hits)
    cluster(index.codes, 2)


def _files_of_an_index() -> st.SearchStrategy[tuple[str, bytes]]:
    whole = _index()
    return st.sampled_from(sorted(whole)).flatmap(
        lambda name: st.tuples(st.just(name), damaged([whole[name]]) | headers | odd.map(lambda v: text_of(v).encode()))
    )


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
    hub.push(run, "somebody/model", dry_run=page)
    _require_dead((page / "README.md").read_text(encoding="utf-8"))


def _require_dead(page: str) -> None:
    assert not [alive for alive in ALIVE if alive in page.lower()]


records = edited(RUN) | st.builds(lambda text: {**RUN, "environment": {text: text}, "git": text}, MARKUP)
scored = st.dictionaries(st.text(max_size=5) | MARKUP, odd | MARKUP, max_size=4)
rows = lines | MARKUP.map(lambda text: [{"step": 1, text: 1.0, "alarms": [text], text + "x": text}])

FOLDERS: dict[str, Property] = {
    "streamed .tar": Property(damaged(SHARDS), _streamed(".tar")),
    "streamed .parquet": Property(damaged(files.tables()), _streamed(".parquet")),
    "streamed .npy": Property(damaged(files.ARRAYS) | headers, _streamed(".npy")),
    "index of shards": Property(damaged([INDEX]), _from_cache),
    "index of codes": Property(st.deferred(_files_of_an_index), _opened),
    "compared runs": Property(st.tuples(records, rows, scored), _compared),
    "model card": Property(st.tuples(edited(MODEL), records, rows, scored), _carded),
}
