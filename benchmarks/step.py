"""What a step costs: the engine against the textbook loop, in one run, and against the machine's matrix-multiply peak.

    python benchmarks/step.py [--only table3,table4] [--rounds N] [--steps N]
    python benchmarks/step.py --only table4 --device cuda --variant bf16+channels-last+graph

Both sides train the same networks with the same losses and fused Adam, in turns. Only ratios of one run should be
compared: machines are shared and noisy. By arithmetic alone the ratio is that of the FLOPs. A variant is of the engine:
`graph`, `channels-last`; or of both sides: `tf32`, `bf16`. Adds its rows to benchmarks/results/step.json and .md, in
place of rows of the same networks, device and variant.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from textbook import Textbook
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from aimgan.networks import Table4
from aimgan.recipes import RECIPES
from aimgan.recipes.assemble import assemble
from aimgan.recipes.recipe import Recipe
from aimgan.training.adam import Adam
from aimgan.training.engine import Engine
from aimgan.training.graph import WARM_UP
from aimgan.training.precision import float32_products, mixed
from aimgan.training.run_dir import environment

RESULTS = Path(__file__).parent / "results"
GROUPS = {
    "matrix products and convolutions": ("mm", "addmm", "convolution", "mkldnn_convolution", "convolution_backward",
                                         "cudnn_convolution", "cudnn_convolution_transpose"),
    "batch norm": ("batch_norm", "native_batch_norm", "native_batch_norm_backward", "cudnn_batch_norm",
                   "cudnn_batch_norm_backward"),
    "Adam": ("_fused_adam_", "_foreach_add_"),
}  # fmt: skip
REST, PYTHON = "element-wise and other kernels", "Python, dispatch, autograd's own work"
VARIANTS = ("plain", "channels-last", "graph", "tf32", "bf16")


@dataclass(frozen=True)
class Networks:
    """A row's recipe, and how it is measured unless flags say otherwise."""

    label: str
    recipe: Recipe
    rounds: int
    steps: int


NETWORKS = {
    "grid": Networks("grid's MLPs", RECIPES["grid/aim"], 15, 100),
    "table3": Networks("Table 3", RECIPES["mnist/aim"], 7, 4),
    "table4": Networks("Table 4", RECIPES["cifar10/aim"], 3, 1),
    "table4-32": Networks(
        "Table 4, 32 x 32, width 256",
        replace(RECIPES["cifar10/aim"], networks=Table4(shape=(3, 32, 32), width=256)), 5, 2,
    ),
}  # fmt: skip


def wait(device: str) -> None:
    """Wait for what a GPU was given to do."""
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(call: Callable[[int], object], steps: int, device: str = "cpu") -> float:
    wait(device)
    begun = time.perf_counter()
    for step in range(steps):
        call(step)
    wait(device)
    return (time.perf_counter() - begun) / steps


def gemm_peak(device: str = "cpu", dtype: torch.dtype = torch.float32) -> float:
    """FLOP/s of the best of a few large products."""
    best = 0.0
    for n in (1024, 2048) if device == "cpu" else (4096, 8192):
        a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
        a @ b
        best = max(best, *(2 * n**3 / seconds(lambda _, a=a, b=b: a @ b, 1, device) for _ in range(8)))
    return best


def breakdown(call: Callable[[int], object], steps: int, device: str) -> dict[str, float]:
    """Share of the step's wall time in torch's kernels, by kind; the rest is Python and dispatch."""
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    with profile(activities=kinds) as recorded:
        wall = seconds(call, steps, device) * steps
    clock = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    spent = {
        event.key.removeprefix("aten::"): getattr(event, clock) / 1e6
        for event in recorded.key_averages()
        if event.key.startswith("aten::")
    }
    shares = {name: sum(spent.get(key, 0.0) for key in keys) / wall for name, keys in GROUPS.items()}
    shares[REST] = (sum(spent.values()) / wall) - sum(shares.values())
    shares[PYTHON] = 1 - sum(shares.values())
    return shares


