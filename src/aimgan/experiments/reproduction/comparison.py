"""Table 2's results file as tables: what is in bold, what AIM is not the best in, Markdown and LaTeX. All pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any, NamedTuple

from aimgan.experiments.reproduction.latex import tabular
from aimgan.experiments.reproduction.request import Results, provenance
from aimgan.experiments.tables import Table

NONE = "-"
PROTOCOL = (
    "Protocol of Srivastava et al. (2017): a sample within 3 standard deviations of the nearest mode is of high "
    "quality (HQ), and a mode is captured if it is the nearest to one of them; modes of standard deviation 0.05 on the "
    "grids, 0.02 on the ring. Ours: 50,000 samples, and the first 2,500, as theirs. Mean ± sample standard deviation "
    "over seeds (divided by n - 1), the worst seed in brackets. KL: of the modes' frequencies from the data's. Spread: "
    "the smallest and largest standard deviation of a mode over the true one, over all seeds. MSE: of reconstructions "
    "of held-out data. Calibration error (0 is right, 1.9 the worst) and log score (nats, the prior's in brackets) of "
    "q(z|x) on G(z). Prior SW: sliced Wasserstein distance of draws from q(z|x), x from the data, to the prior; and "
    "how many of them are within its 3 standard deviations. Seconds: wall time, with all else that the machine did. "
    "Bold: the best of the methods with all seeds finished (of "
    "the spread what is nearest to 1, of the codes what is nearest to the prior's share), equal where the digits shown "
    "are."
)
PUBLISHED = (
    "Paper: its Table 2; the baselines' numbers there are Srivastava et al.'s. PacGAN: Lin et al. (2018), Table 1, ten "
    "trials (HQ % / modes / reverse KL)."
)


@dataclass(frozen=True)
class Row:
    """A method with all that its seeds gave."""

    label: str
    about: Mapping[str, Any]
    scores: Sequence[Mapping[str, Any]] = ()
    states: Sequence[str] = ()
    seconds: Sequence[float] = ()

    @property
    def complete(self) -> bool:
        """Whether every seed has scores: a mean over the survivors of a method is not compared."""
        return bool(self.states) and set(self.states) == {"finished"}

    def values(self, name: str) -> list[float]:
        """Return a score of every seed that has it."""
        return [scores[name] for scores in self.scores if scores.get(name) is not None]


class Column(NamedTuple):
    """A head, a row's text, and what the rows are ranked by (the lowest is the best), rounded as the text is."""

    head: str
    text: Callable[[Row], str]
    rank: Callable[[Row], float | None] = lambda row: None


def _mean(row: Row, name: str, scale: float = 1.0) -> float | None:
    values = row.values(name)
    return scale * fmean(values) if values else None


def _score(head: str, name: str, digits: int, better: str, worst: bool = False, scale: float = 1.0) -> Column:
    """A column of means; with `worst`, the deviation over seeds and the worst seed too. `better` is high or low."""
    sign = -1 if better == "high" else 1

    def text(row: Row) -> str:
        values = [scale * value for value in row.values(name)]
        if not values:
            return NONE
        spread = f" ± {stdev(values):.{digits}f}" if worst and len(values) > 1 else ""
        extreme = f" ({(min if sign < 0 else max)(values):.{digits}f})" if worst and len(values) > 1 else ""
        return f"{fmean(values):.{digits}f}{spread}{extreme}"

    def rank(row: Row) -> float | None:
        mean = _mean(row, name, scale)
        return None if mean is None else sign * round(mean, digits)

    return Column(head, text, rank)


def _spread_text(row: Row) -> str:
    pairs = [scores["mode_spread"] for scores in row.scores]
    return f"{min(low for low, _ in pairs):.2f} to {max(high for _, high in pairs):.2f}" if pairs else NONE


def _spread_rank(row: Row) -> float | None:
    """How far from 1 the worst mode of any seed is, as a ratio: half as wide is as bad as twice. None for a point."""
    ends = [end for scores in row.scores for end in scores["mode_spread"]]
    return round(max(abs(math.log(end)) for end in ends), 2) if ends and min(ends) > 0 else None


