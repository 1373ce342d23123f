"""The parts of the page: components with the options that all of them share, and events."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from functools import partial, wraps
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from aimgan.errors import AimganError

picture = partial(gr.Image, format="png", image_mode=None, interactive=False, buttons=["download", "fullscreen"])
gallery = partial(gr.Gallery, format="png", object_fit="contain", interactive=False, allow_preview=False, buttons=[])
count = partial(gr.Slider, step=1, precision=0)
button = partial(gr.Button, size="md", min_width=140)
download = partial(gr.DownloadButton, size="md", min_width=140)


def frame(kind: str, label: str, height: int, **options: Any) -> gr.Image:
    """Return a place for samples: images keep square pixels when they are enlarged, and points get more room."""
    if kind == "image":
        return picture(label=label, height=height, elem_classes="pixels", **options)
    return picture(label=label, height=max(height, 420), **options)


def redraw_button() -> gr.State:
    """Add a button, and return the seed that it changes."""
    seed = gr.State(0)
    on([button("Draw others").click], lambda seed: seed + 1, [seed], [seed])
    return seed


def on(triggers: Sequence[Any], function: Callable[..., Any], inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
    """Call a function on each of these events. Of the events that come while it runs, only the last one counts.

    An AimganError is shown in the page in one line, until it is closed.
    """

    @wraps(function)
    def call(*values: Any) -> Any:
        try:
            return _as_files(function(*values))
        except AimganError as mistake:
            raise gr.Error(escape(str(mistake)), duration=None, title="Not done", print_exception=False) from None

    gr.on(
        list(triggers), call, list(inputs), list(outputs),
        show_progress="minimal", trigger_mode="always_last", api_visibility="private",
    )  # fmt: skip


def _as_files(value: Any) -> Any:
    """Replace images, animations (bytes) and arrays (a dict) in what a function returns by files.

    Gradio 6.31 would write an image into a file of its cache (save_pil_to_cache) that it may be sending at that
    moment for another event; files it copies.
    """
    if isinstance(value, list):
        return [_as_files(part) for part in value]
    if isinstance(value, tuple):
        return tuple(_as_files(part) for part in value)
    if not isinstance(value, Image.Image | bytes | dict):
        return value
    folder = Path(tempfile.mkdtemp(dir=os.environ.get("GRADIO_TEMP_DIR")))
    if isinstance(value, Image.Image):
        value.save(path := folder / "aimgan.png")
    elif isinstance(value, bytes):
        (path := folder / "aimgan.gif").write_bytes(value)
    else:
        np.savez(path := folder / "codes.npz", **value)
    return str(path)
