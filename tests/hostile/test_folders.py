"""Folders of strangers, a file of which is not what it says: an index, shards, a run; and a page's host."""

from __future__ import annotations

import io
import json
import os
import struct
from contextlib import ExitStack
from pathlib import Path

import files
import numpy as np
import pytest
import torch
from folders import _index, shard
from properties import RUN, bounded
from rich.console import Console

from aimgan import hub
from aimgan.data.streaming import Stream
from aimgan.errors import AimganError
from aimgan.experiments.compare import compare
from aimgan.figures import curves
from aimgan.search import cluster, nearest, open_index, query
from aimgan.search.images import listing
from aimgan.train.run_dir import RunDir


@pytest.fixture(autouse=True)
def _quickly(monkeypatch, tmp_path):
    monkeypatch.setenv("AIMGAN_CACHE", str(tmp_path / "cache"))
    with bounded():
        yield


@pytest.fixture
def index(tmp_path) -> Path:
    (tmp_path / "index").mkdir()
    for name, content in _index().items():
        (tmp_path / "index" / name).write_bytes(content)
    return tmp_path / "index"


def in_circles() -> bytes:
    """A tar whose second header says that its file has a negative size: a reader goes back to it without end."""
    content = bytearray(shard(("a.png", files.picture()), ("b.png", files.picture())))
    at = 512 * (1 + -(-len(files.picture()) // 512))
    content[at + 124 : at + 136] = b"\xff" * 4 + struct.pack(">q", -512)
    content[at + 148 : at + 156] = b" " * 8
    content[at + 148 : at + 156] = b"%06o\0 " % sum(content[at : at + 512])
    return bytes(content)


def test_a_tar_without_end(tmp_path):
    path = tmp_path / "x.tar"
    path.write_bytes(in_circles())
    with ExitStack() as stack, pytest.raises(AimganError, match="tar shard"):
        listing(str(path), stack)
    with pytest.raises(AimganError, match="tar shard"):
        Stream(str(path), size=8, channels=1).load()


def test_a_stream_of_one_number(tmp_path):
    (tmp_path / "x.npy").write_bytes(files.npy(np.array(7, np.uint8)))
    with pytest.raises(AimganError, match=r"got an array \(\), expected images"):
        Stream(str(tmp_path / "x.npy"), size=8, channels=1).load()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dim": -3}, "damaged"),
        ({"images": 10**12}, "damaged"),
        ({"images": 1.5}, "expected"),
        ({"model": [1]}, "expected"),
        ({"search": "\x1b"}, "cannot be read"),
        ({"skipped": [3]}, "cannot be read"),
        ({"more": 1}, "unknown name"),
    ],
)
def test_an_index_that_says_absurd_things_of_itself(index, changes, message):
    values = json.loads((index / "index.json").read_bytes()) | changes
    (index / "index.json").write_text(json.dumps(values))
    with pytest.raises(AimganError, match=message) as error:
        open_index(index)
    assert "\x1b" not in str(error.value)


CODES = {
    "objects": files.npy_header((12, 2), "|O"),
    "promised": files.npy_header((10**12, 2), "<f4"),
    "overflow": files.npy_header((2**62, 2**62), "<f4"),
    "another shape": files.npy(np.zeros((12, 5), np.float32)),
    "an archive": files.npz(codes=np.zeros((12, 2), np.float32)),
    "brackets": files.npy_header("(" * 500, "<f4"),
}


@pytest.mark.parametrize("kind", CODES)
def test_codes_that_are_none(index, kind):
    (index / "codes.npy").write_bytes(CODES[kind])
    with pytest.raises(AimganError, match="is damaged"):
        open_index(index)


@pytest.mark.parametrize(
    "line", [files.DEEP, '{"names": [3], "keys": [4]}', '{"names": ["a"], "keys": [[]]}', files.HUGE]
)
def test_rows_that_are_none(index, line):
    (index / "rows.jsonl").write_text(line + "\n")
    with pytest.raises(AimganError, match="is damaged"):
        open_index(index)


