"""What makes an encoder find the codes of real images, where G does not move? Ideas, each tried at equal cost.

    python benchmarks/encoder_ideas.py NAME=RUN ... [--seconds 60] [--seed 0] [--only IDEA;...]

For each finished run and each idea, an encoder is fitted to the run's frozen G by equation 8 for E alone, on generated
images and no others, and scored on the run's test images. It takes the steps that fit into `--seconds` of CPU time of
one thread. "The recipe" is what runs/refit.py does: a trunk of its own, Gaussian noise of 0.1 on the images, the
likelihood weighted by the variance, batches of 128, a cosine rate from 1e-3. Each idea changes what its name says. Adds
to benchmarks/results/encoder_ideas.json and .md.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import common
import torch
from folder_runs import before_refit, scored
from precision import Processor
from torch import Tensor, nn
from torch.nn import functional as F

from aimgan import noise
from aimgan.evaluation.evaluate import baselines
from aimgan.model import LatentVariableModel
from aimgan.model_config import with_own_encoder
from aimgan.networks.gaussian import GaussianHead
from aimgan.networks.own_encoder import fully_connected, kind_for, own_encoder
from aimgan.objectives import Update
from aimgan.objectives.base import Prior
from aimgan.objectives.terms import gaussian_nll, likelihood_loss
from aimgan.runs.job import Job
from aimgan.runs.refit import BATCH, LR, NOISE
from aimgan.runs.timing import seconds_a_step
from aimgan.training.adam import Adam
from aimgan.training.engine import Engine
from aimgan.training.loop import learning_rate
from aimgan.training.run_dir import RunDir

RESULT = common.RESULTS / "encoder_ideas.json"
Change = Callable[[Tensor, Tensor], Tensor]  # of images (n, c, h, w) in [0, 1], and their unit


def uniform(n: int, *shape: int) -> Tensor:
    """Draw numbers from 0 to 1."""
    return noise.uniform(n, *shape).float()


def white(deviation: float) -> Change:
    """Independent Gaussian noise on each pixel."""
    return lambda x: x + deviation * noise.normal(*x.shape)


def of_any_strength(most: float) -> Change:
    """White noise whose deviation is drawn for each image, from 0 to `most`."""
    return lambda x: x + most * uniform(len(x), 1, 1, 1) * noise.normal(*x.shape)


def coarse(deviation: float, side: int) -> Change:
    """Noise of a few pixels' size: what real images have and G does not is no independent noise either."""

    def change(x: Tensor) -> Tensor:
        small = noise.normal(len(x), x.shape[1], side, side)
        return x + deviation * F.interpolate(small, size=x.shape[2:], mode="bilinear", align_corners=False)

    return change


def mixed(most: float) -> Change:
    """A share of another generated image, from 0 to `most`, lies over each image."""

    def change(x: Tensor) -> Tensor:
        share = most * uniform(len(x), 1, 1, 1)
        return AS_NOW((1 - share) * x + share * x.flip(0))

    return change


def erased(side: int) -> Change:
    """A square of each image is replaced by another generated image's."""

    def change(x: Tensor) -> Tensor:
        h = x.shape[2]
        corner = (uniform(2, len(x)) * (h - side + 1)).long()
        at = torch.arange(h)
        rows, columns = ((at >= c[:, None]) & (at < c[:, None] + side) for c in corner)
        hidden = (rows[:, None, :, None] & columns[:, None, None, :]).to(x.dtype)
        return AS_NOW(x * (1 - hidden) + x.flip(0) * hidden)

    return change


def brightness(most: float) -> Change:
    """Contrast and brightness are changed by up to this share."""

    def change(x: Tensor) -> Tensor:
        gain, shift = (2 * uniform(2, len(x), 1, 1, 1) - 1) * most
        return AS_NOW(x * (1 + gain) + shift)

    return change


AS_NOW = white(NOISE)
WIDTH = kind_for((1, 28, 28)).width


def usual(shape: tuple[int, ...], dim: int, width: int) -> nn.Module:
    """Return the recipe's encoder."""
    return own_encoder(shape, dim, width, kind_for(shape).trunk)


