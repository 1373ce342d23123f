"""A fresh encoder for a model that is trained already: its error before and after.

    python benchmarks/refit.py RUN [--steps 1000]

Fits a new encoder to the frozen G of a finished run (runs/refit.py), and scores both on the run's own test images.
Adds to benchmarks/results/refit.json and .md.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import common
from rich.console import Console

from aimgan.evaluation.evaluate import baselines, calibration, reconstruction
from aimgan.recipes.resolving import Plan, recorded
from aimgan.runs.job import Job
from aimgan.runs.refit import refitted
from aimgan.sharing.hub import load
from aimgan.training.processes import accelerator_for
from aimgan.training.run_dir import RunDir

RESULT = common.RESULTS / "refit.json"
KEPT = ("reconstruction_mse", "coverage_80")


def row(run: Path, steps: int) -> dict[str, Any]:
    """Return the scores of a run's model before and after."""
    recipe, seed = recorded(RunDir(run))
    model = load(run)
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(recipe, Path(folder), seed)
        job = Job.begun(plan, accelerator_for("cpu"), Console(stderr=True))
        begin = time.perf_counter()
        fresh = refitted(model, replace(job, plan=plan), steps)
        seconds = time.perf_counter() - begin
    scores = {}
    for name, one in (("before", model), ("after", fresh)):
        found = reconstruction(one, job.data) | calibration(one, seed)
        scores |= {f"{key}_{name}": found[key] for key in KEPT}
    return {"run": run.name, "recipe": recipe.name, "steps": steps, "seconds": seconds, **scores,
            **baselines(job.data, model.dim)}  # fmt: skip


def page(result: dict[str, Any]) -> str:
    heads = ("model", "steps", "seconds", "MSE before", "MSE after", "coverage of 80 % before", "after", "mean image",
             "PCA")  # fmt: skip
    rows = []
    for one in result["rows"]:
        errors = (one[f"reconstruction_mse_{when}"] for when in ("before", "after"))
        coverages = (one[f"coverage_80_{when}"] for when in ("before", "after"))
        rows.append(
            (one["run"], f"{one['steps']:,}", f"{one['seconds']:.0f}", *(f"{value:.4f}" for value in errors),
             *(f"{value:.3f}" for value in coverages), f"{one['mean_image_mse']:.4f}", f"{one['pca_mse']:.4f}")
        )  # fmt: skip
    return f"{common.origin(result)}. Seed 0 of one run each.\n\n" + common.table(heads, rows)


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    given = parser.parse_args()
    rows = [one for one in common.kept(RESULT).get("rows", []) if one["run"] != given.run.name]
    result = {**common.about(f"python benchmarks/refit.py RUN --steps {given.steps}"), "rows": rows}
    result["rows"].append(row(given.run, given.steps))
    common.write(RESULT, result, page(result))


if __name__ == "__main__":
    main()
