"""What all results tables are made of: rows (a method with its seeds), columns, what is best, a verdict on AIM."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any, NamedTuple

from aimgan.paper.request import Results, provenance

NONE = "-"


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
    """A head, a row's text, and what the rows are ranked by (the lowest is the best), rounded as the text is.

    `passes` says whether a row is better than the column's anchor, such as the mean image for an error. A row that is
    not is never the best.
    """

    head: str
    text: Callable[[Row], str]
    rank: Callable[[Row], float | None] = lambda row: None
    passes: Callable[[Row], bool] = lambda row: True


def mean(row: Row, name: str, scale: float = 1.0) -> float | None:
    """Return the mean of a score over a row's seeds, times `scale`; None where there is none."""
    values = row.values(name)
    return scale * fmean(values) if values else None


def above_prior(row: Row) -> bool:
    """Whether q(z|x) tells the codes of generated images better than the prior: the anchor of log scores."""
    own, prior = mean(row, "log_score"), mean(row, "prior_log_score")
    return own is not None and (prior is None or own > prior)


def score(head: str, name: str, digits: int, better: str, worst: bool = False, scale: float = 1.0) -> Column:
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
        found = mean(row, name, scale)
        return None if found is None else sign * round(found, digits)

    return Column(head, text, rank)


def _seeds_text(row: Row) -> str:
    if not row.states:
        return NONE
    others = [f"{row.states.count(state)} {state}" for state in dict.fromkeys(row.states) if state != "finished"]
    return ", ".join([f"{row.states.count('finished')}/{len(row.states)}", *others])


SEEDS = Column("seeds", _seeds_text)
SECONDS = Column(
    "s a cell",
    lambda row: f"{fmean(row.seconds):.0f}" if row.seconds else NONE,
    lambda row: float(round(fmean(row.seconds))) if row.seconds else None,
)
PARAMETERS = Column("parameters", lambda row: f"{row.about['parameters']:,}" if "parameters" in row.about else NONE)


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
    """Return which of the complete rows are the best in a column: none where there is nothing to compare.

    And none where the best of them does not pass the column's anchor.
    """
    ranks = _ranks(column, rows)
    winners = {k for k, rank in ranks.items() if rank == min(ranks.values())} if len(ranks) > 1 else set()
    return {k for k in winners if column.passes(rows[k])}


def _ranks(column: Column, rows: Sequence[Row]) -> dict[int, float]:
    return {k: rank for k, row in enumerate(rows) if row.complete and (rank := column.rank(row)) is not None}


def verdict(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """Say in which columns no row of AIM's is the best, with both numbers, and in which no row passes the anchor."""
    ours = {k for k, row in enumerate(rows) if row.about["objective"] == "aim" and row.complete}
    if not ours or not any(row.complete for k, row in enumerate(rows) if k not in ours):
        return "There is nothing to compare: that takes a row of AIM's and another, both with all seeds finished."
    lost = [_lost(column, rows, ours) for column in columns if (winners := best(column, rows)) and not winners & ours]
    failed = [column.head for column in columns if _fails(column, rows)]
    beside = f" No method is better than the anchor in: {'; '.join(failed)}." if failed else ""
    if not lost:
        return f"AIM is the best, or shares it, in every {'other ' if failed else ''}column.{beside}"
    return f"AIM is not the best in: {'; '.join(lost)}.{beside}"


def _fails(column: Column, rows: Sequence[Row]) -> bool:
    """Whether rows are ranked in a column and none of them passes its anchor."""
    ranks = _ranks(column, rows)
    return bool(ranks) and not any(column.passes(rows[k]) for k in ranks)


def _lost(column: Column, rows: Sequence[Row], ours: set[int]) -> str:
    winners = " and ".join(f"{rows[k].label} {column.text(rows[k])}" for k in sorted(best(column, rows)))
    ranked = [k for k in sorted(ours) if column.rank(rows[k]) is not None]
    nearest = min(ranked, key=lambda k: column.rank(rows[k]) or 0.0, default=None)
    own = "AIM has none" if nearest is None else f"{rows[nearest].label} {column.text(rows[nearest])}"
    return f"{column.head} ({winners}; {own})"


def bold(text: str, best: bool) -> str:
    """Mark a text in Markdown where it is the best."""
    return f"**{text}**" if best else text


def head(results: Results) -> str:
    """Return where a table's numbers come from: command, date, machine, versions."""
    return provenance(results, [cell["environment"] for cell in results["cells"]])


def lengths(results: Results) -> str:
    """Say how long and at which rate each method was trained."""
    groups: dict[str, list[str]] = {}
    for about in results["methods"]:
        told = "{steps:,} steps of {batch_size}, learning rate {lr:g}, beta1 {beta1:g}".format(**about)
        groups.setdefault(told, []).append(about["label"])
    return "Trained for " + "; ".join(f"{told}: {', '.join(labels)}" for told, labels in groups.items()) + "."


def errors(results: Results) -> str:
    """List the cells without scores."""
    lines = [f"- {c['method']}, seed {c['seed']}: {c['state']}: {c['error']}" for c in results["cells"] if c["error"]]
    return "\n".join(["Cells without scores:", "", *lines]) if lines else ""
