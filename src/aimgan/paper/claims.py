"""The paper's claims on images (docs/science.md 5), each tested on a results file of Table 1.

Most claims compare two methods in one score: the difference of the means over seeds, with Welch's t-test. A test needs
three seeds of both methods. A method with a seed that diverged is not compared, because the mean over its other seeds
would flatter it. How two models differ on the same test images is stated too; it says nothing about other seeds. The
tests are in statistics.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from aimgan.pages.tables import pipes
from aimgan.paper.experiment import Results
from aimgan.paper.results_table import NONE, Row, rows_of
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
DISTANCE_MARGIN = 0.1  # standard deviations of the prior, beyond the distance that draws of the prior itself have
SHARE_MARGIN = 0.02  # of the codes
EPOCH = 10
CONVERGED = 1.1  # the error at epoch 10 is at most so many times the last epoch's
SMALLEST = 0.0001  # the smallest p value that a page writes out

Claim = dict[str, Any]


@dataclass(frozen=True)
class Comparison:
    """A claim that the method `ours` is lower, or higher, than the method `other` in a score.

    `other` may also be BEST_ALICE or EVERY_ALICE.
    """

    claim: str
    where: str  # the section of the paper
    ours: str
    other: str
    score: str
    lower: bool


BEST_ALICE, EVERY_ALICE = "ALICE at the λ of its best MSE", "ALICE at every λ"
IS, FD = "inception_score", "frechet_distance"
COMPARISONS = (
    Comparison("AIM reconstructs better than ALI", "5.1", "aim", "ali", ERROR, True),
    Comparison("AIM reconstructs better than ALICE at the λ of its best MSE", "5.1", "aim", BEST_ALICE, ERROR, True),
    Comparison("the learned variance reconstructs better (AIM, AIM-)", "5.1", "aim", "aim-minus", ERROR, True),
    Comparison("AIM's samples score above GAN's", "5.1", "aim", "gan", IS, False),
    Comparison("AIM's samples score above ALI's", "5.1", "aim", "ali", IS, False),
    Comparison("AIM's samples score above ALICE's at the λ of its best MSE", "5.1", "aim", BEST_ALICE, IS, False),
    Comparison("the learned variance generates better (AIM, AIM-)", "5.1", "aim", "aim-minus", IS, False),
    Comparison("ALI's samples score below GAN's", "5.1", "ali", "gan", IS, True),
    Comparison("AIM's samples are nearer to the data than GAN's", "5.1", "aim", "gan", FD, True),
    Comparison("AIM's reconstructions are nearer to the images' sharpness than ALICE's at any λ", "5.2, A.1", "aim",
               EVERY_ALICE, "unsharpness", True),
    Comparison("AIM keeps backgrounds better than ALICE at any λ", "A.1", "aim", EVERY_ALICE, "border_mse", True),
    Comparison("AIM's reconstructions keep the class better than ALI's", "5.2", "aim", "ali", "class_preservation",
               False),
    Comparison("AIM's codes tell the class better than ALI's", "5.4", "aim", "ali", "probe_accuracy", False),
)  # fmt: skip


def tested(results: Results) -> list[Claim]:
    """Return every claim that the results can say something about.

    A claim has its text, where the paper makes it, what was measured, the verdict, `p`, and `p_holm`: the p value
    corrected for all claims that were tested here. Both are None without a test.
    """
    methods = _by_method(results)
    claims = []
    for comparison, other in compared(results):
        claims.append(_compare(comparison, methods[comparison.ours], methods[other], results.get("paired", [])))
    if "aim" in methods:
        claims += [_codes_match_prior(methods["aim"]), _convergence(methods["aim"])]
    made = [claim | {"p_holm": None} for claim in claims if claim]
    with_p = [claim for claim in made if claim["p"] is not None]
    corrected = holm([claim["p"] for claim in with_p])
    for claim, p in zip(with_p, corrected, strict=True):
        claim["p_holm"] = p
        if claim["verdict"] in ("holds", "fails") and p >= LEVEL:
            claim["verdict"] += " (not after Holm's correction)"
    return made


def compared(results: Results) -> list[tuple[Comparison, str]]:
    """Return the comparisons for which both methods were run, with the other method.

    A comparison of reconstruction errors is made a second time, where both methods have that score, with all generators
    normalised alike: otherwise batch-norm statistics that suit one of the methods could decide it.
    """
    methods = _by_method(results)
    found = []
    for one in COMPARISONS:
        if one.ours not in methods or (one.score == "border_mse" and results["data"] == "mnist"):  # MNIST's is black
            continue
        for other in _others(one.other, methods):
            found.append((one, other))
            if one.score == ERROR and methods[one.ours].values(RENORMALISED) and methods[other].values(RENORMALISED):
                again = Comparison(one.claim + BY_CODES, one.where, one.ours, one.other, RENORMALISED, one.lower)
                found.append((again, other))
    return found


def _by_method(results: Results) -> dict[str, Row]:
    return {row.about["method"]: row for row in rows_of(results)}


def _others(other: str, methods: Mapping[str, Row]) -> list[str]:
    """Return the methods that a comparison's other method stands for, of those that were run."""
    if other not in (BEST_ALICE, EVERY_ALICE):
        return [other] if other in methods else []
    alices = [method for method in methods if method.startswith("alice")]
    if other == EVERY_ALICE:
        return alices
    errors = {method: fmean(methods[method].values(ERROR)) for method in alices if methods[method].values(ERROR)}
    # One with a seed that diverged, or with too few seeds for a test, is taken only if there is no other.
    whole = [method for method in errors if not _diverged(methods[method])] or list(errors)
    enough = [method for method in whole if len(methods[method].values(ERROR)) >= FEWEST] or whole
    return sorted(enough, key=lambda method: errors[method])[:1]


