"""One step of each objective costs what its formula says, and less than the textbook loop of the same model.

    python benchmarks/objectives.py [--rounds N] [--only aim,vae] [--results DIR]

Rows: every objective on the grid's networks (batch 256) and on Table 3's (batch 100, a third of the rounds; a step of
more than 100 GFLOP is counted and not timed). FLOPs are counted by torch in a step of the engine and must equal those
of the formula (tests/helpers/arithmetic.py) exactly. Times are of paired rounds, the engine and the loop
(textbook.py) in turns: only their ratio should be compared with anything. The run fails where a median ratio is below
1 (0.95 where both sides are one algorithm, the VAE), after it has written objectives.json and .md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from step import RESULTS, seconds
from textbook import Textbook

from aimgan.objectives import OBJECTIVES
from aimgan.recipes.assemble import assemble
from aimgan.recipes.catalogue import RECIPES
from aimgan.training.adam import Adam
from aimgan.training.engine import Engine, players
from aimgan.training.run_dir import environment

sys.path.append(str(Path(__file__).parents[1] / "tests" / "helpers"))
from arithmetic import PASSES, flops, formula

TIMED_BELOW = 100e9  # FLOPs a step


@dataclass(frozen=True)
class Networks:
    """Where a row's recipes come from, and how many steps make a round."""

    label: str
    data: str
    steps: int
    share: float  # of the rounds


NETWORKS = (Networks("grid's MLPs", "grid", 20, 1.0), Networks("Table 3", "mnist", 1, 1 / 3))


@dataclass(frozen=True)
class Sides:
    """The two sides of a row: networks with the same initial weights, a step of each, and the engine's objective."""

    objective: Any
    batch: torch.Tensor
    engine: Callable[[int], object]
    textbook: Callable[[int], object]


def sides(recipe: Any) -> Sides:
    torch.manual_seed(0)
    objective = assemble(recipe, 0)
    engine = Engine(objective, Adam(recipe.beta1, recipe.beta2), Accelerator(cpu=True))
    textbook = Textbook(assemble(recipe, 0), recipe.lr, (recipe.beta1, recipe.beta2))
    x = torch.rand(recipe.batch_size, *recipe.networks.shape)
    return Sides(objective, x, lambda step: engine.step(x, step, recipe.lr), lambda _: textbook.step(x))


def paired(two: Sides, rounds: int, steps: int) -> list[tuple[float, float]]:
    """Seconds a step of the engine and of the textbook loop, round by round, each first in every second one."""
    pairs = []
    for k in range(rounds):
        order = (two.engine, two.textbook) if k % 2 == 0 else (two.textbook, two.engine)
        spent = {run: seconds(run, steps) for run in order}
        pairs.append((spent[two.engine], spent[two.textbook]))
    return pairs


def timing(pairs: list[tuple[float, float]]) -> dict[str, float]:
    ratios = [b / a for a, b in pairs]
    return {
        "engine_ms": 1e3 * statistics.median(a for a, _ in pairs),
        "textbook_ms": 1e3 * statistics.median(b for _, b in pairs),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
    }


def row(name: str, networks: Networks, rounds: int) -> dict:
    recipe = RECIPES[f"{networks.data}/{name}"]
    two = sides(recipe)
    for run in (two.engine, two.textbook):
        run(0)  # warm: the optimisers' moments, torch's own first calls
    by_formula, counted = formula(name, two.objective, two.batch), flops(lambda: two.engine(1))
    assert counted == by_formula, f"{recipe.name}: a step has {counted} FLOPs, its formula says {by_formula}"
    parameters = {
        player: sum(p.numel() for p in network.parameters()) for player, network in players(two.objective).items()
    }
    made = {
        "objective": name,
        "networks": networks.label,
        "batch": recipe.batch_size,
        "parameters": parameters,
        "passes": PASSES[name],
        "flop": counted,
        "flop_by_formula": by_formula,
        "textbook_flop": flops(lambda: two.textbook(1)),
    }
    timed = counted < TIMED_BELOW
    return made | (timing(paired(two, max(1, round(rounds * networks.share)), networks.steps)) if timed else {})


def passes(row: dict) -> str:
    """`G F W; D 2F 2W I`, as in tests/helpers/arithmetic.py."""
    inner = "; and the inner steps" if row["objective"] == "unrolled-gan" else ""
    return "; ".join(f"{player} {made}" for player, made in row["passes"].items()) + inner


def parameters(row: dict) -> str:
    return ", ".join(f"{player} {count / 1e3:,.1f}" for player, count in row["parameters"].items())


def times(row: dict) -> str:
    if "ratio" not in row:
        return "| not timed | | "
    spread = f"{row['ratio']:.2f} ({row['ratio_min']:.2f} to {row['ratio_max']:.2f})"
    return f"| {row['engine_ms']:.2f} | {row['textbook_ms']:.2f} | {spread}"


def table(networks: Networks, rows: list[dict]) -> str:
    own = [r for r in rows if r["networks"] == networks.label]
    lines = [
        "| objective | thousands of parameters | passes of a step | GFLOP = formula | textbook GFLOP "
        "| engine ms | textbook ms | textbook / engine |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *(
            f"| {r['objective']} | {parameters(r)} | {passes(r)} "
            f"| {r['flop'] / 1e9:.3f} | {r['textbook_flop'] / 1e9:.3f} {times(r)} |"
            for r in own
        ),
    ]
    batch = f", batch {own[0]['batch']}" if own else ""
    return f"### {networks.label}{batch}\n\n" + "\n".join(lines)


def markdown(rows: list[dict], command: str, machine: dict) -> str:
    head = (
        f"`{command}`: {time.strftime('%Y-%m-%d')}, {machine['processor']}, {machine['threads']} threads, "
        f"torch {machine['torch']}. Medians of paired rounds (smallest and largest ratio).\n\n"
        "F: a forward pass. W, I, B: a backward pass to the weights, to the input, to both (Ix, Iz: of a pair, to one "
        "member). The counted FLOPs equal the formula's exactly."
    )
    return "\n\n".join([head, *(table(networks, rows) for networks in NETWORKS)]) + "\n"


def slower(rows: list[dict]) -> list[str]:
    """The rows in which the textbook loop was faster; where both sides are one algorithm (VAE), beyond 5 % of noise."""
    least = {True: 0.95, False: 1.0}
    return [
        f"{r['objective']} on {r['networks']} ({r['ratio']:.2f})"
        for r in rows
        if r.get("ratio", 1.0) < least[r["flop"] == r["textbook_flop"]]
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default=",".join(OBJECTIVES), help="objectives, with commas between")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    rows = []
    for networks in NETWORKS:
        for name in given.only.split(","):
            rows.append(row(name, networks, given.rounds))
            print(f"{networks.label}: {name}{times(rows[-1])}", file=sys.stderr, flush=True)
    command, machine = f"python benchmarks/objectives.py --rounds {given.rounds}", environment()
    given.results.mkdir(parents=True, exist_ok=True)
    written = json.dumps({"command": command, "environment": machine, "rows": rows}, indent=1) + "\n"
    (given.results / "objectives.json").write_text(written)
    (given.results / "objectives.md").write_text(markdown(rows, command, machine))
    print(markdown(rows, command, machine))
    if slow := slower(rows):
        raise SystemExit("the textbook loop was faster: " + ", ".join(slow))


if __name__ == "__main__":
    main()
