"""The rules by which a claim holds, fails, or is not tested, one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from aimgan.paper import claims, table1
from aimgan.paper.claims import claims_table

MSE, RENORMALISED = claims.ERROR, claims.RENORMALISED
BETTER_THAN_ALI = "AIM reconstructs better than ALI"


def finished(method: str, *scores: dict, epochs: list | None = None) -> list[dict]:
    return [
        {"method": method, "seed": seed, "state": "finished", "scores": s, "error": None, "epochs": epochs or []}
        for seed, s in enumerate(scores)
    ]


def stopped(method: str, seed: int, error: str = "ALI: loss is nan at step 7 (loss nan, G 6.6)") -> dict:
    return {"method": method, "seed": seed, "state": "stopped", "scores": None, "error": error, "epochs": []}


def of(name: str, *values: float) -> list[dict]:
    return [{name: value} for value in values]


def results(*runs: dict, data: str = "cifar10", **more: object) -> dict:
    methods = [{"method": name} for name in dict.fromkeys(run["method"] for run in runs)]
    return {"data": data, "methods": methods, "cells": list(runs), **more}


def verdicts(found: dict) -> dict[str, dict]:
    return {claim["claim"]: claim for claim in claims.tested(found)}


def errors(aim: tuple[float, ...], ali: tuple[float, ...]) -> dict:
    """Return the claim about AIM's and ALI's errors."""
    return verdicts(results(*finished("aim", *of(MSE, *aim)), *finished("ali", *of(MSE, *ali))))[BETTER_THAN_ALI]


@pytest.mark.parametrize(
    ("aim", "ali", "verdict", "over"),
    [
        ((0.03, 0.031, 0.032), (0.06, 0.061), "2 seeds: not tested", "(3 and 2 seeds)"),
        ((0.03,), (0.06, 0.061, 0.063), "one seed: not tested", "(1 and 3 seeds)"),
    ],
)
def test_it_takes_three_seeds_of_both(aim, ali, verdict, over):
    claim = errors(aim, ali)
    assert claim["verdict"] == verdict
    assert claim["p"] is None
    assert claim["p_holm"] is None
    assert claim["half_width"] is None
    # The difference is that of the means, whichever seeds each of them has.
    assert claim["difference"] == pytest.approx(np.mean(aim) - np.mean(ali))
    assert over in claim["measured"]
    assert f"{claim['difference']:+.4g}" in claim["measured"]


@pytest.mark.parametrize(
    ("runs", "verdict"),
    [
        ([*finished("aim", *of(MSE, 1, 2, 3)), *finished("ali", *of(MSE, 7, 9)), stopped("ali", 2)],
         "not compared: 1 of 3 seeds of ali diverged"),
        ([*finished("aim", *of(MSE, 1)), stopped("aim", 1), *finished("ali", *of(MSE, 7, 9)), stopped("ali", 2)],
         "not compared: 1 of 2 seeds of aim diverged and 1 of 3 seeds of ali diverged"),
        ([*finished("aim", *of(MSE, 1, 2, 3)), stopped("ali", 0), stopped("ali", 1)],
         "not compared: 2 of 2 seeds of ali diverged"),
    ],
)  # fmt: skip
def test_survivors_are_not_compared(runs, verdict):
    claim = verdicts(results(*runs))[BETTER_THAN_ALI]
    assert claim["verdict"] == verdict
    assert claim["p"] is None
    assert 'of ali: "ALI: loss is nan at step 7"' in claim["measured"]
    assert "±" not in claim["measured"]
    assert "difference" not in claim


def test_a_verdict_that_does_not_survive_the_correction_says_so():
    aim, ali = (0.030, 0.036, 0.033), (0.040, 0.046, 0.043)
    assert errors(aim, ali)["verdict"] == "holds"
    assert 0.01 < errors(aim, ali)["p"] < 0.05 / 2
    runs = [
        *finished("aim", *({MSE: e, "inception_score": s} for e, s in zip(aim, (8.0, 8.2, 8.1), strict=True))),
        *finished("ali", *({MSE: e, "inception_score": s} for e, s in zip(ali, (8.0, 8.3, 8.1), strict=True))),
        *finished("gan", *of("inception_score", 8.1, 8.2, 8.0)),
        *finished("aim-minus", *({MSE: e, "inception_score": 8.1 + e} for e in (0.031, 0.035, 0.034))),
    ]
    found = verdicts(results(*runs))
    claim = found[BETTER_THAN_ALI]
    assert claim["verdict"] == "holds (not after Holm's correction)"
    assert claim["p_holm"] == pytest.approx(claim["p"] * sum(one["p"] is not None for one in found.values()))
    assert errors(ali, aim)["verdict"] == "fails"


def test_the_page_says_how_many_were_tested_at_once():
    def page(seeds: int) -> str:
        scores = [of("inception_score", *values[:seeds]) for values in ((8.0, 8.1, 8.3), (7.0, 7.1, 7.05))]
        return claims_table(results(*finished("aim", *scores[0]), *finished("gan", *scores[1])))

    assert "| claim | where | measured here | verdict | p (Holm's) |" in page(3)
    assert "Claims that were tested: 1, each at the significance level 5 %." in page(3)
    assert "| holds | 0.00" in page(3)
    assert "No claim was tested. A test needs 3 seeds" in page(1)
    assert "| one seed: not tested | - |" in page(1)
    assert claims_table(results(*finished("gan", *of("inception_score", 8.0)))) == ""


def test_alice_is_taken_at_the_lambda_that_reconstructs_best():
    claim = "AIM reconstructs better than ALICE at the λ of its best MSE"
    runs = [
        *finished("aim", *of(MSE, 0.03)),
        *finished("alice-1", *of(MSE, 0.08)),
        *finished("alice-10", *of(MSE, 0.02)),
    ]
    one = verdicts(results(*runs))[claim]
    assert "aim - alice-10: +0.01 (one seed)" in one["measured"]
    # Of a lambda with a seed that diverged only survivors are known: the best of the others is taken.
    assert "aim - alice-1:" in verdicts(results(*runs, stopped("alice-10", 1)))[claim]["measured"]
    both = verdicts(results(*runs, stopped("alice-10", 1), stopped("alice-1", 1)))[claim]
    assert both["verdict"] == "not compared: 1 of 2 seeds of alice-10 diverged"


def test_each_claim_on_errors_has_a_row_with_all_generators_normalised_alike():
    def both(own: tuple[float, ...], alike: tuple[float, ...]) -> list[dict]:
        return [{MSE: a, RENORMALISED: b} for a, b in zip(own, alike, strict=True)]

    aim = finished("aim", *both((0.030, 0.031, 0.032), (0.030, 0.032, 0.031)))
    found = verdicts(results(*aim, *finished("ali", *both((0.06, 0.061, 0.063), (0.029, 0.033, 0.031)))))
    assert [*found] == [BETTER_THAN_ALI, BETTER_THAN_ALI + ", all generators normalised by codes of images"]
    own, alike = found.values()
    assert own["verdict"] == "holds"
    assert alike["verdict"] == "undecided"
    assert alike["measured"].startswith("reconstruction_mse_renormalised aim - ali")
    assert own["p_holm"] == pytest.approx(2 * own["p"])
    assert [*verdicts(results(*aim, *finished("ali", *of(MSE, 1, 2, 3))))] == [BETTER_THAN_ALI]


def test_models_are_compared_image_by_image(tmp_path):
    generator = np.random.default_rng(0)
    hard, extra, more = generator.gamma(4, 0.01, 500), generator.normal(0, 0.004, 500), generator.normal(0, 0.004, 500)
    a, b = (hard + 0.9 * extra - 0.002).astype(np.float32), (hard + 0.3 * more).astype(np.float32)
    runs = [*finished("aim", *of(MSE, 0.03, 0.031)), *finished("ali", *of(MSE, 0.06, 0.061, 0.062))]
    for run in runs:
        run["folder"] = f"{run['method']}-{run['seed']}"
        (tmp_path / run["folder"]).mkdir()
    for seed in (0, 1):
        np.save(tmp_path / f"aim-{seed}" / "errors.npy", a - np.float32(0.001 * seed))
        np.save(tmp_path / f"ali-{seed}" / "errors.npy", b)
    found = results(*runs, seeds=[0, 1, 2])
    pairs = table1.paired(found, tmp_path)

    assert len(pairs) == 1
    assert [one["seed"] for one in pairs[0]["by_seed"]] == [0, 1]
    expected = stats.ttest_rel(a.astype(np.float64), b.astype(np.float64)).confidence_interval(0.95)
    first = pairs[0]["by_seed"][0]
    assert first["difference"] - first["half_width"] == pytest.approx(expected.low, rel=1e-2)  # normal, not t
    assert first["difference"] + first["half_width"] == pytest.approx(expected.high, rel=1e-2)
    assert first["correlation"] == pytest.approx(stats.pearsonr(a, b).statistic)
    unpaired = 1.96 * math.sqrt((a.var() + b.var()) / 500)
    assert pairs[0]["half_width"] < unpaired / 2
    assert pairs[0]["difference"] == pytest.approx(first["difference"] - 0.0005, rel=1e-3)

    told = verdicts(found | {"paired": pairs})[BETTER_THAN_ALI]["measured"]
    assert f"image by image {pairs[0]['difference']:+.4g} ± {pairs[0]['half_width']:.2g} (500 test images" in told
    assert "mean of seeds 0, 1, correlation" in told
    assert "says nothing about other seeds" in told
    single = [{**pairs[0], "by_seed": [first], "images": 10_000}]
    told = verdicts(found | {"paired": single})[BETTER_THAN_ALI]["measured"]
    assert "(10,000 test images, seed 0, correlation" in told


@pytest.mark.parametrize("left", [None, b"", b"no array", np.zeros(3), np.zeros((4, 2)), np.array([1, 2, 3, np.nan])])
def test_errors_of_other_images_or_none_are_not_paired(tmp_path, left):
    runs = [*finished("aim", *of(MSE, 0.03)), *finished("ali", *of(MSE, 0.06))]
    for run in runs:
        run["folder"] = run["method"]
        (tmp_path / run["folder"]).mkdir()
    np.save(tmp_path / "ali" / "errors.npy", np.arange(4.0))
    if isinstance(left, bytes):
        (tmp_path / "aim" / "errors.npy").write_bytes(left)
    elif left is not None:
        np.save(tmp_path / "aim" / "errors.npy", left)
    found = results(*runs, seeds=[0])
    assert table1.paired(found, tmp_path) == []
    # A file from before errors were kept has no "paired" at all.
    assert "image by image" not in verdicts(found)[BETTER_THAN_ALI]["measured"]
    assert "image by image" not in claims_table(found)


def codes(*effects: tuple[float, float]) -> dict:
    names = ("prior_sliced_wasserstein", "prior_sliced_wasserstein_floor", "share_within_3_sigma",
             "share_within_3_sigma_prior")  # fmt: skip
    scores = [dict(zip(names, (0.02 + beyond, 0.02, 0.98 + share, 0.98), strict=True)) for beyond, share in effects]
    return verdicts(results(*finished("aim", *scores)))[claims.CODES]


@pytest.mark.parametrize(
    ("effects", "verdict"),
    [
        (((0.03, -0.006), (0.04, -0.007), (0.035, -0.005)), "holds"),
        (((0.30, -0.006), (0.31, -0.007), (0.32, -0.005)), "fails"),  # by the distance alone
        (((0.03, -0.060), (0.04, -0.062), (0.035, -0.061)), "fails"),  # by the share alone
        (((0.03, -0.006), (0.16, -0.007), (0.035, -0.005)), "undecided"),
        (((0.03, -0.006), (0.04, -0.007)), "2 seeds: not tested"),
    ],
)
def test_codes_match_the_prior_within_a_margin(effects, verdict):
    claim = codes(*effects)
    assert claim["verdict"] == verdict
    assert "(margin 0.1)" in claim["measured"]
    assert "(margin 0.02)" in claim["measured"]
    assert f"{np.mean([beyond for beyond, _ in effects]):+.3g}" in claim["measured"]
    assert (claim["p"] is None) == ("not tested" in verdict)
    if claim["p"] is not None:
        assert (claim["p"] < 0.05) == (verdict != "undecided")


def converged(*lasts: float, epochs: int = 20, more: tuple[dict, ...] = ()) -> dict | None:
    runs = []
    for seed, last in enumerate(lasts):
        rows = [{"epoch": float(k), MSE: 0.1 / k if k < epochs else last} for k in range(1, epochs + 1)]
        runs += [{**finished("aim", {MSE: last}, epochs=rows)[0], "seed": seed}]
    return verdicts(results(*runs, *more)).get(claims.CONVERGENCE)


def test_convergence_takes_more_than_ten_epochs_to_tell():
    assert converged(0.01, 0.01, 0.01, epochs=10) is None
    assert converged(0.0099, 0.0100, 0.0098)["verdict"] == "holds"
    assert converged(0.0050, 0.0051, 0.0052)["verdict"] == "fails"
    assert converged(0.0099, 0.0080, 0.0090)["verdict"] == "undecided"


def test_convergence_is_over_seeds_as_all_claims_are():
    assert converged(0.0099)["verdict"] == "one seed: not tested"
    assert (
        "epoch 10 over that at epoch 20, at most 1.1 if it converged: 1.01 (one seed)" in converged(0.0099)["measured"]
    )
    assert converged(0.0099, 0.01)["verdict"] == "2 seeds: not tested"
    assert converged(0.01, 0.01, 0.01)["verdict"] == "no variance: not tested"
    assert converged(0.01, 0.01, more=(stopped("aim", 2),))["verdict"].startswith("not compared: 1 of 3 seeds of aim")
    ratios = [0.01 / last for last in (0.0099, 0.0100, 0.0098)]
    assert converged(0.0099, 0.0100, 0.0098)["p"] == pytest.approx(stats.ttest_1samp(ratios, 1.1).pvalue)
