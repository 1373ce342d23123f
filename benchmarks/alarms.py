"""Each alarm provoked, and sound runs beside them that raise none.

    python benchmarks/alarms.py

A failure is a short run with something wrong in it: a setting, a learning rate, a weight that is spoilt on the way. The
step at which its alarm begins is in the first column. Sound runs are recipes as they stand, and all rows of the runs
that are kept under benchmarks/runs. Writes benchmarks/results/alarms.json and .md.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console

from aimgan.evaluation.collapse import collapse_signs
from aimgan.model import to_range
from aimgan.recipes.assemble import assemble, config_of, model_of
from aimgan.recipes.resolving import fitted, loaded, prepared
from aimgan.runs.train import engine_of
from aimgan.training.alarms import Watch
from aimgan.training.engine import Engine
from aimgan.training.loop import Loop, NonFiniteLoss, learning_rate
from aimgan.training.run_dir import RunDir, environment

HERE = Path(__file__).parent
SEED, LOG_EVERY, EVALUATE_EVERY = 0, 5, 25


@dataclass(frozen=True)
class Case:
    """A recipe, what is done to it, and the alarm that must stand at the end of its steps (none: it is sound)."""

    recipe: str
    what: str = "as it stands"
    alarm: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 200
    spoil: Callable[[Engine], None] | None = None  # after half of the steps
    faster: float = 1.0  # the learning rate of the second half, times that of the first


def fill_last_bias(value: float) -> Callable[[Engine], None]:
    """Give all of G's outputs before its sigmoid one value."""

    def spoil(engine: Engine) -> None:
        last = [layer for layer in engine.networks["G"].modules() if isinstance(layer, torch.nn.Linear)][-1]
        last.bias.data.fill_(value)

    return spoil


def widen(engine: Engine) -> None:
    """Make E's variances e^8, whatever it sees: it diverges that way where its learning rate is too high."""
    head = engine.networks["E"][-1].log_variance
    head.weight.data.zero_()
    head.bias.data.fill_(8.0)


SMALL = {"networks.width": 32, "ema": 0.0}
PROVOKED = (
    Case("grid/gan", "learning rate times 100", "generator-dead", {**SMALL, "lr": 0.2}),
    Case(
        "digits/gan", "G's last bias -50 and learning rate times 20, halfway", "discriminator-saturated",
        SMALL, spoil=fill_last_bias(-50), faster=20.0,
    ),
    Case("digits/gan", "G's last bias 50, halfway", "output-saturated", SMALL, spoil=fill_last_bias(50)),
    Case("digits/vae", "sigma 10", "posterior-collapse", {**SMALL, "sigma": 10.0}),
    Case(
        "ring/aim", "a floor of -1 under the log variance", "variance-at-floor",
        {**SMALL, "networks.min_log_variance": -1.0, "networks.width": 64},
    ),
    Case("grid/aim", "E's last bias 8, halfway", "variance-at-ceiling", SMALL, spoil=widen),
    Case("grid/aim", "weight 1,000", "mode-kl-rising", {**SMALL, "weight": 1000.0}),
    Case(
        "grid/aim-minus", "learning rate times 100, halfway", "losses-growing",
        {**SMALL, "schedule": "constant"}, faster=100.0,
    ),
)  # fmt: skip
SOUND = (Case("grid/aim", steps=200), Case("ring/aim", steps=200), Case("digits/aim", steps=200))


def watched(case: Case, folder: Path) -> tuple[list[dict[str, Any]], str]:
    """Train, and return the rows of metrics.jsonl and the error that ended the run, if one did."""
    recipe = prepared(case.recipe, settings=case.settings)
    data = loaded(recipe.data, Console(quiet=True))
    recipe = fitted(recipe, data)
    engine = engine_of(recipe, assemble(recipe, SEED), Accelerator(cpu=True), SEED)
    rate, half = learning_rate(recipe.schedule, recipe.lr, case.steps, case.steps, recipe.final_lr), case.steps // 2

    def spoilt(step: int, row: object) -> None:
        if case.spoil and step == half:
            case.spoil(engine)

    run = RunDir(folder)
    run.begin({"steps": case.steps})
    loop = Loop(
        engine,
        batch=lambda step: to_range(data.batch(SEED, step, recipe.batch_size), recipe.networks.value_range),
        rate=lambda step: rate(step) * (case.faster if step >= half else 1.0),
        steps=case.steps,
        run=run,
        log_every=LOG_EVERY,
        evaluate=lambda step: collapse_signs(model_of(engine, config_of(recipe, {})), data, SEED),
        evaluate_every=EVALUATE_EVERY,
        checkpoint_seconds=1e9,
        progress=spoilt,
    )
    try:
        loop.train()
    except NonFiniteLoss as error:
        return run.rows(), str(error)
    return run.rows(), ""


