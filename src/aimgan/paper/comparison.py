"""Table 2's results file as tables: what is in bold, what AIM is not the best in, Markdown and LaTeX. All pure.

Some columns have an anchor: for reconstructions it is the mode's centre for every x, for the log score of codes it is
the prior's. A method that is no better than the anchor is not in bold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from aimgan.data import Grid, Ring, Unbalanced
from aimgan.pages.tables import Table
from aimgan.paper.columns import (
    NONE,
    PARAMETERS,
    SECONDS,
    SEEDS,
    Column,
    Row,
    above_prior,
    best,
    bold,
    errors,
    head,
    lengths,
    mean,
    rows_of,
    score,
    verdict,
)
from aimgan.paper.latex import tabular
from aimgan.paper.request import Results

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
VARIANCES = {"grid": Grid.std**2, "ring": Ring.std**2, "unbalanced": Unbalanced.std**2}  # of a mode, a coordinate
PUBLISHED = (
    "Paper: its Table 2; the baselines' numbers there are Srivastava et al.'s. PacGAN: Lin et al. (2018), Table 1, ten "
    "trials (HQ % / modes / reverse KL)."
)


def _spreads(row: Row) -> list[list[float]]:
    return [scores["mode_spread"] for scores in row.scores if "mode_spread" in scores]


def _spread_text(row: Row) -> str:
    pairs = _spreads(row)
    return f"{min(low for low, _ in pairs):.2f} to {max(high for _, high in pairs):.2f}" if pairs else NONE


def _spread_rank(row: Row) -> float | None:
    """How far from 1 the worst mode of any seed is, as a ratio: half as wide is as bad as twice. None for a point."""
    ends = [end for pair in _spreads(row) for end in pair]
    return round(max(abs(math.log(end)) for end in ends), 2) if ends and min(ends) > 0 else None


def _share_rank(row: Row) -> float | None:
    own, prior = mean(row, "share_within_3_sigma", 100), mean(row, "share_within_3_sigma_prior", 100)
    return None if own is None or prior is None else round(abs(own - prior), 1)


def _log_score_text(row: Row) -> str:
    own, prior = mean(row, "log_score"), mean(row, "prior_log_score")
    return NONE if own is None or prior is None else f"{own:.2f} ({prior:.2f})"


def _below_centre(row: Row) -> bool:
    own, centre = mean(row, "reconstruction_mse"), row.about.get(ANCHOR)
    return own is not None and (centre is None or own < centre)


def _above_centre(row: Row) -> bool:
    return (mean(row, "within_mode_r2") or 0.0) > 0


def _paper(name: str) -> Callable[[Row], str]:
    return lambda row: f"{row.about['paper'][name]:g}" if row.about.get("paper") else NONE


def _pacgan(row: Row) -> str:
    found = row.about.get("pacgan")
    return f"{found['high_quality']:.1f} / {found['modes']:.1f} / {found['kl']:.2f}" if found else NONE


MODES = score("modes", "modes", 2, "high", worst=True)
HQ = score("HQ %", "high_quality", 1, "high", worst=True, scale=100)
KL = score("KL", "mode_kl", 4, "low", worst=True)
SPREAD = Column("spread", _spread_text, _spread_rank)
MSE = score("MSE", "reconstruction_mse", 4, "low")._replace(passes=_below_centre)
R2 = score("R² in modes", "within_mode_r2", 2, "high")._replace(passes=_above_centre)
WRONG = Column("wrong mode %", score("", "wrong_mode", 1, "low", scale=100).text)  # the anchor has none
PAPER = (
    Column("paper: modes", _paper("modes")),
    Column("paper: HQ %", _paper("high_quality")),
    Column("PacGAN", _pacgan),
)
OURS = (
    MODES,
    HQ,
    KL,
    SPREAD,
    MSE,
    R2,
    WRONG,
    score("calibration error", "calibration_error", 3, "low"),
    Column("log score (prior's)", _log_score_text, score("", "log_score", 2, "high").rank, above_prior),
    score("prior SW", "prior_sliced_wasserstein", 3, "low"),
    Column("codes in 3 σ, %", score("", "share_within_3_sigma", 1, "low", scale=100).text, _share_rank),
    score("modes (2,500)", "modes_2500", 2, "high"),
    score("HQ % (2,500)", "high_quality_2500", 1, "high", scale=100),
    SEEDS,
    SECONDS,
    PARAMETERS,
)
SHORT = (
    score("modes", "modes", 2, "high"),
    score("HQ %", "high_quality", 1, "high", scale=100),
    score("KL", "mode_kl", 4, "low"),
    SPREAD,
    MSE,
    R2,
    WRONG,
    SEEDS,
)


def render(results: Results) -> dict[str, str]:
    """Return a results file's pages by ending: what is beside it can be made again from it at any time."""
    return {".md": markdown(results), ".tex": latex(results)}


