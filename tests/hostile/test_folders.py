"""Folders of strangers, a file of which is not what it says: an index, a pack, a run; and a page's host."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import files
import numpy as np
import pytest
import torch
from folders import index_files, tree
from properties import RUN, bounded, light, sound
from rich.console import Console

from aimgan.data import packed
from aimgan.data.decoding import Form
from aimgan.data.images import Reader, load_images
from aimgan.errors import AimganError
from aimgan.figures import curves
from aimgan.pages.compare import compare
from aimgan.search import build, cluster, open_index, query
from aimgan.sharing import hub
from aimgan.training.run_dir import RunDir


@pytest.fixture(autouse=True)
def _quickly(monkeypatch, tmp_path):
    monkeypatch.setenv("AIMGAN_CACHE", str(tmp_path / "cache"))
    with bounded():
        yield


@pytest.fixture
def index(tmp_path) -> Path:
    (tmp_path / "index").mkdir()
    for name, content in index_files().items():
        (tmp_path / "index" / name).write_bytes(content)
    return tmp_path / "index"


def one_line(message, call):
    with pytest.raises(AimganError, match=message) as error:
        call()
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dim": -3}, "damaged"),
        ({"images": 10**12}, "damaged"),
        ({"images": 1.5}, "expected"),
        ({"model": [1]}, "expected"),
        ({"fingerprint": "\x1b", "images": 3}, "damaged"),
        ({"fingerprint": 3}, "expected text"),
        ({"skipped": [3]}, "cannot be read"),
        ({"skipped_images": 10**30}, "expected an integer of 64 bits"),
        ({"search": {"kind": "flat"}}, "unknown name"),
        ({"format": 1}, "has another format"),
        ({"format": "\x1b"}, "has another format"),
    ],
)
def test_an_index_that_says_absurd_things_of_itself(index, changes, message):
    values = json.loads((index / "index.json").read_bytes()) | changes
    (index / "index.json").write_text(json.dumps(values))
    one_line(message, lambda: open_index(index))


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


LINES = [
    files.DEEP,
    files.HUGE,
    "[]",
    '{"rows": {"codes": 12}}',
    '{"rows": {"codes": -1}, "names": [], "keys": []}',
    '{"rows": {"codes": 1}, "names": [3], "keys": [4]}',
    '{"rows": {"codes": 1}, "names": ["a"], "keys": [[]]}',
    '{"rows": {"codes": 2}, "names": ["a"], "keys": [1]}',
    '{"rows": {"codes": 1e400}, "names": ["a"], "keys": [1]}',
]


@pytest.mark.parametrize("line", LINES)
def test_rows_that_are_none(index, line):
    whole = (index / "rows.jsonl").read_text()
    (index / "rows.jsonl").write_text(line + "\n" + whole)
    one_line("is damaged", lambda: open_index(index))
    assert len(build(files.model(), tree(), index)) == 10


@pytest.mark.parametrize("name", ["codes.npy", "rows.jsonl", "index.json"])
def test_pipes_in_an_index_are_not_waited_for(index, name):
    (index / name).unlink()
    os.mkfifo(index / name)
    one_line("not a regular file", lambda: open_index(index))
    one_line("not a regular file", lambda: build(files.model(), tree(), index))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e38])
def test_codes_that_are_no_numbers(index, value):
    dim = open_index(index).record.dim
    codes = np.zeros((10, dim), np.float32)
    codes[3] = value
    (index / "codes.npy").write_bytes(files.npy(codes))
    found = open_index(index)
    assert all(np.isfinite(hit.distance) for hit in query(found, torch.zeros(dim), 12))
    with pytest.raises(AimganError, match="NaN or above"):
        cluster(found.codes, 2)


@pytest.mark.parametrize("name", ["codes.npy", "rows.jsonl"])
@pytest.mark.parametrize("begun", [True, False])
def test_nothing_is_written_through_a_link_in_an_index(index, tmp_path, name, begun):
    """A stranger's photos can have an index among them whose files are links to anything."""
    (tmp_path / "mine").write_bytes(b"what is dear to me")
    if not begun:
        for path in index.iterdir():
            path.unlink()
    (index / name).unlink(missing_ok=True)
    (index / name).symlink_to(tmp_path / "mine")
    one_line(r"index.* is a link, .*: remove it, or choose another folder", lambda: build(files.model(), tree(), index))
    assert (tmp_path / "mine").read_bytes() == b"what is dear to me"


