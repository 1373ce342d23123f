"""Results tables: a row for each method, a column for each score, the best in bold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from statistics import fmean, stdev
from typing import Any

from aimgan.errors import near_miss
from aimgan.pages.tables import Table
from aimgan.paper.experiment import Results

NONE = "-"  # stands where there is no number


@dataclass(frozen=True)
class Row:
    """A method with its runs and the scores of those that finished, or a reference such as the real data.

    Only rows that are `ranked` are compared. A method with a run that did not finish is not: the mean over the other
    seeds would flatter it.
    """

    label: str
    scores: Sequence[Mapping[str, Any]] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    runs: Sequence[Mapping[str, Any]] = ()
    ranked: bool = False

    def values(self, score: str) -> list[float]:
        """Return a score of every run that has it."""
        return [scores[score] for scores in self.scores if scores.get(score) is not None]

    def mean(self, score: str) -> float | None:
        """Return the mean of a score over the runs that have it; None if no run has."""
        values = self.values(score)
        return fmean(values) if values else None


def rows_of(results: Results) -> list[Row]:
    """Return a row for each method of a results file."""
    rows = []
    for about in results["methods"]:
        runs = [run for run in results["cells"] if run["method"] == about["method"]]
        finished = [run for run in runs if run["state"] == "finished"]
        scores = [{**run["scores"], "run_seconds": run.get("seconds")} for run in finished]
        rows.append(Row(about.get("label", ""), scores, about, runs, ranked=0 < len(finished) == len(runs)))
    return rows


@dataclass(frozen=True)
class Column:
    """A score: its mean over the runs of a row, times `scale`, with so many digits after the point.

    `better` is "high" or "low"; rows are not ranked by a column without it. `deviation` adds the sample standard
    deviation over seeds (with one seed: the score's own, over images or splits), `worst` the worst seed in brackets,
    `beside` another score in brackets. A row is in bold only if it is better than the `anchor`, a number or the name of
    a score: what a trivial method reaches. `shown` and `rank_by` replace the text, and the number that is ranked.
    """

    head: str
    score: str = ""
    digits: int = 0
    better: str = ""
    scale: float = 1.0
    deviation: bool = False
    worst: bool = False
    beside: str = ""
    anchor: float | str | None = None
    shown: Callable[[Row], str] | None = None
    rank_by: Callable[[Row], float | None] | None = None

    @property
    def name(self) -> str:
        """What `--columns` calls it: the name of its score, or the head of a column without one."""
        return self.score or self.head

    def text(self, row: Row) -> str:
        """Return what the table shows of a row."""
        if self.shown:
            return self.shown(row)
        values = [self.scale * value for value in row.values(self.score)]
        if not values or (self.beside and not row.values(self.beside)):
            return NONE
        deviations = row.values(f"{self.score}_std")
        text = self._number(fmean(values))
        if self.deviation and len(values) > 1:
            text += f" ± {self._number(stdev(values))}"
        elif self.deviation and deviations:
            text += f" ± {self._number(deviations[0])}"
        if self.worst and len(values) > 1:
            worst = max(values, key=lambda value: self._sign * value)
            text += f" ({self._number(worst)})"
        if self.beside:
            text += f" ({self._number(fmean(row.values(self.beside)))})"
        return text

    def _number(self, value: float) -> str:
        return f"{value:.{self.digits}f}"

    @property
    def _sign(self) -> int:
        return -1 if self.better == "high" else 1

    def rank(self, row: Row) -> float | None:
        """Return what rows are ranked by, the lowest first, rounded like the text; None if the row is not ranked."""
        if not row.ranked:
            return None
        if self.rank_by:
            return self.rank_by(row)
        mean = row.mean(self.score)
        if mean is None or not self.better:
            return None
        return self._sign * round(self.scale * mean, self.digits)

    def beats_anchor(self, row: Row) -> bool:
        """Whether a row is better than the column's anchor, where there is one."""
        mean, anchor = row.mean(self.score), self.anchor
        if isinstance(anchor, str):
            anchor = row.mean(anchor)
        return mean is None or anchor is None or self._sign * mean < self._sign * anchor


def _seeds(row: Row) -> str:
    """Return how many runs finished, of how many, and what the others came to: 1/2, 1 stopped."""
    if not row.runs:
        return NONE
    states = Counter(run["state"] for run in row.runs)
    others = [f", {count} {state}" for state, count in states.items() if state != "finished"]
    return f"{states['finished']}/{len(row.runs)}" + "".join(others)


def _parameters(row: Row) -> str:
    if "parameters" not in row.about:
        return NONE
    return f"{row.about['parameters']:,}"


SEEDS = Column("seeds", shown=_seeds)
SECONDS = Column("s a run", "run_seconds", 0, "low")
PARAMETERS = Column("parameters", shown=_parameters)


def named(names: Sequence[str], columns: Sequence[Column]) -> list[Column]:
    """Return the columns of these names, in this order. Raises AimganError for an unknown one."""
    by_name = {column.name: column for column in columns}
    for name in names:
        if name not in by_name:
            raise near_miss("column", name, by_name)
    return [by_name[name] for name in names]


def _is_aim(row: Row) -> bool:
    return row.about.get("objective") == "aim"


@dataclass(frozen=True)
class ResultsTable:
    """Rows and columns under a title."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]

    def filled(self) -> ResultsTable:
        """Return the table without methods that have no finished run, and without columns that have no entry."""
        rows = [row for row in self.rows if row.scores]
        columns = [column for column in self.columns if any(column.text(row) != NONE for row in rows)]
        return replace(self, columns=columns, rows=rows)

    def best(self, column: Column) -> list[Row]:
        """Return the rows that are in bold: the best of at least two, if they beat the column's anchor."""
        ranked = self._ranked(column)
        if len(ranked) < 2:
            return []
        lowest, _ = ranked[0]
        return [row for rank, row in ranked if rank == lowest and column.beats_anchor(row)]

    def _ranked(self, column: Column) -> list[tuple[float, Row]]:
        """Return the ranks and the rows that are ranked in a column, the best first."""
        ranked = []
        for row in self.rows:
            rank = column.rank(row)
            if rank is not None:
                ranked.append((rank, row))
        return sorted(ranked, key=itemgetter(0))

    def verdict(self) -> str:
        """Say in which columns AIM is not the best, with both numbers, and in which no method beats the anchor."""
        others = [row for row in self.rows if row.ranked and not _is_aim(row)]
        if not others or not any(row.ranked and _is_aim(row) for row in self.rows):
            return "There is nothing to compare: that takes a row of AIM's and another, both with all seeds finished."
        lost = []
        failed = []
        for column in self.columns:
            rows = [row for _, row in self._ranked(column)]
            best = self.best(column)
            if rows and not any(column.beats_anchor(row) for row in rows):
                failed.append(column.head)
            elif best and not any(_is_aim(row) for row in best):
                winners = " and ".join(f"{row.label} {column.text(row)}" for row in best)
                nearest = next((f"{row.label} {column.text(row)}" for row in rows if _is_aim(row)), "AIM has none")
                lost.append(f"{column.head} ({winners}; {nearest})")
        verdict = "AIM is the best, or shares it, in every column."
        if lost:
            verdict = f"AIM is not the best in: {'; '.join(lost)}."
        elif failed:
            verdict = "AIM is the best, or shares it, in every other column."
        if failed:
            verdict += f" No method is better than the anchor in: {'; '.join(failed)}."
        return verdict

    def text(self, bold: Callable[[str], str] = str, plain: Callable[[str], str] = str) -> Table:
        """Return the table as text, each entry as `bold` or `plain` writes it."""
        lines = [[plain(row.label)] for row in self.rows]
        for column in self.columns:
            best = [id(row) for row in self.best(column)]
            for row, line in zip(self.rows, lines, strict=True):
                write = bold if id(row) in best else plain
                line.append(write(column.text(row)))
        heads = [plain(column.head) for column in self.columns]
        return Table(self.title, ("", *heads), tuple(map(tuple, lines)))

    def markdown(self) -> str:
        """Return the table in Markdown."""
        return self.text(lambda text: f"**{text}**").markdown()
