"""The stability map: what is a success, its interval, its page, and that a bare run is the run itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from aimgan.data import Grid
from aimgan.evaluation import evaluate as evaluation
from aimgan.figures import Panel, stability_map
from aimgan.paper import bare, stability_page
from aimgan.paper.cells import Cell
from aimgan.runs.train import train

ENVIRONMENT = {"processor": "A CPU", "threads": 1, "python": "3.11.7", "torch": "2.9", "aimgan": "0.1.0"}


def cell(method: str, lr: float, value: float, seed: int, state: str = "finished", modes: int = 25, hq: float = 0.95):
    scores = {"modes": modes, "high_quality": hq} if state == "finished" else None
    about = {"method": method, "lr": lr, "value": value, "seed": seed, "state": state}
    return {**about, "scores": scores, "seconds": 10.0, "error": "nan" if state == "stopped" else None}


@pytest.fixture
def results() -> dict[str, Any]:
    return {
        "target": "stability", "data": "grid", "command": "aimgan reproduce stability", "date": "2026-01-02",
        "device": "cpu", "workers": 2, "seeds": [0, 1], "steps": 1000, "environments": [ENVIRONMENT],
        "success": {"modes": 25, "high_quality": 0.9},
        "methods": [
            {"method": "aim", "label": "AIM", "lrs": [0.001, 0.002], "axis": "weight", "values": [0.5, 1.0]},
            {"method": "gan", "label": "GAN", "lrs": [0.001, 0.002], "axis": "beta1", "values": [0.0]},
        ],
        "cells": [
            cell("aim", 0.001, 0.5, 0), cell("aim", 0.001, 0.5, 1),
            cell("aim", 0.002, 0.5, 0, hq=0.9), cell("aim", 0.002, 0.5, 1, hq=0.8999),
            cell("aim", 0.001, 1.0, 0, modes=24), cell("aim", 0.001, 1.0, 1, "stopped"),
            cell("aim", 0.002, 1.0, 0, "missing"), cell("aim", 0.002, 1.0, 1),
            cell("gan", 0.001, 0.0, 0, hq=0.5), cell("gan", 0.001, 0.0, 1, hq=0.6),
            cell("gan", 0.002, 0.0, 0, "missing"), cell("gan", 0.002, 0.0, 1, "missing"),
        ],
    }  # fmt: skip


def test_successes_by_setting(results):
    aim, gan = stability_page.panels(results)
    assert aim == Panel(
        "AIM", "learning rate", [0.001, 0.002], "weight (λ)", [0.5, 1.0], [[(2, 2), (1, 2)], [(0, 2), (1, 1)]]
    )
    assert gan.counts == [[(0, 2), (0, 0)]]


def test_the_page(results):
    page = stability_page.markdown(results)
    # 4 of 7 runs; of the four settings one has every seed
    assert "| AIM | 4/7 | 57 | 25-84 | 1/4 | 1 | 95.0 | 10 |" in page
    assert "| GAN | 0/2 | 0 | 0-66 | 0/2 | 0 | 55.0 | 10 |" in page
    assert "1,000 steps a run" in page
    assert "all 25 modes and at least 90 % of 50,000 samples" in page
    assert "Learning rates 0.001, 0.002; the second axis is AIM: weight in 0.5, 1; GAN: beta1 in 0." in page
    assert page.startswith("`aimgan reproduce stability`: 2026-01-02, A CPU")


def test_the_map_writes_its_numbers_and_names_its_axes(results):
    figure = stability_map(stability_page.panels(results))
    aim, gan, bar = figure.axes
    assert [text.get_text() for text in aim.texts] == ["2/2", "1/2", "0/2", "1/1"]
    assert [text.get_text() for text in gan.texts] == ["0/2", "-"]
    assert (aim.get_xlabel(), aim.get_ylabel(), gan.get_ylabel()) == ("learning rate", "weight (λ)", "Adam's beta1")
    assert [label.get_text() for label in aim.get_xticklabels()] == ["0.001", "0.002"]
    assert np.allclose(aim.images[0].get_array(), [[1, 0.5], [0, 1]])
    assert bar.get_ylabel() == "share of seeds that succeed"


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (10, 10), (57, 60)])
def test_wilson_is_scipys(k, n):
    expected = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert stability_page.wilson(k, n) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert stability_page.wilson(0, 0) == (0, 1)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(evaluation, "SAMPLES", 2_000)
    monkeypatch.setattr(evaluation, "CODES", 500)


def test_a_bare_run_is_the_run_itself(quick, tmp_path):
    settings = {"lr": 0.004, "beta1": 0.9}
    model = train("grid/gan", tmp_path / "run", seed=3, steps=40, device="cpu", settings=settings)
    expected = evaluation.evaluate(model, Grid().load(), 3)
    scores = bare.mode_scores(Cell("grid/gan", settings, 3, 40))
    assert scores == {name: expected[name] for name in scores}


def test_a_bare_run_that_diverges_is_a_row(quick):
    row = bare.row(Cell("grid/gan", {"lr": 1e30}, 0, 30))
    assert row["scores"] is None
    assert "is nan by step 30" in row["error"]
    assert row["environment"]["threads"] >= 1


def test_runs_side_by_side_are_the_runs(quick):
    cells = [Cell("grid/gan", {"lr": lr, "beta1": beta1}, seed, 30) for lr, beta1, seed in
             ((0.004, 0.9, 3), (0.002, 0.0, 3), (0.004, 0.5, 1))]  # fmt: skip
    together = bare.rows(cells)
    assert together is not None
    for cell, found in zip(cells, together, strict=True):
        alone = bare.mode_scores(cell)
        assert found["scores"]["modes"] == alone["modes"]
        assert found["scores"]["high_quality"] == pytest.approx(alone["high_quality"], abs=2e-3)


def test_a_run_that_diverges_leaves_the_others_alone(quick):
    good, bad = bare.rows([Cell("grid/gan", {"lr": lr}, 0, 30) for lr in (0.001, 1e30)]) or ()
    assert good["scores"] is not None
    assert bad["scores"] is None
    assert "not finite" in bad["error"]


def test_an_objective_of_several_parts_is_run_one_by_one(quick):
    rows = bare.rows([Cell("grid/aae", {"lr": lr}, 0, 5) for lr in (0.001, 0.002)]) or ()
    assert [row["error"] for row in rows] == [None, None]
