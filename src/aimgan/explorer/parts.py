"""The parts that the page's tabs are made of: pictures, downloads, and how a mistake is said in the page."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from functools import wraps
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from aimgan.errors import AimganError
from aimgan.explorer.views import Arrays

MOST = 64  # samples of one picture


def on(triggers: Sequence[Any], function: Callable[..., Any], inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
    """Call a function when one of these events comes; while it runs, of further events only the last one counts."""
    gr.on(
        list(triggers), told(function), list(inputs), list(outputs),
        show_progress="minimal", trigger_mode="always_last", api_visibility="private",
    )  # fmt: skip


def told(function: Callable[..., Any]) -> Callable[..., Any]:
    """Say a user's mistake in one line in the page, where it stays until it is closed."""

    @wraps(function)
    def call(*values: Any) -> Any:
        try:
            return _as_files(function(*values))
        except AimganError as mistake:
            raise gr.Error(escape(str(mistake)), duration=None, title="Not done", print_exception=False) from None

    return call


def _as_files(value: Any) -> Any:
    """Return what is shown with its Pillow images as files.

    Gradio writes a Pillow image again into the file that another event of the same picture may be sending just then
    (save_pil_to_cache, Gradio 6.31); a file it copies and renames.
    """
    if isinstance(value, Image.Image):
        value.save(png := BytesIO(), "PNG")
        return as_file("aimgan.png", png.getvalue())
    return type(value)(_as_files(part) for part in value) if type(value) in (list, tuple) else value


def picture(label: str, **more: Any) -> gr.Image:
    """Return a place for a picture, which can be downloaded as it is."""
    return gr.Image(
        label=label, format="png", image_mode=None, interactive=False, buttons=["download", "fullscreen"], **more
    )


def press(label: str, **more: Any) -> gr.Button:
    """Return a button that does something at once."""
    return gr.Button(label, size="md", min_width=140, **more)


def gallery(label: str, columns: int = 4, **more: Any) -> gr.Gallery:
    """Return a place for images with their names."""
    return gr.Gallery(
        label=label, format="png", columns=columns, object_fit="contain", interactive=False, allow_preview=False,
        buttons=[], **more,
    )  # fmt: skip


def frame(kind: str, label: str, height: int, **more: Any) -> gr.Image:
    """Return a place for samples: the pixels of an image stay squares, however large; a plane of points needs room."""
    if kind == "image":
        return picture(label, height=height, elem_classes="pixels", **more)
    return picture(label, height=max(height, 420), **more)


def download(label: str) -> gr.DownloadButton:
    """Return a button for a file."""
    return gr.DownloadButton(label, size="md", min_width=140)


def as_npz(name: str, arrays: Arrays) -> str:
    """Write arrays where a browser can fetch them, and return the path."""
    path = _fresh(f"{name}.npz")
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return str(path)


def as_file(name: str, content: bytes) -> str:
    """Write a file where a browser can fetch it, and return the path."""
    path = _fresh(name)
    path.write_bytes(content)
    return str(path)


def _fresh(name: str) -> Path:
    return Path(tempfile.mkdtemp(dir=os.environ.get("GRADIO_TEMP_DIR"))) / name


def count(value: Any, most: int = MOST) -> int:
    """Return a slider's number as one from 1 to `most`, whatever a browser sends."""
    return min(max(int(value or 1), 1), most)
