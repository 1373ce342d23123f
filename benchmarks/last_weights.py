"""Table 2 without the averages of the weights: the same runs, scored with the weights as the last step left them.

    python benchmarks/last_weights.py [FOLDER] [NAME]        [runs/reproduce/table2-grid, table2-grid-last]

FOLDER is what `aimgan reproduce table2` wrote. Averages smooth a generator that has settled and ruin one
that still runs from mode to mode, so a comparison has to show both. Writes benchmarks/results/NAME.json and .md.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from statistics import fmean, stdev

from accelerate import Accelerator

from aimgan import noise
from aimgan.evaluation import evaluate as evaluation
from aimgan.pages.tables import pipes
from aimgan.paper.methods import METHODS
from aimgan.recipes.assemble import assemble, config_of, model_of
from aimgan.recipes.resolving import recorded
from aimgan.training import checkpoint
from aimgan.training.adam import Adam
from aimgan.training.engine import Engine
from aimgan.training.ensemble import Member
from aimgan.training.run_dir import RunDir

RESULTS = Path(__file__).parent / "results"
KEPT = ("modes", "high_quality", "mode_kl", "mode_spread", "reconstruction_mse")


def scores_of(folder: Path) -> dict | None:
    """Score the last weights of a run; None where it has no checkpoint."""
    run = RunDir(folder)
    found = checkpoint.newest(run.checkpoints)
    if found is None:
        return None
    recipe, seed = recorded(run)
    engine = Engine(assemble(recipe, seed), Adam(), Accelerator(cpu=True), seed, recipe.ema)
    engine.load_state(found.tensors)
    model = model_of(Member(engine.objective, engine.networks), config_of(recipe, {}))
    data = recipe.data.load()
    scores = evaluation.modes(model.generate(evaluation.SAMPLES, noise.generator(seed, "evaluate")), data)
    if model.E is not None:
        scores |= evaluation.reconstruction(model, data.test())
    return {name: scores[name] for name in KEPT if name in scores}


def told(values: list[float], digits: int) -> str:
    """Mean, sample standard deviation and worst-to-best of a score over seeds."""
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{fmean(values):.{digits}f}{spread} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def markdown(rows: list[dict], command: str) -> str:
    head = ["method", "seeds", "modes", "HQ %", "KL", "MSE", "HQ % with averages"]
    lines = []
    for method in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == method]
        scores = [row["last"] for row in mine]
        mse = [one["reconstruction_mse"] for one in scores if "reconstruction_mse" in one]
        lines.append([
            METHODS[method].label, str(len(mine)), told([one["modes"] for one in scores], 1),
            told([100 * one["high_quality"] for one in scores], 1), told([one["mode_kl"] for one in scores], 4),
            told(mse, 4) if mse else "-", told([100 * row["averaged"] for row in mine], 1),
        ])  # fmt: skip
    table = pipes(head, lines)
    when = time.strftime("%Y-%m-%d")
    return f"`{command}`: {when}; the runs of the table above. Mean ± sample standard deviation (range).\n\n{table}\n"


def main(folder: Path, name: str) -> None:
    rows = []
    for cell in json.loads((folder / "table2.json").read_text(encoding="utf-8"))["cells"]:
        run = folder / "cells" / cell["folder"]
        if cell["state"] == "finished" and (last := scores_of(run)) is not None:
            averaged = cell["scores"]["high_quality"]
            rows.append({"method": cell["method"], "seed": cell["seed"], "averaged": averaged, "last": last})
    command = "python benchmarks/last_weights.py"
    (RESULTS / f"{name}.json").write_text(json.dumps({"command": command, "rows": rows}, indent=1) + "\n")
    (RESULTS / f"{name}.md").write_text(markdown(rows, command))


if __name__ == "__main__":
    main(
        Path(sys.argv[1]) if len(sys.argv) > 1 else Path("runs/reproduce/table2-grid"),
        sys.argv[2] if len(sys.argv) > 2 else "table2-grid-last",
    )
