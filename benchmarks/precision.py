"""What bf16 costs and saves on this machine's processor: `python benchmarks/precision.py [--images PATH] [--speed]`

`--images PATH` trains mnist/aim at the cpu preset in bf16, three seeds, and compares the scores with those of the same
runs in float32, which benchmarks/table1.py has made (results/table1-mnist-cpu.json). A run that is done is not done
again (benchmarks/runs/precision, not in git). `--speed` measures how long a step takes in both, in turns in one
process, for small and large networks. Adds to benchmarks/results/precision.json and .md.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import common
import torch
from rich.console import Console

from aimgan.networks import Table4
from aimgan.paper.parallel import run_all
from aimgan.paper.training_run import TrainingRun
from aimgan.recipes import RECIPES
from aimgan.recipes.assemble import assemble, engine_of
from aimgan.recipes.presets import with_preset
from aimgan.recipes.recipe import Recipe

RESULT = common.RESULTS / "precision.json"
SEEDS = (0, 1, 2)
PRECISIONS = {"float32": "no", "bf16": "bf16"}
KEPT = {
    "reconstruction_mse": ("MSE [0, 1]", 4),
    "inception_score": ("Inception Score", 3),
    "frechet_distance": ("Frechet distance", 2),
    "class_preservation": ("class kept", 3),
    "coverage_80": ("coverage of 80 %", 3),
}
ROUNDS, SECONDS = 3, 1.0  # of steps in each precision, in turns


def folder_on_a_cpu() -> Recipe:
    recipe = with_preset(RECIPES["folder/aim"], "cpu")
    return replace(recipe, networks=replace(recipe.networks, shape=(3, 32, 32)))


NETWORKS = {
    "grid's MLPs": lambda: RECIPES["grid/aim"],
    "digits' MLPs": lambda: RECIPES["digits/aim"],
    "Table 3, a quarter of the width (mnist, cpu preset)": lambda: with_preset(RECIPES["mnist/aim"], "cpu"),
    "Table 3": lambda: RECIPES["mnist/aim"],
    "Table 4, 32 x 32, width 64 (folder, cpu preset)": folder_on_a_cpu,
    "Table 4, 32 x 32, width 256": lambda: replace(
        with_preset(RECIPES["cifar10/aim"], "cpu"), networks=Table4(shape=(3, 32, 32), width=256)
    ),
}


@dataclass
class Processor:
    """What the engine asks of an Accelerator; two of those in one process would share their precision."""

    mixed_precision: str
    device = torch.device("cpu")
    num_processes, process_index = 1, 0
    autocast = staticmethod(partial(torch.autocast, "cpu", torch.bfloat16))


def scores(images: str) -> list[dict[str, Any]]:
    """Train in bf16 what is not trained yet, and return the scores of every run in both precisions."""
    table = common.kept(common.RESULTS / "table1-mnist-cpu.json")
    found = {("float32", cell["seed"]): cell["scores"] for cell in table["cells"] if cell["method"] == "aim"}
    runs = [TrainingRun("mnist/aim", {"precision": "bf16"}, seed, preset="cpu", path=images) for seed in SEEDS]
    for run, outcome in zip(runs, run_all(runs, common.RUNS / "precision", 1, Console(stderr=True)), strict=True):
        if outcome.scores is None:
            raise SystemExit(f"{run.name}: {outcome.state}: {outcome.error}")
        found["bf16", run.seed] = outcome.scores
    return [
        {"precision": name, "seed": seed, **{key: value[key] for key in KEPT}} for (name, seed), value in found.items()
    ]


def speed(name: str) -> dict[str, Any]:
    """Return how many times faster a step is in bf16: the median of paired rounds, the smallest and the largest."""
    recipe = NETWORKS[name]()
    x = torch.rand(recipe.batch_size, *recipe.networks.shape)
    engines = [engine_of(recipe, assemble(recipe, 0), Processor(kind), 0) for kind in PRECISIONS.values()]  # type: ignore[arg-type]
    spent: list[list[float]] = [[], []]
    for number in range(ROUNDS + 1):
        for k in (0, 1) if number % 2 else (1, 0):
            begun, steps = time.process_time(), 0
            while (took := time.process_time() - begun) < SECONDS:
                engines[k].step(x, steps, recipe.lr)
                steps += 1
            if number:  # the first round warms up
                spent[k].append(took / steps)
    ratios = [a / b for a, b in zip(*spent, strict=True)]
    return {
        "networks": name, "float32_ms": 1e3 * statistics.median(spent[0]), "bf16_ms": 1e3 * statistics.median(spent[1]),
        "ratio": statistics.median(ratios), "least": min(ratios), "most": max(ratios),
    }  # fmt: skip


def page(result: dict[str, Any]) -> str:
    parts = []
    if "scores" in result:
        parts.append(f"{common.origin(result['scores'])}. mnist/aim, cpu preset, 3 epochs, one thread; mean ± sample "
                     "standard deviation over seeds 0, 1, 2.")  # fmt: skip
        parts.append(common.table(["precision", *(label for label, _ in KEPT.values())], quality(result["scores"])))
    if "speed" in result:
        parts.append(f"{common.origin(result['speed'])}. CPU time of a step, {ROUNDS} rounds in turns in one process: "
                     "the median ratio (smallest and largest).")  # fmt: skip
        rows = [
            (row["networks"], f"{row['float32_ms']:.1f}", f"{row['bf16_ms']:.1f}",
             f"{row['ratio']:.2f} ({row['least']:.2f} to {row['most']:.2f})")
            for row in result["speed"]["rows"]
        ]  # fmt: skip
        parts.append(common.table(["networks", "float32 ms", "bf16 ms", "float32 / bf16"], rows))
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def quality(result: dict[str, Any]) -> list[list[str]]:
    """Return a row of mean scores for each precision."""
    rows = []
    for name in PRECISIONS:
        own = [row for row in result["rows"] if row["precision"] == name]
        row = [name]
        for key, (_, digits) in KEPT.items():
            values = [one[key] for one in own]
            row.append(f"{statistics.fmean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}")
        rows.append(row)
    return rows


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--images", help="MNIST")
    parser.add_argument("--speed", action="store_true")
    given = parser.parse_args()
    result = common.kept(RESULT)
    if given.images:
        rows = scores(given.images)
        result["scores"] = {**common.about("python benchmarks/precision.py --images PATH"), "rows": rows}
    if given.speed:
        rows = [speed(name) for name in NETWORKS]
        result["speed"] = {**common.about("python benchmarks/precision.py --speed"), "rows": rows}
    common.write(RESULT, result, page(result))


if __name__ == "__main__":
    main()