def row_of(case: Case) -> dict[str, Any]:
    """Run a case, and return what it met."""
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        rows, error = watched(case, Path(folder) / "run")
    return {
        "recipe": case.recipe, "what": case.what, "settings": dict(case.settings), "steps": case.steps,
        "expected": case.alarm, "began": begun(rows), "ended_by": error, "cpu_seconds": time.process_time() - began,
    }  # fmt: skip


def begun(rows: list[dict[str, Any]]) -> dict[str, int]:
    """Return the alarms of rows, each with the step at which it first stands."""
    found: dict[str, int] = {}
    for row in rows:
        for name in row.get("alarms", []):
            found.setdefault(name, row["step"])
    return found


def kept() -> list[dict[str, Any]]:
    """Read the rows of all runs in benchmarks/runs anew, as if they were written now."""
    results = []
    for path in sorted((HERE / "runs").rglob("metrics.jsonl")):
        watch, rows = Watch(), RunDir(path.parent).rows()
        raised = {line.split()[0] for row in rows for line in watch.see(row)}
        results.append({"run": str(path.parent.relative_to(HERE)), "rows": len(rows), "raised": sorted(raised)})
    return results


def shown(raised: Mapping[str, int], expected: str | None) -> str:
    others = [f"{name} ({step:,})" for name, step in raised.items() if name != expected]
    return ", ".join(others) or "-"


def markdown(result: Mapping[str, Any]) -> str:
    machine, runs = result["environment"], result["kept"]
    total, raised = sum(run["rows"] for run in runs), sum(bool(run["raised"]) for run in runs)
    lines = [
        f"`{result['command']}`: {result['date']}, {machine['processor']}, {machine['threads']} thread(s), torch "
        f"{machine['torch']}, seed {SEED}; a log row every {LOG_EVERY} steps, an evaluation every {EVALUATE_EVERY}. "
        "Provoked runs have networks 32 or 64 wide, and what is done to them is done from the start, or after half of "
        "the steps where it says so. The alarm's step is the first at which it stands.",
        "",
        "| recipe | what is done | steps | alarm | at step | others (at step) |",
        "| --- | --- | --- | --- | --- | --- |",
        *(
            f"| `{row['recipe']}` | {row['what']} | {row['steps']:,} | {row['expected'] or 'none'} | "
            f"{row['began'].get(row['expected'], '-')} | {shown(row['began'], row['expected'])} |"
            for row in result["rows"]
        ),
        "",
        f"The {total:,} rows of {len(runs)} longer runs kept from the tables (MNIST, CIFAR-10, faces; AIM, AIM-, GAN, "
        f"ALI, ALICE, VAE): {raised} raise an alarm. They were trained before evaluations had the numbers of codes and "
        "samples, so this is a test of the losses' alarms.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    torch.set_num_threads(1)
    rows = []
    for case in (*PROVOKED, *SOUND):
        rows.append(row_of(case))
        print(case.recipe, case.what, rows[-1]["began"], f"{rows[-1]['cpu_seconds']:.1f} s", flush=True)
    result = {
        "command": " ".join(["python", "benchmarks/alarms.py", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "environment": environment(),
        "rows": rows,
        "kept": kept(),
    }
    (HERE / "results" / "alarms.json").write_text(json.dumps(result, indent=1) + "\n")
    (HERE / "results" / "alarms.md").write_text(markdown(result))
    wrong = [row for row in rows if (row["expected"] not in row["began"] if row["expected"] else row["began"])]
    sys.exit(f"unlike what was expected: {wrong}" if wrong else 0)


if __name__ == "__main__":
    main()