@dataclass(frozen=True)
class Variant:
    """How the engine runs."""

    precision: str
    channels_last: bool
    graph: bool

    @property
    def dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.precision == "bf16" else torch.float32


def variant_of(name: str) -> Variant:
    """`bf16+graph` -> its parts."""
    parts = name.split("+")
    if unknown := set(parts) - set(VARIANTS):
        raise SystemExit(f"variant {min(unknown)}; expected some of {', '.join(VARIANTS)}, with + between")
    precision = next((part for part in parts if part in ("tf32", "bf16")), "no")
    return Variant(precision, "channels-last" in parts, "graph" in parts)


Step = Callable[[int], object]


def both(recipe: Recipe, device: str, variant: Variant, steps: int) -> tuple[Step, Step]:
    """A step of the engine and one of the textbook loop, on the same batches."""
    accelerator = Accelerator(cpu=device == "cpu", mixed_precision=mixed(variant.precision))
    rule, form = Adam(recipe.beta1, recipe.beta2), {"channels_last": variant.channels_last, "graph": variant.graph}
    engine = Engine(assemble(recipe, 0, device), rule, accelerator, **form)
    textbook = Textbook(assemble(recipe, 0, device), recipe.lr, (recipe.beta1, recipe.beta2))
    batches = [torch.rand(recipe.batch_size, *recipe.networks.shape, device=device) for _ in range(steps)]
    number = iter(range(sys.maxsize))  # a graph's first steps are its warm-up: no step is taken twice

    def ours(step: int) -> None:
        engine.step(batches[step], next(number), recipe.lr)

    def theirs(step: int) -> None:
        half = torch.autocast(device, torch.bfloat16) if variant.precision == "bf16" else nullcontext()
        with half:
            textbook.step(batches[step])

    return ours, theirs


def flops(call: Step) -> int:
    """FLOPs of a step, which also warms it."""
    with FlopCounterMode(display=False) as counter:
        call(0)
    return counter.get_total_flops()


def paired(ours: Step, theirs: Step, rounds: int, steps: int, device: str) -> list[tuple[float, float]]:
    """Seconds a step of both, round by round, each first in every second one."""
    pairs = []
    for k in range(rounds):
        order = (ours, theirs) if k % 2 == 0 else (theirs, ours)
        spent = {call: seconds(call, steps, device) for call in order}
        pairs.append((spent[ours], spent[theirs]))
    return pairs


def compare(networks: Networks, device: str, name: str, rounds: int, steps: int) -> dict:
    variant, batch = variant_of(name), networks.recipe.batch_size
    with float32_products(variant.precision, device):
        ours, theirs = both(networks.recipe, device, variant, steps)
        flop, textbook_flop = flops(ours), flops(theirs)
        for _ in range(WARM_UP + 1 if variant.graph else 0):
            ours(0)
        pairs = paired(ours, theirs, rounds, steps, device)
        peak = gemm_peak(device, variant.dtype)
        where = {} if variant.graph and device == "cuda" else breakdown(ours, steps, device)
    engine_s, textbook_s = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratios = [b / a for a, b in pairs]
    return {
        "name": networks.label,
        "device": device,
        "variant": name,
        "batch": batch,
        "rounds": rounds,
        "steps": steps,
        "engine_ms": 1e3 * engine_s,
        "textbook_ms": 1e3 * textbook_s,
        "images_per_second": batch / engine_s,
        "textbook_images_per_second": batch / textbook_s,
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "gflop": flop / 1e9,
        "textbook_gflop": textbook_flop / 1e9,
        "flop_ratio": textbook_flop / flop,
        "gemm_peak_gflops": peak / 1e9,
        "fraction_of_peak": flop / engine_s / peak,
        "adam_share": where.get("Adam"),
        "where": where,
    }


