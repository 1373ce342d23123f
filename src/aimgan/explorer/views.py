"""What the explorer shows of a model, one function a view: from a model to Pillow images, and to arrays to keep."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from aimgan import noise
from aimgan.explorer.drawing import ROW, Canvas, Tiles, finite, posterior_figure
from aimgan.model import LatentVariableModel
from aimgan.networks import Posterior

STEPS, LIMIT = 9, 3.0  # of a traversal: images a dimension, standard deviations of the prior at its ends
FRAME = 90  # milliseconds of a GIF

Arrays = Mapping[str, np.ndarray]
Code = Float[Tensor, " d"]


class Inference(NamedTuple):
    """Algorithm 2 on one image: the pictures, their numbers in a line, and the codes."""

    pair: Image.Image
    posterior: Image.Image
    neighbours: Image.Image
    line: str
    arrays: Arrays


class View(NamedTuple):
    """A picture, and the codes that it was made of."""

    picture: Image.Image
    arrays: Arrays


def infer(model: LatentVariableModel, canvas: Canvas, x: Float[Tensor, "..."], m: int, seed: int) -> Inference:
    """Show x (*shape) beside G(mu(x)), its q(z|x), and m draws of G(z), z ~ q(z|x)."""
    q = model.encode(x[None])
    generator = noise.generator(seed, "explorer", "neighbours", device=model.device)
    z = q.sample(m, generator)[:, 0]
    x_z_x, near = (finite(model.decode(codes, generator, inferred=True)).cpu() for codes in (q.mean, z))
    kind = "image" if isinstance(canvas, Tiles) else "point"
    pair = canvas.named({kind: x[None].cpu(), "reconstruction": x_z_x}, large=True)
    around = {"draws of q(z|x)": near} if kind == "image" else {kind: x[None].cpu(), "draws of q(z|x)": near}
    arrays = {"mean": q.mean, "log_variance": q.log_variance, "neighbour_codes": z}
    line = _numbers(q, float((x_z_x[0] - x.cpu()).square().mean()))
    return Inference(pair, posterior_figure(q), canvas.named(around), line, as_arrays(arrays))


def _numbers(q: Posterior, error: float) -> str:
    d = q.mean.shape[1]
    away, spread = float(q.mean.norm()), float(q.variance.mean().sqrt())
    width = f"mean spread **{spread:.2f}**" if spread > 0 else "no spread: this encoder answers with a point"
    place = f"**{away:.1f}** from the prior's centre (its own draws: {math.sqrt(d):.1f})"
    return f"Mean squared error **{error:.4f}** · {width} · {place}"


def sample(model: LatentVariableModel, canvas: Canvas, n: int, temperature: float, seed: int) -> View:
    """Draw n samples G(z), z ~ N(0, temperature^2 I)."""
    generator = noise.generator(seed, "explorer", "samples", device=model.device)
    z = temperature * model.prior.sample(n, generator)
    x = finite(model.decode(z, generator)).cpu()
    groups = {"samples": x}
    return View(canvas.named(groups), as_arrays({"z": z, "x": x}))


def draw_code(model: LatentVariableModel, seed: int) -> Code:
    """Return one code of the prior."""
    return model.prior.sample(1, noise.generator(seed, "explorer", "code", device=model.device))[0].cpu()


def decode_one(model: LatentVariableModel, canvas: Canvas, z: Code) -> Image.Image:
    """Show G(z) of one code."""
    return canvas.one(finite(model.decode(z[None], inferred=True)[0]).cpu())


def traversal(model: LatentVariableModel, canvas: Canvas, z: Code, dims: Sequence[int]) -> View:
    """Show what moving one dimension at a time does: a line for each, from -LIMIT to LIMIT, the others as in z."""
    codes = z.cpu().repeat(len(dims), STEPS, 1)
    for line, dim in enumerate(dims):
        codes[line, :, dim] = torch.linspace(-LIMIT, LIMIT, STEPS)
    x = finite(model.decode(codes.flatten(0, 1), inferred=True)).cpu().unflatten(0, codes.shape[:2])
    return View(canvas.sheet(x), as_arrays({"z": codes}))


def interpolation(
    model: LatentVariableModel, canvas: Canvas, a: Code, b: Code, steps: int
) -> tuple[View, list[Image.Image]]:
    """Show G along the line from code a to code b, both ends included: as a strip, and as `steps` large frames."""
    t = torch.linspace(0, 1, steps)[:, None]
    codes = torch.lerp(a.cpu()[None], b.cpu()[None], t)
    x = finite(model.decode(codes, inferred=True)).cpu()
    strip = canvas.named({"": x}) if isinstance(canvas, Tiles) and steps > 2 * ROW else canvas.sheet(x[None])
    return View(strip, as_arrays({"z": codes})), [canvas.one(image) for image in x]


def gif(frames: Sequence[Image.Image]) -> bytes:
    """Return frames as an animation that runs there and back, for ever."""
    there = [_opaque(frame) for frame in frames]
    turned = [*there, *there[-2:0:-1]]
    file = BytesIO()
    turned[0].save(file, "GIF", save_all=True, append_images=turned[1:], duration=FRAME, loop=0)
    return file.getvalue()


def _opaque(frame: Image.Image) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", frame.size, "white"), frame).convert("RGB")


def as_arrays(tensors: Mapping[str, Tensor]) -> Arrays:
    """Return tensors as arrays on the CPU."""
    return {name: values.detach().cpu().numpy() for name, values in tensors.items()}


def describe(model: LatentVariableModel) -> str:
    """Say in a line what a model is of, as a page shows it."""
    shape = model.shape
    colour = "grey" if shape[0] == 1 else "colour"
    what = f"{shape[1]} × {shape[2]} {colour} images" if len(shape) == 3 else "2-D points"
    recipe = model.config.about.get("recipe", model.config.objective)
    return escaped(f"{recipe} · {what} · codes of {model.dim} dimensions")


def escaped(text: str) -> str:
    """Return text that a page shows as it is: a path or a model's config may be a stranger's."""
    return re.sub(r"([\\`*_{}\[\]()#+.!|~-])", r"\\\1", escape(text))
