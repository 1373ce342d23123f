"""The Hub over real HTTP: a server on this machine that speaks the few endpoints which huggingface_hub asks."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pyarrow.parquet as pq
import pytest
import torch
from trees import firsts, pictures, write_tables

from aimgan.data import Images
from aimgan.data.decoding import Form
from aimgan.data.images import ImageData, Reader, load_images
from aimgan.errors import AimganError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """One data set, me/pictures, from `server.folder`; `server.asked` has the ranges of its files that were sent."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # which would wait 40 ms between a header and its body

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer()

    def _answer(self) -> None:
        path = unquote(self.path.partition("?")[0])
        commit = self.server.commit
        if self.server.down:
            self._send(503, b"{}", {})
        elif match := re.fullmatch(rf"/datasets/me/pictures/resolve/{commit}/(.+)", path):
            self._file(self.server.folder / match[1])
        elif match := re.match(r"/api/datasets/me/pictures(?:/revision/([\w.]+))?$", path):
            self.server.revisions.append(match[1])
            self._json({"id": "me/pictures", "sha": commit, "siblings": []})
        elif re.match(rf"/api/datasets/me/pictures/(tree|paths-info)/{commit}", path):
            self._json(self._listed())
        else:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def _listed(self) -> list[dict]:
        files = sorted(path for path in self.server.folder.rglob("*") if path.is_file())
        about = {"type": "file", "oid": "0" * 40}
        return [
            {**about, "size": file.stat().st_size, "path": file.relative_to(self.server.folder).as_posix()}
            for file in files
        ]

    def _file(self, file: Path) -> None:
        if not file.is_file():
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        content, first, last = file.read_bytes(), 0, file.stat().st_size - 1
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if match:
            first, last = int(match[1]), min(int(match[2]), last)
        if self.command == "GET":
            self.server.asked.append((file.name, first, last + 1))
        told = {"Content-Range": f"bytes {first}-{last}/{len(content)}"} if match else {}
        self._send(206 if match else 200, content[first : last + 1], told)

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        common = {"Content-Length": str(len(body)), "X-Repo-Commit": self.server.commit, "ETag": '"x"'}
        for name, value in (common | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[ThreadingHTTPServer]:
    from huggingface_hub import HfFileSystem, constants

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.folder, server.asked, server.revisions, server.daemon_threads = tmp_path / "hub", [], [], True
    server.commit, server.down = COMMIT, False
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr("huggingface_hub.hf_api.ENDPOINT", address, raising=False)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    monkeypatch.setenv("AIMGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    HfFileSystem.clear_instance_cache()
    yield server
    server.shutdown()
    server.server_close()
    HfFileSystem.clear_instance_cache()


def write(folder: Path, side: int = 8) -> Path:
    """90 pictures to train on in three files of five row groups, 20 to test."""
    write_tables(folder, pictures(90, side))
    return write_tables(folder, pictures(110, side)[90:], name="test")


def read(source: str | Path, said: list[str] | None = None) -> ImageData:
    return Reader(str(source), Form(8, 1), say=(said if said is not None else []).append).read()


def same(one: ImageData, other: ImageData) -> bool:
    pairs = ((one.train, other.train), (one.test, other.test))
    return all(torch.equal(a.pixels, b.pixels) and torch.equal(a.labels, b.labels) for a, b in pairs)


def test_a_data_set_of_the_hub_is_packed_and_none_of_it_is_stored(hub, tmp_path):
    folder = write(tmp_path / "hub" / "data")
    found, said = read("me/pictures", lines := []), lines
    assert same(found, load_images(folder, 8, 1))
    assert (len(found.train), len(found.test), found.source) == (90, 20, "me/pictures")
    assert found.packed in (tmp_path / "cache" / "packed").iterdir()
    assert len(said) == 1
    assert said[0].startswith("packing 110 images of (1, 8, 8) once: ")
    assert not [*tmp_path.glob("home/**/*.parquet")]
    assert len([*tmp_path.rglob("*.parquet")]) == 4


def test_row_groups_are_fetched_one_by_one_and_once(hub, tmp_path):
    folder = write(tmp_path / "hub" / "data", side=80)
    read("me/pictures")
    sizes = {file.name: file.stat().st_size for file in folder.iterdir()}
    asked = [(name, begin, end) for name, begin, end in hub.asked if end < sizes[name]]  # not a footer
    for name in sizes:
        groups = pq.ParquetFile(folder / name).metadata
        begins = [groups.row_group(k).column(0).data_page_offset for k in range(groups.num_row_groups - 2)]
        for here in begins:  # the last two may come with a footer
            assert sum(begin <= here < end for own, begin, end in asked if own == name) <= 1
    assert sum(end - begin for _, begin, end in asked) < 1.1 * sum(sizes.values())


def test_a_second_read_asks_for_the_commit_alone(hub, tmp_path):
    write(tmp_path / "hub" / "data")
    first = read("me/pictures")
    sent = len(hub.asked)
    again = read("me/pictures", said := [])
    assert same(first, again)
    assert (again.packed, said) == (first.packed, [])
    assert len(hub.asked) == sent


def test_a_revision_is_asked_for_and_pinned_to_its_commit(hub, tmp_path):
    write(tmp_path / "hub" / "data")
    read("me/pictures")
    read("me/pictures@v1.2")
    asked = [revision for revision in hub.revisions if revision != COMMIT]
    assert list(dict.fromkeys(asked)) == [None, "v1.2"]


def test_another_commit_is_another_pack(hub, tmp_path):
    write(tmp_path / "hub" / "data")
    first = read("me/pictures")
    hub.commit = "f" * 40
    assert read("me/pictures").packed != first.packed


def test_without_a_size_the_images_of_the_hub_stay_in_memory(hub, tmp_path):
    folder = write(tmp_path / "hub" / "data")
    found = load_images("me/pictures")
    assert found.packed is None
    assert same(found, load_images(folder))


def test_what_the_hub_has_not_is_one_line(hub, tmp_path):
    with pytest.raises(
        AimganError, match=r"there is no file or folder 'me/nothing', and the Hub could not be reached"
    ) as e:
        read("me/nothing")
    assert "\n" not in str(e.value)
    (tmp_path / "hub").mkdir()
    with pytest.raises(AimganError, match="has no parquet files; expected a data set in the Hub's image layout"):
        read("me/pictures")
    with pytest.raises(AimganError, match="there is no file or folder 'me/pictures/more'"):
        read("me/pictures/more")


def test_offline_the_earlier_pack_is_taken_and_that_is_said(hub, tmp_path):
    write(tmp_path / "hub" / "data")
    first = read("me/pictures")
    hub.down = True
    again = read("me/pictures", said := [])
    assert same(first, again)
    assert said == [f"the Hub cannot be reached: taking me/pictures as it was packed before, in {first.packed}"]
    with pytest.raises(AimganError, match="the Hub could not be reached"):  # of another size
        Reader("me/pictures", Form(4, 1)).read()
    with pytest.raises(AimganError, match="the Hub could not be reached"):
        load_images("me/pictures")


def test_a_hub_that_goes_away_is_one_line_and_the_pack_goes_on_where_it_was(hub, tmp_path, monkeypatch):

    monkeypatch.setattr("aimgan.data.decoding.CHUNK", 8)
    folder = write(tmp_path / "hub" / "data", side=80)
    last, real = folder / "train-00002.parquet", Hub._file

    def gone(self, file: Path) -> None:  # its footer is still to be had, its first images are not
        begin = re.fullmatch(r"bytes=(\d+)-\d+", self.headers.get("Range", ""))
        self._send(500, b"", {}) if file == last and begin and int(begin[1]) < 1000 else real(self, file)

    monkeypatch.setattr(Hub, "_file", gone)
    with pytest.raises(AimganError, match=r"cannot read 'datasets/me/pictures@.*train-00002\.parquet'") as caught:
        read("me/pictures")
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(Hub, "_file", real)
    found = read("me/pictures", said := [])
    assert same(found, load_images(folder, 8, 1))
    assert re.search(r", going on after \d+$", said[0])


def test_a_recipe_takes_a_data_set_of_the_hub(hub, tmp_path):
    folder = write(tmp_path / "hub" / "data")
    remote, local = Images("me/pictures", 8, 1).load(), Images(str(folder), 8, 1).load()
    assert torch.equal(remote.batch(0, 5, 16), local.batch(0, 5, 16))
    assert firsts(remote.images.test) == firsts(local.images.test)
