"""Table 1 on real images at a length that a CPU affords: the runs behind benchmarks/results/table1-*.

    python benchmarks/table1.py mnist --images PATH      the paper's networks: all 3 epochs, AIM 10 beside
    python benchmarks/table1.py mnist-cpu --images PATH  the cpu preset, 3 seeds
    python benchmarks/table1.py mnist-changed --images PATH  the cpu preset, one thing changed at a time
    python benchmarks/table1.py cifar10-cpu --images PATH        (a folder with train.npz and test.npz)
    python benchmarks/table1.py faces-cpu --images PATH

Runs are kept in benchmarks/runs/<name> (not in git); a stopped table goes on with the same command. What is written is
what `aimgan reproduce table1` writes: the results file, Markdown, LaTeX, and the figure of error against distance.
`--report` writes what there is without running anything; runs that are not here are taken from the committed results
as they were measured then, with their own machine and commit. `--again` only tests the committed results' claims anew.
Faces may not be published: their figures stay in the run's folder.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from aimgan.paper import claims, figures, table1_page
from aimgan.paper.experiment import Experiment
from aimgan.paper.methods import IMAGE_METHODS, Method
from aimgan.paper.parallel import run_all
from aimgan.paper.table1 import collected, table1, write
from aimgan.paper.training_run import Outcome, outcome

HERE = Path(__file__).parent
RESULTS = HERE / "results"
ALICE = 100  # lambda: of 1, 10 and 100 at the cpu preset the best MSE (results/table1-mnist-changed.md)


def of(key: str, epochs: float | None = None, **settings: object) -> Method:
    """A method of Table 1 at so many epochs; AIM's longer run is a row of its own."""
    method = IMAGE_METHODS[key]
    given = {**method.settings, **({"epochs": epochs} if epochs else {}), **settings}
    label = f"{method.label}, {epochs:g} epochs" if key == "aim" and epochs else method.label
    name = f"{key}-{epochs:g}" if key == "aim" and epochs == 10 else key
    return Method(name, label, method.objective, given)


def other(label: str, key: str, **settings: object) -> Method:
    """A method of Table 1 with other settings, as a row of its own."""
    return Method(label.lower().replace(", ", "-").replace(" ", ""), label, IMAGE_METHODS[key].objective, settings)


ALICES = ("alice-1", "alice-10", "alice-100")
TABLES: dict[str, tuple[str, str | None, tuple[int, ...], tuple[Method, ...]]] = {
    "mnist": (
        "mnist",
        None,
        (0,),
        (*(of(k, 3) for k in ("gan", "ali", f"alice-{ALICE}", "aim-minus", "aim", "vae")), of("aim", 10)),
    ),
    "mnist-cpu": (
        "mnist",
        "cpu",
        (0, 1, 2),
        tuple(of(key) for key in ("gan", "ali", f"alice-{ALICE}", "aim-minus", "aim", "vae")),
    ),
    "mnist-changed": (
        "mnist",
        "cpu",
        (0,),
        (
            *(of(key) for key in ALICES),
            of("aim"),
            other("AIM, weighted likelihood", "aim", weighting="both"),
            other("AIM, averages", "aim", ema=0.999),
            other("AIM, relativistic, R1 + R2", "aim", value="relativistic", penalty=1.0),
        ),
    ),
    "cifar10-cpu": ("cifar10", "cpu", (0,), (of("aim"),)),
    "faces-cpu": ("celeba", "cpu", (0,), (of("aim", features="efficientnet-lite0", samples=2_000),)),
}


