"""How the defaults of folder/aim on a CPU were chosen: settings tried on several folders and seeds, at equal cost.

    python benchmarks/folder_search.py NAME=PATH ... [--minutes 2.5] [--seeds 0,1,2] [--only SETTING;...]

Settings of one width cost the same, and take the steps that fit into some minutes of CPU time of one thread, measured
before the first run; another width has its own number of steps. A run that is done is not done again. Adds to
benchmarks/results/folder_search.json and .md.
"""

from __future__ import annotations

import json
import statistics
from typing import Any

import common
import folder_runs
from folder_runs import steps_of

from aimgan.training.run_dir import RunDir

FOLDER = common.RUNS / "folder_search"
RESULT = common.RESULTS / "folder_search.json"
DEFAULT = "width 64, codes of 16 numbers, rate 0.002"
SETTINGS: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    "width 128": {"networks.width": 128},
    "codes of 64 numbers": {"networks.dim": 64},
    "codes of 64 numbers, rate 0.001": {"networks.dim": 64, "lr": 1e-3},
    "rate 0.001": {"lr": 1e-3},
}
SCORES = ("reconstruction_mse", "mean_image_mse", "pca_mse", "coverage_80", "generated_spread")


def train(name: str, path: str, setting: str, seed: int, steps: int) -> dict[str, Any]:
    """Train one setting on one folder, unless that is done, and return its scores."""
    run = RunDir(FOLDER / f"{name}-{setting.replace(' ', '-')}-{seed}")
    flags = [f"--set={key}={value}" for key, value in SETTINGS[setting].items()]
    folder_runs.train(run, "folder/aim", path, f"--steps={steps}", f"--seed={seed}", *flags)
    scores = json.loads(run.evaluation.read_text())
    row = {"folder": name, "setting": setting, "seed": seed, "steps": steps}
    return row | {key: scores[key] for key in SCORES if key in scores}


def page(result: dict[str, Any]) -> str:
    """Return the error of each setting on each folder, over the seeds, and as a share of the mean image's."""
    folders = list(dict.fromkeys(row["folder"] for row in result["rows"]))
    rows = []
    for setting in SETTINGS:
        cells = [cell(result["rows"], setting, folder) for folder in folders]
        rows.append((setting, *(text for pair in cells for text in pair)))
    heads = ["setting"]
    for folder in folders:
        heads += [f"{folder}: steps", f"{folder}: test MSE, and as a share of the mean image's"]
    return (
        f"{common.origin(result)}. One thread; mean and standard deviation over the seeds; fresh encoder included. "
        f"Each setting after the first changes one thing of it.\n\n{common.table(heads, rows)}"
    )


def cell(rows: list[dict[str, Any]], setting: str, folder: str) -> tuple[str, str]:
    """Return the steps and the errors of a setting on a folder."""
    found = [row for row in rows if row["setting"] == setting and row["folder"] == folder]
    if not found:
        return "-", "-"
    errors = [row["reconstruction_mse"] for row in found]
    spread = statistics.stdev(errors) if len(errors) > 1 else 0.0
    share = statistics.mean(errors) / found[0]["mean_image_mse"]
    return f"{found[0]['steps']:,}", f"{statistics.mean(errors):.4f} +- {spread:.4f} ({share:.2f})"


def main() -> None:
    parser = folder_runs.parser(__doc__, minutes=2.5)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--only", default=";".join(SETTINGS))
    given = parser.parse_args()
    folders, words = folder_runs.parsed(given)
    command = f"python benchmarks/folder_search.py {words} --seeds {given.seeds}"
    rows: list[dict[str, Any]] = common.kept(RESULT).get("rows", [])
    steps = {(row["folder"], width_of(row["setting"])): row["steps"] for row in rows}
    for seed in map(int, given.seeds.split(",")):
        for setting in given.only.split(";"):
            for name, path in folders.items():
                width = width_of(setting)
                if (name, width) not in steps:
                    steps[name, width] = steps_of("folder/aim", path, given.minutes, SETTINGS[setting])
                rows = [row for row in rows if (row["folder"], row["setting"], row["seed"]) != (name, setting, seed)]
                rows.append(train(name, path, setting, seed, steps[name, width]))
                result = {**common.about(command), "rows": rows}
                common.write(RESULT, result, page(result))


def width_of(setting: str) -> int | None:
    """Return the width that a setting asks for."""
    return SETTINGS[setting].get("networks.width")


if __name__ == "__main__":
    main()
