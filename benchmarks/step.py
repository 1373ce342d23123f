"""What a step costs: the engine against the textbook loop, in one run, and against the machine's matrix-multiply peak.

    python benchmarks/step.py

Both sides train the same networks with the same losses and fused Adam, in turns. Writes benchmarks/results/step.json
and .md. Only ratios of one run should be compared: machines are shared and noisy.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator
from textbook import Textbook
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from aimgan.experiments.assemble import assemble
from aimgan.experiments.recipes import RECIPES
from aimgan.train.adam import Adam
from aimgan.train.engine import Engine
from aimgan.train.run_dir import environment

RESULTS = Path(__file__).parent / "results"
GROUPS = {
    "matrix products and convolutions": ("mm", "addmm", "convolution", "mkldnn_convolution", "convolution_backward"),
    "batch norm": ("batch_norm", "native_batch_norm", "native_batch_norm_backward"),
    "Adam": ("_fused_adam_", "_foreach_add_"),
}


def seconds(call: Callable[[int], object], steps: int) -> float:
    begun = time.perf_counter()
    for step in range(steps):
        call(step)
    return (time.perf_counter() - begun) / steps


def gemm_peak() -> float:
    """FLOP/s of the best of a few large single-precision products."""
    best = 0.0
    for n in (1024, 2048):
        a, b = torch.randn(n, n), torch.randn(n, n)
        a @ b
        best = max(best, *(2 * n**3 / seconds(lambda _, a=a, b=b: a @ b, 1) for _ in range(8)))
    return best


def breakdown(call: Callable[[int], object], steps: int) -> dict[str, float]:
    """Share of the step's wall time in torch's kernels, by kind; the rest is Python and dispatch."""
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        wall = seconds(call, steps) * steps
    spent = {
        event.key.removeprefix("aten::"): event.self_cpu_time_total / 1e6
        for event in recorded.key_averages()
        if event.key.startswith("aten::")
    }
    shares = {name: sum(spent.get(key, 0.0) for key in keys) / wall for name, keys in GROUPS.items()}
    shares["element-wise and other kernels"] = (sum(spent.values()) / wall) - sum(shares.values())
    shares["Python, dispatch, autograd's own work"] = 1 - sum(shares.values())
    return shares


def compare(name: str, recipe_name: str, rounds: int, steps: int) -> dict:
    recipe = RECIPES[recipe_name]
    engine = Engine(assemble(recipe, 0), Adam(), Accelerator(cpu=True))
    textbook = Textbook(assemble(recipe, 0), recipe.lr, (recipe.beta1, recipe.beta2))
    batches = [torch.rand(recipe.batch_size, *recipe.networks.shape) for _ in range(steps)]

    def ours(step: int) -> None:
        engine.step(batches[step], step, recipe.lr)

    def theirs(step: int) -> None:
        textbook.step(batches[step])

    for warm in (ours, theirs):
        seconds(warm, steps)
    with FlopCounterMode(display=False) as counter:
        ours(0)
    with FlopCounterMode(display=False) as textbook_counter:
        theirs(0)
    pairs = [(seconds(ours, steps), seconds(theirs, steps)) for _ in range(rounds)]
    peak = gemm_peak()
    engine_ms = 1e3 * statistics.median(a for a, _ in pairs)
    return {
        "name": name,
        "batch": recipe.batch_size,
        "engine_ms": engine_ms,
        "textbook_ms": 1e3 * statistics.median(b for _, b in pairs),
        "ratio": statistics.median(b / a for a, b in pairs),
        "ratio_min": min(b / a for a, b in pairs),
        "ratio_max": max(b / a for a, b in pairs),
        "gflop": counter.get_total_flops() / 1e9,
        "textbook_gflop": textbook_counter.get_total_flops() / 1e9,
        "gemm_peak_gflops": peak / 1e9,
        "fraction_of_peak": counter.get_total_flops() / (engine_ms / 1e3) / peak,
        "where": breakdown(ours, steps),
    }


def markdown(rows: list[dict], machine: dict) -> str:
    lines = [
        "| networks | engine ms | textbook ms | textbook / engine | GFLOP (textbook) | of GEMM peak |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for r in rows:
        ratio = f"{r['ratio']:.2f} ({r['ratio_min']:.2f} to {r['ratio_max']:.2f})"
        peak = f"{100 * r['fraction_of_peak']:.0f} % of {r['gemm_peak_gflops']:.0f} GFLOP/s"
        lines.append(
            f"| {r['name']}, batch {r['batch']} | {r['engine_ms']:.2f} | {r['textbook_ms']:.2f} | {ratio} "
            f"| {r['gflop']:.3f} ({r['textbook_gflop']:.3f}) | {peak} |"
        )
    where = [
        f"- {r['name']}: " + ", ".join(f"{name} {100 * share:.0f} %" for name, share in r["where"].items())
        for r in rows
    ]
    day, processor, threads = time.strftime("%Y-%m-%d"), machine["processor"], machine["threads"]
    head = f"`python benchmarks/step.py`: {day}, {processor}, {threads} threads"
    where_title = "Where a step of the engine goes (under the profiler, which itself slows small kernels):"
    parts = [
        f"{head}, torch {machine['torch']}. Medians of paired rounds.",
        "\n".join(lines),
        where_title,
        "\n".join(where),
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    rows = [
        compare("grid's MLPs", "grid/aim", rounds=15, steps=100),
        compare("Table 3", "mnist/aim", rounds=7, steps=4),
    ]
    machine = environment()
    (RESULTS / "step.json").write_text(
        json.dumps({"command": "python benchmarks/step.py", "environment": machine, "rows": rows}, indent=1) + "\n"
    )
    (RESULTS / "step.md").write_text(markdown(rows, machine))
    sys.stdout.write(markdown(rows, machine))


if __name__ == "__main__":
    main()
