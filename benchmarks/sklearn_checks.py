"""What scikit-learn says of AIMEncoder: its own checks, a grid search, and how well anomalies are told.

    SCIPY_ARRAY_API=1 python benchmarks/sklearn_checks.py [--only checks,grid_search,anomalies] [--steps N]
                                                          [--left-out DIGIT,DIGIT,...]

check_estimator on a tiny estimator; GridSearchCV over two values of `dim` on the digits (n_jobs=1); and the AUC of
anomaly_score: trained on four fifths of nine digits, told on the other fifth against the digit that was left out, and
against uniform noise. Writes benchmarks/results/sklearn-checks.json and .md; `--only` keeps the other parts.
Without the variable scikit-learn skips one of its checks.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.utils.estimator_checks import check_estimator

from aimgan.sklearn import AIMEncoder
from aimgan.training.run_dir import environment

RESULTS = Path(__file__).parent / "results"
SEED, STEPS, DIMS, FOLDS = 0, 1_000, (4, 16), 2
TINY = AIMEncoder(dim=2, width=8, steps=2, batch_size=16)
EXPECTED: dict[str, str] = {}  # check -> why it fails
PARTS = ("anomaly_score", "reconstruction error alone", "code alone")


def timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """Return what `work` does, with its seconds: those of the clock, and the processor's (other programs may run)."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}


def checks() -> list[dict[str, str]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what scikit-learn's checks provoke on purpose
        found = check_estimator(TINY, expected_failed_checks=EXPECTED, on_skip=None, on_fail=None)
    return [
        {
            "check": check["check_name"],
            "status": {"xfail": "expected failure"}.get(check["status"], check["status"]),
            "reason": reason(check),
        }
        for check in found
    ]


def reason(check: dict[str, Any]) -> str:
    raised = " ".join(str(check["exception"] or "").split())[:200]
    return check["expected_to_fail_reason"] if check["expected_to_fail"] else raised


def grid_search(steps: int) -> dict[str, Any]:
    X, _ = load_digits(return_X_y=True)
    estimator = AIMEncoder(image_shape=(8, 8), steps=steps, random_state=SEED)
    search, seconds = timed(lambda: GridSearchCV(estimator, {"dim": DIMS}, cv=FOLDS, n_jobs=1).fit(X))
    scores = dict(zip(map(str, DIMS), map(float, search.cv_results_["mean_test_score"]), strict=True))
    fits = len(DIMS) * FOLDS + 1
    return {
        "fits": fits,
        "steps": steps,
        "load": os.getloadavg()[0],
        "explained": scores,
        "best": search.best_params_,
        **seconds,
    }


def anomalies(left_out: int, steps: int) -> dict[str, Any]:
    """AUC of the score and of each of its parts, for one left-out digit and for noise."""
    X, y = load_digits(return_X_y=True)
    train, known = train_test_split(X[y != left_out], test_size=0.2, random_state=SEED)
    estimator = AIMEncoder(image_shape=(8, 8), steps=steps, random_state=SEED).fit(train)
    noise = np.random.default_rng(SEED).uniform(0, 16, (len(known), 64))

    def told(odd: np.ndarray) -> dict[str, float]:
        rows, labels = np.concatenate([known, odd]), [0] * len(known) + [1] * len(odd)
        parts = estimator._parts(estimator._scaled(rows))
        columns = (estimator.anomaly_score(rows), parts[:, 0], parts[:, 1])
        return {name: float(roc_auc_score(labels, scores)) for name, scores in zip(PARTS, columns, strict=True)}

    return {"left_out": left_out, "steps": steps, "digit": told(X[y == left_out]), "noise": told(noise)}


def markdown(record: dict[str, Any]) -> str:
    machine = record["environment"]
    where = f"{machine['processor']}, {machine['threads']} thread(s), torch {machine['torch']}"
    versions = f"scikit-learn {machine['scikit-learn']}, aimgan {machine['aimgan']}, seed {SEED}"
    parts = [TOLD[name](record[name]) for name in TOLD if name in record]
    return f"`{record['command']}`: {record['day']}, {where}, {versions}.\n\n" + "\n".join(parts)


def checks_told(found: list[dict[str, str]]) -> str:
    passed = sum(check["status"] == "passed" for check in found)
    others = [check for check in found if check["status"] != "passed"]
    reasons = "".join(f"; {check['check']}: {check['status']} ({check['reason']})" for check in others)
    names = ", ".join(check["check"].removeprefix("check_") for check in found if check["status"] == "passed")
    return f"check_estimator: {passed} of {len(found)} checks passed{reasons}.\n\nPassed: {names}.\n"


def grid_told(grid: dict[str, Any]) -> str:
    explained = ", ".join(f"dim {dim}: {value:.3f}" for dim, value in grid["explained"].items())
    return (
        f"GridSearchCV, two values of dim, {grid['fits']} fits of {grid['steps']:,} steps, n_jobs=1: "
        f"{grid['seconds']:.0f} s beside a load of {grid['load']:.0f}, {grid['cpu_seconds']:.0f} s of the processor's; "
        f"explained share of held-out variance {explained}.\n"
    )


def anomalies_told(rows: list[dict[str, Any]]) -> str:
    cells = [[row["digit"][part] for part in PARTS] + [row["noise"][PARTS[0]]] for row in rows]
    lines = [
        ("left out", *PARTS, "noise: anomaly_score"),
        ["---"] * (len(PARTS) + 2),
        *([row["left_out"], *(f"{cell:.3f}" for cell in line)] for row, line in zip(rows, cells, strict=True)),
        ["mean", *(f"{mean:.3f}" for mean in np.mean(cells, axis=0))],
    ]
    return (
        f"AUC of a digit that was left out of the training ({rows[0]['steps']:,} steps), against held-out images of "
        "the other nine, by the whole score and by each of its parts; and of uniform noise:\n\n"
        + "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)
    )


TOLD: dict[str, Callable[[Any], str]] = {
    "checks": checks_told,
    "grid_search": grid_told,
    "anomalies": anomalies_told,
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(TOLD))
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--left-out", default="0,1,2,3,4,5,6,7,8,9")
    given = parser.parse_args()
    work: dict[str, Callable[[], Any]] = {
        "checks": checks,
        "grid_search": lambda: grid_search(given.steps),
        "anomalies": lambda: [anomalies(int(digit), given.steps) for digit in given.left_out.split(",")],
    }
    warnings.simplefilter("error")
    made = {part: work[part]() for part in given.only.split(",")}
    target = RESULTS / "sklearn-checks.json"
    flags = f"--steps {given.steps} --left-out {given.left_out}"
    record = {
        **(json.loads(target.read_text()) if target.exists() else {}),
        "command": f"SCIPY_ARRAY_API=1 python benchmarks/sklearn_checks.py {flags}",
        "day": time.strftime("%Y-%m-%d"),
        "environment": environment(),
        "seed": SEED,
        **made,
    }
    RESULTS.mkdir(exist_ok=True)
    target.write_text(json.dumps(record, indent=1) + "\n")
    target.with_suffix(".md").write_text(markdown(record))
    print(markdown(record))
