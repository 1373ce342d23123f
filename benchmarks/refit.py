"""A fresh encoder for a model that is trained already: its error before and after, by its width and its steps.

    python benchmarks/refit.py RUN [--widths 16,32,64] [--steps 600,1200]

Fits a new encoder to the frozen G of a finished run (runs/refit.py), once for each width (maps of its first layer) and
each number of steps, and scores the model on the run's own test images. Adds to benchmarks/results/refit.json and .md.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import common
from folder_runs import before_refit, scored

from aimgan.evaluation.evaluate import baselines
from aimgan.model import LatentVariableModel
from aimgan.runs.job import Job
from aimgan.runs.refit import refitted
from aimgan.training.run_dir import RunDir

RESULT = common.RESULTS / "refit.json"


def fitted(model: LatentVariableModel, job: Job, width: int, steps: int) -> dict[str, Any]:
    """Return what a fresh encoder of this width comes to in so many steps, and its seconds of CPU time."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.process_time()
        fresh = refitted(model, replace(job, folder=RunDir(Path(folder))), steps, width)
        seconds = time.process_time() - begin
    return {"width": width, "steps": steps, "seconds": seconds, **scored(fresh, job)}


def page(result: dict[str, Any]) -> str:
    heads = ("model", "width", "steps", "CPU seconds", "MSE", "coverage of 80 %", "mean image", "PCA")
    rows = []
    for one in result["rows"]:
        is_before = one["width"] is None
        seconds = f"{one['seconds']:.0f}" if one.get("seconds") else "-"
        what = ("as trained", "-", "-") if is_before else (one["width"], f"{one['steps']:,}", seconds)
        rows.append(
            (one["run"], *what, f"{one['reconstruction_mse']:.4f}", f"{one['coverage_80']:.3f}",
             f"{one['mean_image_mse']:.4f}", f"{one['pca_mse']:.4f}")
        )  # fmt: skip
    return f"{common.origin(result)}. One run of each model, seed 0.\n\n" + common.table(heads, rows)


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--widths", default="32")
    parser.add_argument("--steps", default="1000")
    given = parser.parse_args()
    model, job = before_refit(RunDir(given.run))
    about = {"run": given.run.name, "recipe": job.plan.recipe.name, **baselines(job.data, model.dim)}
    rows = [one for one in common.kept(RESULT).get("rows", []) if one["run"] != given.run.name]
    rows.append({**about, "width": None, **scored(model, job)})
    command = f"python benchmarks/refit.py RUN --widths {given.widths} --steps {given.steps}"
    for width in map(int, given.widths.split(",")):
        for steps in map(int, given.steps.split(",")):
            rows.append({**about, **fitted(model, job, width, steps)})
            result = {**common.about(command), "rows": rows}
            common.write(RESULT, result, page(result))


if __name__ == "__main__":
    main()
