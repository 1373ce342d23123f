"""The full Table 4 networks on CIFAR-10 at 64 x 64: shapes, arithmetic, memory and time of a few steps of AIM.

    python benchmarks/table4.py --data PATH [--steps 20] [--results DIR]

PATH is a folder with train.npz and test.npz. Trains `cifar10/aim` as it stands, batch 100, and checks: layer shapes and
parameter counts against the printed table, FLOPs of a step against the formula's 839.9 G, the losses being finite, and
peak memory against 2 x the uint8 data set + 1.5 GiB. Writes table4.json and .md, then fails if a check did.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console
from step import RESULTS
from torch import Tensor, nn

from aimgan.model import to_range
from aimgan.recipes.assemble import assemble
from aimgan.recipes.recipe import Recipe
from aimgan.recipes.resolving import prepared
from aimgan.runs.loading import fitted, loaded
from aimgan.training.adam import Adam
from aimgan.training.engine import Engine
from aimgan.training.loop import learning_rate
from aimgan.training.run_dir import environment

sys.path.append(str(Path(__file__).parents[1] / "tests" / "helpers"))
from arithmetic import flops, formula

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
    """What each weighted layer of each network gives for an image, in order."""
    seen: dict[str, list[tuple[int, ...]]] = {}
    hooks = [
        layer.register_forward_hook(lambda _, __, y, name=name: seen.setdefault(name, []).append(tuple(y.shape[1:])))
        for name, network in networks_of(objective).items()
        for layer in network.modules()
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)
    ]
    was = {network: network.training for network in networks_of(objective).values()}
    for network in was:
        network.eval()  # running statistics stay as they are
    f = objective.D.features(objective.G(torch.zeros(1, objective.prior.dim)))
    objective.D.head(f), objective.E(f)
    for hook in hooks:
        hook.remove()
    for network, mode in was.items():
        network.train(mode)
    return seen


def peak_gib() -> float:
    """Largest resident memory of this process so far. Linux counts in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB


def batches_of(recipe: Recipe, data: Any) -> Callable[[int], Tensor]:
    return lambda step: to_range(data.batch(0, step, recipe.batch_size), recipe.networks.value_range)


def trained(engine: Engine, batch: Callable[[int], Tensor], rate: Callable[[int], float], steps: int) -> Iterator[dict]:
    """Take the steps; FLOPs are counted in the first."""
    for step in range(steps):
        log: dict[str, Tensor] = {}
        begun = time.perf_counter()

        def take(step: int = step, log: dict = log) -> None:
            log.update(engine.step(batch(step), step, rate(step)))

        flop = flops(take) if step == 0 else take()
        yield {"seconds": time.perf_counter() - begun, "flop": flop, "log": {k: v.item() for k, v in log.items()}}


def measure(path: Path, steps: int) -> dict:
    recipe = prepared("cifar10/aim", path, steps=steps)
    data = loaded(recipe.data, Console(stderr=True))
    recipe = fitted(recipe, data)
    loaded_gib = peak_gib()
    objective = assemble(recipe, 0)
    engine = Engine(objective, Adam(recipe.beta1, recipe.beta2), Accelerator(cpu=True), ema=recipe.ema)
    epoch = data.epoch_size // recipe.batch_size
    rate = learning_rate(recipe.schedule, recipe.lr, steps, epoch, recipe.final_lr)
    taken = []
    for one in trained(engine, batches_of(recipe, data), rate, steps):
        taken.append(one)
        print(f"step {len(taken)} of {steps}: {one['seconds']:.1f} s", file=sys.stderr, flush=True)
    peak = peak_gib()  # before anything below takes memory of its own
    n, test = data.epoch_size, len(data.test())
    pixels = (n + test) * int(torch.tensor(recipe.networks.shape).prod())
    few = torch.zeros(2, *recipe.networks.shape)
    by_formula = formula("aim", objective, few) * recipe.batch_size // 2  # every term is linear in the batch
    later = [one["seconds"] for one in taken[1:]] or [taken[0]["seconds"]]
    return {
        "command": f"python benchmarks/table4.py --data PATH --steps {steps}",
        "day": time.strftime("%Y-%m-%d"),
        "environment": environment(),
        "batch": recipe.batch_size,
        "images": {"train": n, "test": test},
        "steps": steps,
        "shapes": shapes(objective),
        "parameters": {k: sum(p.numel() for p in v.parameters()) for k, v in networks_of(objective).items()},
        "flop": taken[0]["flop"],
        "flop_by_formula": by_formula,
        "seconds_a_step": statistics.median(later),
        "seconds_a_step_range": [min(later), max(later)],
        "data_gib": pixels / GIB,
        "loaded_peak_gib": loaded_gib,
        "peak_gib": peak,
        "bound_gib": 2 * pixels / GIB + 1.5,
        "first_losses": taken[0]["log"],
        "last_losses": taken[-1]["log"],
    }


def checks(r: dict) -> dict[str, bool]:
    """Each claim, and whether it holds."""
    finite = all(abs(value) < float("inf") for value in [*r["first_losses"].values(), *r["last_losses"].values()])
    return {
        "layer shapes are Table 4's": {k: [*map(tuple, v)] for k, v in r["shapes"].items()} == SHAPES,
        "parameter counts are Table 4's": r["parameters"] == PARAMETERS,
        "counted FLOPs are the formula's": r["flop"] == r["flop_by_formula"],
        f"and within 0.1 % of {GFLOP} G": abs(r["flop"] / 1e9 * 100 / r["batch"] / GFLOP - 1) < 1e-3,
        "the losses are finite": finite,
        "peak memory is below 2 x the uint8 data set + 1.5 GiB": r["peak_gib"] < r["bound_gib"],
    }


def markdown(r: dict) -> str:
    machine = r["environment"]
    low, high = r["seconds_a_step_range"]
    lines = [
        f"`{r['command']}`: {r['day']}, {machine['processor']}, {machine['threads']} threads, torch {machine['torch']}."
        f" {r['images']['train']:,} training and {r['images']['test']:,} test images at 64 x 64, batch {r['batch']}, "
        f"{r['steps']} steps.",
        "",
        "| of a step | |",
        "| --- | --- |",
        f"| GFLOP, counted | {r['flop'] / 1e9:.1f} |",
        f"| GFLOP, by the formula | {r['flop_by_formula'] / 1e9:.1f} |",
        f"| seconds (median, range) | {r['seconds_a_step']:.1f} ({low:.1f} to {high:.1f}) |",
        f"| images a second | {r['batch'] / r['seconds_a_step']:.1f} |",
        f"| data set in memory, GiB | {r['data_gib']:.2f} |",
        f"| peak memory once it is loaded, GiB | {r['loaded_peak_gib']:.2f} |",
        f"| peak memory, GiB (bound) | {r['peak_gib']:.2f} ({r['bound_gib']:.2f}) |",
        "",
        *(f"- {'holds' if held else 'FAILS'}: {claim}" for claim, held in checks(r).items()),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    made = measure(given.data, given.steps)
    given.results.mkdir(parents=True, exist_ok=True)
    (given.results / "table4.json").write_text(json.dumps(made, indent=1) + "\n")
    (given.results / "table4.md").write_text(markdown(made))
    print(markdown(made))
    if failed := [claim for claim, held in checks(made).items() if not held]:
        raise SystemExit("does not hold: " + "; ".join(failed))


if __name__ == "__main__":
    main()
