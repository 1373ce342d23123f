"""Table 2's page: means, the worst seed, what is in bold, and what is said of a method that stopped."""

from __future__ import annotations

import json
import shutil
import subprocess
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from aimgan.errors import AimganError
from aimgan.paper import table1_page, table2
from aimgan.paper.results_page import Page, escape
from aimgan.paper.results_table import Column, ResultsTable, Row

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
ENVIRONMENT = {"processor": "A CPU", "threads": 1, "python": "3.11.7", "torch": "2.9", "aimgan": "0.1.0"}
SCORES = {"modes": 25, "high_quality": 0.98, "mode_kl": 0.001, "mode_spread": [0.8, 1.2], "modes_2500": 25,
          "high_quality_2500": 0.97}  # fmt: skip
INFERS = {"reconstruction_mse": 0.002, "calibration_error": 0.1, "log_score": 1.0, "prior_log_score": -2.84,
          "prior_sliced_wasserstein": 0.02, "share_within_3_sigma": 0.99,
          "share_within_3_sigma_prior": 0.9889}  # fmt: skip
PACGAN4 = {"high_quality": 93.6, "modes": 24.8, "kl": 0.04}


def method(name: str, objective: str, **more: Any) -> dict[str, Any]:
    about = {"method": name, "label": name.upper(), "objective": objective, "paper": None, "pacgan": None}
    return {**about, "steps": 30_000, "batch_size": 256, "lr": 1e-3, "beta1": 0.5, "parameters": 50_000, **more}


def run(name: str, seed: int, state: str = "finished", seconds: float = 100.0, **scores: Any) -> dict[str, Any]:
    made = {**SCORES, **scores} if state == "finished" else None
    error = "GAN: loss/G is nan at step 7" if state == "stopped" else None
    about = {"method": name, "seed": seed, "command": "aimgan train", "state": state, "environment": ENVIRONMENT}
    return {**about, "scores": made, "seconds": seconds, "error": error}


def results(methods: list[dict], runs: list[dict], **more: Any) -> dict[str, Any]:
    return {
        "target": "table2", "data": "grid", "command": "aimgan reproduce table2", "date": "2026-01-02", "device": "cpu",
        "workers": 2, "seeds": [0, 1], "modes": 25, "real": [SCORES, SCORES], "methods": methods, "references": [],
        "cells": runs, **more,
    }  # fmt: skip


