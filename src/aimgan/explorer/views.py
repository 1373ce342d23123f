"""The views of the explorer, one function for each: pictures, numbers, and arrays to download.

Functions return what the parts of their tab show, in this order. Samples are x (*shape), codes z (d,).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from aimgan import noise
from aimgan.explorer.drawing import ROW, finite, posterior_figure
from aimgan.explorer.subject import Subject
from aimgan.networks import Posterior

STEPS, LIMIT = 9, 3.0  # of a traversal: images for each dimension, and its ends in standard deviations of the prior
MILLISECONDS = 90  # for each frame of an animation

Arrays = Mapping[str, np.ndarray]
Code = Float[Tensor, " d"]


class Inference(NamedTuple):
    """Algorithm 2 on one sample: the pictures, a line of numbers, and the codes."""

    pair: Image.Image
    posterior: Image.Image
    line: str
    neighbours: Image.Image
    arrays: Arrays


def infer(subject: Subject, x: Float[Tensor, "..."], m: int, seed: int) -> Inference:
    """Show x beside G(mu(x)), its q(z|x), and m draws of G(z) with z from q(z|x)."""
    model, canvas = subject.model, subject.canvas
    generator = noise.generator(seed, "explorer", "neighbours", device=model.device)
    q = model.encode(x[None])
    z = q.sample(m, generator)[:, 0]
    x_z_x = finite(model.decode(q.mean, generator, inferred=True)).cpu()
    near = finite(model.decode(z, generator, inferred=True)).cpu()
    pair = canvas.groups({subject.kind: x[None], "reconstruction": x_z_x}, large=True)
    around = {"draws of q(z|x)": near}
    if subject.kind == "point":
        around = {"point": x[None], **around}
    line = _numbers(q, float((x_z_x[0] - x).square().mean()))
    arrays = as_arrays(mean=q.mean, log_variance=q.log_variance, neighbour_codes=z)
    return Inference(pair, posterior_figure(q), line, canvas.groups(around), arrays)


def _numbers(q: Posterior, error: float) -> str:
    distance, spread = float(q.mean.norm()), float(q.variance.mean().sqrt())
    usual = math.sqrt(q.mean.shape[1])
    width = f"mean spread **{spread:.2f}**" if spread > 0 else "no spread: this encoder returns a point"
    place = f"**{distance:.1f}** from the prior's centre (its own draws: {usual:.1f})"
    return f"Mean squared error **{error:.4f}** · {width} · {place}"


def at_point(
    subject: Subject, x: Float[Tensor, "..."], images: bool, parallel: bool, clicked: tuple[float, float]
) -> tuple[Image.Image, Image.Image, str, Arrays]:
    """Show the map, and G(z) at a point of it: of the plane itself, or of the parallel plane through the code of x."""
    chosen = subject.mean(x) if subject.encodes else None
    through = chosen if parallel else None
    z = subject.map.code(torch.tensor([clicked]), through)[0]
    model = subject.model if images else None
    picture = subject.map.draw(model, through, chosen, clicked)
    line = f"({clicked[0]:+.2f}, {clicked[1]:+.2f}) · **{float(z.norm()):.1f}** from the prior's centre"
    return picture, decode_one(subject, z), line, as_arrays(z=z)


def sample(subject: Subject, n: int, temperature: float, seed: int) -> tuple[Image.Image, Arrays]:
    """Draw n samples G(z), z ~ N(0, temperature^2 I)."""
    model = subject.model
    generator = noise.generator(seed, "explorer", "samples", device=model.device)
    z = temperature * model.prior.sample(n, generator)
    x = finite(model.decode(z, generator)).cpu()
    return subject.canvas.groups({"samples": x}), as_arrays(z=z, x=x)


def draw_code(subject: Subject, seed: int) -> Code:
    """Draw one code of the prior."""
    generator = noise.generator(seed, "explorer", "code", device=subject.model.device)
    return subject.model.prior.sample(1, generator)[0].cpu()


def decode_one(subject: Subject, z: Code) -> Image.Image:
    """Show G(z) of one code."""
    return subject.canvas.one(_decoded(subject, z[None])[0])


def traversal(subject: Subject, n: int, z: Code, start: int) -> tuple[Image.Image, Image.Image, Arrays]:
    """Show G(z), and what moving n dimensions of z from `start` on does: a row for each, from -LIMIT to LIMIT."""
    codes = z.repeat(n, STEPS, 1)
    for row in range(n):
        codes[row, :, start + row] = torch.linspace(-LIMIT, LIMIT, STEPS)
    x = _decoded(subject, codes.flatten(0, 1)).unflatten(0, codes.shape[:2])
    return decode_one(subject, z), subject.canvas.sheet(x), as_arrays(z=z, moved=codes)


def interpolation(subject: Subject, a: Code, b: Code, steps: int) -> tuple[Image.Image, bytes, Arrays, bytes]:
    """Show G along the line from code a to code b, both ends included, as a strip and as an animation (twice)."""
    canvas = subject.canvas
    codes = torch.lerp(a, b, torch.linspace(0, 1, steps)[:, None])
    x = _decoded(subject, codes)
    in_rows = subject.kind == "image" and steps > 2 * ROW
    strip = canvas.groups({"": x}) if in_rows else canvas.sheet(x[None])
    moving = gif([canvas.one(image) for image in x])
    return strip, moving, as_arrays(z=codes), moving


def gif(frames: Sequence[Image.Image]) -> bytes:
    """Return an endless animation that runs there and back, on white: a GIF has no half-transparent pixels."""
    opaque = []
    for frame in frames:
        white = Image.new("RGBA", frame.size, "white")
        opaque.append(Image.alpha_composite(white, frame).convert("RGB"))
    others = [*opaque[1:], *opaque[-2:0:-1]]
    file = BytesIO()
    opaque[0].save(file, "GIF", save_all=True, append_images=others, duration=MILLISECONDS, loop=0)
    return file.getvalue()


def _decoded(subject: Subject, z: Float[Tensor, "n d"]) -> Float[Tensor, "n ..."]:
    return finite(subject.model.decode(z, inferred=True)).cpu()


def as_arrays(**tensors: Tensor) -> Arrays:
    """Return tensors as arrays."""
    return {name: values.cpu().numpy() for name, values in tensors.items()}
