"""The last phase of a run: a fresh encoder, fitted to a generator that no longer moves.

While G and E train together, E reads D's features and follows a G that changes. Here G stands still, E has a trunk of
its own, and Gaussian noise on the images that it learns from makes it answer for images that G cannot draw exactly,
such as those of the data. It is equation 8 for E alone: no image of the data is seen, and no distance between images is
used.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from aimgan import console as screen
from aimgan import noise
from aimgan.model import LatentVariableModel
from aimgan.model_config import with_own_encoder
from aimgan.networks.own_encoder import WIDTH, own_encoder
from aimgan.objectives import Update
from aimgan.objectives.base import Prior
from aimgan.objectives.terms import gaussian_nll, likelihood_loss
from aimgan.runs.job import Job
from aimgan.training.adam import Adam
from aimgan.training.engine import Engine
from aimgan.training.loop import Loop, learning_rate
from aimgan.training.run_dir import RunDir

BATCH = 128
LR = 1e-3
NOISE = 0.1  # standard deviation, of pixels in [0, 1]


@dataclass(eq=False)
class EncoderOfFrozenG:
    """min over E  E_p(z)[ -log q(z | G(z) + noise) ]: equation 8. Each dimension is weighted by its variance.

    The weight gives the mean the gradient of a squared error, whatever the variance is (Seitzer et al., 2022).
    """

    E: nn.Module
    G: nn.Module  # without gradients
    prior: Prior
    deviation: float  # of the noise, in the units of the networks

    reads_features: ClassVar[bool] = False
    posterior: ClassVar[str | None] = "gaussian"

    def step(self, x: Tensor) -> Iterator[Update]:
        """Yield E's update on as many generated images as x has rows."""
        z = self.prior.sample(len(x))
        with torch.no_grad():
            x_z = self.G(z)
        noisy = x_z + self.deviation * noise.normal(*x_z.shape, device=x_z.device, dtype=x_z.dtype)
        q = self.E(noisy)
        loss = likelihood_loss(gaussian_nll(q, z), q, beta=1.0)
        yield Update(self.E, loss, {"squared_error": (q.mean - z).square().mean()})


def fitting(model: LatentVariableModel, job: Job, width: int = WIDTH) -> tuple[Engine, Tensor]:
    """Return the engine that fits a fresh encoder to the model's G, and its x, of which only the number of rows counts.

    `width` is that of the encoder's layers. The statistics of G's batch norm must be final.
    """
    seed = job.plan.seed
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(noise.mix(seed, "weights", "own encoder") >> 1)
        E = own_encoder(model.shape, model.dim, width).to(model.device)
    G = deepcopy(model.G).eval().requires_grad_(False)
    low, high = model.value_range or (0.0, 1.0)
    objective = EncoderOfFrozenG(E, G, model.prior, NOISE * (high - low))
    engine = Engine(objective, Adam(0.9), job.accelerator, noise.mix(seed, "refit"), ema=0.99)
    return engine, torch.empty(max(1, BATCH // job.processes.world), 1, device=model.device)


def refitted(model: LatentVariableModel, job: Job, steps: int, width: int = WIDTH) -> LatentVariableModel:
    """Return the model with a fresh encoder, fitted in `steps` steps; it goes on where a run was stopped.

    Every process of a launch must come here.
    """
    engine, share = fitting(model, job, width)
    folder = RunDir(job.folder.path / f"refit-{job.plan.steps}")  # of this G: a longer run has another one
    if job.processes.first:
        folder.path.mkdir(exist_ok=True)
    loop = Loop(
        engine=engine,
        batch=lambda step: share,
        rate=learning_rate("cosine", LR, steps, steps, 0.0),
        steps=steps,
        run=folder,
        batch_size=BATCH,
        checkpoint_seconds=job.plan.recipe.checkpoint_seconds,
        processes=job.processes,
    )
    start = loop.resume()
    with screen.training(job.console, "fresh encoder", start, steps) as loop.progress:
        loop.train(start)
    E = deepcopy(engine.inference_networks["E"])
    return LatentVariableModel(model.G, E, model.prior, with_own_encoder(model.config, width))
