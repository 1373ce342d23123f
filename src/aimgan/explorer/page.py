"""The explorer's page: what is chosen at the left, the tabs that show it at the right."""

from __future__ import annotations

from typing import Any

import gradio as gr
import numpy as np
import torch

from aimgan.explorer import tabs, views
from aimgan.explorer.drawing import Scatter
from aimgan.explorer.parts import frame, gallery, on, picture
from aimgan.explorer.subject import Subject
from aimgan.explorer.uploads import MAX_BYTES, read_upload

KEPT = 3_600  # seconds: how long files to download are kept

CSS = """
.gradio-container { max-width: 1360px !important; margin: 0 auto !important; }
.numbers { font-variant-numeric: tabular-nums; }
.image-container { padding-top: 2rem; }  /* what the label would cover */
.pixels img, .thumbnail-item img { image-rendering: pixelated; }
.tools { align-items: center !important; }
.grid-wrap { padding-top: 2.2rem !important; }
.grid-container { grid-template-columns: repeat(var(--grid-cols), minmax(0, 1fr)) !important; gap: 6px !important;
                  grid-auto-rows: min-content !important; align-content: start; }
.thumbnail-lg { display: flex !important; flex-direction: column; height: auto !important;
                aspect-ratio: auto !important; }
.thumbnail-lg img { aspect-ratio: 1; height: auto !important; }
.caption-label { position: static !important; max-width: 100% !important; font-size: .7rem !important;
                 white-space: normal !important; overflow-wrap: anywhere; padding: 2px 6px !important; }
footer { display: none !important; }
@media (max-width: 640px) { .grid-container { grid-template-columns: repeat(4, minmax(0, 1fr)) !important; } }
"""


def theme() -> gr.themes.Base:
    """Return the look: the system's own fonts, which nobody has to be asked for."""
    sans, mono = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]
    return gr.themes.Default(primary_hue="blue", neutral_hue="slate", font=sans, font_mono=mono)


def build(subject: Subject, other: Subject | None = None) -> gr.Blocks:
    """Make the page of a model; with `other`, a tab that compares the two."""
    with gr.Blocks(title=f"aimgan · {subject.name}", analytics_enabled=False, delete_cache=(KEPT, KEPT)) as page:
        gr.Markdown(_heading(subject))
        with gr.Row():
            chosen = _choice(subject, visible=subject.encodes or (other is not None and other.encodes))
            with gr.Column(scale=4, min_width=480), gr.Tabs():
                _tabs(subject, other, chosen)
        first = subject.picks[0].x.numpy()
        on([page.load], lambda: first, [], [chosen])
    return page


def _heading(subject: Subject) -> str:
    lines = [f"# {views.escaped(subject.name)}", views.describe(subject.model)]
    if not subject.encodes:
        what = "reconstruction, neighbours and search need one"
        lines.append(f"This model has **no encoder**: it generates, but cannot infer codes ({what}).")
    return "\n\n".join(lines)


def _tabs(subject: Subject, other: Subject | None, chosen: gr.State) -> None:
    shown = {"Map": tabs.map_tab, "Traverse": tabs.traverse_tab, "Interpolate": tabs.interpolate_tab}
    shown = ({"Infer": tabs.infer_tab} if subject.encodes else {}) | shown | {"Sample": tabs.sample_tab}
    for name, fill in shown.items():
        with gr.Tab(name):
            fill(subject, chosen)
    if other is not None:
        with gr.Tab("Compare"):
            tabs.compare_tab((subject, other), chosen)


def _choice(subject: Subject, visible: bool) -> gr.State:
    """Return the state that holds what is chosen, beside the parts that choose it."""
    chosen = gr.State(None)
    with gr.Column(scale=1, min_width=260, visible=visible):
        gr.Markdown(f"### Choose {'an image' if subject.kind == 'image' else 'a point'}")
        (_choose_point if isinstance(subject.canvas, Scatter) else _choose_image)(subject, chosen)
    return chosen


def _choose_image(subject: Subject, chosen: gr.State) -> None:
    preview = frame("image", "Chosen", 230, elem_id="chosen")
    upload = gr.File(label=f"Upload (at most {MAX_BYTES // 2**20} MiB)", file_types=["image"], height=140)
    source = "Or pick one of the folder" if subject.index else "Or pick a sample of this model"
    offered = gallery(source, elem_id="picks", height=240, value=[(subject.canvas.one(p.x), "") for p in subject.picks])

    def take(path: str) -> tuple[np.ndarray, None]:
        return read_upload(path, subject.model.shape, subject.model.config.scale).numpy(), None

    def pick(event: gr.SelectData) -> np.ndarray:
        return subject.picks[event.index].x.numpy()

    on([upload.upload], take, [upload], [chosen, upload])
    on([offered.select], pick, [], [chosen])
    on([chosen.change], lambda x: subject.canvas.one(torch.from_numpy(x)), [chosen], [preview])


def _choose_point(subject: Subject, chosen: gr.State) -> None:
    canvas = subject.canvas
    assert isinstance(canvas, Scatter)
    plane = picture("Click to choose", elem_id="chosen", height=320)
    with gr.Row():
        numbers = [gr.Number(label=name, precision=3, min_width=80) for name in ("x₁", "x₂")]

    def click(event: gr.SelectData) -> np.ndarray:
        return np.array(canvas.square.at(event.index), np.float32)

    def typed(*values: Any) -> np.ndarray:
        return np.array([float(value or 0.0) for value in values], np.float32)

    def show(x: np.ndarray) -> list[Any]:
        return [canvas.one(torch.from_numpy(x)), *map(float, x)]

    on([plane.select], click, [], [chosen])
    on([number.submit for number in numbers], typed, numbers, [chosen])
    on([chosen.change], show, [chosen], [plane, *numbers])
