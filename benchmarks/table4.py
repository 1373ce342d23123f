"""The full Table 4 networks on CIFAR-10 at 64 x 64: shapes, arithmetic, memory and time of a few steps of AIM.

    python benchmarks/table4.py --data PATH [--steps 20] [--results DIR]

PATH is a folder with train.npz and test.npz. Trains `cifar10/aim` as it stands, batch 100, and checks that layer shapes
and parameter counts are those of the printed table, that a step has the formula's 839.9 GFLOP, that the losses are
finite, and that peak memory is below 2 x the uint8 data set + 1.5 GiB. Writes table4.json and .md, then fails if one of
them does not hold.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import common
import torch
from accelerate import Accelerator
from arithmetic import flops, formula
from rich.console import Console
from torch import Tensor, nn

from aimgan.model import to_range
from aimgan.recipes.assemble import assemble
from aimgan.recipes.resolving import fitted, prepared
from aimgan.runs.loading import loaded
from aimgan.training.adam import Adam
from aimgan.training.engine import Engine
from aimgan.training.loop import learning_rate

GIB = 2**30
GFLOP = 839.9  # of a step at batch 100 (science.md 3)
# Table 4 as science.md 3 settles it.
SHAPES = {
    "G": [(1024, 4, 4), (512, 8, 8), (256, 16, 16), (128, 32, 32), (3, 64, 64)],
    "D features": [(128, 32, 32), (256, 16, 16), (512, 8, 8), (1024, 4, 4)],
    "D head": [(1, 1, 1)],
    "E": [(512, 2, 2), (512, 1, 1), (256, 2, 2), (128, 2, 2), (64,), (64,), (64,), (64,)],
}
PARAMETERS = {"G": 12_068_611, "D features": 11_019_904, "D head": 16_385, "E": 13_216_384}


def networks_of(objective: Any) -> dict[str, nn.Module]:
    return {"G": objective.G, "D features": objective.D.features, "D head": objective.D.head, "E": objective.E}


@torch.no_grad()
def shapes(objective: Any) -> dict[str, list[tuple[int, ...]]]:
    """Return the shape that each layer with weights of each network gives for one image, in order."""
    networks = networks_of(objective)
    seen: dict[str, list[tuple[int, ...]]] = {name: [] for name in networks}
    for name, network in networks.items():
        network.eval()  # batch norm cannot take statistics of one image

        def note(layer: nn.Module, inputs: Any, output: Tensor, name: str = name) -> None:
            seen[name].append(tuple(output.shape[1:]))

        for layer in network.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                layer.register_forward_hook(note)
    f = objective.D.features(objective.G(torch.zeros(1, objective.prior.dim)))
    objective.D.head(f)
    objective.E(f)
    return seen


def trained(path: Path, steps: int) -> tuple[Any, Any, Any, list[dict[str, Any]], float]:
    """Train; return the recipe, the data, the objective, what each step took, and the memory once data were loaded."""
    recipe = prepared("cifar10/aim", path, steps=steps)
    data = loaded(recipe.data, Console(stderr=True))
    recipe = fitted(recipe, data)
    memory = common.peak_mib()
    objective = assemble(recipe, 0)
    engine = Engine(objective, Adam(recipe.beta1, recipe.beta2), Accelerator(cpu=True), ema=recipe.ema)
    epoch = data.epoch_size // recipe.batch_size
    rate = learning_rate(recipe.schedule, recipe.lr, steps, epoch, recipe.final_lr)
    taken: list[dict[str, Any]] = []
    for step in range(steps):
        log: dict[str, Tensor] = {}

        def take(step: int = step, log: dict[str, Tensor] = log) -> None:
            x = to_range(data.batch(0, step, recipe.batch_size), recipe.networks.value_range)
            log.update(engine.step(x, step, rate(step)))

        begun = time.perf_counter()
        flop = flops(take) if step == 0 else take()
        seconds = time.perf_counter() - begun
        taken.append({"seconds": seconds, "flop": flop, "log": {name: value.item() for name, value in log.items()}})
        print(f"step {step + 1} of {steps}: {seconds:.1f} s", file=sys.stderr, flush=True)
    return recipe, data, objective, taken, memory


def measure(path: Path, steps: int) -> dict[str, Any]:
    recipe, data, objective, taken, memory = trained(path, steps)
    peak = common.peak_mib()  # before anything below takes memory
    train, test = data.epoch_size, len(data.test())
    pixels = (train + test) * math.prod(recipe.networks.shape)
    few = torch.zeros(2, *recipe.networks.shape)
    by_formula = formula("aim", objective, few) * recipe.batch_size // 2  # every term is linear in the batch
    later = [one["seconds"] for one in taken[1:]] or [taken[0]["seconds"]]
    return {
        "batch": recipe.batch_size,
        "images": {"train": train, "test": test},
        "steps": steps,
        "parameters": {k: sum(p.numel() for p in v.parameters()) for k, v in networks_of(objective).items()},
        "shapes": shapes(objective),
        "flop": taken[0]["flop"],
        "flop_by_formula": by_formula,
        "seconds_a_step": statistics.median(later),
        "seconds_a_step_range": [min(later), max(later)],
        "data_gib": pixels / GIB,
        "loaded_peak_gib": memory / 1024,
        "peak_gib": peak / 1024,
        "bound_gib": 2 * pixels / GIB + 1.5,
        "first_losses": taken[0]["log"],
        "last_losses": taken[-1]["log"],
    }


def checks(r: dict[str, Any]) -> dict[str, bool]:
    """Return each claim, and whether it holds."""
    losses = [*r["first_losses"].values(), *r["last_losses"].values()]
    return {
        "layer shapes are Table 4's": r["shapes"] == SHAPES,
        "parameter counts are Table 4's": r["parameters"] == PARAMETERS,
        "counted FLOPs are the formula's": r["flop"] == r["flop_by_formula"],
        f"and within 0.1 % of {GFLOP} G": abs(r["flop"] / 1e9 * 100 / r["batch"] / GFLOP - 1) < 1e-3,
        "the losses are finite": all(map(math.isfinite, losses)),
        "peak memory is below 2 x the uint8 data set + 1.5 GiB": r["peak_gib"] < r["bound_gib"],
    }


def markdown(r: dict[str, Any]) -> str:
    low, high = r["seconds_a_step_range"]
    rows = [
        ("GFLOP, counted", f"{r['flop'] / 1e9:.1f}"),
        ("GFLOP, by the formula", f"{r['flop_by_formula'] / 1e9:.1f}"),
        ("seconds (median, range)", f"{r['seconds_a_step']:.1f} ({low:.1f} to {high:.1f})"),
        ("images a second", f"{r['batch'] / r['seconds_a_step']:.1f}"),
        ("data set in memory, GiB", f"{r['data_gib']:.2f}"),
        ("peak memory once it is loaded, GiB", f"{r['loaded_peak_gib']:.2f}"),
        ("peak memory, GiB (bound)", f"{r['peak_gib']:.2f} ({r['bound_gib']:.2f})"),
    ]
    claims = "".join(f"- {'holds' if held else 'FAILS'}: {claim}\n" for claim, held in checks(r).items())
    return (
        f"{common.origin(r)}. {r['images']['train']:,} training and {r['images']['test']:,} test images at 64 x 64, "
        f"batch {r['batch']}, {r['steps']} steps.\n\n{common.table(('of a step', ''), rows)}\n{claims}"
    )


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--results", type=Path, default=common.RESULTS)
    given = parser.parse_args()
    command = f"python benchmarks/table4.py --data PATH --steps {given.steps}"
    result = common.about(command) | measure(given.data, given.steps)
    common.write(given.results / "table4.json", result, markdown(result))
    if failed := [claim for claim, held in checks(result).items() if not held]:
        raise SystemExit("does not hold: " + "; ".join(failed))


if __name__ == "__main__":
    main()
