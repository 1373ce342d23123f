"""The paper's claims on images as differences with intervals, and which way each comes out: science.md 5.

A difference is AIM's (or whoever the claim is about) minus the other's. Its 95 % interval is Welch's over seeds; with
one seed it is over test images or the score's splits, which says nothing about another seed, and is named so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Any

from scipy.stats import t as student

Scores = Mapping[str, Any]
SPLITS = 10  # of the Inception Score
SHARES = ("class_preservation", "probe_accuracy")  # of test images


@dataclass(frozen=True)
class Difference:
    """a - b with the half width of its 95 % interval (None where it has none), and what the interval is over."""

    value: float
    half: float | None
    over: str

    def __str__(self) -> str:
        """The difference as a table shows it."""
        return f"{self.value:+.4g}" + ("" if self.half is None else f" ± {self.half:.2g} ({self.over})")

    def verdict(self, lower: bool) -> str:
        """Return whether a is lower (or higher) than b: holds, fails, or undecided where the interval has both."""
        if self.half is None or abs(self.value) <= self.half:
            return "undecided"
        return "holds" if (self.value < 0) == lower else "fails"


def difference(a: Sequence[Scores], b: Sequence[Scores], name: str) -> Difference | None:
    """Return the difference of a score between two methods' seeds; None where one of them has not got it."""
    x, y = ([scores[name] for scores in of if scores.get(name) is not None] for of in (a, b))
    if not x or not y:
        return None
    value = fmean(x) - fmean(y)
    if len(x) > 1 and len(y) > 1:
        over = f"{len(x)} seeds" if len(x) == len(y) else f"{len(x)} and {len(y)} seeds"
        parts = [variance(of) / len(of) for of in (x, y)]
        if not sum(parts):
            return Difference(value, 0.0, over)
        freedom = sum(parts) ** 2 / sum(p**2 / (len(of) - 1) for p, of in zip(parts, (x, y), strict=True))
        return Difference(value, float(student.ppf(0.975, freedom)) * math.sqrt(sum(parts)), over)
    return _of_one_seed(value, a[0], b[0], name)


def _of_one_seed(value: float, a: Scores, b: Scores, name: str) -> Difference:
    n = a.get("n_real")
    if name == "inception_score":
        spreads = [of[f"{name}_std"] for of in (a, b)]  # population's, over ten splits
        half = float(student.ppf(0.975, SPLITS - 1)) * math.sqrt(sum(s**2 for s in spreads) / (SPLITS - 1))
        return Difference(value, half, "one seed, over splits")
    if name in SHARES:
        spreads = [math.sqrt(of[name] * (1 - of[name])) for of in (a, b)]
    else:
        spreads = [of.get(f"{name}_std") for of in (a, b)]
    if n is None or None in spreads:
        return Difference(value, None, "one seed, no interval")
    return Difference(value, 1.96 * math.sqrt(sum(s**2 for s in spreads) / n), "one seed, over images")


@dataclass(frozen=True)
class Comparison:
    """A claim that `ours` is lower or higher than each of `others` (keys of methods) in a score."""

    claim: str
    where: str
    ours: str
    others: Callable[[Mapping[str, Any]], list[str]]
    score: str
    lower: bool


def _alices(methods: Mapping[str, Any]) -> list[str]:
    return [key for key in methods if key.startswith("alice")]


def _best_alice(methods: Mapping[str, Any]) -> list[str]:
    """Return ALICE at the lambda whose reconstructions are the best, of those that were run."""
    ranked = {
        key: fmean(s["reconstruction_mse"] for s in methods[key])
        for key in _alices(methods)
        if methods[key] and all("reconstruction_mse" in s for s in methods[key])
    }
    return [min(ranked, key=lambda key: ranked[key])] if ranked else []


def _only(*keys: str) -> Callable[[Mapping[str, Any]], list[str]]:
    return lambda methods: [key for key in keys if key in methods]


