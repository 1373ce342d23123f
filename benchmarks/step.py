"""What a step of AIM costs: the engine against the textbook loop, and against the machine's matrix products.

    python benchmarks/step.py [--only table3,table4] [--rounds N] [--steps N]
    python benchmarks/step.py --only table4 --device cuda --rounds 9 --steps 100 --variant bf16+channels-last+graph

The textbook loop is what public code does: fresh noise and forward passes of its own for each player, `backward()`,
and updates that alternate. Both sides have the same networks, losses and fused Adam, and take turns. Only the ratios
of one run should be compared, since machines are shared and noisy. A variant changes the engine (`graph`, `compile`,
`channels-last`, `engine-bf16`) or both sides (`tf32`, `bf16`). The new rows replace those of the same networks, device
and variant in benchmarks/results/step.json and .md.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import common
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from aimgan.networks import Table4
from aimgan.objectives.terms import fake, gaussian_nll, likelihood_loss, real
from aimgan.recipes import RECIPES
from aimgan.recipes.assemble import assemble
from aimgan.recipes.recipe import Recipe
from aimgan.training.adam import Adam
from aimgan.training.engine import Engine
from aimgan.training.graph import WARM_UP
from aimgan.training.precision import float32_products, mixed

Step = Callable[[int], object]
KERNELS = {  # of torch, by what they do
    "matrix products and convolutions": ("mm", "addmm", "convolution", "mkldnn_convolution", "convolution_backward",
                                         "cudnn_convolution", "cudnn_convolution_transpose"),
    "batch norm": ("batch_norm", "native_batch_norm", "native_batch_norm_backward", "cudnn_batch_norm",
                   "cudnn_batch_norm_backward"),
    "Adam": ("_fused_adam_", "_foreach_add_"),
}  # fmt: skip
REST, PYTHON = "element-wise and other kernels", "Python, dispatch, autograd's own work"
VARIANTS = ("plain", "channels-last", "graph", "compile", "engine-bf16", "tf32", "bf16")


@dataclass(frozen=True)
class Networks:
    """A row's recipe, and how many rounds and steps are measured unless flags say otherwise."""

    label: str
    recipe: Recipe
    rounds: int
    steps: int


SMALL_TABLE_4 = replace(RECIPES["cifar10/aim"], networks=Table4(shape=(3, 32, 32), width=256))
NETWORKS = {
    "grid": Networks("grid's MLPs", RECIPES["grid/aim"], 15, 100),
    "table3": Networks("Table 3", RECIPES["mnist/aim"], 7, 4),
    "table4": Networks("Table 4", RECIPES["cifar10/aim"], 3, 1),
    "table4-32": Networks("Table 4, 32 x 32, width 256", SMALL_TABLE_4, 5, 2),
}


class Textbook:
    """AIM as a textbook loop: D moves first, then G and E, which see the moved D."""

    def __init__(self, objective: Any, recipe: Recipe) -> None:
        self.objective = objective
        parts = {"D": [objective.D], "G and E": [objective.G, objective.E]}
        self.optimizers = {}
        for name, networks in parts.items():
            parameters = [parameter for network in networks for parameter in network.parameters()]
            betas = (recipe.beta1, recipe.beta2)
            self.optimizers[name] = torch.optim.Adam(parameters, lr=recipe.lr, betas=betas, fused=True)

    def step(self, x: Tensor) -> None:
        o = self.objective
        images = o.G(o.prior.sample(len(x))).detach()
        self.move("D", real(o.D(x)) + fake(o.D(images)))

        z = o.prior.sample(len(x))
        features = o.D.features(o.G(z))
        q = o.E(features)
        beta = o.beta if o.weighting == "both" else 0.0
        nll = likelihood_loss(gaussian_nll(q, z), q, beta)
        self.move("G and E", real(o.D.head(features)) + o.weight * nll)

    def move(self, name: str, loss: Tensor) -> None:
        self.optimizers[name].zero_grad()
        loss.backward()
        self.optimizers[name].step()


