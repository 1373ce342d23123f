"""The long runs of the paper's tables, days of one core: a list that any session, on any machine, goes on with.

    python benchmarks/length.py run GROUP ... [--mnist PATH] [--cifar10 PATH] [--folder FOLDER]
    python benchmarks/length.py keep [--folder FOLDER]
    python benchmarks/length.py state | page | rates

`run` does the cells of the groups, one after the other, each an `aimgan train` on one thread, which goes on where it
was stopped; start it from a clone at a fixed commit, with `nice -n 19`. A cell that is finished is kept as one JSON in
benchmarks/results/length (`keep` does that alone), with its command, machine, versions, scores, and the scores of
each epoch: a machine that is lost takes only the cells under way with it, and what is kept is not done again.

lr              Table 2's learning rates at 30,000 steps, bracketed, on seed 100, which no table has
lr-unrolled     the same of the unrolled GAN, whose steps cost six times as much
lr-finalists    the best of them again, on seed 101
first lambdas rest
                MNIST at a quarter of the width, 100 epochs: AIM and GAN; ALICE's lambda at 20 epochs; the others
colour          CIFAR-10 at 32 x 32 at a quarter of the width: AIM 50 epochs, the others 20
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from aimgan.pages.tables import pipes
from aimgan.paper.methods import METHODS, chosen
from aimgan.paper.parallel import run_all
from aimgan.paper.training_run import TrainingRun

HERE = Path(__file__).parent
KEPT = HERE / "results" / "length"
RATES = {  # the first is the one that 15,000 steps chose
    "gan": (2e-3, 4e-3, 1e-3),
    "ali": (2e-3, 4e-3, 8e-3, 1e-3, 5e-4, 1.6e-2),
    "aim-weighted": (2e-3, 4e-3, 1e-3),
    "aim": (2e-3, 4e-3, 8e-3, 1e-3),
    "veegan": (1e-3, 2e-3, 5e-4, 4e-3),
}
FINALISTS = {  # the best two of seed 100, again on seed 101
    "gan": (2e-3, 4e-3, 1e-3),
    "ali": (2e-3, 8e-3, 4e-3),
    "aim-weighted": (2e-3, 1e-3),
    "aim": (4e-3, 2e-3),
    "veegan": (2e-3, 1e-3),
}
SHOWN = (5, 10, 20, 50, 75)  # epochs
FINAL = {"reconstruction_mse": 4, "inception_score": 2, "frechet_distance": 2}  # digits
ALICE = 100.0  # lambda at three epochs; `lambdas` looks at 20


def grid(key: str, seed: int, **given: Any) -> TrainingRun:
    """A method of Table 2 at the demo's length."""
    (method,) = chosen([key], "grid")
    return TrainingRun(method.recipe("grid"), {**method.settings, **given}, seed, 30_000)


def images(recipe: str, seed: int, epochs: int, path: str, **given: Any) -> TrainingRun:
    """A method of Table 1 at a quarter of the width."""
    return TrainingRun(recipe, {**given, "epochs": epochs, "evaluate_every": 5}, seed, preset="cpu", path=path)


def groups(mnist: str, cifar10: str) -> dict[str, list[TrainingRun]]:
    """Return the cells by group."""
    digits = [images(f"mnist/{name}", seed, 100, mnist) for seed in (0, 1, 2)
              for name in ("vae", "ali", "aim-minus", "aim", "gan")]  # fmt: skip
    return {
        "lr": [grid(key, 100, lr=rate) for key, rates in RATES.items() for rate in rates],
        "lr-unrolled": [grid("unrolled-gan", 100, lr=rate, compile=True) for rate in (2e-3, 4e-3, 1e-3)],
        "lr-finalists": [grid(key, 101, lr=rate) for key, rates in FINALISTS.items() for rate in rates],
        "first": [images(f"mnist/{name}", 0, 100, mnist) for name in ("aim", "gan")],
        "lambdas": [images("mnist/alice", 0, 20, mnist, weight=weight) for weight in (1.0, 10.0, 100.0)],
        "colour": [
            images("cifar10/aim", 0, 50, cifar10),
            *(images(f"cifar10/{name}", 0, 20, cifar10) for name in ("gan", "ali", "aim-minus", "vae")),
            images("cifar10/alice", 0, 20, cifar10, weight=ALICE),
        ],
        "rest": digits,
    }


def kept(cell: TrainingRun) -> Path:
    """Return where a finished cell is kept."""
    return KEPT / f"{cell.name}.json"


def keep(folder: Path) -> list[str]:
    """Copy what finished cells came to, and return their names."""
    KEPT.mkdir(exist_ok=True)
    found = []
    for record in sorted(folder.glob("*.json")):
        run, about = folder / record.stem, json.loads(record.read_text())
        scores = run / "evaluation.json"
        if not scores.exists() and not about.get("stopped"):
            continue
        made = json.loads((run / "run.json").read_text())
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        whole = {
            **about,
            "environment": made["environment"] | {"git": made.get("git")},
            "scores": json.loads(scores.read_text()) if scores.exists() else None,
            "epochs": [row for row in rows if "epoch" in row],
        }
        (KEPT / record.name).write_text(json.dumps(whole, indent=1) + "\n")
        found.append(record.stem)
    return found


