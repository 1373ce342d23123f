"""The page's tabs, one function each: its parts, and which view of the model fills them.

A session's states are arrays: the chosen image or point (*shape), codes (d,). What changes a state only sets it; what
shows a state listens to it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import gradio as gr
import numpy as np
import torch

from aimgan.explorer import views
from aimgan.explorer.folder import nearest
from aimgan.explorer.parts import as_file, as_npz, count, download, frame, gallery, on, picture, press
from aimgan.explorer.subject import Subject

BLOCK = 8  # sliders at a time
END = 4.0  # standard deviations: a slider's


def infer_tab(subject: Subject, chosen: gr.State) -> None:
    """Show Algorithm 2 on what is chosen: reconstruction, posterior, neighbours, and what is near in the folder."""
    gr.Markdown(f"What the encoder says about the chosen {subject.kind}, and what the generator makes of that.")
    with gr.Row():
        pair = frame(subject.kind, "x and its reconstruction G(μ(x))", 270, scale=2, min_width=280)
        posterior = picture("q(z|x), 1 and 2 σ; grey: the prior", scale=3, height=270)
    line = gr.Markdown(elem_classes="numbers", elem_id="numbers")
    with gr.Row(elem_classes="tools"):
        m = gr.Slider(1, 32, 16, step=1, label="Neighbours", scale=3)
        again = press("Draw others")
        codes = download("Codes (.npz)")
    neighbours = frame(subject.kind, "Neighbours: G(z), z ~ q(z|x)", 250, elem_id="neighbours")
    near = (
        [gallery("Nearest in the folder: distance in the prior's units, name", columns=8, height=190)]
        if subject.index
        else []
    )
    seed = gr.State(0)

    def show(x: np.ndarray, m: float, seed: int) -> list[Any]:
        found = views.infer(subject.model, subject.canvas, torch.from_numpy(x), count(m), seed)
        shown = [found.pair, found.posterior, found.line, found.neighbours, as_npz("codes", found.arrays)]
        return [*shown, nearest(subject.index, torch.from_numpy(subject.mean(x)))] if subject.index else shown

    on(
        [chosen.change, m.release, seed.change],
        show,
        [chosen, m, seed],
        [pair, posterior, line, neighbours, codes, *near],
    )
    on([again.click], lambda seed: seed + 1, [seed], [seed])


def map_tab(subject: Subject, chosen: gr.State) -> None:
    """Show a plane of the space of codes; a click generates what is there."""
    here, deep = subject.map, subject.model.dim > 2
    what = "A plane through the space of codes" if deep else "The space of codes"
    gr.Markdown(f"{what}. **Click anywhere** to generate what is there. Dots: {subject.source}; rings: the prior's.")
    with gr.Row():
        with gr.Column(scale=3, min_width=340):
            plane = picture("Latent map", elem_id="map", height=600)
        with gr.Column(scale=2, min_width=240):
            made = frame(subject.kind, "G(z) there", 300, elem_id="there")
            line = gr.Markdown(elem_id="point", elem_classes="numbers")
            codes = download("Code (.npz)")
            show = gr.Radio(["codes", "images"], value="codes", label="The map shows", visible=subject.kind == "image")
            choices = ["the middle", f"the chosen {subject.kind}"]
            through = gr.Radio(choices, value=choices[0], label="Plane through", visible=deep and subject.encodes)
    clicked = gr.State((0.0, 0.0))

    def draw(x: np.ndarray, show: str, through: str, clicked: tuple[float, float]) -> list[Any]:
        own = torch.from_numpy(subject.mean(x)) if subject.encodes else None
        rest = own if through == choices[1] else None
        z = here.code(torch.tensor([clicked]), rest)[0]
        text = f"({clicked[0]:+.2f}, {clicked[1]:+.2f}) · **{float(z.norm()):.1f}** from the prior's centre"
        drawn = here.draw(subject.model, show == "images", rest, own, clicked)
        return [drawn, views.decode_one(subject.model, subject.canvas, z), text, as_npz("code", {"z": z.numpy()})]

    def click(event: gr.SelectData) -> tuple[float, float]:
        return here.square.at(event.index)

    listened = [chosen.change, show.change, through.change, clicked.change]
    on(listened, draw, [chosen, show, through, clicked], [plane, made, line, codes])
    on([plane.select], click, [], [clicked])


def traverse_tab(subject: Subject, chosen: gr.State) -> None:
    """Move one dimension of a code at a time."""
    model, shown = subject.model, min(BLOCK, subject.model.dim)
    starts = [*range(0, model.dim - shown, BLOCK), model.dim - shown]
    gr.Markdown("What each dimension of a code does. Sliders are in standard deviations of the prior.")
    with gr.Row(elem_classes="tools"):
        own = press(f"Start at the chosen {subject.kind}", visible=subject.encodes)
        drawn = press("Start at a random code")
        choices = [(f"{k + 1} to {k + shown}", k) for k in starts]
        start = gr.Dropdown(choices, value=0, label="Dimensions", visible=model.dim > BLOCK)
    with gr.Row():
        with gr.Column(scale=3, min_width=300), gr.Group():
            sliders = [gr.Slider(-END, END, 0, step=0.05, label=f"z {k + 1}") for k in range(shown)]
        with gr.Column(scale=2, min_width=260):
            made = frame(subject.kind, "G(z)", 300, elem_id="traversed")
            codes = download("Code (.npz)")
    reach = f"-{views.LIMIT:g} to {views.LIMIT:g}"
    sheet = frame(subject.kind, f"A line for each dimension, {reach}; the others stay", 640, elem_id="sheet")
    z, seed = gr.State(None), gr.State(0)

    def begin(x: np.ndarray, seed: int) -> np.ndarray:
        return subject.mean(x) if subject.encodes else views.draw_code(model, seed).numpy()

    def random(seed: int) -> tuple[np.ndarray, int]:
        return views.draw_code(model, seed).numpy(), seed + 1

    def show(z: np.ndarray, start: int) -> list[Any]:
        code = torch.from_numpy(z)
        lines = views.traversal(model, subject.canvas, code, range(start, start + shown))
        return [views.decode_one(model, subject.canvas, code), lines.picture, as_npz("code", {"z": z})]

    on([chosen.change, own.click], begin, [chosen, seed], [z])
    on([drawn.click], random, [seed], [z, seed])
    on([z.change, start.change], partial(_placed, shown), [z, start], sliders)
    on([z.change, start.change], show, [z, start], [made, sheet, codes])
    on([slider.input for slider in sliders], _moved, [z, start, *sliders], [z])


def _placed(shown: int, z: np.ndarray, start: int) -> list[Any]:
    """Put the sliders where a code's dimensions from `start` on are."""
    values = [round(value, 2) for value in z[start : start + shown].clip(-END, END).tolist()]
    return [gr.Slider(value=value, label=f"z {start + k}") for k, value in enumerate(values, 1)]


