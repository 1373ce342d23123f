from __future__ import annotations

import pytest
from scipy import stats

from aimgan.experiments.reproduction import claims


def cells(method: str, *scores: dict) -> list[dict]:
    return [{"method": method, "seed": seed, "scores": s, "epochs": []} for seed, s in enumerate(scores)]


def of(name: str, *values: float) -> list[dict]:
    return [{name: value} for value in values]


def test_the_interval_over_seeds_is_welchs():
    a, b = [0.031, 0.035, 0.030], [0.041, 0.047, 0.052]
    found = claims.difference(of("reconstruction_mse", *a), of("reconstruction_mse", *b), "reconstruction_mse")
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert found is not None
    assert found.value - found.half == pytest.approx(expected.low)
    assert found.value + found.half == pytest.approx(expected.high)
    assert found.verdict(lower=True) == "holds"
    assert found.verdict(lower=False) == "fails"


def test_one_seed_has_an_interval_over_images_that_says_so():
    a = {"reconstruction_mse": 0.03, "reconstruction_mse_std": 0.02, "n_real": 100}
    b = {"reconstruction_mse": 0.031, "reconstruction_mse_std": 0.02, "n_real": 100}
    found = claims.difference([a], [b], "reconstruction_mse")
    assert found is not None
    assert found.half == pytest.approx(1.96 * (2 * 0.02**2 / 100) ** 0.5)
    assert found.verdict(lower=True) == "undecided"
    assert "over images" in str(found)


def test_alice_is_taken_at_the_lambda_that_reconstructs_best():
    results = {
        "data": "cifar10",
        "methods": [{"method": name} for name in ("aim", "alice-1", "alice-10")],
        "cells": [
            *cells("aim", {"reconstruction_mse": 0.03, "share_within_3_sigma": 0.9, "share_within_3_sigma_prior": 0.9,
                           "prior_mmd": 0.0, "prior_mmd_floor": 0.1}),
            *cells("alice-1", {"reconstruction_mse": 0.08}),
            *cells("alice-10", {"reconstruction_mse": 0.02}),
        ],
    }  # fmt: skip
    found = {claim["claim"]: claim for claim in claims.tested(results)}
    one = found["AIM reconstructs better than ALICE at the λ of its best MSE"]
    assert "aim - alice-10" in one["measured"]
    assert one["verdict"] == "undecided"  # one seed without an interval
    assert found["AIM's codes match the prior"]["verdict"] == "holds"


def test_convergence_takes_more_than_ten_epochs_to_tell():
    def results(last: int, error: float) -> dict:
        rows = [{"epoch": float(k), "reconstruction_mse": 0.1 / k if k < last else error} for k in range(1, last + 1)]
        return {"cells": [{"method": "aim", "seed": 0, "epochs": rows}]}

    assert claims._convergence(results(10, 0.01)) == []
    assert claims._convergence(results(20, 0.0099))[0]["verdict"] == "holds"
    assert claims._convergence(results(20, 0.005))[0]["verdict"] == "fails"
