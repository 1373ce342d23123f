"""What the explorer's server takes from where, and that a signal leaves no upload behind."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import pytest

from aimgan.explorer import guard, uploads

HOST = (b"host", b"127.0.0.1:7860")


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


def status(folder: Path, *headers: tuple[bytes, bytes], method: str = "POST", server: Any = None) -> int:
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    scope = {"type": "http", "method": method, "path": "/gradio_api/upload", "headers": [HOST, *headers]}
    asyncio.run((server or guard.Guard(app, str(folder)))(scope, None, send))
    return said[0]["status"]


@pytest.mark.parametrize(
    ("expected", "headers"),
    [
        (200, {}),  # a program, no browser
        (200, {"origin": "http://127.0.0.1:7860", "sec-fetch-site": "same-origin"}),
        (200, {"origin": "http://127.0.0.1:7860"}),
        (403, {"origin": "http://127.0.0.1:8000"}),
        (403, {"origin": "null"}),
        (403, {"sec-fetch-site": "cross-site"}),
        (403, {"sec-fetch-site": "same-site"}),
    ],
)
def test_pages_of_other_origins_send_nothing(tmp_path, expected, headers):
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert status(tmp_path, *pairs) == expected
    assert status(tmp_path, *pairs, method="GET") == 200  # a link to the page


def test_uploads_have_a_quota(tmp_path, monkeypatch):
    def sized(size: int) -> tuple[bytes, bytes]:
        return b"content-length", str(size).encode()

    assert status(tmp_path, sized(uploads.MAX_BYTES)) == 200
    assert status(tmp_path, sized(40 * 19 * 2**20)) == 413
    assert status(tmp_path, (b"transfer-encoding", b"chunked")) == 411
    (tmp_path / "a").mkdir()
    with (tmp_path / "a" / "upload.png").open("wb") as file:
        file.truncate(guard.QUOTA - 1_000)
    assert status(tmp_path, sized(999)) == 200
    assert status(tmp_path, sized(1_001)) == 507
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "a"))
    (tmp_path / "mine.png").touch()
    for path in (tmp_path / "a" / "upload.png", tmp_path / "a" / ".." / "mine.png"):
        uploads.remove_upload(path)
    assert [path.name for path in tmp_path.rglob("*.png")] == ["mine.png"]
    receiving = guard.Guard(app, str(tmp_path))
    receiving.coming = guard.QUOTA - 1_000
    assert status(tmp_path, sized(1_001), server=receiving) == 507


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_removes_the_uploads(number):
    before = signal.signal(number, signal.SIG_DFL)

    def served() -> None:
        with guard.ended_by_signals(), tempfile.TemporaryDirectory() as folder:
            folders.append(Path(folder))
            (folders[0] / "upload.png").touch()
            os.kill(os.getpid(), number)

    folders: list[Path] = []
    try:
        with pytest.raises(KeyboardInterrupt):
            served()
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert not folders[0].exists()


def test_a_page_that_is_served_has_the_guard(tmp_path, monkeypatch):
    pytest.importorskip("gradio")
    from aimgan.explorer import serve

    class Page:
        def launch(self, **arguments: Any) -> None:
            middleware.extend(arguments["app_kwargs"]["middleware"])

    middleware: list[Any] = []
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    serve.launch(Page())
    assert [one.kwargs for one in middleware if one.cls is guard.Guard] == [{"folder": str(tmp_path)}]