def row(page: str, label: str) -> dict[str, str]:
    """Return a row of a Markdown page by its columns' heads."""
    lines = [[part.strip() for part in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"]
    found = next(line for line in lines if line[0] == label)
    return dict(zip(lines[0], found, strict=True))


@pytest.fixture
def usual() -> dict[str, Any]:
    """GAN has the better samples, AIM everything that takes an encoder, and more modes."""
    return results(
        [
            method("gan", "gan", paper={"modes": 3.3, "high_quality": 0.5},
                   pacgan={"high_quality": 94.8, "modes": 17.3, "kl": 0.7}),
            method("aim", "aim", paper={"modes": 25.0, "high_quality": 81.1}, lr=2e-3),
            method("aim2", "aim"),
        ],
        [
            run("gan", 0, modes=20, high_quality=0.99, seconds=50),
            run("gan", 1, modes=24, high_quality=0.97, mode_kl=0.2, seconds=60),
            run("aim", 0, **INFERS),
            run("aim", 1, high_quality=0.94, mode_spread=[0.5, 1.1], **INFERS),
            run("aim2", 0, **INFERS),
            run("aim2", 1, high_quality=0.96, mode_spread=[0.9, 1.25], **{**INFERS, "log_score": 3.0}),
        ],
        references=[{"method": "p", "label": "PacGAN4", "paper": None, "pacgan": PACGAN4}],
    )  # fmt: skip


def test_the_page_has_means_deviations_and_the_worst_seed(usual):
    page = table2.page(usual).markdown()
    gan = row(page, "GAN")
    assert gan["paper: modes"] == "3.3"
    assert gan["paper: HQ %"] == "0.5"
    assert gan["PacGAN"] == "94.8 / 17.3 / 0.70"
    assert gan["modes"] == "22.00 ± 2.83 (20.00)"  # the sample standard deviation of 20 and 24
    assert gan["HQ %"] == "**98.0 ± 1.4 (97.0)**"
    assert gan["KL"] == "0.1005 ± 0.1407 (0.2000)"
    assert gan["MSE"] == gan["log score (prior's)"] == gan["codes in 3 σ, %"] == "-"
    assert gan["seeds"] == "2/2"
    assert gan["s a run"] == "**55**"
    assert gan["parameters"] == "50,000"
    assert row(page, "AIM")["spread"] == "0.50 to 1.20"
    assert row(page, "AIM2")["spread"] == "**0.80 to 1.25**"
    assert row(page, "AIM2")["log score (prior's)"] == "**2.00 (-2.84)**"
    assert row(page, "PacGAN4")["PacGAN"] == "93.6 / 24.8 / 0.04"
    assert row(page, "real data")["modes"] == "25.00 ± 0.00 (25.00)"


def test_equal_digits_share_the_bold(usual):
    page = table2.page(usual).markdown()
    assert row(page, "AIM")["modes"] == row(page, "AIM2")["modes"] == "**25.00 ± 0.00 (25.00)**"
    assert row(page, "AIM")["MSE"] == row(page, "AIM2")["MSE"] == "**0.0020**"


def anchored(data: str, *scores_of: dict[str, float]) -> dict[str, Any]:
    """Return the results of ALI, AIM and AIM2, two seeds each, with these scores of reconstructions."""
    names = ("ali", "aim", "aim2")
    methods = [method(name, "ali" if name == "ali" else "aim") for name in names]
    runs = [run(name, k, **{**INFERS, **own}) for name, own in zip(names, scores_of, strict=True) for k in (0, 1)]
    return results(methods, runs, data=data)


def test_no_reconstruction_is_in_bold_that_is_no_better_than_the_modes_centre():
    """Of files without the anchor too: a mode of the ring has the variance 0.0004, one of the grid 0.0025."""
    errors = [{"reconstruction_mse": mse} for mse in (2.0, 0.0007, 0.0009)]
    ring, grid = (table2.page(anchored(data, *errors)).markdown() for data in ("ring", "grid"))
    assert [row(ring, name)["MSE"] for name in ("ALI", "AIM", "AIM2")] == ["2.0000", "0.0007", "0.0009"]
    assert row(ring, "mode's centre")["MSE"] == "0.0004"
    assert row(ring, "AIM")["R² in modes"] == row(ring, "AIM")["wrong mode %"] == "-"
    assert "in every other column. No method is better than the anchor in: MSE." in ring
    assert row(grid, "AIM")["MSE"] == "**0.0007**"
    assert row(grid, "mode's centre")["MSE"] == "0.0025"
    assert "in every column." in grid
    unknown = table2.page(anchored("another", *errors)).markdown()
    assert row(unknown, "AIM")["MSE"] == "**0.0007**"
    assert "mode's centre |" not in unknown


def test_the_measured_anchor_stands_and_so_do_what_is_kept_of_a_mode_and_the_modes_that_are_missed():
    scores = [
        {"mode_centre_mse": 0.0024, "reconstruction_mse": mse, "wrong_mode": wrong, "within_mode_r2": r2}
        for mse, wrong, r2 in ((0.0026, 0.0, -0.5), (0.00245, 0.01, -0.1), (0.0023, 0.002, 0.34))
    ]
    page = table2.page(anchored("grid", *scores)).markdown()
    assert row(page, "mode's centre")["MSE"] == "0.0024"
    assert row(page, "mode's centre")["R² in modes"] == "0.00"
    assert [row(page, name)["MSE"] for name in ("ALI", "AIM", "AIM2")] == ["0.0026", "0.0024", "**0.0023**"]
    assert [row(page, name)["R² in modes"] for name in ("ALI", "AIM", "AIM2")] == ["-0.50", "-0.10", "**0.34**"]
    assert [row(page, name)["wrong mode %"] for name in ("ALI", "AIM", "AIM2")] == ["0.0", "1.0", "0.2"]
    none = table2.page(anchored("grid", *scores[:2], scores[1])).markdown()
    assert row(none, "AIM")["MSE"] == "0.0024"
    assert row(none, "AIM")["R² in modes"] == "-0.10"
    assert "No method is better than the anchor in: MSE; R² in modes." in none


def test_the_page_says_where_aim_is_not_the_best_and_where_its_numbers_come_from(usual):
    page = table2.page(usual).markdown()
    assert (
        "AIM is not the best in: HQ % (GAN 98.0 ± 1.4 (97.0); AIM2 97.0 ± 1.4 (96.0)); s a run (GAN 55; AIM 100)."
        in page
    )
    assert page.startswith("`aimgan reproduce table2`: 2026-01-02, A CPU, 1 thread a run, 2 at a time, Python 3.11.7, ")
    assert "Srivastava et al. (2017)" in page
    assert "sample standard deviation over seeds (divided by n - 1)" in page
    assert "30,000 steps of 256, learning rate 0.001, beta1 0.5: GAN, AIM2; 30,000 steps" in page


def test_a_method_that_stopped_is_counted_listed_and_not_in_bold():
    methods = [method("gan", "gan"), method("ali", "ali"), method("aim", "aim")]
    runs = [run("gan", 0, high_quality=0.999), run("gan", 1, "stopped"), run("ali", 0), run("ali", 1, "missing"),
             run("aim", 0, **INFERS), run("aim", 1, **INFERS)]  # fmt: skip
    page = table2.page(results(methods, runs)).markdown()
    assert row(page, "GAN")["HQ %"] == "99.9"
    assert row(page, "GAN")["seeds"] == "1/2, 1 stopped"
    assert row(page, "ALI")["seeds"] == "1/2, 1 missing"
    assert "- gan, seed 1: stopped: GAN: loss/G is nan at step 7" in page
    assert "There is nothing to compare" in page
    nothing = results(methods[:1], [run("gan", 0, "stopped"), run("gan", 1, "stopped")])
    gan = row(table2.page(nothing).markdown(), "GAN")
    assert gan["modes"] == gan["spread"] == gan["s a run"] == "-"
    assert gan["seeds"] == "0/2, 2 stopped"


def test_the_short_table_fits_a_terminal(usual):
    for one in usual["cells"]:
        one["scores"] |= {"wrong_mode": 1.0, "within_mode_r2": -399.5} if "log_score" in one["scores"] else {}
    table = table2.short(usual).text()
    out = Console(file=StringIO(), width=80)
    out.print(table.rich())
    lines = out.file.getvalue().splitlines()
    assert "…" not in out.file.getvalue()
    for line in table.rows:  # whole, on one line
        assert any(line[0] in shown and all(text in shown for text in line) for shown in lines)


def test_latex(usual):
    text = table2.page(usual, ["modes", "high_quality", "seeds"]).latex()
    assert text.startswith("% aimgan reproduce table2: 2026-01-02")
    assert r"     & modes & HQ \% & seeds \\" in text
    assert r"GAN & 22.00 $\pm$ 2.83 (20.00) & \textbf{98.0 $\pm$ 1.4 (97.0)} &" in text
    assert "PacGAN" not in text  # it is a reference, which did not run
    with pytest.raises(AimganError, match="unknown column 'mode'; did you mean 'modes'"):
        table2.page(usual, ["mode"])


@pytest.mark.parametrize("name", ["table1-mnist-cpu", "table1-faces-cpu", "table2-grid", "table2-ring"])
def test_the_committed_latex_is_what_the_results_give_and_compiles(name, tmp_path):
    results = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    module = table1_page if name.startswith("table1") else table2
    text = module.page(results).latex()
    assert text == (RESULTS / f"{name}.tex").read_text(encoding="utf-8")
    latex = shutil.which("pdflatex")
    if latex is None or subprocess.run(["kpsewhich", "booktabs.sty"], capture_output=True, check=False).returncode:
        pytest.skip("no TeX installation with booktabs here")
    page = rf"\documentclass{{article}}\usepackage{{booktabs,graphicx}}\begin{{document}}{text}\end{{document}}"
    (tmp_path / "page.tex").write_text(page, encoding="utf-8")
    command = [latex, "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout


def test_latex_prints_text_as_it_is():
    assert escape("50 % & a_b #1 $2 {x} ~ ^ \\ < ±") == (
        r"50 \% \& a\_b \#1 \$2 \{x\} \textasciitilde{} \textasciicircum{} \textbackslash{} \textless{} $\pm$"
    )
    columns = (Column("n_1", "n", better="high"), Column("of no run", "m"))
    rows = [Row(label, [{"n": n}], {"objective": "aim"}, ranked=True) for label, n in (("x%", 1), ("y", 2))]
    head = {"command": "a `b`", "date": "today", "workers": 1, "cells": []}
    text = Page(head, [], [], ResultsTable("A & B", columns, rows)).latex()
    assert r"     & n\_1 \\" in text
    assert r"    x\% & 1 \\" in text
    assert r"    y & \textbf{2} \\" in text
    assert r"\caption{A \& B.}" in text
