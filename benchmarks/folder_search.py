"""How the defaults of folder/* on a CPU were chosen: settings tried on several folders and seeds, at equal cost.

    python benchmarks/folder_search.py NAME=PATH ... [--minutes 2.5] [--seeds 0,1,2]
        [--recipes folder/aim,folder/vae] [--only SETTING;...]

Settings of one width cost the same, and take the steps that fit into some minutes of CPU time of one thread, measured
before the first run; another width has its own number of steps. What the results have is not done again. Adds to
benchmarks/results/folder_search.json and .md.
"""

from __future__ import annotations

import json
import statistics
from itertools import product
from typing import Any

import common
import folder_runs
from folder_runs import steps_of

from aimgan.training.run_dir import RunDir

FOLDER = common.RUNS / "folder_search"
RESULT = common.RESULTS / "folder_search.json"
SETTINGS: dict[str, dict[str, Any]] = {
    f"width {width}, codes of {dim} numbers, rate {rate:g}": {"networks.width": width, "networks.dim": dim, "lr": rate}
    for width, dim, rate in ((64, 16, 2e-3), (128, 16, 2e-3), (64, 64, 2e-3), (64, 16, 1e-3), (64, 64, 1e-3))
}
SCORES = ("reconstruction_mse", "mean_image_mse", "pca_mse", "coverage_80", "generated_spread")


def train(made: dict[str, Any], path: str) -> dict[str, float]:
    """Train a setting of a recipe on a folder, unless that is done, and return its scores."""
    recipe = "" if made["recipe"] == "folder/aim" else made["recipe"].partition("/")[2]
    words = (made["folder"], recipe, *made["setting"].split(), str(made["seed"]))
    run = RunDir(FOLDER / "-".join(word for word in words if word))
    flags = [f"--set={key}={value}" for key, value in SETTINGS[made["setting"]].items()]
    folder_runs.train(run, made["recipe"], path, f"--steps={made['steps']}", f"--seed={made['seed']}", *flags)
    scores = json.loads(run.evaluation.read_text())
    return {key: scores[key] for key in SCORES if key in scores}


def page(result: dict[str, Any]) -> str:
    """Return the error of each setting on each folder, over the seeds, and as a share of the mean image's."""
    folders = list(dict.fromkeys(row["folder"] for row in result["rows"]))
    recipes = list(dict.fromkeys(row["recipe"] for row in result["rows"]))
    rows = []
    for recipe, setting in product(recipes, SETTINGS):
        found = [row for row in result["rows"] if (row["recipe"], row["setting"]) == (recipe, setting)]
        if found:
            cells = [cell([row for row in found if row["folder"] == folder]) for folder in folders]
            rows.append((recipe, setting, *(text for both in cells for text in both)))
    heads = ["recipe", "setting"]
    for folder in folders:
        heads += [f"{folder}: steps, seeds", f"{folder}: test MSE, and as a share of the mean image's"]
    return (
        f"{common.origin(result)}. One thread; mean and standard deviation over the seeds; of folder/aim with its "
        f"fresh encoder.\n\n{common.table(heads, rows)}"
    )


def cell(rows: list[dict[str, Any]]) -> tuple[str, str]:
    """Return the steps, and the errors over seeds."""
    if not rows:
        return "-", "-"
    errors = [row["reconstruction_mse"] for row in rows]
    spread = f" +- {statistics.stdev(errors):.4f}" if len(errors) > 1 else ""
    share = statistics.mean(errors) / rows[0]["mean_image_mse"]
    return f"{rows[0]['steps']:,}, {len(rows)}", f"{statistics.mean(errors):.4f}{spread} ({share:.2f})"


def main() -> None:
    parser = folder_runs.parser(__doc__, minutes=2.5)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--recipes", default="folder/aim,folder/vae")
    parser.add_argument("--only", default=";".join(SETTINGS))
    given = parser.parse_args()
    folders, words = folder_runs.parsed(given)
    command = f"python benchmarks/folder_search.py {words} --seeds {given.seeds} --recipes {given.recipes}"
    rows: list[dict[str, Any]] = common.kept(RESULT).get("rows", [])

    def key(row: dict[str, Any]) -> tuple[str, str, int]:
        return row["recipe"], row["folder"], SETTINGS[row["setting"]]["networks.width"]

    steps = {key(row): row["steps"] for row in rows}
    asked = product(given.recipes.split(","), map(int, given.seeds.split(",")), given.only.split(";"), folders)
    for recipe, seed, setting, name in asked:
        made = {"recipe": recipe, "folder": name, "setting": setting, "seed": seed}
        if key(made) not in steps:
            steps[key(made)] = steps_of(recipe, folders[name], given.minutes, SETTINGS[setting])
        made["steps"] = steps[key(made)]
        if not any({**row, **made} == row for row in rows):
            rows.append(made | train(made, folders[name]))
        result = {**common.about(command), "rows": rows}
        common.write(RESULT, result, page(result))


if __name__ == "__main__":
    main()