def _moved(z: np.ndarray, start: int, *values: float) -> np.ndarray:
    """Return the code with the sliders' values for its dimensions from `start` on."""
    return np.concatenate((z[:start], np.array(values, z.dtype), z[start + len(values) :]))


def interpolate_tab(subject: Subject, chosen: gr.State) -> None:
    """Go from one code to another in a straight line: a strip and an animation."""
    model = subject.model
    gr.Markdown("The generator along a straight line between two codes, as a strip and as an animation.")
    ends = [_end(subject, chosen, name, k) for k, name in enumerate("AB")]
    with gr.Row(elem_classes="tools"):
        steps = gr.Slider(3, 32, 8, step=1, label="Steps", scale=3)
        codes, animation = download("Codes (.npz)"), download("Animation (.gif)")
    strip = frame(subject.kind, "From A to B", 200, elem_id="strip")
    moving = frame(subject.kind, "Animation", 300, elem_id="animation")

    def show(a: np.ndarray, b: np.ndarray, steps: float) -> list[Any]:
        between = torch.from_numpy(a), torch.from_numpy(b), max(3, count(steps))
        view, frames = views.interpolation(model, subject.canvas, *between)
        path = as_file("interpolation.gif", views.gif(frames))
        return [view.picture, path, as_npz("codes", view.arrays), path]

    changes = [chosen.change, steps.release, *(end.change for end in ends)]
    on(changes, show, [*ends, steps], [strip, moving, codes, animation])


