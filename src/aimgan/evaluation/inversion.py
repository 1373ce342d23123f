"""Codes of images found by optimisation, one code for each image (Zhu et al. 2016, equation 3)."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aimgan import noise
from aimgan.data.memory import as_samples
from aimgan.errors import AimganError
from aimgan.model import CHUNK, LatentVariableModel, Samples
from aimgan.model_inputs import require_finite, require_tensor
from aimgan.objectives import Update
from aimgan.training.adam import Adam
from aimgan.training.engine import Engine
from aimgan.training.processes import accelerator_for


class Codes(nn.Module):
    """One code for each image, as a parameter."""

    def __init__(self, z: Float[Tensor, "n d"]) -> None:
        super().__init__()
        self.z = nn.Parameter(z.clone())


@dataclass(eq=False)
class Projection:
    """min over z_i  of  |x_i - G(z_i)|^2, for each image alone; G does not move."""

    G: nn.Module
    Z: Codes

    reads_features: ClassVar[bool] = False
    posterior: ClassVar[str | None] = None

    def step(self, x: Tensor) -> Iterator[Update]:
        """Yield the update of all codes. The loss is a sum, so the gradients of different codes do not mix."""
        yield Update(self.Z, (x - self.G(self.Z.z)).square().sum())


def invert(
    model: LatentVariableModel, x: Samples, steps: int = 200, lr: float = 0.05, starts: int = 64
) -> Float[Tensor, "n d"]:
    """Return codes (n, d) of the images x (n, *shape), found by minimising |x - G(z)|^2 with `steps` steps of Adam.

    They start at the encoder's means or, for a model without an encoder, at the nearest of `starts` draws of the prior.
    If the steps have increased the error of an image, its starting code is returned. Raises AimganError for values of x
    outside [0, 1], a negative number of steps, or fewer than one start.
    """
    if steps < 0 or starts < 1:
        raise AimganError(f"steps must be at least 0 (got {steps}), starts at least 1 (got {starts})")
    images = len(model.shape) == 3
    x = as_samples(x, "x", model.shape, model.config.scale)
    require_tensor(x, "x", model.shape, images)
    require_finite(x, x, "x", images)
    return torch.cat([_invert(model, part, steps, lr, starts) for part in x.split(CHUNK)])


def _invert(model: LatentVariableModel, x: Tensor, steps: int, lr: float, starts: int) -> Tensor:
    start = model.encode(x).mean if model.E is not None else _nearest(model, x, starts)
    G = deepcopy(model.G_of(inferred=True)).eval().requires_grad_(False)
    codes = Codes(start)
    target = model.to_networks(x)
    accelerator = accelerator_for(model.device.type)
    engine = Engine(Projection(G, codes), Adam(0.9), accelerator)
    for step in range(steps):
        engine.step(target, step, lr)
    z = codes.z.detach()
    nearer = _error(model, x, z) <= _error(model, x, start)
    return torch.where(nearer[:, None], z, start)


def _nearest(model: LatentVariableModel, x: Tensor, starts: int) -> Tensor:
    """Return for each image the best of the same `starts` draws of the prior."""
    z = model.prior.sample(starts, noise.generator("inversion starts", device=model.device))
    distance = torch.cdist(x.to(model.device).flatten(1), model.decode(z, inferred=True).flatten(1))
    return z[distance.argmin(dim=1)]


def _error(model: LatentVariableModel, x: Tensor, z: Tensor) -> Float[Tensor, " n"]:
    return (model.decode(z, inferred=True) - x.to(model.device)).square().flatten(1).mean(dim=1)