def test_a_line_without_end_in_an_index(index):
    with (index / "rows.jsonl").open("r+b") as file:
        file.truncate(2**33)  # a hole, which takes no room
    with light(64):
        assert len(open_index(index)) == 10
    (index / "rows.jsonl").write_bytes(b"")
    with (index / "rows.jsonl").open("r+b") as file:
        file.truncate(2**33)
    with light(64):
        one_line("is damaged", lambda: open_index(index))


def read(source: Path):
    return Reader(str(source), Form(8, 1), packed=True).read()


@pytest.fixture
def pack(monkeypatch) -> Path:
    monkeypatch.setattr("aimgan.data.decoding.CHUNK", 4)
    read(tree())
    return packed.packs()[0].folder


@pytest.mark.parametrize("name", ["pack.json", "journal.jsonl", "contents.jsonl", "train.npy", "test.npy"])
@pytest.mark.parametrize("what", ["pipe", "folder", "nothing", "short", "zeros"])
def test_a_pack_that_is_not_whole_is_refused_or_packed_anew(pack, name, what):
    path = pack / name
    content = path.read_bytes()
    path.unlink()
    if what in ("pipe", "folder"):
        (os.mkfifo if what == "pipe" else os.mkdir)(path)
    elif what != "nothing":
        path.write_bytes(content[: len(content) // 2] if what == "short" else bytes(len(content)))
    told = ""
    try:
        data = read(tree())
    except AimganError as error:
        told = str(error)
        packed.remove("all")
        data = read(tree())
    assert told.isprintable()
    assert not told or what in ("pipe", "folder")
    sound(data, (1, 8, 8))
    assert (len(data.train), len(data.test), len(data.skipped)) == (5, 5, 2)
    assert (data.train.pixels == load_images(tree(), 8, 1).train.pixels).all()


@pytest.mark.parametrize(
    "line",
    [
        *LINES[:4],
        '{"rows": {"train": 4, "test": 0}, "images": 4, "broken": [], "paged": []}',
        '{"rows": {"train": 1, "test": 0}, "images": 10, "broken": [], "paged": [], "scale": null}',
        '{"rows": {"train": 1, "test": 3}, "images": 4, "broken": [], "paged": [], "scale": null}',
        '{"rows": {"train": 0, "test": 0}, "images": 1, "broken": [[99, "x"]], "paged": [], "scale": null}',
        '{"rows": {"train": 0, "test": 0}, "images": 1, "broken": [[[], "x"]], "paged": [], "scale": null}',
        '{"rows": {"train": 0, "test": 0}, "images": 1, "broken": [[0, []]], "paged": [], "scale": null}',
        '{"rows": {"train": 0, "test": 0}, "images": 0, "broken": [], "paged": [1e400, 3], "scale": null}',
        '{"rows": {"train": 0, "test": 0}, "images": 0, "broken": [], "paged": [], "scale": [NaN, 1]}',
        '{"rows": {"train": 0, "test": 0}, "images": 0, "broken": 3, "paged": [], "scale": [0, []]}',
    ],
)
def test_a_journal_that_lies(pack, line):
    """Of a pack that is not finished: what it says is taken up to there, or the pack is removed in one line."""
    (pack / "pack.json").unlink()
    (pack / "journal.jsonl").write_text(line + "\n" + (pack / "journal.jsonl").read_text())
    told = "was damaged and has been removed: run the same command again"
    try:
        data = read(tree())
    except AimganError as error:
        told = str(error)
        data = read(tree())
    assert "was damaged and has been removed: run the same command again" in told
    assert (data.train.pixels == load_images(tree(), 8, 1).train.pixels).all()
    assert (len(data.train), len(data.test), len(data.skipped)) == (5, 5, 2)


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
    pushed = hub.write_page(run, "me/model", tmp_path / "page")
    assert set(pushed.files) == {"README.md", "config.json", "model.safetensors"}
    assert "\x1b" not in "".join(pushed.lines())
    hub.write_page(run, "me/model", tmp_path / "page", figures=True)
    assert "![ax1b31m(x)](figures/a%1B%5B31m%5D%28x%29.png)" in (tmp_path / "page" / "README.md").read_text()


@pytest.mark.parametrize("host", ["", " ", "x" * 70 + ".a", "\udc80"])
def test_a_page_is_served_on_a_named_address_only(host):
    pytest.importorskip("gradio")
    from aimgan.explorer.serve import launch

    with pytest.raises(AimganError, match="choose another --port, or --host"):
        launch(None, host, 7860)
