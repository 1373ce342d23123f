"""The paper's claims on images, what was measured about each, and which way each comes out: science.md 5.

A difference is that of the method the claim is about minus the other's. A verdict is over seeds: it takes three of both
methods, and none that diverged, because a mean over the survivors of a method is not compared. What two models did to
the same test images stands beside, and says nothing about other seeds. The tests are in statistics.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from aimgan.paper.statistics import (
    FEWEST,
    LEVEL,
    Effect,
    equivalence,
    holm,
    mean_of,
    seeds_text,
    welch,
)

ERROR, RENORMALISED = "reconstruction_mse", "reconstruction_mse_renormalised"
BY_CODES = ", all generators normalised by codes of images"
CODES, CONVERGENCE = "AIM's codes match the prior", "the error converges within 10 epochs"
DISTANCE_MARGIN = 0.1  # standard deviations of the prior, beyond the distance of as many draws of the prior
SHARE_MARGIN = 0.02  # of the codes
EPOCH = 10
CONVERGED = 1.1  # times the last epoch's error, at most, is the error at epoch 10

Claim = dict[str, Any]


@dataclass(frozen=True)
class Side:
    """A method in a claim: the scores of its finished seeds, and the seeds that diverged with what was said then."""

    key: str
    cells: tuple[Mapping[str, Any], ...] = ()

    @property
    def scores(self) -> list[dict[str, Any]]:
        """The scores of the seeds that have some."""
        return [_with_derived(cell["scores"]) for cell in self.cells if cell["scores"]]

    @property
    def diverged(self) -> list[Mapping[str, Any]]:
        """The cells that diverged."""
        return [cell for cell in self.cells if cell["state"] == "stopped"]

    def values(self, name: str) -> list[float]:
        """Return a score of every seed that has it."""
        return [scores[name] for scores in self.scores if scores.get(name) is not None]

    def has(self, name: str) -> bool:
        """Whether there is something to say about a score: a seed has it, or all seeds that were scored diverged."""
        return bool(self.values(name)) or (bool(self.diverged) and not self.scores)


Sides = Mapping[str, Side]


@dataclass(frozen=True)
class Comparison:
    """A claim that `ours` is lower or higher than each of `others` (keys of methods) in a score."""

    claim: str
    where: str
    ours: str
    others: Callable[[Sides], list[str]]
    score: str
    lower: bool


def _alices(sides: Sides) -> list[str]:
    return [key for key in sides if key.startswith("alice")]


def _best_alice(sides: Sides) -> list[str]:
    """Return ALICE at the lambda whose reconstructions are the best, of those that were run.

    A lambda with a seed that diverged, or with too few seeds to be tested, is chosen only where there is no other.
    """
    ranked = {key: fmean(values) for key in _alices(sides) if (values := sides[key].values(ERROR))}
    whole = {key: error for key, error in ranked.items() if not sides[key].diverged} or ranked
    whole = {key: error for key, error in whole.items() if len(sides[key].values(ERROR)) >= FEWEST} or whole
    return [min(whole, key=lambda key: whole[key])] if whole else []


def _only(*keys: str) -> Callable[[Sides], list[str]]:
    return lambda sides: [key for key in keys if key in sides]


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


def tested(results: Mapping[str, Any]) -> list[Claim]:
    """Return every claim that the results have the rows for: claim, where, measured, verdict, and the numbers.

    `p` is a claim's own p value, `p_holm` Holm's for all claims of the results that have one; None without a test.
    """
    sides = sides_of(results)
    found = [_compared(one, sides, other, results) for one, other in compared(results)]
    made = [claim for claim in (*found, _of_codes(sides), _convergence(sides)) if claim]
    corrected = iter(holm([claim["p"] for claim in made if claim["p"] is not None]))
    return [_corrected(claim, None if claim["p"] is None else next(corrected)) for claim in made]


def sides_of(results: Mapping[str, Any]) -> dict[str, Side]:
    """Return the methods of the results by their keys."""
    keys = [about["method"] for about in results["methods"]]
    return {key: Side(key, tuple(cell for cell in results["cells"] if cell["method"] == key)) for key in keys}


def compared(results: Mapping[str, Any]) -> list[tuple[Comparison, str]]:
    """Return the comparisons that the results have the methods for, each with the key of the other method.

    A comparison of reconstruction errors comes a second time, with every generator normalised alike, where both methods
    have that score: statistics that only one of them profits from cannot decide the claim unseen.
    """
    sides, made = sides_of(results), []
    for one in COMPARISONS:
        if one.ours not in sides or (results["data"] == "mnist" and one.score == "border_mse"):  # MNIST's is black
            continue
        again = replace(one, claim=one.claim + BY_CODES, score=RENORMALISED)
        for other in one.others(sides):
            made.append((one, other))
            if one.score == ERROR and sides[one.ours].values(RENORMALISED) and sides[other].values(RENORMALISED):
                made.append((again, other))
    return made


def _with_derived(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Return a cell's scores with how far its reconstructions are from the images' own sharpness."""
    sharp = scores.get("edge_sharpness")
    derived = {"unsharpness": abs(math.log(sharp))} if sharp else {}
    return {**scores, **derived}