def run(cells: Sequence[TrainingRun], folder: Path) -> None:
    """Do the cells that are not kept, one at a time, and keep each."""
    for cell in cells:
        if not kept(cell).exists():
            run_all([cell], folder, 1, Console(width=200))
            keep(folder)


def state() -> Iterator[tuple[str, ...]]:
    """Yield what there is of each group, and each kept cell's main scores."""
    for name, cells in groups("PATH", "PATH").items():
        yield name, f"{sum(kept(cell).exists() for cell in cells)} of {len(cells)}", "", "", ""
        for cell in cells:
            if kept(cell).exists():
                found = json.loads(kept(cell).read_text())
                scores = found["scores"] or {}
                told = [f"{scores[name]:.4g}" if name in scores else "-"
                        for name in ("modes", "high_quality", "reconstruction_mse")]  # fmt: skip
                yield cell.name, (found["stopped"] or "finished")[:40], *told


def page() -> str:
    """Return the runs on images that are kept, with their scores over the epochs, as docs/images.md shows them."""
    rows, machines = [], set()
    for path in sorted(KEPT.glob("*.json")):
        found = json.loads(path.read_text())
        if not found["scores"] or not found["epochs"]:
            continue
        machine = found["environment"]
        machines.add(f"{machine['processor']}, {machine['threads']} thread, torch {machine['torch']}")
        command = re.sub(r"--data=\S+", "--data PATH", found["command"])
        for row in found["epochs"]:
            if row["epoch"] in SHOWN:
                score = row.get("inception_score_5000", float("nan"))
                error = row.get("reconstruction_mse", float("nan"))
                rows.append((f"`{command}`", f"{row['epoch']:g}", f"{error:.4f}", f"{score:.2f}", "-"))
        scores = found["scores"]
        last = [f"{scores[name]:.{digits}f}" if name in scores else "-" for name, digits in FINAL.items()]
        rows.append((f"`{command}`", "the end", *last))
    heads = ("run", "epoch", "test MSE", "Inception Score", "Frechet distance")
    text = (
        f"`python benchmarks/length.py page`, of the runs in benchmarks/results/length: {'; '.join(sorted(machines))}. "
        "The Inception Score on the way is of 5,000 samples in one split, at the end of 10,000 in ten; both by the "
        "digit classifier, for which real images score 9.79.\n\n"
    )
    return text + pipes(heads, rows) + "\n"


def rates() -> str:
    """Return what each learning rate of Table 2 came to, as docs/comparison.md shows it."""
    rows, machines = [], set()
    every = groups("PATH", "PATH")
    cells = [cell for name in ("lr", "lr-unrolled", "lr-finalists") for cell in every[name] if kept(cell).exists()]
    for cell in sorted(cells, key=lambda cell: (labelled(cell), float(cell.settings["lr"]), cell.seed)):
        found = json.loads(kept(cell).read_text())
        machine, scores = found["environment"], found["scores"]
        machines.add(f"{machine['processor']}, torch {machine['torch']}")
        start = (labelled(cell), f"{cell.settings['lr']:g}", str(cell.seed))
        if scores is None:
            step = re.search(r"at step (\d+)", found["stopped"])
            rows.append((*start, f"diverged after {int(step[1]):,} steps" if step else "diverged", "-", "-", "-"))
            continue
        error = f"{scores['reconstruction_mse']:.4f}" if "reconstruction_mse" in scores else "-"
        quality = f"{100 * scores['high_quality']:.1f}"
        rows.append((*start, str(scores["modes"]), quality, f"{scores['mode_kl']:.4f}", error))
    text = (
        "`python benchmarks/length.py run lr lr-finalists lr-unrolled` and `python benchmarks/length.py rates`: 30,000 "
        f"steps of the grid, one thread a run, {'; '.join(sorted(machines))}.\n\n"
    )
    return text + pipes(("method", "rate", "seed", "modes", "HQ %", "KL", "MSE"), rows) + "\n"


def labelled(cell: TrainingRun) -> str:
    """Return a method's name for a cell of the grid."""
    own = {name: value for name, value in cell.settings.items() if name not in ("lr", "compile")}
    return next(
        method.label
        for method in METHODS.values()
        if cell.recipe == f"grid/{method.objective}" and own == dict(method.settings)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "keep", "state", "page", "rates"))
    parser.add_argument("groups", nargs="*")
    parser.add_argument("--mnist", default="/work/shared/data/mnist")
    parser.add_argument("--cifar10", default=str(HERE.parent / ".data" / "cifar10"))
    parser.add_argument("--folder", type=Path, default=HERE / "runs" / "length")
    given = parser.parse_args()
    if given.what == "state":
        print(pipes(("group or cell", "state", "modes", "HQ", "MSE"), [*state()]))
    elif given.what == "page":
        (HERE / "results" / "length.md").write_text(page())
    elif given.what == "rates":
        (HERE / "results" / "length-rates.md").write_text(rates())
    elif given.what == "keep":
        print("\n".join(keep(given.folder)))
    else:
        every = groups(given.mnist, given.cifar10)
        run([cell for name in given.groups for cell in every[name]], given.folder)


if __name__ == "__main__":
    main()