# Figures of the tables' runs, by methods. Those in SHOWN hold no image of the data: they are copied into docs/figures.
FIGURES: dict[str, dict[str, tuple[str, ...]]] = {
    "mnist": {
        "figure2": ("aim-10", "ali"),
        "figure5": ("aim-10",),
        "figure8": ("aim-10",),
        "figure9": ("aim-10",),
        "figure10": ("aim-10", "aim", "gan", "ali"),
    },
    "mnist-cpu": {"figure4": ("aim",)},
    "mnist-changed": {"figure7": (*ALICES, "aim")},
    "cifar10-cpu": dict.fromkeys(("figure2", "figure5", "figure8", "figure10"), ("aim",)),
    "faces-cpu": dict.fromkeys(("figure5", "figure6", "figure8", "figure9", "figure10"), ("aim",)),
}
SHOWN = {"mnist": ("figure10",), "mnist-cpu": ("figure4",), "cifar10-cpu": ("figure10",)}


def draw(experiment: Experiment, table: str) -> None:
    """Draw a table's figures into its folder."""
    methods = {
        method.key: method
        for method in experiment.methods
        if outcome(experiment.run(method, experiment.seeds[0]), experiment.folder).state == "finished"
    }
    for target, keys in FIGURES[table].items():
        chosen = tuple(methods[key] for key in keys if key in methods)
        if not chosen:
            continue
        one = replace(experiment, target=target, methods=chosen, seeds=experiment.seeds[:1])
        if target == "figure4":
            one = replace(one, methods=tuple(method.with_settings({"networks.dim": 2}) for method in chosen))
        outcomes = run_all(one.runs, one.folder, one.workers, Console())
        for path in figures.draw(one, outcomes, Console()):
            print(f"wrote {path}")
            if target in SHOWN.get(table, ()) and path.suffix == ".png":
                shutil.copy(path, HERE.parent / "docs" / "figures" / f"{table.removesuffix('-cpu')}-{target}.png")


def reported(experiment: Experiment, table: str) -> tuple[list[Path], list[Outcome]]:
    """Write what there is, without running what is missing: that is taken from the committed results."""
    outcomes = [outcome(run, experiment.folder) for run in experiment.runs]
    results = collected(experiment, outcomes, Console())
    committed = json.loads((RESULTS / f"table1-{table}.json").read_text(encoding="utf-8"))
    before = {(run["method"], run["seed"]): run for run in committed["cells"]}
    results["cells"] = [
        before.get((run["method"], run["seed"]), run) if run["state"] == "missing" else run for run in results["cells"]
    ]
    results["references"] = {**committed["references"], **results["references"]}
    results["claims"] = claims.tested(results)
    return write(results, experiment), outcomes


def judged_again(table: str) -> list[Path]:
    """Test the claims of the committed results anew, and write their pages."""
    path = RESULTS / f"table1-{table}.json"
    results = json.loads(path.read_text(encoding="utf-8"))
    results["claims"] = claims.tested(results)
    return table1_page.page(results).write(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--images")
    parser.add_argument("--again", action="store_true", help="test the committed results' claims anew, run nothing")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--report", action="store_true", help="write what there is, run nothing")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    given = parser.parse_args()
    if given.again:
        for path in judged_again(given.table):
            print(f"wrote {path}")
        return
    if not given.images:
        parser.error("expected --images PATH: where the images are")
    data, preset, seeds, methods = TABLES[given.table]
    output = HERE / "runs" / f"table1-{given.table.replace('changed', 'cpu')}"  # they have runs in common
    experiment = Experiment(
        target="table1",
        methods=methods,
        data=data,
        seeds=seeds,
        steps=None,
        output=output,
        workers=given.workers,
        device=given.device,
        retry=False,
        command=f"python benchmarks/table1.py {given.table} --images PATH",
        preset=preset,
        path=given.images,
    )
    if given.report:
        paths, outcomes = reported(experiment, given.table)
    else:
        outcomes = run_all(experiment.runs, experiment.folder, experiment.workers, Console())
        paths = table1(experiment, outcomes, Console())
    for path in paths:
        if path.suffix in (".json", ".md", ".tex"):
            shutil.copy(path, RESULTS / f"table1-{given.table}{path.suffix}")
    states = [outcome.state for outcome in outcomes]
    draw(experiment, given.table)
    print(f"{states.count('finished')} of {len(states)} runs are finished; {output}")


if __name__ == "__main__":
    main()