def _diverged(row: Row) -> list[Mapping[str, Any]]:
    """Return the runs of a method that diverged."""
    return [run for run in row.runs if run["state"] == "stopped"]


def _values(row: Row, score: str) -> list[float]:
    """Return a score of every run that has it.

    "unsharpness" is how far the sharpness of edges is from the images' own: |log(edge_sharpness)|.
    """
    if score == "unsharpness":
        return [abs(math.log(sharpness)) for sharpness in row.values("edge_sharpness") if sharpness]
    return row.values(score)


def _compare(one: Comparison, ours: Row, other: Row, paired: Sequence[Mapping[str, Any]]) -> Claim | None:
    """Return a comparison's claim; None where a method has no such score although its runs were scored."""
    for row in (ours, other):
        if not _values(row, one.score) and (row.scores or not _diverged(row)):
            return None
    names = ours.about["method"], other.about["method"]
    subject = f"{one.score} {names[0]} - {names[1]}"
    if _diverged(ours) or _diverged(other):
        return _not_compared(one.claim, one.where, f"{subject}: ", ours, other)
    difference = welch(_values(ours, one.score), _values(other, one.score))
    measured = f"{subject}: {difference}"
    for pair in paired:
        if (pair["score"], pair["ours"], pair["other"]) == (one.score, *names):
            measured += f"; {_by_image(pair)}"
    claim = _claim(one.claim, one.where, measured, difference.verdict(one.lower), difference.p)
    numbers = {"difference": difference.value, "half_width": difference.half_width, "interval": difference.over}
    return claim | numbers


def _claim(claim: str, where: str, measured: str, verdict: str, p: float | None) -> Claim:
    return {"claim": claim, "where": where, "measured": measured, "verdict": verdict, "p": p}


def _not_compared(claim: str, where: str, subject: str, *methods: Row) -> Claim:
    """Return a claim about methods with seeds that diverged: the divergence is the finding."""
    details, counts = [], []
    for row in methods:
        diverged, method = _diverged(row), row.about["method"]
        for run in diverged:
            error = (run.get("error") or "it diverged").split(" (")[0]  # without the losses in brackets
            details.append(f'seed {run["seed"]} of {method}: "{error}"')
        if diverged:
            counts.append(f"{len(diverged)} of {len(row.runs)} seeds of {method} diverged")
    return _claim(claim, where, subject + "; ".join(details), f"not compared: {' and '.join(counts)}", None)