def halving(shape: tuple[int, ...], dim: int, width: int) -> nn.Module:
    """Return the encoder of convolutions that the recipe had before."""
    return own_encoder(shape, dim, width, "halving")


def layers(shape: tuple[int, ...], dim: int, width: int) -> nn.Module:
    """Return the recipe's layers on the pixels themselves."""
    made = fully_connected(math.prod(shape), width)
    return nn.Sequential(nn.Flatten(), *made, GaussianHead(nn.Linear(width, dim), nn.Linear(width, dim)))


def patches(shape: tuple[int, ...], dim: int, width: int) -> nn.Module:
    """Return the recipe's patches, a convolution that looks at their neighbours, and one wide layer."""
    channels, side, _ = shape
    side //= 4
    made: list[nn.Module] = [nn.Conv2d(channels, width, 4, stride=4), nn.GroupNorm(8, width), nn.SiLU()]
    made += [nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(8, width), nn.SiLU(), nn.Flatten()]
    made += [nn.Linear(width * side * side, 8 * width), nn.LayerNorm(8 * width), nn.SiLU()]
    return nn.Sequential(*made, GaussianHead(nn.Linear(8 * width, dim), nn.Linear(8 * width, dim)))


@dataclass(frozen=True)
class Idea:
    """What an encoder is fitted with."""

    change: Change = AS_NOW
    width: int = WIDTH
    batch: int = BATCH
    rate: float = LR
    beta: float = 1.0  # of the weighting by the variance; 0 is equation 8 as it stands
    prior_scale: float = 1.0  # codes are drawn from N(0, prior_scale^2)
    trunk: Callable[[tuple[int, ...], int, int], nn.Module] = usual
    precision: str = "no"
    keeps_E: bool = False  # begins with the E that was trained with G, and D's features, all of it trained