@pytest.mark.parametrize("name", ["codes.npy", "rows.jsonl", "index.json", "index.faiss"])
def test_pipes_in_an_index_are_not_waited_for(index, name):
    (index / name).unlink()
    os.mkfifo(index / name)
    with pytest.raises(AimganError, match="not a regular file"):
        open_index(index)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e38])
def test_codes_that_are_no_numbers(index, value):
    dim = open_index(index).record.dim
    codes = np.zeros((12, dim), np.float32)
    codes[3] = value
    (index / "codes.npy").write_bytes(files.npy(codes))
    found = open_index(index)
    assert all(np.isfinite(hit.distance) for hit in query(found, torch.zeros(dim), 12))
    with pytest.raises(AimganError, match="NaN or above"):
        cluster(found.codes, 2)


def test_an_index_of_faiss_that_lies(index):
    faiss = pytest.importorskip("faiss")
    dim = open_index(index).record.dim
    x = np.random.default_rng(0).standard_normal((12, dim), dtype=np.float32)

    def refused(made, message, **ids):
        made.train(x)
        made.add_with_ids(x, np.arange(12) + 100) if ids else made.add(x)
        faiss.write_index(made, str(index / nearest.FILE))
        with pytest.raises(AimganError, match=message):
            query(open_index(index), torch.zeros(dim), 3)

    refused(faiss.index_factory(dim, "HNSW8,Flat"), "of another kind")
    refused(faiss.index_factory(dim, "IVF2_HNSW8,Flat"), "of another kind")
    refused(faiss.index_factory(dim, "IVF2,Flat"), "rows that are not there", ids=True)
    faiss.write_index(faiss.IndexFlatL2(dim), str(index / nearest.FILE))
    with pytest.raises(AimganError, match="of 0 codes"):
        open_index(index)


def stranger(folder: Path, rows: list[object], settings: object = None) -> Path:
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(settings or RUN))
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def test_a_run_of_ten_thousand_curves_of_absurd_numbers(tmp_path):
    odd = {"step": 10**400, "a": 1.0}, {"step": 2, "a": 10**400, "b": float("nan"), "c": 1e30, "d": 1e-300, "e": True}
    run = stranger(tmp_path / "a", [{"step": 1, **{f"loss {k}": float(k) for k in range(10_000)}}, *odd])
    without_steps = {"settings": {name: value for name, value in RUN["settings"].items() if name != "steps"}}
    other = stranger(tmp_path / "b", [], without_steps)
    compare([run, other], tmp_path / "page.html", Console(file=io.StringIO()))
    assert (tmp_path / "page.html").read_text().count("<svg") == 100
    assert len(curves(RunDir(run).rows(), "x").axes) == 99


def test_only_pictures_of_the_run_itself_are_published(tmp_path):
    run = tmp_path / "run"
    files.model().save(run / "model")
    (run / "figures").mkdir()
    (tmp_path / "private.png").write_bytes(files.picture())
    (tmp_path / "key").write_bytes(b"secret")
    (run / "figures" / "samples.png").symlink_to(tmp_path / "key")
    (run / "figures" / "curves.png").symlink_to(tmp_path / "private.png")
    os.mkfifo(run / "figures" / "figure3.png")
    (run / "figures" / "a\x1b[31m](x).png").write_bytes(files.picture())
    pushed = hub.push(run, "me/model", dry_run=tmp_path / "page")
    assert set(pushed.files) == {"README.md", "config.json", "model.safetensors"}
    assert "\x1b" not in "".join(pushed.lines())
    hub.push(run, "me/model", dry_run=tmp_path / "page", figures=True)
    assert "![ax1b31m(x)](figures/a%1B%5B31m%5D%28x%29.png)" in (tmp_path / "page" / "README.md").read_text()


@pytest.mark.parametrize("host", ["", " ", "x" * 70 + ".a", "\udc80"])
def test_a_page_is_served_on_a_named_address_only(host):
    pytest.importorskip("gradio")
    from aimgan.explorer.serve import launch

    with pytest.raises(AimganError, match="choose another --port, or --host"):
        launch(None, host, 7860)