def _end(subject: Subject, chosen: gr.State, name: str, seed: int) -> gr.State:
    """Return the code at one end of a line: of the chosen sample, or drawn."""
    model = subject.model
    with gr.Row(elem_classes="tools"):
        own = press(f"{name}: the chosen {subject.kind}", visible=subject.encodes)
        drawn = press(f"{name}: a random code")
    end, seeds = gr.State(views.draw_code(model, seed).numpy()), gr.State(seed + 2)

    def random(seed: int) -> tuple[np.ndarray, int]:
        return views.draw_code(model, seed).numpy(), seed + 2

    on([own.click], subject.mean, [chosen], [end])
    on([drawn.click], random, [seeds], [end, seeds])
    return end


def sample_tab(subject: Subject, chosen: gr.State) -> None:
    """Draw from the prior, at a temperature."""
    gr.Markdown("Samples G(z), z ~ N(0, t² I). Below t = 1 they are more usual and less varied; above, the reverse.")
    with gr.Row(elem_classes="tools"):
        n = gr.Slider(1, 64, 32, step=1, label="Samples", scale=2)
        temperature = gr.Slider(0, 2, 1, step=0.05, label="Temperature", scale=2, elem_id="temperature")
        again = press("Draw others")
        codes = download("Codes (.npz)")
    drawn, seed = frame(subject.kind, "Samples", 420, elem_id="samples"), gr.State(0)

    def show(n: float, temperature: float, seed: int) -> list[Any]:
        view = views.sample(subject.model, subject.canvas, count(n), float(temperature), seed)
        return [view.picture, as_npz("samples", view.arrays)]

    changes = [chosen.change, n.release, temperature.release, seed.change]
    on(changes, show, [n, temperature, seed], [drawn, codes])
    on([again.click], lambda seed: seed + 1, [seed], [seed])


def compare_tab(subjects: tuple[Subject, Subject], chosen: gr.State) -> None:
    """Show two models side by side, on the same image and the same draws."""
    gr.Markdown(f"Both models on the chosen {subjects[0].kind}, and on the same draws of the prior.")
    again, seed = press("Draw others"), gr.State(0)
    with gr.Row():
        for subject in subjects:
            with gr.Column(min_width=320):
                _side(subject, chosen, seed)
    on([again.click], lambda seed: seed + 1, [seed], [seed])


def _side(subject: Subject, chosen: gr.State, seed: gr.State) -> None:
    gr.Markdown(f"### {views.escaped(subject.name)}\n{views.describe(subject.model)}")
    parts: list[Any] = []
    if subject.encodes:
        parts = [
            frame(subject.kind, "x and its reconstruction", 260),
            gr.Markdown(elem_classes="numbers"),
        ]
        parts += [
            picture("q(z|x)", height=220),
            frame(subject.kind, "Neighbours: G(z), z ~ q(z|x)", 200),
        ]
    else:
        gr.Markdown("No encoder: it generates, and cannot infer.")
    drawn = frame(subject.kind, "Samples", 330)

    def show(x: np.ndarray, seed: int) -> list[Any]:
        model, canvas = subject.model, subject.canvas
        samples = views.sample(model, canvas, 32, 1.0, seed).picture
        if not subject.encodes:
            return [samples]
        found = views.infer(model, canvas, torch.from_numpy(x), 16, seed)
        return [found.pair, found.line, found.posterior, found.neighbours, samples]

    on([chosen.change, seed.change], show, [chosen, seed], [*parts, drawn])
