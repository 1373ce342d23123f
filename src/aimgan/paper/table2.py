"""Table 2: methods x seeds on 2-D mixtures, as a results file in JSON, and as tables in Markdown and LaTeX.

Reconstructions have an anchor, the error of answering every x with the centre of its mode; so have the log scores of
codes, the prior's. A method that does not beat the anchor is not in bold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from rich.console import Console

from aimgan.data import Grid, Ring, Unbalanced
from aimgan.evaluation.evaluate import evaluate_data
from aimgan.paper.experiment import Experiment, Results, without_lists
from aimgan.paper.methods import METHODS, REFERENCES, Method
from aimgan.paper.results_page import Page, lengths
from aimgan.paper.results_table import NONE, PARAMETERS, SECONDS, SEEDS, Column, ResultsTable, Row, named, rows_of
from aimgan.paper.training_run import Outcome
from aimgan.recipes import RECIPES

PROTOCOL = (
    "Protocol of Srivastava et al. (2017): a sample within 3 standard deviations of the nearest mode is of high "
    "quality (HQ), and a mode is captured if it is the nearest to one of them; modes of standard deviation 0.05 on the "
    "grids, 0.02 on the ring. Ours: 50,000 samples, and the first 2,500, as theirs. Mean ± sample standard deviation "
    "over seeds (divided by n - 1), the worst seed in brackets. KL: of the modes' frequencies from the data's. Spread: "
    "the smallest and largest standard deviation of a mode over the true one, over all seeds. MSE: of reconstructions "
    "of held-out data; its anchor is the mode's centre for every x, which knows the mode only. Wrong mode: share of "
    "reconstructions that are nearest to another mode than x. R² in modes: of the others, how much of what varies "
    "within a mode is kept: 1 all of it, 0 as the centre, below 0 worse. Calibration error (0 is right, 1.9 the worst) "
    "and log score (nats, the prior's in brackets) of q(z|x) on G(z). Prior SW: sliced Wasserstein distance of draws "
    "from q(z|x), x from the data, to the prior; and "
    "how many of them are within its 3 standard deviations. Seconds: wall time, with all else that the machine did. "
    "Bold: the best of the methods with all seeds finished (of "
    "the spread what is nearest to 1, of the codes what is nearest to the prior's share), equal where the digits shown "
    "are. Nothing is in bold that is no better than its anchor: an MSE has to be below the centre's, an R² above 0, a "
    "log score above the prior's."
)
ANCHOR = "mode_centre_mse"
VARIANCES = {"grid": Grid.std**2, "ring": Ring.std**2, "unbalanced": Unbalanced.std**2}  # of a mode, per coordinate
PUBLISHED = (
    "Paper: its Table 2; the baselines' numbers there are Srivastava et al.'s. PacGAN: Lin et al. (2018), Table 1, ten "
    "trials (HQ % / modes / reverse KL)."
)


def table2(experiment: Experiment, outcomes: Sequence[Outcome], console: Console) -> list[Path]:
    """Print the table, write the results file and its pages, and return the files."""
    results = collected(experiment, outcomes)
    console.print(short(results, experiment.columns).text().rich())
    return page(results, experiment.columns).write(experiment.output / "table2.json")


def collected(experiment: Experiment, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the results file: command and machine, the scores of real data, the methods, and every run."""
    data: Any = RECIPES[experiment.methods[0].recipe(experiment.data)].data.load()
    grid = experiment.data == "grid"
    references = []
    for method in (*METHODS.values(), *REFERENCES):
        if grid and method not in experiment.methods and (method.paper or method.pacgan):
            references.append(_published(method, grid))
    return {
        **experiment.head(),
        "modes": len(data.means),
        "real": [without_lists(evaluate_data(data, seed)) for seed in experiment.seeds],
        "methods": [_published(method, grid) | experiment.trained_as(method) for method in experiment.methods],
        "references": references,
        "cells": experiment.records(outcomes),
    }


def _published(method: Method, grid: bool) -> dict[str, Any]:
    """Return a method's names and the numbers that others published, which are of the grid."""
    paper = pacgan = None
    if method.paper and grid:
        paper = dict(zip(("modes", "high_quality"), method.paper, strict=True))
    if method.pacgan and grid:
        pacgan = dict(zip(("high_quality", "modes", "kl"), method.pacgan, strict=True))
    return {"method": method.key, "label": method.label, "paper": paper, "pacgan": pacgan}


def _spreads(row: Row) -> list[float]:
    return list(chain(*(scores.get("mode_spread", ()) for scores in row.scores)))


def _spread_text(row: Row) -> str:
    """Return the smallest and the largest standard deviation of a mode, over the true one, of all seeds."""
    spreads = _spreads(row)
    return f"{min(spreads):.2f} to {max(spreads):.2f}" if spreads else NONE


