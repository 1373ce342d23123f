"""Tables of scores, the paper's numbers beside ours: on the terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table as RichTable

from aimgan.experiments.grid import TABLE_2
from aimgan.experiments.images import TABLE_1_MSE
from aimgan.experiments.recipe import Recipe

Scores = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """A title, column heads and rows of text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """Return the table in Markdown."""
        lines = [self.columns, tuple("---" for _ in self.columns), *self.rows]
        return f"**{self.title}**\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def rich(self) -> RichTable:
        """Return the table for a terminal."""
        table = RichTable(title=self.title)
        for k, column in enumerate(self.columns):
            table.add_column(column, justify="left" if k == 0 else "right", overflow="fold")
        for row in self.rows:
            table.add_row(*row)
        return table


def of_run(recipe: Recipe, scores: Scores, real: Scores | None = None) -> Table:
    """Return a run's table: against the real data and the paper's Table 2 for mixtures, a list of scores otherwise."""
    return _mixture(recipe, scores, real) if "modes" in scores else _list(recipe, scores)


def _mixture(recipe: Recipe, scores: Scores, real: Scores | None) -> Table:
    columns = (
        "", "modes", "high-quality %", "KL of modes", "mode spread", "reconstruction MSE", "modes (2,500)", "HQ % (2,500)",
    )  # fmt: skip
    rows = [] if real is None else [mode_row("real data", real)]
    rows.append(mode_row(f"{recipe.name} (this run)", scores))
    if recipe.name.startswith("grid/"):
        rows += [(name, f"{modes:g}", f"{hq:.1f}", *["-"] * 3, f"{modes:g}", f"{hq:.1f}") for name, (modes, hq) in TABLE_2.items()]
    title = f"{recipe.name}: {scores['samples']:,} samples; 2,500 in the last two columns, as Srivastava et al. (2017)"
    return Table(title, columns, tuple(rows))


def mode_row(name: str, scores: Scores) -> tuple[str, ...]:
    """Return a row of the mixture's table."""
    low, high = scores["mode_spread"]
    mse = scores.get("reconstruction_mse")
    return (
        name,
        str(scores["modes"]),
        f"{100 * scores['high_quality']:.1f}",
        f"{scores['mode_kl']:.4f}",
        f"{low:.2f} to {high:.2f}",
        "-" if mse is None else f"{mse:.4f}",
        str(scores["modes_2500"]),
        f"{100 * scores['high_quality_2500']:.1f}",
    )


def _list(recipe: Recipe, scores: Scores) -> Table:
    rows = [(name, f"{value:.4g}", _paper(recipe, name)) for name, value in scores.items() if isinstance(value, int | float)]
    return Table(f"{recipe.name}: scores", ("score", "this run", "the paper"), tuple(rows))


def _paper(recipe: Recipe, score: str) -> str:
    found = TABLE_1_MSE.get(recipe.name) if score == "reconstruction_mse" else None
    return "-" if found is None else f"{found:g}"
