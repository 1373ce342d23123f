"""What makes an encoder find the codes of real images, where G does not move? Ideas, each tried at equal steps.

    python benchmarks/encoder_ideas.py NAME=RUN ... [--steps 1000] [--seed 0] [--only IDEA,...]

For each finished run and each idea, an encoder is fitted to the run's frozen G by equation 8 for E alone, on generated
images and no others, and scored on the run's test images. "The recipe" is what runs/refit.py does: a trunk of its own,
Gaussian noise of 0.1 on the images, the likelihood weighted by the variance, batches of 128, a cosine rate from 1e-3.
Each idea changes one thing of it. Adds to benchmarks/results/encoder_ideas.json and .md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import common
import torch
from folder_runs import before_refit, scored
from torch import Tensor, nn
from torch.nn import functional as F

from aimgan import noise
from aimgan.evaluation.evaluate import baselines
from aimgan.model import LatentVariableModel
from aimgan.model_config import with_own_encoder
from aimgan.networks.own_encoder import WIDTH, own_encoder
from aimgan.objectives import Update
from aimgan.objectives.base import Prior
from aimgan.objectives.terms import gaussian_nll, likelihood_loss
from aimgan.runs.refit import BATCH, LR, NOISE
from aimgan.training.adam import Adam
from aimgan.training.engine import Engine
from aimgan.training.loop import learning_rate
from aimgan.training.processes import accelerator_for
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


@dataclass(frozen=True)
class Idea:
    """What an encoder is fitted with."""

    change: Change = AS_NOW
    width: int = WIDTH
    batch: int = BATCH
    rate: float = LR
    beta: float = 1.0  # of the weighting by the variance; 0 is equation 8 as it stands
    prior_scale: float = 1.0  # codes are drawn from N(0, prior_scale^2)
    keeps_E: bool = False  # begins with the E that was trained with G, and D's features, all of it trained


IDEAS = {
    "the recipe": Idea(),
    "no noise": Idea(white(0.0)),
    "noise 0.05": Idea(white(0.05)),
    "noise 0.2": Idea(white(0.2)),
    "noise of any strength to 0.2": Idea(of_any_strength(0.2)),
    "coarse noise 0.1, 8 x 8": Idea(coarse(0.1, 8)),
    "mixed with up to 0.2 of another image": Idea(mixed(0.2)),
    "a square of 8 x 8 of another image": Idea(erased(8)),
    "contrast and brightness by up to 0.2": Idea(brightness(0.2)),
    "half as wide": Idea(width=WIDTH // 2),
    "twice as wide": Idea(width=2 * WIDTH),
    "batches of 256": Idea(batch=2 * BATCH),
    "rate 2e-3": Idea(rate=2e-3),
    "equation 8 unweighted": Idea(beta=0.0),
    "codes from N(0, 1.3^2)": Idea(prior_scale=1.3),
    "begun with the E trained with G": Idea(keeps_E=True),
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


def fitted(model: LatentVariableModel, idea: Idea, steps: int, seed: int) -> LatentVariableModel:
    """Return the model with an encoder that was fitted with an idea."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        E = deepcopy(model.E).train() if idea.keeps_E else own_encoder(model.shape, model.dim, idea.width)
    G = deepcopy(model.G).eval().requires_grad_(False)
    objective = Fit(E.requires_grad_(True), G, model.prior, idea, model.value_range or (0.0, 1.0))
    engine = Engine(objective, Adam(0.9), accelerator_for("cpu"), seed, ema=0.99)
    rate = learning_rate("cosine", idea.rate, steps, steps)
    for step in range(steps):
        engine.step(torch.empty(idea.batch, 1), step, rate(step))
    config = model.config if idea.keeps_E else with_own_encoder(model.config, idea.width)
    return LatentVariableModel(model.G, engine.inference_networks["E"], model.prior, config)


def page(result: dict[str, Any]) -> str:
    names = list(dict.fromkeys(row["model"] for row in result["rows"]))
    ideas = list(dict.fromkeys(row["idea"] for row in result["rows"]))
    found = {(row["model"], row["idea"]): row for row in result["rows"]}
    heads = ["idea", *(f"{name}: {what}" for name in names for what in ("MSE", "coverage of 80 %", "CPU s"))]
    rows = []
    for idea in ideas:
        cells = [idea]
        for name in names:
            row = found.get((name, idea))
            if row is None:
                cells += ["-"] * 3
            else:
                cells += [f"{row['reconstruction_mse']:.4f}", f"{row['coverage_80']:.2f}", f"{row['seconds']:.0f}"]
        rows.append(cells)
    return f"{common.origin(result)}. {result['steps']:,} steps each.\n\n" + common.table(heads, rows)


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    runs = dict(text.split("=", 1) for text in given.runs)
    chosen = {name: idea for name, idea in IDEAS.items() if not given.only or name in given.only.split(",")}
    command = f"python benchmarks/encoder_ideas.py {' '.join(f'{name}=RUN' for name in runs)} --steps {given.steps}"
    rows: list[dict[str, Any]] = common.kept(RESULT).get("rows", [])

    def add(**row: Any) -> None:
        rows[:] = [old for old in rows if (old["model"], old["idea"]) != (row["model"], row["idea"])] + [row]
        result = {**common.about(command), "steps": given.steps, "rows": rows}
        common.write(RESULT, result, page(result))

    for name, path in runs.items():
        model, job = before_refit(RunDir(Path(path)))
        add(model=name, idea="as trained", seconds=0.0, **scored(model, job), **baselines(job.data, model.dim))
        for label, idea in chosen.items():
            begin = time.process_time()
            fresh = fitted(model, idea, given.steps, given.seed)
            seconds = time.process_time() - begin
            add(model=name, idea=label, seconds=seconds, **scored(fresh, job))


if __name__ == "__main__":
    main()
