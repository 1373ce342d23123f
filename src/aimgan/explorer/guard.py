"""What the explorer's server refuses: requests that other pages in the browser send, and too many uploads."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from aimgan.explorer.uploads import MAX_BYTES
from aimgan.signals import on_signal

MAX_REQUEST = MAX_BYTES + 2**20  # bytes of a request: one upload, and what is sent around it
QUOTA = 2**30  # bytes of the explorer's files on the disk, beyond which no upload is taken


def is_foreign(headers: Mapping[bytes, bytes]) -> bool:
    """Return whether a browser sends a request for a page of another origin; other programs do not say where from."""
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site not in (b"same-origin", b"none")
    origin = headers.get(b"origin")
    return origin is not None and origin.partition(b"://")[2] != headers.get(b"host")


class Guard:
    """An ASGI app that passes on to another one what it does not refuse. The page keeps its files in `folder`."""

    def __init__(self, app: Any, folder: str) -> None:
        self.app, self.folder = app, folder
        self.coming = 0  # bytes of requests that are being received

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        size = int(length) if length.isdigit() else 0
        refusal = self._refusal(headers, size, scope["path"].endswith("/upload"))
        if refusal is not None:
            status, line = refusal
            await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": line.encode()})
            return
        self.coming += size
        try:
            await self.app(scope, receive, send)
        finally:
            self.coming -= size

    def _refusal(self, headers: Mapping[bytes, bytes], size: int, is_upload: bool) -> tuple[int, str] | None:
        """Return the HTTP status and the line with which a request is refused, or None."""
        if is_foreign(headers):
            return 403, "this page takes nothing from pages of other origins"
        if b"transfer-encoding" in headers:
            return 411, "the length of a request must be said before it"
        if size > MAX_REQUEST:
            return 413, f"got {size:,} bytes; expected at most {MAX_REQUEST:,}: send one file at a time"
        if is_upload and size + self.coming + size_of(self.folder) > QUOTA:
            return 507, "there are too many uploads at once: try again later"
        return None


def size_of(folder: str) -> int:
    """Return the bytes of all files in a folder; they may be removed meanwhile."""
    sizes = []
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root, name)
            sizes.append(path.stat().st_size if path.exists() else 0)
    return sum(sizes)


def ended_by_signals() -> AbstractContextManager[None]:
    """Let SIGTERM and SIGHUP end the block as Ctrl+C does, so that uploads are removed. Later ones are ignored."""
    numbers = [signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup ignores it
        numbers.append(signal.SIGHUP)

    def act() -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    return on_signal(act, numbers)
