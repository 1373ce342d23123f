"""The explorer's page: the chosen image or point at the left, and tabs that show it at the right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import torch
from torch import Tensor

from aimgan.explorer import tabs
from aimgan.explorer.drawing import Scatter
from aimgan.explorer.parts import frame, gallery, on, picture
from aimgan.explorer.subject import Subject
from aimgan.explorer.uploads import MAX_BYTES, read_upload, remove_upload

KEPT = 3_600  # seconds for which files to download are kept

CSS = Path(__file__).with_name("page.css")


def theme() -> gr.themes.Base:
    """Return a theme with the fonts of the system, so that none is fetched from elsewhere."""
    sans, mono = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]
    return gr.themes.Default(primary_hue="blue", neutral_hue="slate", font=sans, font_mono=mono)


def build(subject: Subject, other: Subject | None = None) -> gr.Blocks:
    """Make the page of a model. With `other`, it has a tab that compares the two."""
    with gr.Blocks(title=f"aimgan · {subject.name}", analytics_enabled=False, delete_cache=(KEPT, KEPT)) as page:
        gr.Markdown(subject.heading(1))
        if not subject.encodes:
            gr.Markdown(
                "This model has **no encoder**: it generates, but cannot infer codes "
                "(reconstruction, neighbours and search need one)."
            )
        with gr.Row():
            chosen = _chooser(subject, visible=subject.encodes or (other is not None and other.encodes))
            with gr.Column(scale=4, min_width=480), gr.Tabs():
                for name, fill in tabs.TABS.items():
                    if subject.encodes or name != "Infer":
                        with gr.Tab(name):
                            fill(subject, chosen)
                if other is not None:
                    with gr.Tab("Compare"):
                        tabs.compare_tab((subject, other), chosen)
        on([page.load], lambda: subject.picks[0], [], [chosen])
    return page


def _chooser(subject: Subject, visible: bool) -> gr.State:
    """Add the parts that choose an image or a point, and return the state that holds it."""
    chosen = gr.State(None)
    with gr.Column(scale=1, min_width=260, visible=visible):
        if isinstance(subject.canvas, Scatter):
            _point_chooser(subject.canvas, chosen)
        else:
            _image_chooser(subject, chosen)
    return chosen


def _image_chooser(subject: Subject, chosen: gr.State) -> None:
    draw = subject.canvas.one
    gr.Markdown("### Choose an image")
    preview = frame("image", "Chosen", 230, elem_id="chosen")
    upload = gr.File(label=f"Upload (at most {MAX_BYTES // 2**20} MiB)", file_types=["image"], height=140)
    label = "Or pick one of the folder" if subject.index else "Or pick a sample of this model"
    thumbnails = [(draw(x), "") for x in subject.picks]
    offered = gallery(label=label, columns=4, elem_id="picks", height=240, value=thumbnails)

    def take(path: str) -> tuple[Tensor, None]:
        try:
            return read_upload(path, subject.model.shape, subject.model.config.scale), None
        finally:
            remove_upload(path)

    def pick(event: gr.SelectData) -> Tensor:
        return subject.picks[event.index]

    on([upload.upload], take, [upload], [chosen, upload])
    on([offered.select], pick, [], [chosen])
    on([chosen.change], draw, [chosen], [preview])


def _point_chooser(canvas: Scatter, chosen: gr.State) -> None:
    gr.Markdown("### Choose a point")
    plane = picture(label="Click to choose", elem_id="chosen", height=320)
    with gr.Row():
        numbers = [gr.Number(label=name, precision=3, min_width=80) for name in ("x₁", "x₂")]

    def click(event: gr.SelectData) -> Tensor:
        return torch.tensor(canvas.square.at(event.index))

    def typed(*values: float | None) -> Tensor:
        return torch.tensor([value or 0.0 for value in values])

    def show(x: Tensor) -> list[Any]:
        return [canvas.one(x), *x.tolist()]

    on([plane.select], click, [], [chosen])
    on([number.submit for number in numbers], typed, numbers, [chosen])
    on([chosen.change], show, [chosen], [plane, *numbers])