def _share_rank(row: Row) -> float | None:
    mean, prior = _mean(row, "share_within_3_sigma", 100), _mean(row, "share_within_3_sigma_prior", 100)
    return None if mean is None or prior is None else round(abs(mean - prior), 1)


def _log_score_text(row: Row) -> str:
    mean, prior = _mean(row, "log_score"), _mean(row, "prior_log_score")
    return NONE if mean is None or prior is None else f"{mean:.2f} ({prior:.2f})"


def _seeds_text(row: Row) -> str:
    if not row.states:
        return NONE
    others = [f"{row.states.count(state)} {state}" for state in dict.fromkeys(row.states) if state != "finished"]
    return ", ".join([f"{row.states.count('finished')}/{len(row.states)}", *others])


def _paper(name: str) -> Callable[[Row], str]:
    return lambda row: f"{row.about['paper'][name]:g}" if row.about.get("paper") else NONE


def _pacgan(row: Row) -> str:
    found = row.about.get("pacgan")
    return f"{found['high_quality']:.1f} / {found['modes']:.1f} / {found['kl']:.2f}" if found else NONE


MODES = _score("modes", "modes", 2, "high", worst=True)
HQ = _score("HQ %", "high_quality", 1, "high", worst=True, scale=100)
KL = _score("KL", "mode_kl", 4, "low", worst=True)
SPREAD = Column("spread", _spread_text, _spread_rank)
MSE = _score("MSE", "reconstruction_mse", 4, "low")
SEEDS = Column("seeds", _seeds_text)
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
    _score("calibration error", "calibration_error", 3, "low"),
    Column("log score (prior's)", _log_score_text, _score("", "log_score", 2, "high").rank),
    _score("prior SW", "prior_sliced_wasserstein", 3, "low"),
    Column("codes in 3 σ, %", _score("", "share_within_3_sigma", 1, "low", scale=100).text, _share_rank),
    _score("modes (2,500)", "modes_2500", 2, "high"),
    _score("HQ % (2,500)", "high_quality_2500", 1, "high", scale=100),
    SEEDS,
    Column("s a cell", lambda row: f"{fmean(row.seconds):.0f}" if row.seconds else NONE,
           lambda row: float(round(fmean(row.seconds))) if row.seconds else None),
    Column("parameters", lambda row: f"{row.about['parameters']:,}" if "parameters" in row.about else NONE),
)  # fmt: skip
SHORT = (
    _score("modes", "modes", 2, "high"),
    _score("HQ %", "high_quality", 1, "high", scale=100),
    _score("KL", "mode_kl", 4, "low"),
    SPREAD,
    MSE,
    SEEDS,
)


def rows_of(results: Results) -> list[Row]:
    """Return the methods' rows."""
    return [_row(method, results) for method in results["methods"]]


def _row(method: Mapping[str, Any], results: Results) -> Row:
    cells = [cell for cell in results["cells"] if cell["method"] == method["method"]]
    done = [cell for cell in cells if cell["state"] == "finished"]
    return Row(
        method["label"],
        method,
        [cell["scores"] for cell in done],
        [cell["state"] for cell in cells],
        [cell["seconds"] for cell in done if cell["seconds"] is not None],
    )


def best(column: Column, rows: Sequence[Row]) -> set[int]:
    """Return which of the complete rows are the best in a column: none where there is nothing to compare."""
    ranks = {k: rank for k, row in enumerate(rows) if row.complete and (rank := column.rank(row)) is not None}
    return {k for k, rank in ranks.items() if rank == min(ranks.values())} if len(ranks) > 1 else set()


