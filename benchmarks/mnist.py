"""Table 1's MNIST row at a length that a CPU affords: test MSE by epoch, and what moves it.

    python benchmarks/mnist.py aim 6 --data PATH            mnist/aim as the paper has it, six epochs
    python benchmarks/mnist.py aim 2 --data PATH --set weighting=both
    python benchmarks/mnist.py report                       writes benchmarks/results/mnist.json and .md

Runs are kept in benchmarks/runs (not in git); a stopped one goes on with the same command.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
RUNS = HERE / "runs"
BATCHES = 600  # an epoch: 60,000 images by 100


def train(objective: str, epochs: str, flags: list[str]) -> int:
    settings = [
        flag.removeprefix("--set=")
        for flag in " ".join(flags).replace("--set ", "--set=").split()
        if flag.startswith("--set=")
    ]
    folder = RUNS / "-".join(["mnist", objective, f"{epochs}epochs", *settings])
    command = [
        "-m",
        "aimgan",
        "train",
        f"mnist/{objective}",
        f"--steps={int(epochs) * BATCHES}",
        f"--output={folder}",
        *flags,
    ]
    return subprocess.run([sys.executable, *command], check=False).returncode


def command(settings: dict) -> str:
    given = "".join(f" --set {name}={value}" for name, value in settings["recipe"]["options"].items())
    objective, epochs = settings["recipe"]["objective"], settings["steps"] // BATCHES
    return f"python benchmarks/mnist.py {objective} {epochs} --data PATH{given}"


def row(folder: Path) -> dict:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    record = json.loads((folder / "run.json").read_text())
    scores = json.loads((folder / "evaluation.json").read_text())
    record["settings"]["recipe"]["data"]["path"] = "PATH"  # where the data lie is this machine's own affair
    speeds = [r["steps_per_second"] for r in rows if "steps_per_second" in r]
    return {
        "run": folder.name,
        "command": command(record["settings"]),
        "settings": record["settings"],
        "environment": record["environment"],
        "epochs": [r for r in rows if "epoch" in r],
        "seconds_an_epoch": BATCHES / (sum(speeds) / len(speeds)),
        "scores": scores,
    }


def report() -> None:
    rows = [row(folder) for folder in sorted(RUNS.glob("mnist-*")) if (folder / "evaluation.json").exists()]
    if not rows:
        sys.exit("no finished MNIST run in benchmarks/runs")
    machine = rows[0]["environment"]
    lines = [
        "| run | "
        + "test MSE by epoch (running statistics) | first to last | coverage 80 % | log score (prior's) | s an epoch |",
        "| --- " * 6 + "|",
    ]
    for r in rows:
        errors = [e["reconstruction_mse"] for e in r["epochs"]]
        shown = ", ".join(f"{e['reconstruction_mse']:.4f} ({e['reconstruction_mse_running']:.4f})" for e in r["epochs"])
        s = r["scores"]
        lines.append(
            f"| `{r['command']}` | {shown} | x {errors[-1] / errors[0]:.2f} | {100 * s['coverage_80']:.1f} | "
            f"{s['log_score']:.1f} ({s['prior_log_score']:.1f}) | {r['seconds_an_epoch']:.0f} |"
        )
    scores = rows[0]["scores"]
    head = (
        f"{time.strftime('%Y-%m-%d')}, {machine['processor']}, {machine['threads']} thread(s), torch {machine['torch']}"
    )
    text = (
        f"{head}, seed 0; 60,000 training and 10,000 test images, [0, 1] scale, batch norm re-estimated on G(z) (and "
        "with the running statistics). The paper's AIM: 0.026 after 400 epochs. Anchors: the mean image "
        f"{scores['mean_image_mse']:.4f}, an unrelated pair {scores['unrelated_pair_mse']:.4f}.\n\n"
        + "\n".join(lines)
        + "\n"
    )
    (HERE / "results" / "mnist.json").write_text(json.dumps({"rows": rows}, indent=1) + "\n")
    (HERE / "results" / "mnist.md").write_text(text)
    print(text)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments == ["report"]:
        report()
    elif len(arguments) >= 2 and arguments[1].isdigit():
        sys.exit(train(arguments[0], arguments[1], arguments[2:]))
    else:
        sys.exit(__doc__)
