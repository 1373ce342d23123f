"""`aimgan explore`: load the models, and serve the page on this machine."""

from __future__ import annotations

import os
import socket
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import typer

from aimgan.errors import AimganError, plain
from aimgan.explorer.folder import indexed
from aimgan.explorer.guard import Guard, ended_by_signals
from aimgan.explorer.subject import Subject, require_alike, subject
from aimgan.model import LatentVariableModel
from aimgan.sharing.folder import scores_of
from aimgan.sharing.hub import load

if TYPE_CHECKING:
    import gradio as gr

HOST, PORT = "127.0.0.1", 7860
LOCAL = ["127.0.0.1", "localhost", "::1", "[::1]"]
# The page may only ask this server: links of Gradio's own page to other servers are blocked, and so are frames.
POLICY = (
    b"default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; "
    b"worker-src 'self' blob:; frame-ancestors 'none'; form-action 'self'; base-uri 'self'"
)


def explore(
    run: str | Path | LatentVariableModel, index: str | Path | None = None, compare: str | Path | None = None,
    host: str = HOST, port: int = PORT, device: str = "cpu",
) -> None:  # fmt: skip
    """Serve the explorer of a run, a saved model, a Hub id or a model in memory until it is interrupted.

    `index` is an index of `aimgan search`, or a folder of images, which is indexed or whose index is brought up to
    date. `compare` is another model of the same data. Raises AimganError for models that cannot be loaded or compared,
    where Gradio is missing, and where the page cannot be served, as on a port that is taken.
    """
    if find_spec("gradio") is None:
        raise AimganError("the explorer needs gradio: pip install 'aimgan[explorer]'")
    shown = _subject(run, index, device)
    other = None
    if compare is not None:
        other = _subject(compare, None, device)
        require_alike(shown, other)
    with ended_by_signals(), tempfile.TemporaryDirectory(prefix="aimgan-explorer-") as folder, private(folder):
        from aimgan.explorer.page import build

        page = build(shown, other)
        try:
            launch(page, host, port)
            typer.echo(plain(f"exploring {run} on http://{address(host)}:{port} (stop it with Ctrl+C)"))
            page.block_thread()
        finally:
            page.close(verbose=False)


def _subject(run: str | Path | LatentVariableModel, index: str | Path | None, device: str) -> Subject:
    if isinstance(run, LatentVariableModel):
        model, name, verdict = run, run.config.objective, ""
    else:
        model, name, verdict = load(run, device), Path(run).name or str(run), str(scores_of(run).get("verdict", ""))
    codes = None if index is None else indexed(model, index)
    return subject(model, name, codes, verdict)


def private(folder: str) -> Any:
    """Return a context in which Gradio keeps its files in a folder, sends no analytics and uses no proxy.

    Gradio asks its own server whether it answers, which it could not through a proxy. All hosts are excepted rather
    than only this one: with a proxy of a type that httpx does not know (socks://), Gradio cannot even be imported.
    """
    settings = {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return patch.dict(os.environ, settings | {"no_proxy": "*", "NO_PROXY": "*"})


def address(host: str) -> str:
    """Return a host as it stands in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def launch(page: gr.Blocks, host: str = HOST, port: int = PORT) -> None:
    """Start to serve a page, and return. Raises AimganError where that fails, as on a port that is taken."""
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from aimgan.explorer.page import CSS, theme
    from aimgan.explorer.uploads import MAX_BYTES

    names = LOCAL if host in LOCAL else ["*"]
    folder = os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()
    middleware: list[Any] = [
        Middleware(TrustedHostMiddleware, allowed_hosts=names),
        Middleware(with_policy),
        Middleware(Guard, folder=folder),
    ]
    try:
        if not host.strip():
            raise OSError("no host; an empty one would be every address of this machine")
        socket.getaddrinfo(host, None)  # raises an error here, where the server would print a traceback
        page.launch(
            server_name=address(host), server_port=port, share=False, ssr_mode=False, pwa=False, mcp_server=False,
            quiet=True, inbrowser=False, prevent_thread_lock=True, footer_links=[], max_file_size=MAX_BYTES,
            show_error=False, theme=theme(), css_paths=CSS,
            app_kwargs={"middleware": middleware, "docs_url": None, "redoc_url": None},
        )  # fmt: skip
    except Exception as reason:  # of many types: a port above 65,535, an unknown host, a server that does not answer
        line = " ".join(f"{type(reason).__name__}: {reason}".split())[:300]
        raise AimganError(f"cannot serve on {host}:{port} ({line}): choose another --port, or --host") from None


def with_policy(app: Any) -> Any:
    """Return an ASGI app that sends POLICY with every answer of this one."""

    async def call(scope: Any, receive: Any, send: Any) -> None:
        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY)]
            await send(message)

        await app(scope, receive, send_with_policy)

    return call
