"""`aimgan explore`: load what is to be shown, and serve the page on this machine."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aimgan.errors import AimganError
from aimgan.explorer.folder import indexed
from aimgan.explorer.subject import Subject, require_alike, subject
from aimgan.sharing.hub import load

if TYPE_CHECKING:
    import gradio as gr

HOST, PORT = "127.0.0.1", 7860
HERE = ("127.0.0.1", "localhost", "::1")
# The page may only ask this server: what Gradio's own page names elsewhere is not fetched, and nothing frames it.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; "
    "worker-src 'self' blob:; frame-ancestors 'none'; form-action 'self'; base-uri 'self'"
)


def explore(
    run: str | Path,
    index: str | Path | None = None,
    compare: str | Path | None = None,
    host: str = HOST,
    port: int = PORT,
    device: str = "cpu",
    say: Callable[[str], None] = print,
) -> None:
    """Serve the explorer of a run, a saved model or a Hub id until it is interrupted.

    `index` is an index of `aimgan search`, or a folder of images, whose own index is built or brought up to date.
    `compare` is another model of the same data. Raises AimganError for what cannot be loaded or compared, a missing
    Gradio, and a page that cannot be served, as on a port that is taken.
    """
    require_gradio()
    shown = _subject(run, index, device)
    other = None if compare is None else _subject(compare, None, device)
    if other is not None:
        require_alike(shown, other)
    with tempfile.TemporaryDirectory(prefix="aimgan-explorer-") as folder, without_proxies():
        os.environ.update(GRADIO_TEMP_DIR=folder, GRADIO_ANALYTICS_ENABLED="False", HF_HUB_DISABLE_TELEMETRY="1")
        from aimgan.explorer.page import build

        page = build(shown, other)
        try:
            launch(page, host, port)
            say(f"exploring {run} on http://{host}:{port} (stop it with Ctrl+C)")
            page.block_thread()
        finally:
            page.close(verbose=False)


def _subject(run: str | Path, index: str | Path | None, device: str) -> Subject:
    model = load(run, device)
    return subject(model, Path(run).name or str(run), None if index is None else indexed(model, index))


def require_gradio() -> None:
    """Raise AimganError where Gradio is not installed."""
    if find_spec("gradio") is None:
        raise AimganError("the explorer needs gradio: pip install 'aimgan[explorer]'")


@contextmanager
def without_proxies() -> Iterator[None]:
    """Let this process pass by the proxies of the environment inside the block.

    Gradio asks its own server whether it answers, which no proxy can. All hosts are excepted, not only this one: of a
    proxy of a kind that httpx does not know (socks://) Gradio could not even be imported. The page asks no other host.
    """
    before = {name: os.environ.get(name) for name in ("no_proxy", "NO_PROXY")}
    os.environ.update(dict.fromkeys(before, "*"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({} if value is None else {name: value})


def launch(page: gr.Blocks, host: str = HOST, port: int = PORT) -> None:
    """Start to serve a page, and return. Raises AimganError where that fails, as for a port that cannot be had."""
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from aimgan.explorer.page import CSS, theme
    from aimgan.explorer.uploads import MAX_BYTES

    names = [*HERE] if host in HERE else ["*"]
    guards = [Middleware(TrustedHostMiddleware, allowed_hosts=names), Middleware(Policy)]
    try:
        _require_host(host)
        page.launch(
            server_name=host, server_port=port, share=False, ssr_mode=False, pwa=False, mcp_server=False, quiet=True,
            inbrowser=False, prevent_thread_lock=True, footer_links=[], max_file_size=MAX_BYTES, show_error=False,
            theme=theme(), css=CSS, app_kwargs={"middleware": guards, "docs_url": None, "redoc_url": None},
        )  # fmt: skip
    except Exception as reason:  # of many kinds: a port above 65,535, a host that is no name, a server without answer
        line = " ".join(f"{type(reason).__name__}: {reason}".split())[:300]
        raise AimganError(f"cannot serve on {host}:{port} ({line}): choose another --port, or --host") from None


def _require_host(host: str) -> None:
    """Raise OSError or UnicodeError for what is no address: the server's thread would say so in a traceback."""
    if not host.strip():
        raise OSError("no host; an empty one would be every address of this machine")
    socket.getaddrinfo(host, None)


class Policy:
    """ASGI middleware that sends POLICY with every answer."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, and add the header to its answer."""

        async def add(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
            await send(message)

        await self.app(scope, receive, add)
