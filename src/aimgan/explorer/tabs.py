"""The tabs of the page, one function each: the parts of a tab, and the views of the model that fill them.

The states of a session are tensors: the chosen image or point (*shape), and codes (d,). An event sets a state; the
change of the state then updates all parts that show it.
"""

from __future__ import annotations

from functools import partial

import gradio as gr
import torch
from torch import Tensor

from aimgan.explorer import views
from aimgan.explorer.folder import nearest
from aimgan.explorer.latent_map import SQUARE
from aimgan.explorer.parts import button, count, download, frame, gallery, on, picture, redraw_button
from aimgan.explorer.subject import Subject

SLIDERS = 8  # shown at a time
END = 4.0  # where a slider ends, in standard deviations of the prior


def infer_tab(subject: Subject, chosen: gr.State) -> None:
    """Show Algorithm 2 on the chosen sample, and the nearest images of the folder."""
    gr.Markdown(f"What the encoder infers from the chosen {subject.kind}, and what the generator makes of it.")
    with gr.Row():
        pair = frame(subject.kind, "x and its reconstruction G(μ(x))", 270, scale=2, min_width=280)
        posterior = picture(label="q(z|x), 1 and 2 σ; grey: the prior", scale=3, height=270)
    line = gr.Markdown(elem_classes="numbers", elem_id="numbers")
    with gr.Row(elem_classes="tools"):
        m = count(1, 32, 16, label="Neighbours", scale=3)
        seed = redraw_button()
        codes = download("Codes (.npz)")
    neighbours = frame(subject.kind, "Neighbours: G(z), z ~ q(z|x)", 250, elem_id="neighbours")
    changes = [chosen.change, m.release, seed.change]
    shown = [pair, posterior, line, neighbours, codes]
    on(changes, partial(views.infer, subject), [chosen, m, seed], shown)
    index = subject.index
    if index is not None:
        near = gallery(label="Nearest in the folder: distance in the prior's units, name", columns=8, height=190)
        on([chosen.change], lambda x: nearest(index, subject.mean(x)), [chosen], [near])


def map_tab(subject: Subject, chosen: gr.State) -> None:
    """Show a plane of the space of codes, in which a click generates the sample at that point."""
    many = subject.model.dim > 2
    what = "A plane through the space of codes" if many else "The space of codes"
    gr.Markdown(f"{what}. **Click anywhere** to generate what is there. Dots: {subject.source}; rings: the prior's.")
    with gr.Row():
        with gr.Column(scale=3, min_width=340):
            plane = picture(label="Latent map", elem_id="map", height=600)
        with gr.Column(scale=2, min_width=240):
            made = frame(subject.kind, "G(z) there", 300, elem_id="there")
            line = gr.Markdown(elem_id="point", elem_classes="numbers")
            codes = download("Code (.npz)")
            choices = [("codes", False), ("images", True)]
            images = gr.Radio(choices, value=False, label="The map shows", visible=subject.kind == "image")
            choices = [("the middle", False), (f"the chosen {subject.kind}", True)]
            parallel = gr.Radio(choices, value=False, label="Plane through", visible=many and subject.encodes)
    clicked = gr.State((0.0, 0.0))

    def click(event: gr.SelectData) -> tuple[float, float]:
        return SQUARE.at(event.index)

    changes = [chosen.change, images.change, parallel.change, clicked.change]
    given = [chosen, images, parallel, clicked]
    on(changes, partial(views.at_point, subject), given, [plane, made, line, codes])
    on([plane.select], click, [], [clicked])


def traverse_tab(subject: Subject, chosen: gr.State) -> None:
    """Move one dimension of a code at a time."""
    dim, shown = subject.model.dim, min(SLIDERS, subject.model.dim)
    gr.Markdown("What each dimension of a code does. Sliders are in standard deviations of the prior.")
    with gr.Row(elem_classes="tools"):
        own = button(f"Start at the chosen {subject.kind}", visible=subject.encodes)
        drawn = button("Start at a random code")
        starts = [*range(0, dim - shown, SLIDERS), dim - shown]
        choices = [(f"{k + 1} to {k + shown}", k) for k in starts]
        start = gr.Dropdown(choices, value=0, label="Dimensions", visible=dim > SLIDERS)
    with gr.Row():
        with gr.Column(scale=3, min_width=300), gr.Group():
            sliders = [gr.Slider(-END, END, 0, step=0.05, label=f"z {k + 1}") for k in range(shown)]
        with gr.Column(scale=2, min_width=260):
            made = frame(subject.kind, "G(z)", 300, elem_id="traversed")
            codes = download("Code (.npz)")
    label = f"A row for each dimension, from -{views.LIMIT:g} to {views.LIMIT:g}; the others stay"
    sheet = frame(subject.kind, label, 640, elem_id="sheet")
    z, seed = gr.State(None), gr.State(0)

    def begin(x: Tensor, seed: int) -> Tensor:
        return subject.mean(x) if subject.encodes else views.draw_code(subject, seed)

    on([chosen.change, own.click], begin, [chosen, seed], [z])
    on([drawn.click], partial(_random, subject), [seed], [z, seed])
    on([z.change, start.change], partial(_placed, shown), [z, start], sliders)
    on([z.change, start.change], partial(views.traversal, subject, shown), [z, start], [made, sheet, codes])
    on([slider.input for slider in sliders], _moved, [z, start, *sliders], [z])