def _by_image(pair: Mapping[str, Any]) -> str:
    """Describe how two models differ on the same images."""
    seeds = [str(seed["seed"]) for seed in pair["by_seed"]]
    which = f"seed {seeds[0]}"
    if len(seeds) > 1:
        which = f"mean of seeds {', '.join(seeds)}"
    if pair["correlation"] is not None:
        which += f", correlation {pair['correlation']:.2f}"
    return (
        f"image by image {pair['difference']:+.4g} ± {pair['half_width']:.2g} "
        f"({pair['images']:,} test images, {which}; says nothing about other seeds)"
    )


def _codes_match_prior(aim: Row) -> Claim | None:
    """Test q(z) = p(z) for equivalence: the distance of the codes to the prior, and their share within 3 sigma.

    A distance of samples is never 0. A test that it is no larger than the distance of as many draws of the prior (the
    floor) would reject any model, given enough images. An equivalence margin does not shrink with their number.
    """
    if _diverged(aim):
        return _not_compared(CODES, "5.3, 5.4", "", aim)
    distance, share = "prior_sliced_wasserstein", "share_within_3_sigma"
    needed = (distance, f"{distance}_floor", share, f"{share}_prior")
    found = [scores for scores in aim.scores if all(scores.get(name) is not None for name in needed)]
    if not found:
        return None
    distances = tuple(scores[distance] - scores[f"{distance}_floor"] for scores in found)
    shares = tuple(scores[share] - scores[f"{share}_prior"] for scores in found)
    effects = (
        Effect("sliced Wasserstein distance less its floor", distances, DISTANCE_MARGIN),
        Effect("share within 3 sigma less the prior's", shares, SHARE_MARGIN),
    )
    verdict, p = equivalence(effects)
    over = seeds_text(len(found))
    if p is not None:
        over = f"90 % intervals over {over}, equivalence"
    return _claim(CODES, "5.3, 5.4", f"{', '.join(map(str, effects))}: {over}", verdict, p)


def _convergence(aim: Row) -> Claim | None:
    """Test figure 8's claim that errors fall for ten epochs and then stay. It needs runs of more than ten epochs."""
    ratios, last = [], 0.0
    for run in aim.runs:
        if run["state"] != "finished":
            continue
        errors = {row["epoch"]: row[ERROR] for row in run["epochs"] if ERROR in row}
        if EPOCH in errors and max(errors) > EPOCH:
            last = max(errors)
            ratios.append(errors[EPOCH] / errors[last])
    if not ratios:
        return None
    if _diverged(aim):
        return _not_compared(CONVERGENCE, "A.2", "", aim)
    ratio = mean_of(ratios, CONVERGED)
    measured = f"error at epoch {EPOCH} over that at epoch {last:g}, at most {CONVERGED} if it converged: "
    measured += str(ratio)[1:]  # without the sign
    return _claim(CONVERGENCE, "A.2", measured, ratio.verdict(lower=True, than=CONVERGED), ratio.p)


def claims_table(results: Results) -> str:
    """Return the claims as a table in Markdown, and how they were tested. They are tested anew, by today's rules."""
    claims = tested(results)
    if not claims:
        return ""
    rows = []
    for claim in claims:
        p = NONE
        if claim["p"] is not None:
            p = f"{_p_value(claim['p'])} ({_p_value(claim['p_holm'])})"
        rows.append((claim["claim"], claim["where"], claim["measured"], claim["verdict"], p))
    table = pipes(("claim", "where", "measured here", "verdict", "p (Holm's)"), rows)
    return f"**The paper's claims**\n\n{table}\n\n{_how_tested(claims)}"


def _p_value(p: float) -> str:
    return f"{p:.2g}" if p >= SMALLEST else f"below {SMALLEST:g}"


def _how_tested(claims: Sequence[Claim]) -> str:
    count = sum(claim["p"] is not None for claim in claims)
    needs = f"A test needs {FEWEST} seeds of each method, and none that diverged."
    if not count:
        return f"No claim was tested. {needs}"
    return (
        f"Claims that were tested: {count}, each at the significance level {100 * LEVEL:g} %. A verdict follows from "
        "the claim's own confidence interval over seeds, which is not corrected for multiple testing; the p value "
        f"after Holm's correction for all tests on this page is in brackets. {needs}"
    )
