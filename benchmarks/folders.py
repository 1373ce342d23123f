"""What a person with a folder of pictures and no GPU gets from the defaults: reconstruction errors, beside anchors.

    python benchmarks/folders.py NAME=PATH ... [--minutes 10] [--recipes folder/aim,folder/vae] [--workers 2]

Trains each recipe on each folder with its defaults, one thread a run, and reads the scores. A run has the steps that
`--minutes` would give it on a machine without other work: they are measured in CPU time. Of aim it also scores the
model before its fresh encoder (runs/refit.py). A run that is done is not done again. Adds to
benchmarks/results/folders.json and .md.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import common
import folder_runs

from aimgan.evaluation.evaluate import reconstruction
from aimgan.training.run_dir import RunDir

FOLDER = common.RUNS / "folders"


def train(job: tuple[str, str, str, float]) -> None:
    """Train a recipe on a folder, unless that is done."""
    name, path, recipe, minutes = job
    run = run_of(name, recipe)
    begun = run.read()
    steps = begun["settings"]["steps"] if begun else folder_runs.steps_of(recipe, path, minutes)
    folder_runs.train(run, recipe, path, f"--steps={steps}")


def run_of(name: str, recipe: str) -> RunDir:
    return RunDir(FOLDER / f"{name}-{recipe.partition('/')[2]}")


def row_of(name: str, recipe: str) -> dict[str, Any]:
    """Return what a run came to."""
    run = run_of(name, recipe)
    record, scores = json.loads(run.record.read_text()), json.loads(run.evaluation.read_text())
    kept = ("steps", "reconstruction_mse", "mean_image_mse", "pca_mse", "coverage_80", "verdict")
    row = {key: scores[key] for key in kept if key in scores}
    row |= {"folder": name, "recipe": recipe, "images": record["data"]["train"], "before": None}
    if record["settings"]["recipe"].get("refit"):
        model, job = folder_runs.before_refit(run)
        row["before"] = reconstruction(model, job.data)["reconstruction_mse"]
    return row


def page(result: dict[str, Any]) -> str:
    rows = []
    for row in result["rows"]:
        error, mean = row["reconstruction_mse"], row["mean_image_mse"]
        before = "-" if row["before"] is None else f"{row['before']:.4f}"
        rows.append(
            (row["folder"], f"{row['images']:,}", row["recipe"], f"{row['steps']:,}", before, f"{error:.4f}",
             f"{error / mean:.2f}", f"{mean:.4f}", f"{row.get('pca_mse', float('nan')):.4f}")
        )  # fmt: skip
    heads = ("folder", "training images", "recipe", "steps", "MSE before the fresh encoder", "MSE", "of the mean image",
             "mean image", "PCA")  # fmt: skip
    return f"{common.origin(result)}. One thread a run, {result['workers']} at a time, seed 0.\n\n" + common.table(
        heads, rows
    )


def main() -> None:
    parser = folder_runs.parser(__doc__, minutes=10.0)
    parser.add_argument("--recipes", default="folder/aim,folder/vae")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    folders, words = folder_runs.parsed(given)
    jobs = [
        (name, path, recipe, given.minutes) for name, path in folders.items() for recipe in given.recipes.split(",")
    ]
    with ThreadPoolExecutor(given.workers) as pool:
        list(pool.map(train, jobs))
    command = f"python benchmarks/folders.py {words} --workers {given.workers}"
    rows = [row_of(name, recipe) for name, _, recipe, _ in jobs]
    result = {**common.about(command), "workers": given.workers, "rows": rows}
    common.write(common.RESULTS / "folders.json", result, page(result))


if __name__ == "__main__":
    main()