def key(row: dict) -> tuple[str, str, str]:
    return row["name"], row.get("device", "cpu"), row.get("variant", "plain")


def merged(old: list[dict], new: list[dict]) -> list[dict]:
    """The old rows with the new in the place of their likes, in the order of NETWORKS."""
    rows = {key(row): row for row in [*old, *new]}
    order = [networks.label for networks in NETWORKS.values()]
    return sorted(rows.values(), key=lambda row: (order.index(row["name"]), *key(row)[1:]))


def line(r: dict) -> str:
    ratio = f"{r['ratio']:.2f} ({r['ratio_min']:.2f} to {r['ratio_max']:.2f})"
    adam = "" if r["adam_share"] is None else f"{100 * r['adam_share']:.0f} %"
    return (
        f"| {r['name']}, batch {r['batch']} | {r['device']}, {r['environment']['threads']} threads, {r['variant']} "
        f"| {r['engine_ms']:.2f} | {r['textbook_ms']:.2f} "
        f"| {r['images_per_second']:,.0f} ({r['textbook_images_per_second']:,.0f}) | {ratio} | {r['flop_ratio']:.2f} "
        f"| {r['gflop']:.3f} ({r['textbook_gflop']:.3f}) | {adam} "
        f"| {100 * r['fraction_of_peak']:.0f} % of {r['gemm_peak_gflops']:.0f} GFLOP/s |"
    )


def markdown(rows: list[dict]) -> str:
    table = [
        "| networks | where | engine ms | textbook ms | images/s (textbook) | textbook / engine | by FLOPs alone "
        "| GFLOP (textbook) | Adam | of GEMM peak |",
        "| --- " * 10 + "|",
        *map(line, rows),
    ]
    where = [
        f"- {r['name']}, {r['device']}, {r['variant']}: "
        + ", ".join(f"{name} {100 * share:.0f} %" for name, share in r["where"].items())
        for r in rows
        if r["where"]
    ]
    machines = dict.fromkeys(
        f"`{r['command']}`: {r['day']}, {r['environment']['processor']}, torch {r['environment']['torch']}."
        for r in rows
    )
    parts = [
        "\n".join(machines),
        "Medians of paired rounds (smallest and largest ratio).",
        "\n".join(table),
        "Where a step of the engine goes (under the profiler, which itself slows small kernels):",
        "\n".join(where),
    ]
    return "\n\n".join(parts) + "\n"


def write(new: list[dict], folder: Path) -> str:
    """Merge rows into the results and return them as markdown. Rows of before this form are dropped."""
    path = folder / "step.json"
    old = json.loads(path.read_text())["rows"] if path.exists() else []
    rows = merged([row for row in old if "environment" in row], new)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
    (folder / "step.md").write_text(markdown(rows))
    return markdown(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="grid,table3,table4", help=f"of {', '.join(NETWORKS)}, with commas between")
    parser.add_argument("--rounds", type=int, help="paired rounds, instead of the networks' own number")
    parser.add_argument("--steps", type=int, help="steps a round")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--variant", default="plain", help=f"some of {', '.join(VARIANTS)}, with + between")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    if unknown := set(given.only.split(",")) - set(NETWORKS):
        parser.error(f"--only {min(unknown)}; expected some of {', '.join(NETWORKS)}")
    command = " ".join(["python benchmarks/step.py", *sys.argv[1:]])
    about = {"command": command, "day": time.strftime("%Y-%m-%d"), "environment": environment()}
    if given.device == "cuda":
        about["environment"]["processor"] = torch.cuda.get_device_name()
    rows = []
    for name in given.only.split(","):
        networks = NETWORKS[name]
        rounds, steps = given.rounds or networks.rounds, given.steps or networks.steps
        rows.append(compare(networks, given.device, given.variant, rounds, steps) | about)
        print(line(rows[-1]), file=sys.stderr, flush=True)
    print(write(rows, given.results))


if __name__ == "__main__":
    main()