def verdict(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """Say in which columns no row of AIM's is the best, with both numbers."""
    ours = {k for k, row in enumerate(rows) if row.about["objective"] == "aim" and row.complete}
    if not ours or not any(row.complete for k, row in enumerate(rows) if k not in ours):
        return "There is nothing to compare: that takes a row of AIM's and another, both with all seeds finished."
    lost = [_lost(column, rows, ours) for column in columns if (winners := best(column, rows)) and not winners & ours]
    if not lost:
        return "AIM is the best, or shares it, in every column."
    return f"AIM is not the best in: {'; '.join(lost)}."


def _lost(column: Column, rows: Sequence[Row], ours: set[int]) -> str:
    winners = " and ".join(f"{rows[k].label} {column.text(rows[k])}" for k in sorted(best(column, rows)))
    ranked = [k for k in sorted(ours) if column.rank(rows[k]) is not None]
    nearest = min(ranked, key=lambda k: column.rank(rows[k]) or 0.0, default=None)
    own = "AIM has none" if nearest is None else f"{rows[nearest].label} {column.text(rows[nearest])}"
    return f"{column.head} ({winners}; {own})"


def render(results: Results) -> dict[str, str]:
    """Return a results file's pages by ending: what is beside it can be made again from it at any time."""
    return {".md": markdown(results), ".tex": latex(results)}


def short(results: Results) -> Table:
    """Return what fits a terminal."""
    return _table(results, SHORT, lambda text, bold: text)


def short_markdown(results: Results) -> str:
    """Return where the numbers come from, and the table that fits a terminal."""
    return f"{_head(results)}\n\n{_table(results, SHORT, _bold).markdown()}\n"


def markdown(results: Results) -> str:
    """Return the page: where the numbers come from, the table, and what must be said about it."""
    table = _table(results, _columns(results), _bold)
    parts = [_head(results), table.markdown(), *notes(results), _errors(results)]
    return "\n\n".join(part for part in parts if part) + "\n"


def latex(results: Results) -> str:
    """Return the table for LaTeX (booktabs, graphicx)."""
    columns, bold = _columns(results), set()
    rows = _table(results, columns, lambda text, best: text).rows
    for k, column in enumerate(columns):
        bold |= {(row + 1, k + 1) for row in best(column, rows_of(results))}  # after the real data, and the label
    head = _head(results).replace("`", "")
    return tabular(_title(results), ["", *(c.head for c in columns)], rows, bold, " ".join(notes(results)), head)


def _head(results: Results) -> str:
    return provenance(results, [cell["environment"] for cell in results["cells"]])


def _bold(text: str, best: bool) -> str:
    return f"**{text}**" if best else text


def notes(results: Results) -> list[str]:
    """Return the paragraphs under the table."""
    published = [PUBLISHED] if _columns(results)[0] is PAPER[0] else []
    return [verdict(_columns(results), rows_of(results)), " ".join([PROTOCOL, *published]), _lengths(results)]


def _columns(results: Results) -> tuple[Column, ...]:
    known = any(about["paper"] or about["pacgan"] for about in results["methods"])
    return (*PAPER, *OURS) if known else OURS


def _title(results: Results) -> str:
    return f"Table 2 on the {results['data']} data, {results['modes']} modes"


def _table(results: Results, columns: Sequence[Column], mark: Callable[[str, bool], str]) -> Table:
    rows = rows_of(results)
    bold = [best(column, rows) for column in columns]
    lines = [("real data", *(column.text(Row("real data", {}, results["real"])) for column in columns))]
    for k, row in enumerate(rows):
        lines.append((row.label, *(mark(c.text(row), k in b) for c, b in zip(columns, bold, strict=True))))
    for about in results["references"] if columns[0] is PAPER[0] else []:
        lines.append((about["label"], *(column.text(Row(about["label"], about)) for column in columns)))
    return Table(_title(results), ("", *(column.head for column in columns)), tuple(lines))


def _lengths(results: Results) -> str:
    """Say how long and at which rate each method was trained."""
    groups: dict[str, list[str]] = {}
    for about in results["methods"]:
        told = "{steps:,} steps of {batch_size}, learning rate {lr:g}, beta1 {beta1:g}".format(**about)
        groups.setdefault(told, []).append(about["label"])
    return "Trained for " + "; ".join(f"{told}: {', '.join(labels)}" for told, labels in groups.items()) + "."


def _errors(results: Results) -> str:
    """List the cells without scores."""
    lines = [f"- {c['method']}, seed {c['seed']}: {c['state']}: {c['error']}" for c in results["cells"] if c["error"]]
    return "\n".join(["Cells without scores:", "", *lines]) if lines else ""