CONVOLUTIONS = Idea(trunk=halving, width=32)
WIDE = Idea(trunk=layers, width=1024, precision="bf16")
AS_TRAINED = "as trained"
IDEAS = {
    "the recipe": Idea(),
    "no patches": Idea(trunk=layers),
    "no patches, layers of 1024": Idea(trunk=layers, width=1024),
    "no patches, layers of 1024, bf16": WIDE,
    "no patches, layers of 2048, bf16": replace(WIDE, width=2048),
    "convolutions, 32 maps": CONVOLUTIONS,
    "convolutions, 32 maps, bf16": replace(CONVOLUTIONS, precision="bf16"),
    "convolutions, 16 maps": replace(CONVOLUTIONS, width=16),
    "convolutions, 16 maps, bf16": replace(CONVOLUTIONS, width=16, precision="bf16"),
    "patches and a convolution, 64 maps": Idea(trunk=patches, width=64),
    "patches and a convolution, 64 maps, bf16": Idea(trunk=patches, width=64, precision="bf16"),
    "begun with the E trained with G": Idea(keeps_E=True),
    "no patches, layers of 1024, bf16, noise 0.15": replace(WIDE, change=white(0.15)),
    "no patches, layers of 1024, bf16, rate 2e-3": replace(WIDE, rate=2e-3),
    "no patches, layers of 1024, bf16, batches of 64": replace(WIDE, batch=BATCH // 2),
    "no patches, layers of 1024, bf16, batches of 256": replace(WIDE, batch=2 * BATCH),
    "no noise": Idea(white(0.0)),
    "noise 0.05": Idea(white(0.05)),
    "noise 0.2": Idea(white(0.2)),
    "noise of any strength to 0.2": Idea(of_any_strength(0.2)),
    "coarse noise 0.1, 8 x 8": Idea(coarse(0.1, 8)),
    "mixed with up to 0.2 of another image": Idea(mixed(0.2)),
    "a square of 8 x 8 of another image": Idea(erased(8)),
    "contrast and brightness by up to 0.2": Idea(brightness(0.2)),
    "equation 8 unweighted": Idea(beta=0.0),
    "codes from N(0, 1.3^2)": Idea(prior_scale=1.3),
}


@dataclass(eq=False)
class Fit:
    """min over E  E_p(z)[ -log q(z | change(G(z))) ]."""

    E: nn.Module
    G: nn.Module
    prior: Prior
    idea: Idea
    value_range: tuple[float, float]

    reads_features: ClassVar[bool] = False
    posterior: ClassVar[str | None] = "gaussian"

    def step(self, x: Tensor) -> Iterator[Update]:
        z = self.idea.prior_scale * self.prior.sample(len(x))
        low, high = self.value_range
        with torch.no_grad():
            image = (self.G(z) - low) / (high - low)
            seen = self.idea.change(image) * (high - low) + low
        q = self.E(seen)
        yield Update(self.E, likelihood_loss(gaussian_nll(q, z), q, beta=self.idea.beta))


def steps_in(seconds: float, model: LatentVariableModel, idea: Idea, job: Job) -> int:
    """Return how many steps of an idea take so much CPU time."""
    step = seconds_a_step(engine_of(model, idea, seed=0), torch.empty(idea.batch, 1), job, time.process_time)
    return max(1, int(seconds / step))


def fitted(model: LatentVariableModel, idea: Idea, steps: int, seed: int) -> LatentVariableModel:
    """Return the model with an encoder that was fitted with an idea."""
    engine = engine_of(model, idea, seed)
    rate = learning_rate("cosine", idea.rate, steps, steps)
    for step in range(steps):
        engine.step(torch.empty(idea.batch, 1), step, rate(step))
    config = model.config if idea.keeps_E else with_own_encoder(model.config, idea.width)
    return LatentVariableModel(model.G, engine.inference_networks["E"], model.prior, config)


def engine_of(model: LatentVariableModel, idea: Idea, seed: int) -> Engine:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        E = deepcopy(model.E).train() if idea.keeps_E else idea.trunk(model.shape, model.dim, idea.width)
    G = deepcopy(model.G).eval().requires_grad_(False)
    objective = Fit(E.requires_grad_(True), G, model.prior, idea, model.value_range or (0.0, 1.0))
    return Engine(objective, Adam(0.9), Processor(idea.precision), seed, ema=0.99)  # type: ignore[arg-type]


def page(result: dict[str, Any]) -> str:
    columns = list(dict.fromkeys((row["model"], row["seconds"]) for row in result["rows"]))
    found = {(row["model"], row["seconds"], row["idea"]): row for row in result["rows"]}
    heads = ["idea", *(f"{model}, {seconds:g} s" for model, seconds in columns)]
    rows = []
    for idea in (AS_TRAINED, *IDEAS):
        cells = [cell(found.get((*column, idea))) for column in columns]
        if any(text != "-" for text in cells):
            rows.append((idea, *cells))
    return (
        f"{common.origin(result)}. Test MSE, and in brackets the coverage of 80 % intervals and the steps that fit "
        f"into so many CPU seconds of one thread, on a machine with other work.\n\n{common.table(heads, rows)}"
    )


def cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return "-"
    return f"{row['reconstruction_mse']:.4f} ({row['coverage_80']:.2f}; {row['steps']:,})"


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    runs = dict(text.split("=", 1) for text in given.runs)
    chosen = {name: idea for name, idea in IDEAS.items() if not given.only or name in given.only.split(";")}
    rows: list[dict[str, Any]] = common.kept(RESULT).get("rows", [])

    def add(**row: Any) -> None:
        row["seconds"] = given.seconds
        key = ("model", "seconds", "idea")
        rows[:] = [old for old in rows if any(old[name] != row[name] for name in key)] + [row]
        times = " or ".join(f"{seconds:g}" for seconds in sorted({row["seconds"] for row in rows}))
        command = f"python benchmarks/encoder_ideas.py NAME=RUN ... --seconds {times}"
        result = {**common.about(command), "rows": rows}
        common.write(RESULT, result, page(result))

    for name, path in runs.items():
        model, job = before_refit(RunDir(Path(path)))
        add(model=name, idea=AS_TRAINED, steps=0, **scored(model, job), **baselines(job.data, model.dim))
        for label, idea in chosen.items():
            steps = steps_in(given.seconds, model, idea, job)
            fresh = fitted(model, idea, steps, given.seed)
            add(model=name, idea=label, steps=steps, **scored(fresh, job))


if __name__ == "__main__":
    main()
