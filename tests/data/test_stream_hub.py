"""The Hub over real HTTP: a server on this machine that speaks the few endpoints which huggingface_hub asks."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
import torch
from streams import pictures, write_tables

from aimgan.data import Stream
from aimgan.errors import AimganError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """One data set, me/pictures, from `server.folder`; `server.sent` counts the bytes of its files."""

    protocol_version = "HTTP/1.1"

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
        if match := re.fullmatch(rf"/datasets/me/pictures/resolve/{COMMIT}/(.+)", path):
            self._file(self.server.folder / match[1])
        elif re.match(r"/api/datasets/me/pictures(/revision/\w+)?$", path):
            self._json({"id": "me/pictures", "sha": COMMIT, "siblings": []})
        elif re.match(rf"/api/datasets/me/pictures/(tree|paths-info)/{COMMIT}", path):
            self._json(self._listed())
        else:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def _listed(self) -> list[dict]:
        files = sorted(path for path in self.server.folder.rglob("*") if path.is_file())
        return [
            {
                "type": "file",
                "oid": "0" * 40,
                "size": file.stat().st_size,
                "path": file.relative_to(self.server.folder).as_posix(),
            }
            for file in files
        ]

    def _file(self, file: Path) -> None:
        if not file.is_file():
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        content = file.read_bytes()
        if match := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")):
            first, last = int(match[1]), min(int(match[2]), len(content) - 1)
            self.server.sent += last + 1 - first
            self._send(206, content[first : last + 1], {"Content-Range": f"bytes {first}-{last}/{len(content)}"})
        else:
            self.server.sent += len(content)
            self._send(200, content, {})

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        common = {"Content-Length": str(len(body)), "X-Repo-Commit": COMMIT, "ETag": '"x"'}
        for name, value in (common | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[ThreadingHTTPServer]:
    from huggingface_hub import HfFileSystem, constants

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.folder, server.sent, server.daemon_threads = tmp_path / "hub", 0, True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr("huggingface_hub.hf_api.ENDPOINT", address, raising=False)
    monkeypatch.setenv("AIMGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    HfFileSystem.clear_instance_cache()
    yield server
    server.shutdown()
    server.server_close()
    HfFileSystem.clear_instance_cache()


def stream(source: str) -> Stream:
    return Stream(source, size=8, channels=1, buffer=30)


def test_a_data_set_of_the_hub_is_read_a_row_group_at_a_time(hub, tmp_path):
    folder = write_tables(tmp_path / "hub" / "data", pictures(90, 8))
    write_tables(tmp_path / "hub" / "data", pictures(20, 8), name="test")
    local, remote = stream(str(folder)).load(), stream("me/pictures").load()
    assert torch.equal(remote.test(), local.test())
    before = hub.sent
    for step in range(9):
        assert torch.equal(remote.batch(0, step, 10), local.batch(0, step, 10))
    stored = sum(file.stat().st_size for file in folder.glob("train*"))
    assert hub.sent - before < 3 * stored  # an epoch, the windows after it, and each file's footer once
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix not in (".parquet", ".npz")]
    assert len(list(tmp_path.rglob("*.parquet"))) == 4
    assert os.listdir(tmp_path)
    assert torch.equal(stream("me/pictures@main").load().test(), local.test())


def test_what_the_hub_has_not_and_a_hub_that_goes_away_are_one_line(hub, tmp_path, monkeypatch):
    with pytest.raises(AimganError, match=r"there is no file or folder 'me/nothing', and the Hub could not be reached"):
        stream("me/nothing").load()
    (tmp_path / "hub").mkdir()
    with pytest.raises(AimganError, match="has no parquet files"):
        stream("me/pictures").load()