def _spread_rank(row: Row) -> float | None:
    """Return how far from 1 the worst mode is, as a ratio: half as wide is as bad as twice. None for a point."""
    spreads = _spreads(row)
    if not spreads or min(spreads) <= 0:
        return None
    return round(max(math.log(max(spreads)), -math.log(min(spreads))), 2)


def _share_rank(row: Row) -> float | None:
    """Return how far the share of codes within 3 standard deviations is from the prior's, in percent."""
    share = row.mean("share_within_3_sigma")
    prior = row.mean("share_within_3_sigma_prior")
    if share is None or prior is None:
        return None
    return round(abs(100 * share - 100 * prior), 1)


def _published_text(source: str, form: str, row: Row) -> str:
    """Return the published numbers of a source ("paper" or "pacgan") in a form such as "{modes:g}"."""
    found = row.about.get(source)
    return form.format(**found) if found else NONE


SPREAD = Column("spread", shown=_spread_text, rank_by=_spread_rank)
MSE = Column("MSE", "reconstruction_mse", 4, "low", anchor=ANCHOR)
R2 = Column("R² in modes", "within_mode_r2", 2, "high", anchor=0.0)
WRONG = Column("wrong mode %", "wrong_mode", 1, scale=100)  # not ranked: the anchor has none
PUBLISHED_COLUMNS = (
    Column("paper: modes", shown=partial(_published_text, "paper", "{modes:g}")),
    Column("paper: HQ %", shown=partial(_published_text, "paper", "{high_quality:g}")),
    Column("PacGAN", shown=partial(_published_text, "pacgan", "{high_quality:.1f} / {modes:.1f} / {kl:.2f}")),
)
COLUMNS = (
    Column("modes", "modes", 2, "high", deviation=True, worst=True),
    Column("HQ %", "high_quality", 1, "high", 100, deviation=True, worst=True),
    Column("KL", "mode_kl", 4, "low", deviation=True, worst=True),
    SPREAD,
    MSE,
    R2,
    WRONG,
    Column("calibration error", "calibration_error", 3, "low"),
    Column("log score (prior's)", "log_score", 2, "high", beside="prior_log_score", anchor="prior_log_score"),
    Column("prior SW", "prior_sliced_wasserstein", 3, "low"),
    Column("codes in 3 σ, %", "share_within_3_sigma", 1, scale=100, rank_by=_share_rank),
    Column("modes (2,500)", "modes_2500", 2, "high"),
    Column("HQ % (2,500)", "high_quality_2500", 1, "high", 100),
    SEEDS,
    SECONDS,
    PARAMETERS,
)
SHORT = (
    Column("modes", "modes", 2, "high"),
    Column("HQ %", "high_quality", 1, "high", 100),
    Column("KL", "mode_kl", 4, "low"),
    SPREAD,
    MSE,
    R2,
    WRONG,
    SEEDS,
)


EVERY = (*PUBLISHED_COLUMNS, *COLUMNS)


def short(results: Results, columns: Sequence[str] = ()) -> ResultsTable:
    """Return the table with the columns of these names, or with as many as a terminal has room for."""
    return _table(results, named(columns, EVERY) or SHORT)


def page(results: Results, short_columns: Sequence[str] = ()) -> Page:
    """Return the page: the table, and what has to be known about it."""
    columns: Sequence[Column] = COLUMNS
    protocol = PROTOCOL
    if any(about["paper"] or about["pacgan"] for about in results["methods"]):
        columns = (*PUBLISHED_COLUMNS, *COLUMNS)
        protocol = f"{PROTOCOL} {PUBLISHED}"
    table = _table(results, columns)
    return Page(results, [table], [table.verdict(), protocol, lengths(results)], short(results, short_columns))


def _table(results: Results, columns: Sequence[Column]) -> ResultsTable:
    """Return the table: the real data, the mode's centre, the methods, and methods with published numbers only."""
    rows = [Row("real data", results["real"])]
    centre = _centre_error(results)
    methods = rows_of(results)
    if centre is not None and any(row.values(MSE.score) for row in methods):
        rows.append(Row("mode's centre", [{MSE.score: centre, R2.score: 0.0, WRONG.score: 0.0}]))
    for row in methods:
        rows.append(replace(row, scores=[{**scores, ANCHOR: centre} for scores in row.scores]))
    if columns[0] in PUBLISHED_COLUMNS:
        rows += [Row(about["label"], about=about) for about in results["references"]]
    return ResultsTable(f"Table 2 on the {results['data']} data, {results['modes']} modes", columns, rows)


def _centre_error(results: Results) -> float | None:
    """Return the error of answering with the mode's centre: the measured one, or else the variance of a mode."""
    for run in results["cells"]:
        if ANCHOR in (run["scores"] or {}):
            return run["scores"][ANCHOR]
    return VARIANCES.get(results["data"])