def _random(subject: Subject, seed: int) -> tuple[Tensor, int]:
    """Draw a code, and return it with the next seed. In steps of two, two ends of a line never share a code."""
    return views.draw_code(subject, seed), seed + 2


def _placed(shown: int, z: Tensor, start: int) -> list[gr.Slider]:
    """Return the sliders of a code's dimensions from `start` on."""
    values = z[start : start + shown].clip(-END, END).tolist()
    return [gr.Slider(value=round(value, 2), label=f"z {k}") for k, value in enumerate(values, start + 1)]


def _moved(z: Tensor, start: int, *values: float) -> Tensor:
    """Return the code with the values of the sliders in its dimensions from `start` on."""
    moved = z.clone()
    moved[start : start + len(values)] = torch.tensor(values)
    return moved


def interpolate_tab(subject: Subject, chosen: gr.State) -> None:
    """Go from one code to another along a straight line: a strip and an animation."""
    gr.Markdown("The generator along a straight line between two codes, as a strip and as an animation.")
    a, b = _end(subject, chosen, "A", 0), _end(subject, chosen, "B", 1)
    with gr.Row(elem_classes="tools"):
        steps = count(3, 32, 8, label="Steps", scale=3)
        codes, animation = download("Codes (.npz)"), download("Animation (.gif)")
    strip = frame(subject.kind, "From A to B", 200, elem_id="strip")
    moving = frame(subject.kind, "Animation", 300, elem_id="animation")
    changes = [chosen.change, steps.release, a.change, b.change]
    on(changes, partial(views.interpolation, subject), [a, b, steps], [strip, moving, codes, animation])


def _end(subject: Subject, chosen: gr.State, name: str, seed: int) -> gr.State:
    """Return the code at one end of the line: of the chosen sample, or drawn."""
    with gr.Row(elem_classes="tools"):
        own = button(f"{name}: the chosen {subject.kind}", visible=subject.encodes)
        drawn = button(f"{name}: a random code")
    end, seeds = gr.State(views.draw_code(subject, seed)), gr.State(seed + 2)
    on([own.click], subject.mean, [chosen], [end])
    on([drawn.click], partial(_random, subject), [seeds], [end, seeds])
    return end


def sample_tab(subject: Subject, chosen: gr.State) -> None:
    """Draw from the prior, at a temperature."""
    gr.Markdown("Samples G(z), z ~ N(0, t² I). Below t = 1 they are more usual and less varied; above, the reverse.")
    with gr.Row(elem_classes="tools"):
        n = count(1, 64, 32, label="Samples", scale=2)
        temperature = gr.Slider(0, 2, 1, step=0.05, label="Temperature", scale=2, elem_id="temperature")
        seed = redraw_button()
        codes = download("Codes (.npz)")
    drawn = frame(subject.kind, "Samples", 420, elem_id="samples")
    changes = [chosen.change, n.release, temperature.release, seed.change]
    on(changes, partial(views.sample, subject), [n, temperature, seed], [drawn, codes])


TABS = {
    "Infer": infer_tab,
    "Map": map_tab,
    "Traverse": traverse_tab,
    "Interpolate": interpolate_tab,
    "Sample": sample_tab,
}


def compare_tab(subjects: tuple[Subject, Subject], chosen: gr.State) -> None:
    """Show two models side by side, on the same sample and the same draws."""
    gr.Markdown(f"Both models on the chosen {subjects[0].kind}, and on the same draws of the prior.")
    seed = redraw_button()
    with gr.Row():
        for subject in subjects:
            with gr.Column(min_width=320):
                _side(subject, chosen, seed)


def _side(subject: Subject, chosen: gr.State, seed: gr.State) -> None:
    gr.Markdown(subject.heading(3))
    changes = [chosen.change, seed.change]
    if subject.encodes:
        pair = frame(subject.kind, "x and its reconstruction", 260)
        line = gr.Markdown(elem_classes="numbers")
        posterior = picture(label="q(z|x)", height=220)
        neighbours = frame(subject.kind, "Neighbours: G(z), z ~ q(z|x)", 200)
        shown = [pair, posterior, line, neighbours]
        on(changes, lambda x, seed: views.infer(subject, x, 16, seed)[:4], [chosen, seed], shown)
    else:
        gr.Markdown("No encoder: it generates, and cannot infer.")
    drawn = frame(subject.kind, "Samples", 330)
    on(changes, lambda seed: views.sample(subject, 32, 1.0, seed)[0], [seed], [drawn])
