"""The time of a step on n processes as a model: fitted on 1 and 2 processes here, predicted for 8 to 1,024 GPUs.

    python benchmarks/scaling.py fit           -> results/scaling.json: the fit, predictions; commit it, and only then
    python benchmarks/scaling.py check         -> results/scaling-check.json: sizes that were held out, measured
    python benchmarks/scaling.py efficiency    -> results/scaling-efficiency.json: 2 processes against 2 threads
    python benchmarks/scaling.py tables        tables and docs/figures/scaling.png anew, from scaling.json

A process has one thread. Launches work in turns, round by round, and medians are taken; leave the machine alone.
`check` refuses a prediction that is not committed, and fails where it is off by more than 20 %.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scaling_model import Fit, counts, own_seconds, sent_seconds, step_seconds, terms
from scaling_pages import draw, efficiency_page, fit_page, outcome_page, predicted, scaled_pages
from scaling_runs import family, in_turns, launched
from scipy.optimize import nnls

from aimgan.training import checkpoint
from aimgan.training.run_dir import environment

RESULTS = Path(__file__).parent / "results"
SIZES = [(width, batch) for width in (32, 64, 128) for batch in (16, 48, 96)]  # Table 4's networks at 32 x 32
HELD_OUT = [(96, 88), (160, 56)]  # between the sizes above, and beyond them
STEPS = {32: 10, 64: 6, 96: 5, 128: 3, 160: 2}
MESSAGES = (2**12, 2**16, 2**18, 2**20, 2**22, 2**23)  # bytes of an all-reduce measured alone
TOLERANCE = 0.2
NETWORKS = {  # of `efficiency`: label, global batch, steps
    "grid": ("grid's MLPs", 256, 40),
    "table3-256": ("Table 3, width 256", 100, 6),
    "32-128": ("Table 4, 32 x 32, width 128", 100, 3),
    "32-256": ("Table 4, 32 x 32, width 256", 100, 1),
    "64-256": ("Table 4, width 256", 100, 1),
}
UNPUBLISHED = "Not measured yet: `python benchmarks/scaling.py {}`.\n"


def fit(rounds: int) -> dict[str, Any]:
    steps = [(n, step_job(width, batch)) for width, batch in SIZES for n in (1, 2)]
    messages = [(2, {"kind": "reduce", "size": size, "times": 20}) for size in MESSAGES]
    with launched(1, 2) as launches:
        seconds = [statistics.median(found) for found in in_turns(launches, [*steps, *messages], rounds)]
    measured = dict(zip([(n, *size) for size in SIZES for n in (1, 2)], seconds[: len(steps)], strict=True))
    sent = dict(zip(MESSAGES, seconds[len(steps) :], strict=True))
    found = fitted(measured, sent)
    held = [{"width": w, "batch": b, "processes": 2, "seconds": step_seconds(found, counts(family(w)), b, 2)}
            for w, b in HELD_OUT]  # fmt: skip
    return {
        "fit": asdict(found),
        "steps": [{"processes": n, "width": w, "batch": b, "seconds": s} for (n, w, b), s in measured.items()],
        "all_reduce": [{"bytes": size, "seconds": s} for size, s in sent.items()],
        "held_out": held,
        **around(),
    }


def step_job(width: int, batch: int) -> dict[str, Any]:
    return {"kind": "step", "networks": f"32-{width}", "batch": batch, "steps": STEPS[width]}


def fitted(measured: dict[tuple[int, int, int], float], sent: dict[int, float]) -> Fit:
    """Least squares of relative errors, no rate below zero: all-reduces alone, then one process, then what two add."""
    latency, byte = relative([[1.0, size] for size in sent], list(sent.values()))
    of = {width: counts(family(width)) for width, _ in SIZES}
    alone = relative([terms(of[w], b) for w, b in SIZES], [measured[1, w, b] for w, b in SIZES])
    fit = Fit(*alone, latency=latency, link=1 / byte)
    left = [measured[2, w, b] - sent_seconds(fit, of[w], 2) for w, b in SIZES]
    both = [[own_seconds(fit, of[w], b / 2), of[w].parameters / 1e6] for w, b in SIZES]
    contention, flat = relative(both, left, [measured[2, w, b] for w, b in SIZES])
    return Fit(*alone, latency, 1 / byte, contention, flat)


def relative(rows: list[list[float]], wanted: list[float], scale: list[float] | None = None) -> list[float]:
    """Coefficients, none below zero, with the least sum of squared errors in units of `scale`."""
    weights = 1 / np.array(scale or wanted)
    return nnls(np.array(rows) * weights[:, None], np.array(wanted) * weights)[0].tolist()


def around() -> dict[str, float]:
    """What happens beside steps, on one thread: writing checkpoints."""
    torch.set_num_threads(1)
    state = {f"weights {k}": torch.rand(2**20) for k in range(32)}
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder:
        saved = [seconds(lambda k=k: checkpoint.save(Path(folder), k, state)) for k in range(5)]
    return {"checkpoint_bytes_per_second": 32 * 4 * 2**20 / statistics.median(saved)}


def seconds(call: Any) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def check(rounds: int) -> dict[str, Any]:
    prediction = RESULTS / "scaling.json"
    git = ["git", "-C", str(RESULTS)]
    if subprocess.run([*git, "diff", "--quiet", "HEAD", "--", prediction.name], check=False).returncode:
        raise SystemExit("the prediction is not committed: commit benchmarks/results/scaling.json, then measure")
    commit = subprocess.run([*git, "log", "-1", "--format=%H %cI", "--", prediction.name],
                            capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip
    if not commit:
        raise SystemExit("there is no prediction: run fit, and commit benchmarks/results/scaling.json")
    made = json.loads(prediction.read_text())
    held = made["held_out"]
    with launched(2) as launches:
        found = in_turns(launches, [(2, step_job(row["width"], row["batch"])) for row in held], rounds)
    rows = [
        row | {"measured": statistics.median(s), "all": s, "ratio": row["seconds"] / statistics.median(s)}
        for row, s in zip(held, found, strict=True)
    ]
    return {"prediction": commit, "predicted_at": made["date"], "rows": rows,
            "holds": all(abs(row["ratio"] - 1) <= TOLERANCE for row in rows)}  # fmt: skip


def efficiency(rounds: int) -> dict[str, Any]:
    cases = [(1, 1), (1, 2), (2, 1)]  # processes, threads of each
    jobs = [
        (n, {"kind": "step", "networks": name, "batch": batch, "steps": steps, "threads": threads})
        for name, (_, batch, steps) in NETWORKS.items()
        for n, threads in cases
    ]
    with launched(1, 2) as launches:
        found = in_turns(launches, jobs, rounds)
    rows = []
    for k, (name, (label, batch, _)) in enumerate(NETWORKS.items()):
        one, threads, processes = found[3 * k : 3 * k + 3]
        pairs = [a / b for a, b in zip(threads, processes, strict=True)]
        rows.append({
            "networks": name, "label": label, "batch": batch,
            "one": statistics.median(one), "threads": statistics.median(threads),
            "processes": statistics.median(processes), "ratio": statistics.median(pairs),
            "ratio_range": [min(pairs), max(pairs)],
            "speedup": statistics.median(a / b for a, b in zip(one, processes, strict=True)),
        })  # fmt: skip
    return {"rounds": rounds, "rows": rows}


def tables(made: dict[str, Any]) -> None:
    made["scaled"] = predicted(made)
    for name, text in {"scaling": fit_page(made), **scaled_pages(made)}.items():
        (RESULTS / f"{name}.md").write_text(text)
    draw(made["scaled"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("fit", "check", "efficiency", "tables"))
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    command = " ".join(["python", "benchmarks/scaling.py", *sys.argv[1:]])
    about = {"command": command, "date": time.strftime("%Y-%m-%dT%H:%M:%S"), "environment": environment()}
    name = {"fit": "scaling", "tables": "scaling"}.get(given.what, f"scaling-{given.what}")
    file = RESULTS / f"{name}.json"
    if given.what == "tables":
        made = json.loads(file.read_text())
        tables(made)
    else:
        made = about | {"fit": fit, "check": check, "efficiency": efficiency}[given.what](given.rounds)
        if given.what == "fit":
            tables(made)
            (RESULTS / "scaling-check.md").write_text(UNPUBLISHED.format("check"))  # another prediction is not checked
        else:
            page = outcome_page if given.what == "check" else efficiency_page
            file.with_suffix(".md").write_text(page(made))
    file.write_text(json.dumps(made, indent=1) + "\n")
    print(file.with_suffix(".md").read_text())
    if not made.get("holds", True):
        sys.exit("the prediction does not hold")


if __name__ == "__main__":
    main()