def short(results: Results) -> Table:
    """Return what fits a terminal."""
    return _table(results, SHORT, lambda text, bold: text)


def short_markdown(results: Results) -> str:
    """Return where the numbers come from, and the table that fits a terminal."""
    return f"{head(results)}\n\n{_table(results, SHORT, bold).markdown()}\n"


def markdown(results: Results) -> str:
    """Return the page: where the numbers come from, the table, and what must be said about it."""
    table = _table(results, _columns(results), bold)
    parts = [head(results), table.markdown(), *notes(results), errors(results)]
    return "\n\n".join(part for part in parts if part) + "\n"


def latex(results: Results) -> str:
    """Return the table for LaTeX (booktabs, graphicx)."""
    columns, marked = _columns(results), set()
    rows = _table(results, columns, lambda text, best: text).rows
    for k, column in enumerate(columns):
        before = len(_references(results))  # rows; and the label is a column
        marked |= {(row + before, k + 1) for row in best(column, _methods(results))}
    comment = head(results).replace("`", "")
    return tabular(_title(results), ["", *(c.head for c in columns)], rows, marked, " ".join(notes(results)), comment)


def notes(results: Results) -> list[str]:
    """Return the paragraphs under the table."""
    published = [PUBLISHED] if _columns(results)[0] is PAPER[0] else []
    return [verdict(_columns(results), _methods(results)), " ".join([PROTOCOL, *published]), lengths(results)]


def _columns(results: Results) -> tuple[Column, ...]:
    known = any(about["paper"] or about["pacgan"] for about in results["methods"])
    return (*PAPER, *OURS) if known else OURS


def _title(results: Results) -> str:
    return f"Table 2 on the {results['data']} data, {results['modes']} modes"


def _methods(results: Results) -> list[Row]:
    """Return the methods' rows, each with the anchor of its reconstructions."""
    centre = _centre(results)
    return [replace(row, about={**row.about, ANCHOR: centre}) for row in rows_of(results)]


def _centre(results: Results) -> float | None:
    """Return the error of answering with the mode's centre, as measured.

    Files from before it was measured: the variance of the data's modes, which it is but for chance; None of other data.
    """
    measured = (cell["scores"][ANCHOR] for cell in results["cells"] if ANCHOR in (cell["scores"] or {}))
    return next(measured, VARIANCES.get(results["data"]))


def _references(results: Results) -> list[Row]:
    """Return the rows that come first: the real data, and the anchor where something was reconstructed."""
    rows, centre = [Row("real data", {}, results["real"])], _centre(results)
    if centre is not None and any("reconstruction_mse" in (cell["scores"] or {}) for cell in results["cells"]):
        anchor = {"reconstruction_mse": centre, "within_mode_r2": 0.0, "wrong_mode": 0.0}
        rows.append(Row("mode's centre", {}, [anchor]))
    return rows


def _table(results: Results, columns: Sequence[Column], mark: Callable[[str, bool], str]) -> Table:
    rows = _methods(results)
    winners = [best(column, rows) for column in columns]
    lines = [(row.label, *(column.text(row) for column in columns)) for row in _references(results)]
    for k, row in enumerate(rows):
        lines.append((row.label, *(mark(c.text(row), k in b) for c, b in zip(columns, winners, strict=True))))
    for about in results["references"] if columns[0] is PAPER[0] else []:
        lines.append((about["label"], *(column.text(Row(about["label"], about)) for column in columns)))
    return Table(_title(results), ("", *(column.head for column in columns)), tuple(lines))
