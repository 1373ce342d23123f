"""The last phase of a run: a fresh encoder, fitted to a generator that no longer moves.

While G and E train together, E reads D's features and follows a G that changes. Here G stands still, E has a trunk of
its own, and Gaussian noise on the samples that it learns from makes it answer for samples that G cannot make exactly,
such as those of the data. It is equation 8 for E alone: no sample of the data is seen, and no distance between samples
is used.
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
from aimgan.networks.own_encoder import own_encoder
from aimgan.objectives import Update
from aimgan.objectives.base import Prior
from aimgan.objectives.terms import gaussian_nll, likelihood_loss
from aimgan.runs.job import Job
from aimgan.training.adam import Adam
from aimgan.training.engine import Engine
from aimgan.training.loop import Loop, learning_rate
from aimgan.training.run_dir import RunDir

BATCH, LR = 128, 1e-3  # of images
NOISE = 0.1  # standard deviation, of pixels in [0, 1]
BATCH_OF_POINTS, LR_OF_POINTS = 512, 2e-3
NOISE_OF_POINTS = 0.02  # the largest standard deviation, as a share of that of G's samples
SAMPLES = 10_000  # of which the latter is estimated


@dataclass(eq=False)
class EncoderOfFrozenG:
    """min over E  E_p(z)[ -log q(z | G(z) + noise) ]: equation 8. Each dimension is weighted by its variance.

    The weight gives the mean the gradient of a squared error, whatever the variance is (Seitzer et al., 2022).
    """

    E: nn.Module
    G: nn.Module  # without gradients
    prior: Prior
    deviation: float | Tensor  # of the noise, in the units of the networks
    any_strength: bool = False  # the deviation is drawn for each sample, uniformly from 0 to `deviation`

    reads_features: ClassVar[bool] = False
    posterior: ClassVar[str | None] = "gaussian"

    def step(self, x: Tensor) -> Iterator[Update]:
        """Yield E's update on as many generated images as x has rows."""
        z = self.prior.sample(len(x))
        with torch.no_grad():
            x_z = self.G(z)
        deviation = self.deviation
        if self.any_strength:
            deviation = deviation * noise.uniform(len(x_z), 1, device=x_z.device).to(x_z.dtype)
        noisy = x_z + deviation * noise.normal(*x_z.shape, device=x_z.device, dtype=x_z.dtype)
        q = self.E(noisy)
        loss = likelihood_loss(gaussian_nll(q, z), q, beta=1.0)
        yield Update(self.E, loss, {"squared_error": (q.mean - z).square().mean()})


@dataclass(frozen=True)
class Fit:
    """The engine that fits a fresh encoder, its x, of which only the number of rows counts, and the learning rate."""

    engine: Engine
    x: Tensor
    rate: float


def fitting(model: LatentVariableModel, job: Job, width: int | None = None) -> Fit:
    """Return what fits a fresh encoder to the model's G, of images or of points.

    `width` is that of the encoder's layers. The statistics of G's batch norm must be final.
    """
    seed = job.plan.seed
    G = deepcopy(model.G).eval().requires_grad_(False)
    config = with_own_encoder(model.config, width)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(noise.mix(seed, "weights", "own encoder") >> 1)
        E = own_encoder(model.shape, model.dim, config.own_encoder, config.trunk).to(model.device)
    if len(model.shape) == 1:
        deviation = model.generate(SAMPLES, noise.generator(seed, "refit")).std(dim=0)
        deviation = torch.where(deviation > 0, deviation, 1.0)  # a coordinate that G does not vary
        E.get_buffer("0.deviation").copy_(deviation)  # of FourierFeatures
        objective = EncoderOfFrozenG(E, G, model.prior, NOISE_OF_POINTS * deviation, any_strength=True)
        batch, rate = BATCH_OF_POINTS, LR_OF_POINTS
    else:
        low, high = model.value_range or (0.0, 1.0)
        objective = EncoderOfFrozenG(E, G, model.prior, NOISE * (high - low))
        batch, rate = BATCH, LR
    engine = Engine(objective, Adam(0.9), job.accelerator, noise.mix(seed, "refit"), ema=0.99)
    return Fit(engine, torch.empty(max(1, batch // job.processes.world), 1, device=model.device), rate)


def refitted(model: LatentVariableModel, job: Job, steps: int, width: int | None = None) -> LatentVariableModel:
    """Return the model with a fresh encoder, fitted in `steps` steps; it goes on where a run was stopped.

    Every process of a launch must come here.
    """
    fit = fitting(model, job, width)
    folder = RunDir(job.folder.path / f"refit-{job.plan.steps}")  # of this G: a longer run has another one
    if job.processes.first:
        folder.path.mkdir(exist_ok=True)
    loop = Loop(
        engine=fit.engine,
        batch=lambda step: fit.x,
        rate=learning_rate("cosine", fit.rate, steps, steps, 0.0),
        steps=steps,
        run=folder,
        batch_size=len(fit.x) * job.processes.world,
        checkpoint_seconds=job.plan.recipe.checkpoint_seconds,
        processes=job.processes,
    )
    start = loop.resume()
    with screen.training(job.console, "fresh encoder", start, steps) as loop.progress:
        loop.train(start)
    E = deepcopy(fit.engine.inference_networks["E"])
    return LatentVariableModel(model.G, E, model.prior, with_own_encoder(model.config, width))
