"""Tables of scores, the paper's numbers beside ours: on the terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from rich import box
from rich.table import Table as RichTable

from aimgan.recipes.images import TABLE_1
from aimgan.recipes.mixtures import TABLE_2
from aimgan.recipes.recipe import Recipe

Scores = Mapping[str, Any]
DIGITS = "-0123456789"
TERMINAL = 80  # columns


@dataclass(frozen=True)
class Table:
    """A title, column heads, rows of text, and what the heads mean."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def markdown(self) -> str:
        """Return the table in Markdown."""
        table = pipes(self.columns, self.rows)
        return f"**{self.title}**\n\n{table}" + (f"\n\n{self.note}" if self.note else "")

    def rich(self) -> RichTable:
        """Return the table for a terminal: it fits 80 columns, which is what a pipe has.

        A table that is too wide for that has its heads broken at spaces, and one space between columns.
        """
        widths = [max((len(row[k]) for row in self.rows), default=0) for k in range(len(self.columns))]
        natural = sum(max(width, len(head)) + 2 for width, head in zip(widths, self.columns, strict=True)) + 1
        dense = natural > TERMINAL
        padding = (0, 0 if dense else 1, 0, 0)
        table = RichTable(title=self.title, caption=self.note, box=box.SIMPLE_HEAD, padding=padding)
        table.title_justify = table.caption_justify = "left"
        table.show_edge = not dense
        for k, head in enumerate(self.columns):
            numbers = all(row[k][:1] in DIGITS for row in self.rows)
            told = _broken(head, widths[k]) if dense else head
            table.add_column(told, justify="right" if numbers else "left", no_wrap=k == 0)
        for row in self.rows:
            table.add_row(*row)
        return table


def _broken(head: str, width: int) -> str:
    """Return a head in lines of the column's width, or of its longest word."""
    return "\n".join(wrap(head, max(1, width, *map(len, head.split())), break_on_hyphens=False))


def pipes(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows of text as a table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def of_run(recipe: Recipe, scores: Scores, real: Scores | None = None) -> Table:
    """Return a run's table: against the real data and the paper's Table 2 for mixtures, a list of scores otherwise."""
    return _mixture(recipe, scores, real) if "mode_spread" in scores else _list(recipe, scores)


MIXTURE = ("", "modes", "HQ %", "KL", "spread", "MSE", "R² in modes", "wrong mode %", "modes (2,500)", "HQ % (2,500)")
MEANING = (
    "HQ: samples within 3 standard deviations of a mode. KL: of the modes' frequencies. spread: the modes' smallest "
    "and largest standard deviation over the true one. MSE: of reconstructions; the mode's centre for every x, which "
    "knows the mode only, is the anchor. wrong mode: reconstructions that are nearest to another mode than x. R² in "
    "modes: of the others, 1 perfect, 0 the centre, below 0 worse. (2,500): the first 2,500 samples, the protocol of "
    "Srivastava et al. (2017), from whom the baselines' numbers are."
)


def _mixture(recipe: Recipe, scores: Scores, real: Scores | None) -> Table:
    rows = [] if real is None else [mode_row("real data", real)]
    if "mode_centre_mse" in scores:
        rows.append(("mode's centre", *["-"] * 4, f"{scores['mode_centre_mse']:.4f}", "0.00", "0.0", "-", "-"))
    rows.append(mode_row("this run", scores))
    if recipe.name.startswith("grid/"):
        rows += [(name, *["-"] * 7, f"{modes:g}", f"{good:.1f}") for name, (modes, good) in TABLE_2.items()]
    return Table(f"{recipe.name}: {scores['samples']:,} samples", MIXTURE, tuple(rows), MEANING)


def mode_row(name: str, scores: Scores) -> tuple[str, ...]:
    """Return a row of the mixture's table."""
    low, high = scores["mode_spread"]
    return (
        name,
        str(scores["modes"]),
        f"{100 * scores['high_quality']:.1f}",
        f"{scores['mode_kl']:.4f}",
        f"{low:.2f}-{high:.2f}",
        *reconstruction_cells(scores),
        str(scores["modes_2500"]),
        f"{100 * scores['high_quality_2500']:.1f}",
    )


def reconstruction_cells(scores: Scores) -> tuple[str, str, str]:
    """Return MSE, R² in modes and wrong mode % of a mixture's scores; - for those that are not there."""
    mse, r2, wrong = (scores.get(name) for name in ("reconstruction_mse", "within_mode_r2", "wrong_mode"))
    return (
        "-" if mse is None else f"{mse:.{4 if mse < 10 else 2}f}",
        "-" if r2 is None else f"{r2:.{2 if r2 > -10 else 0}f}",  # the centre of another mode is -400 and less
        "-" if wrong is None else f"{100 * wrong:.1f}",
    )


def _list(recipe: Recipe, scores: Scores) -> Table:
    numbers = {name: value for name, value in scores.items() if type(value) in (int, float)}
    rows = [(name, f"{value:.4g}", _paper(recipe, name, scores)) for name, value in numbers.items()]
    shown = 3 if any(paper != "-" for _, _, paper in rows) else 2  # the paper has no number for images of one's own
    note = f"Feature network: {scores['feature_network']}, {scores['feature_resizer']}. " if "n_fake" in scores else ""
    note += "What each says, and cannot say: report.html, docs/metrics.md."
    columns = ("score", "this run", "the paper")[:shown]
    return Table(f"{recipe.name}: scores", columns, tuple(row[:shown] for row in rows), note)


def _paper(recipe: Recipe, score: str, scores: Scores) -> str:
    found = TABLE_1.get(score, {}).get(recipe.name)
    if score == "inception_score" and not scores.get("feature_comparable"):
        found = None
    return "-" if found is None else f"{found[0]:g}"