COMPARISONS = (
    Comparison("AIM reconstructs better than ALI", "5.1", "aim", _only("ali"), "reconstruction_mse", True),
    Comparison(
        "AIM reconstructs better than ALICE at the λ of its best MSE",
        "5.1",
        "aim",
        _best_alice,
        "reconstruction_mse",
        True,
    ),
    Comparison(
        "the learned variance reconstructs better (AIM, AIM-)",
        "5.1",
        "aim",
        _only("aim-minus"),
        "reconstruction_mse",
        True,
    ),
    Comparison("AIM's samples score above GAN's", "5.1", "aim", _only("gan"), "inception_score", False),
    Comparison("AIM's samples score above ALI's", "5.1", "aim", _only("ali"), "inception_score", False),
    Comparison(
        "AIM's samples score above ALICE's at the λ of its best MSE",
        "5.1",
        "aim",
        _best_alice,
        "inception_score",
        False,
    ),
    Comparison(
        "the learned variance generates better (AIM, AIM-)", "5.1", "aim", _only("aim-minus"), "inception_score", False
    ),
    Comparison("ALI's samples score below GAN's", "5.1", "ali", _only("gan"), "inception_score", True),
    Comparison("AIM's samples are nearer to the data than GAN's", "5.1", "aim", _only("gan"), "frechet_distance", True),
    Comparison(
        "AIM's reconstructions are nearer to the images' sharpness than ALICE's at any λ",
        "5.2, A.1",
        "aim",
        _alices,
        "unsharpness",
        True,
    ),
    Comparison("AIM keeps backgrounds better than ALICE at any λ", "A.1", "aim", _alices, "border_mse", True),
    Comparison(
        "AIM's reconstructions keep the class better than ALI's",
        "5.2",
        "aim",
        _only("ali"),
        "class_preservation",
        False,
    ),
    Comparison("AIM's codes tell the class better than ALI's", "5.4", "aim", _only("ali"), "probe_accuracy", False),
)


def tested(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return every claim that the results have the rows for: claim, where, measured, verdict, and the numbers."""
    methods = {
        about["method"]: [
            _with_derived(cell) for cell in results["cells"] if cell["method"] == about["method"] and cell["scores"]
        ]
        for about in results["methods"]
    }
    asked = [one for one in COMPARISONS if results["data"] != "mnist" or one.score != "border_mse"]  # MNIST's is black
    found = [_compared(one, methods, other) for one in asked for other in one.others(methods)]
    return [claim for claim in (*found, *_of_codes(methods), *_convergence(results)) if claim]


def _with_derived(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Return a cell's scores with its seed, and how far its reconstructions are from the images' own sharpness."""
    sharp = cell["scores"].get("edge_sharpness")
    derived = {"unsharpness": abs(math.log(sharp))} if sharp else {}
    return {**cell["scores"], **derived, "seed": cell["seed"]}


def _compared(one: Comparison, methods: Mapping[str, Any], other: str) -> dict[str, Any] | None:
    found = difference(methods.get(one.ours, []), methods[other], one.score)
    if found is None:
        return None
    return {
        "claim": one.claim,
        "where": one.where,
        "measured": f"{one.score} {one.ours} - {other}: {found}",
        "verdict": found.verdict(one.lower),
        "difference": found.value,
        "half_width": found.half,
        "interval": found.over,
    }


def _of_codes(methods: Mapping[str, Any]) -> list[dict[str, Any]]:
    """p(z) = q(z): the codes' share within 3 sigma and their distance to the prior, beside the prior's own."""
    made = []
    for scores in [scores for scores in methods.get("aim", []) if "prior_mmd" in scores]:
        own, prior = scores["share_within_3_sigma"], scores["share_within_3_sigma_prior"]
        distance, floor = scores["prior_mmd"], scores.get("prior_mmd_floor", 0.0)
        within = f"{100 * own:.1f} % within 3 sigma (prior {100 * prior:.1f} %)"
        text = f"seed {scores['seed']}: {within}; MMD {distance:.2g}, twice its floor from sampling is {2 * floor:.2g}"
        verdict = "holds" if abs(own - prior) < 0.02 and distance < 2 * floor else "fails"
        made.append({"claim": "AIM's codes match the prior", "where": "5.3, 5.4", "measured": text, "verdict": verdict})
    return made


def _convergence(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Figure 8: errors fall in the first ten epochs and then stay. It takes more than ten to tell."""
    made = []
    for cell in results["cells"]:
        errors = {row["epoch"]: row["reconstruction_mse"] for row in cell["epochs"] if "reconstruction_mse" in row}
        if cell["method"] != "aim" or not errors or max(errors) <= 10 or 10 not in errors:
            continue
        last = errors[max(errors)]
        text = f"seed {cell['seed']}: epoch 10 {errors[10]:.4f}, epoch {max(errors):g} {last:.4f}"
        verdict = "holds" if errors[10] <= 1.1 * last else "fails"
        made.append(
            {"claim": "the error converges within 10 epochs", "where": "A.2", "measured": text, "verdict": verdict}
        )
    return made