def seconds(call: Step, steps: int, device: str) -> float:
    """Return the seconds a step takes. A GPU is waited for before and after."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    wait()
    begun = time.perf_counter()
    for step in range(steps):
        call(step)
    wait()
    return (time.perf_counter() - begun) / steps


def gemm_peak(device: str, dtype: torch.dtype) -> float:
    """Return the FLOP/s of the best of a few large matrix products."""
    best = 0.0
    for n in (1024, 2048) if device == "cpu" else (4096, 8192):
        a = torch.randn(n, n, device=device, dtype=dtype)
        seconds(lambda _, a=a: a @ a, 1, device)
        for _ in range(8):
            best = max(best, 2 * n**3 / seconds(lambda _, a=a: a @ a, 1, device))
    return best


def breakdown(call: Step, steps: int, device: str) -> dict[str, float]:
    """Return the share of a step's time that torch's kernels take, by kind; the rest is Python and dispatch."""
    kinds = [ProfilerActivity.CPU]
    if device == "cuda":
        kinds.append(ProfilerActivity.CUDA)
    with profile(activities=kinds) as recorded:
        wall = seconds(call, steps, device) * steps
    clock = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    shares = dict.fromkeys([*KERNELS, REST], 0.0)
    for event in recorded.key_averages():
        if event.key.startswith("aten::"):
            kernel = event.key.removeprefix("aten::")
            kind = next((kind for kind, kernels in KERNELS.items() if kernel in kernels), REST)
            shares[kind] += getattr(event, clock) / 1e6 / wall
    return {**shares, PYTHON: 1 - sum(shares.values())}


def both(recipe: Recipe, device: str, variant: set[str], steps: int) -> tuple[Step, Step, Callable[[], None]]:
    """Return a step of the engine and one of the textbook loop, on the same batches, and what compiles the first."""
    precision = precision_of(variant)
    accelerator = Accelerator(cpu=device == "cpu", mixed_precision=mixed(precision))
    rule = Adam(recipe.beta1, recipe.beta2)
    engine = Engine(assemble(recipe, 0, device), rule, accelerator, channels_last="channels-last" in variant)
    if "graph" in variant:
        engine.use_graph()
    textbook = Textbook(assemble(recipe, 0, device), recipe)
    batches = [torch.rand(recipe.batch_size, *recipe.networks.shape, device=device) for _ in range(steps)]
    number = count()  # the first steps warm a graph up, so no number may come twice

    def ours(step: int) -> None:
        engine.step(batches[step], next(number), recipe.lr)

    def theirs(step: int) -> None:
        half = torch.autocast(device, torch.bfloat16) if "bf16" in variant else nullcontext()
        with half:
            textbook.step(batches[step])

    def compile_ours() -> None:
        if "compile" in variant:
            engine.compile(batches[0])

    return ours, theirs, compile_ours


def precision_of(variant: set[str]) -> str:
    """Return the precision of the engine."""
    if "tf32" in variant:
        return "tf32"
    return "bf16" if variant & {"bf16", "engine-bf16"} else "no"


def flops(call: Step) -> int:
    """Return the FLOPs of a step, which also warms it."""
    with FlopCounterMode(display=False) as counter:
        call(0)
    return counter.get_total_flops()


def compare(networks: Networks, device: str, name: str, rounds: int, steps: int) -> dict[str, Any]:
    """Measure one row. The side that is first changes from round to round."""
    variant = set(name.split("+"))
    graph = "graph" in variant
    dtype = torch.bfloat16 if precision_of(variant) == "bf16" else torch.float32
    with float32_products(precision_of(variant), device):
        ours, theirs, compile_ours = both(networks.recipe, device, variant, steps)
        flop, textbook_flop = flops(ours), flops(theirs)
        compile_ours()
        for _ in range(WARM_UP + 1 if graph else 0):
            ours(0)
        spent: dict[Step, list[float]] = {ours: [], theirs: []}
        for k in range(rounds):
            for call in (ours, theirs) if k % 2 == 0 else (theirs, ours):
                spent[call].append(seconds(call, steps, device))
        peak = gemm_peak(device, dtype)
        named = "compile" not in variant and not (graph and device == "cuda")  # by the kernels that torch names
        where = breakdown(ours, steps, device) if named else {}
    engine_s, textbook_s = statistics.median(spent[ours]), statistics.median(spent[theirs])
    ratios = [b / a for a, b in zip(spent[ours], spent[theirs], strict=True)]
    batch = networks.recipe.batch_size
    return {
        "name": networks.label, "device": device, "variant": name, "batch": batch, "rounds": rounds, "steps": steps,
        "engine_ms": 1e3 * engine_s, "textbook_ms": 1e3 * textbook_s,
        "images_per_second": batch / engine_s, "textbook_images_per_second": batch / textbook_s,
        "ratio": statistics.median(ratios), "ratio_min": min(ratios), "ratio_max": max(ratios),
        "gflop": flop / 1e9, "textbook_gflop": textbook_flop / 1e9, "flop_ratio": textbook_flop / flop,
        "gemm_peak_gflops": peak / 1e9, "fraction_of_peak": flop / engine_s / peak,
        "adam_share": where.get("Adam"), "where": where,
    }  # fmt: skip


def key(row: dict[str, Any]) -> tuple[int, str, str]:
    labels = [networks.label for networks in NETWORKS.values()]
    return labels.index(row["name"]), row["device"], row["variant"]


def line(r: dict[str, Any]) -> list[str]:
    adam = "" if r["adam_share"] is None else f"{100 * r['adam_share']:.0f} %"
    return [
        f"{r['name']}, batch {r['batch']}",
        f"{r['device']}, {r['environment']['threads']} threads, {r['variant']}",
        f"{r['engine_ms']:.2f}",
        f"{r['textbook_ms']:.2f}",
        f"{r['images_per_second']:,.0f} ({r['textbook_images_per_second']:,.0f})",
        f"{r['ratio']:.2f} ({r['ratio_min']:.2f} to {r['ratio_max']:.2f})",
        f"{r['flop_ratio']:.2f}",
        f"{r['gflop']:.3f} ({r['textbook_gflop']:.3f})",
        adam,
        f"{100 * r['fraction_of_peak']:.0f} % of {r['gemm_peak_gflops']:.0f} GFLOP/s",
    ]


COLUMNS = ("networks", "where", "engine ms", "textbook ms", "images/s (textbook)", "textbook / engine",
           "by FLOPs alone", "GFLOP (textbook)", "Adam", "of GEMM peak")  # fmt: skip


def markdown(rows: list[dict[str, Any]]) -> str:
    machines = [
        f"`{r['command']}`: {r['day']}, {r['environment']['processor']}, torch {r['environment']['torch']}."
        for r in rows
    ]
    where = []
    for r in rows:
        if r["where"]:
            shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in r["where"].items())
            where.append(f"- {r['name']}, {r['device']}, {r['variant']}: {shares}")
    parts = [
        "\n".join(dict.fromkeys(machines)),
        "Medians of paired rounds (smallest and largest ratio).",
        common.table(COLUMNS, [line(row) for row in rows]).rstrip(),
        "Where a step of the engine goes (under the profiler, which itself slows small kernels):",
        "\n".join(where),
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--only", default="grid,table3,table4", help=f"of {', '.join(NETWORKS)}, with commas between")
    parser.add_argument("--rounds", type=int, help="paired rounds, instead of the networks' own number")
    parser.add_argument("--steps", type=int, help="steps a round")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--variant", default="plain", help=f"some of {', '.join(VARIANTS)}, with + between")
    parser.add_argument("--results", type=Path, default=common.RESULTS)
    given = parser.parse_args()
    names, variant = given.only.split(","), given.variant.split("+")
    for flag, asked, known in (("--only", names, NETWORKS), ("--variant", variant, VARIANTS)):
        if unknown := set(asked) - set(known):
            parser.error(f"{flag} {min(unknown)}; expected some of {', '.join(known)}")
    record = common.about()
    record["day"] = record.pop("date")
    if given.device == "cuda":
        record["environment"]["processor"] = torch.cuda.get_device_name()
    path = given.results / "step.json"
    rows = {key(row): row for row in common.kept(path).get("rows", [])}
    for name in names:
        networks = NETWORKS[name]
        rounds, steps = given.rounds or networks.rounds, given.steps or networks.steps
        row = compare(networks, given.device, given.variant, rounds, steps) | record
        print(" | ".join(line(row)), file=sys.stderr, flush=True)
        rows[key(row)] = row
    ordered = [rows[k] for k in sorted(rows)]
    common.write(path, {"rows": ordered}, markdown(ordered))


if __name__ == "__main__":
    main()
