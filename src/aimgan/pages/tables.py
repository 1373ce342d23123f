"""Tables of text for the terminal, Markdown and HTML, and the table of a run's scores beside the paper's numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich import box
from rich.markup import escape
from rich.table import Table as RichTable
from rich.text import Text

from aimgan.checked import numbers
from aimgan.recipes.images import TABLE_1
from aimgan.recipes.mixtures import TABLE_2
from aimgan.recipes.recipe import Recipe
from aimgan.score_meanings import number

Scores = Mapping[str, Any]
STRONG = re.compile(r"\*\*(.+?)\*\*")
NUMBER = tuple("-0123456789")  # how a cell of a column of numbers begins
TERMINAL = 80  # columns, also where the output is piped


@dataclass(frozen=True)
class Table:
    """A title, column heads, rows and a note. Cells are text with two marks of Markdown: `code` and **strong**."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def markdown(self) -> str:
        """Return the table in Markdown, the title above it and the note below."""
        return f"**{self.title}**\n\n{self.pipes()}\n\n{self.note}".strip()

    def pipes(self) -> str:
        """Return the columns and rows in Markdown."""
        escaped = [[cell.replace("|", r"\|") for cell in line] for line in (self.columns, *self.rows)]
        return pipes(escaped[0], escaped[1:])

    def rich(self) -> RichTable:
        """Return the table for a terminal; where it is wider than 80 columns, its heads are broken at spaces."""
        lines = [[_for_terminal(cell) for cell in line] for line in (self.columns, *self.rows)]
        columns = list(zip(*lines, strict=True))
        wide = sum(max(map(len, column)) + 2 for column in columns) >= TERMINAL
        title, note = Text(self.title, "table.title"), Text(self.note, "table.caption")  # as text: never markup
        table = RichTable(title=title, caption=note, box=box.SIMPLE_HEAD, show_edge=not wide)
        table.title_justify = table.caption_justify = "left"
        table.padding = (0, 0 if wide else 1, 0, 0)
        for head, *cells in columns:
            justify: Literal["left", "right"] = "left"
            if all(cell.plain.startswith(NUMBER) for cell in cells):
                justify = "right"
            width = None
            if wide:
                words = map(Text, head.plain.split())
                width = max(map(len, [*cells, *words]))
            table.add_column(head, justify=justify, width=width, no_wrap=not table.columns, overflow="fold")
        for line in lines[1:]:
            table.add_row(*line)
        return table


def _for_terminal(cell: str) -> Text:
    return Text.from_markup(STRONG.sub(r"[bold]\1[/bold]", escape(cell.replace("`", ""))))


def pipes(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return columns and rows of Markdown as a table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


MIXTURE = {  # by column: the score, its format, a factor
    "modes": ("modes", "g", 1),
    "HQ %": ("high_quality", ".1f", 100),
    "KL": ("mode_kl", ".4f", 1),
    "spread": ("mode_spread", ".2f", 1),
    "MSE": ("reconstruction_mse", ".4f", 1),
    "R² in modes": ("within_mode_r2", ".3g", 1),
    "wrong mode %": ("wrong_mode", ".1f", 100),
    "modes (2,500)": ("modes_2500", "g", 1),
    "HQ % (2,500)": ("high_quality_2500", ".1f", 100),
}
MIXTURE_NOTE = (
    "HQ: samples within 3 standard deviations of a mode. KL: divergence of the modes' frequencies. spread: smallest "
    "and largest standard deviation of a mode's samples over the true one. MSE: of reconstructions; mode's centre: "
    "reconstructing every x as the centre of its mode, which knows nothing else of x. wrong mode: reconstructions that "
    "are nearest to another mode than x. R² in modes: of the other reconstructions; 1 is perfect, 0 is the centre. "
    "(2,500): the first 2,500 samples, the protocol of Srivastava et al. (2017), whose numbers the baselines' are."
)


def of_run(recipe: Recipe, scores: Scores, real: Scores | None = None) -> Table:
    """Return a run's scores as a table.

    For mixtures it is one row, with the real data's scores and the paper's Table 2; otherwise it is a list of scores.
    """
    if "mode_spread" in scores:
        return _mixture(recipe, scores, real)
    return _list(recipe, scores)


def _mixture(recipe: Recipe, scores: Scores, real: Scores | None) -> Table:
    rows = [_mixture_row("this run", scores)]
    if "mode_centre_mse" in scores:
        centre = {"reconstruction_mse": scores["mode_centre_mse"], "within_mode_r2": 0.0, "wrong_mode": 0.0}
        rows.insert(0, _mixture_row("mode's centre", centre))
    if real is not None:
        rows.insert(0, _mixture_row("real data", real))
    if recipe.name.startswith("grid/"):
        for name, (modes, percent) in TABLE_2.items():
            rows.append(_mixture_row(name, {"modes_2500": modes, "high_quality_2500": percent / 100}))
    return Table(f"{recipe.name}: {scores['samples']:,} samples", ["", *MIXTURE], rows, MIXTURE_NOTE)


def _mixture_row(name: str, scores: Scores) -> list[str]:
    row = [name]
    for score, digits, factor in MIXTURE.values():
        if score not in scores:
            row.append("-")
        elif score == "mode_spread":
            row.append("-".join(format(value, digits) for value in scores[score]))
        else:
            row.append(format(factor * scores[score], digits))
    return row


def _list(recipe: Recipe, scores: Scores) -> Table:
    columns, rows = ["score", "this run"], []
    paper = paper_numbers(recipe, scores)
    if paper.keys() & scores.keys():
        columns.append("the paper")
    for name, value in numbers(scores).items():
        other = number(paper[name]) if name in paper else "-"
        rows.append([name, number(value), other][: len(columns)])
    note = "What each score says, and what it cannot say: report.html, docs/metrics.md."
    if "n_fake" in scores:
        note = f"Feature network: {scores['feature_network']}, {scores['feature_resizer']}. {note}"
    return Table(f"{recipe.name}: scores", columns, rows, note)


def paper_numbers(recipe: Recipe, scores: Scores) -> dict[str, float]:
    """Return the numbers of the paper's Table 1 for this recipe which these scores can be compared with."""
    found = {score: values[recipe.name][0] for score, values in TABLE_1.items() if recipe.name in values}
    if not scores.get("feature_comparable"):
        found.pop("inception_score", None)
    return found