def _compared(one: Comparison, sides: Sides, other: str, results: Mapping[str, Any]) -> Claim | None:
    a, b = sides[one.ours], sides[other]
    if not a.has(one.score) or not b.has(one.score):
        return None
    subject = f"{one.score} {one.ours} - {other}"
    if a.diverged or b.diverged:
        return _not_compared(one.claim, one.where, f"{subject}: ", a, b)
    found = welch(a.values(one.score), b.values(one.score))
    beside = _by_image(results, one, other)
    return {
        "claim": one.claim,
        "where": one.where,
        "measured": f"{subject}: {found}" + (f"; {beside}" if beside else ""),
        "verdict": found.verdict(one.lower),
        "p": found.p,
        "difference": found.value,
        "half_width": found.half_width,
        "interval": found.over,
    }


def _not_compared(claim: str, where: str, subject: str, *sides: Side) -> Claim:
    """Return a claim about methods with diverged seeds: that they diverged is what was found."""
    told = [f"seed {cell['seed']} of {side.key}: {_short(cell)}" for side in sides for cell in side.diverged]
    counts = [f"{len(s.diverged)} of {len(s.cells)} seeds of {s.key} diverged" for s in sides if s.diverged]
    verdict = f"not compared: {' and '.join(counts)}"
    return {"claim": claim, "where": where, "measured": subject + "; ".join(told), "verdict": verdict, "p": None}


def _short(cell: Mapping[str, Any]) -> str:
    """Return why a cell stopped, without the losses that follow in brackets."""
    return f'"{(cell.get("error") or "it diverged").split(" (")[0]}"'


def _by_image(results: Mapping[str, Any], one: Comparison, other: str) -> str:
    """Return what the two models did to the same images; nothing where their errors image by image were not kept."""
    for pair in results.get("paired", []):
        if (pair["score"], pair["ours"], pair["other"]) == (one.score, one.ours, other):
            seeds = [str(seed["seed"]) for seed in pair["by_seed"]]
            which = f"seed {seeds[0]}" if len(seeds) == 1 else f"mean of seeds {', '.join(seeds)}"
            alike = "" if pair["correlation"] is None else f", correlation {pair['correlation']:.2f}"
            return (
                f"image by image {pair['difference']:+.4g} ± {pair['half_width']:.2g} "
                f"({pair['images']:,} test images, {which}{alike}; says nothing about other seeds)"
            )
    return ""


def _of_codes(sides: Sides) -> Claim | None:
    """p(z) = q(z), within a margin: the codes' distance to the prior, and their share within 3 sigma.

    A distance has a floor from sampling that falls with the number of images, so a test against the floor fails with
    enough images whatever the distance. The margin does not fall.
    """
    aim = sides.get("aim", Side("aim"))
    if aim.diverged:
        return _not_compared(CODES, "5.3, 5.4", "", aim)
    name, share = "prior_sliced_wasserstein", "share_within_3_sigma"
    needed = (name, f"{name}_floor", share, f"{share}_prior")
    found = [scores for scores in aim.scores if all(scores.get(key) is not None for key in needed)]
    if not found:
        return None
    beyond = tuple(scores[name] - scores[f"{name}_floor"] for scores in found)
    within = tuple(scores[share] - scores[f"{share}_prior"] for scores in found)
    effects = (
        Effect("sliced Wasserstein distance less its floor", beyond, DISTANCE_MARGIN),
        Effect("share within 3 sigma less the prior's", within, SHARE_MARGIN),
    )
    verdict, p = equivalence(effects)
    over = seeds_text(len(found)) if p is None else f"90 % intervals over {seeds_text(len(found))}, equivalence"
    told = f"{', '.join(map(str, effects))}: {over}"
    return {"claim": CODES, "where": "5.3, 5.4", "measured": told, "verdict": verdict, "p": p}


def _convergence(sides: Sides) -> Claim | None:
    """Figure 8: errors fall in the first ten epochs and then stay. It takes more than ten to tell."""
    aim = sides.get("aim", Side("aim"))
    ratios, last = [], 0.0
    for cell in aim.cells:
        errors = {row["epoch"]: row[ERROR] for row in cell["epochs"] if ERROR in row}
        if cell["scores"] and errors and max(errors) > EPOCH and EPOCH in errors:
            last = max(errors)
            ratios.append(errors[EPOCH] / errors[last])
    if not ratios:
        return None
    if aim.diverged:
        return _not_compared(CONVERGENCE, "A.2", "", aim)
    found = mean_of(ratios, CONVERGED)
    # A ratio has no sign to show.
    told = f"error at epoch {EPOCH} over that at epoch {last:g}, at most {CONVERGED} if it converged: {str(found)[1:]}"
    return {
        "claim": CONVERGENCE,
        "where": "A.2",
        "measured": told,
        "verdict": found.verdict(lower=True, than=CONVERGED),
        "p": found.p,
    }


def _corrected(claim: Claim, p_holm: float | None) -> Claim:
    """Return a claim with Holm's p value: a verdict that does not survive the correction says so."""
    lost = claim["verdict"] in ("holds", "fails") and p_holm is not None and p_holm >= LEVEL
    verdict = claim["verdict"] + (" (not after Holm's correction)" if lost else "")
    return {**claim, "verdict": verdict, "p_holm": p_holm}
