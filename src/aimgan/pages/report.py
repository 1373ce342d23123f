"""A run's report: report.md and report.html, in the run's folder.

The same run gives the same bytes, whether it was stopped on the way or not: no times, no speeds, no folder's name.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aimgan.data.account import line
from aimgan.figures.charts import chart, inline_svg
from aimgan.files import write_text
from aimgan.pages import document
from aimgan.pages.document import (
    Block,
    Cards,
    Charts,
    Folded,
    Grid,
    Heading,
    Listing,
    Picture,
    Pictures,
    Prose,
    code,
)
from aimgan.pages.recorded import Row, alarms, command, lines
from aimgan.pages.scores import cards, others
from aimgan.pages.tables import Table
from aimgan.recipes.images import TABLE_1
from aimgan.recipes.recipe import Recipe, to_dict
from aimgan.training.alarms import ALARMS, PAGE
from aimgan.training.run_dir import RunDir, flat

CAPTIONS = {
    "samples": "Samples: G(z), z ~ N(0, I).",
    "reconstructions": "Held-out images (odd columns) and their reconstructions G(mu(x)) (even columns).",
    "neighbours": "A held-out image x (first column) and G(z), z ~ q(z|x).",
    "figure3": "(a) data; (b) codes of held-out data over the prior's circles, (c) their reconstructions, (d) samples.",
}
ONE_SEED = (
    "These are numbers of the last model of one run: how far another seed would lie from them, they cannot say. "
    "docs/metrics.md has each in full, and how it is gamed."
)


def write_report(
    run: RunDir, recipe: Recipe, seed: int, scores: dict[str, Any], figures: Sequence[Path], encoder: bool,
    real: dict[str, Any] | None = None, table: Table | None = None,
) -> list[Path]:  # fmt: skip
    """Write a run's report.md and report.html, and return their paths.

    `real` has the same scores of real data, `table` the paper's numbers, where there are any. Curves and alarms are of
    metrics.jsonl, versions and machine of run.json.
    """
    title = f"{recipe.name}, seed {seed}"
    rows, record = run.rows(), run.read() or {}
    blocks = [
        *_what(recipe, record, rows),
        *_figures([path for path in figures if path.stem in CAPTIONS]),
        *_scores(recipe, scores, real or {}, table),
        *_curves(rows, [path for path in figures if path.stem == "curves"]),
        *_use(recipe, encoder),
        *_again(recipe, seed, record),
    ]
    pages = {"report.md": document.markdown(title, blocks), "report.html": document.html(title, blocks)}
    for name, text in pages.items():
        write_text(run.path / name, text)
    return [run.path / name for name in pages]


def _what(recipe: Recipe, record: Row, rows: Sequence[Row]) -> list[Block]:
    """Return what was trained, on what, for how long, and whether an alarm stood."""
    steps = record.get("settings", {}).get("steps", 0)
    shape, path = recipe.networks.shape, getattr(recipe.data, "path", None)
    unit = "images" if len(shape) == 3 else "points"
    made = f"{' x '.join(map(str, shape))} images" if len(shape) == 3 else f"points of {shape[0]} dimensions"
    source = f"from {code(path)}" if path else f"of {code(type(recipe.data).__name__)}"
    epochs = next((f" = {row['epoch']:g} epochs" for row in reversed(rows) if isinstance(row.get("epoch"), float)), "")
    seen = f"{steps:,} steps of {recipe.batch_size} {unit}{epochs}, {steps * recipe.batch_size:,} in all"
    options = ", ".join(code(f"{name} = {value}") for name, value in recipe.options.items())
    family = to_dict(recipe)["networks"]["kind"]
    return [
        Prose(f"{code(recipe.objective)}{f' ({options})' if options else ''} with networks of the family "
              f"{code(family)}, on {made} {source}: {seen}.", "lead"),
        *_data(record),
        *_alarms(rows),
    ]  # fmt: skip


def _data(record: Row) -> list[Block]:
    """Say what was read of the images, and of those that the run was trained on before, where they were changed."""
    earlier = [
        Prose(f"**Other images** up to step {read['until_step']:,}: {line(read)}.", "alarm")
        for read in record.get("earlier_data", [])
    ]
    return [*([Prose(f"Read: {line(record['data'])}.")] if record.get("data") else []), *earlier]


def _alarms(rows: Sequence[Row]) -> list[Block]:
    """Say which alarms stood, or that none did."""
    stood = alarms(rows)
    if not stood:
        return [Prose("No alarm stood while it trained.", "calm")]
    return [
        Prose(f"**{name}** from step {first:,} to {'the end' if last is None else f'{last:,}'}: {ALARMS[name][1]}. "
              f"See {PAGE}#{name}.", "alarm")
        for name, first, last in stood
    ]  # fmt: skip


def _scores(recipe: Recipe, scores: dict[str, Any], real: dict[str, Any], table: Table | None) -> list[Block]:
    paper = {name: values[recipe.name][0] for name, values in TABLE_1.items() if recipe.name in values}
    if not scores.get("feature_comparable"):
        paper.pop("inception_score", None)
    judge = ""
    if "feature_network" in scores:
        judge = (f" Features are of the network {code(scores['feature_network'])}, of {scores.get('n_fake', 0):,} "
                 f"generated and {scores.get('n_real', 0):,} test images.")  # fmt: skip
    blocks: list[Block] = [Heading("Scores"), Prose(ONE_SEED + judge, "note")]
    for group, some in cards(scores, paper, real).items():
        blocks += [Heading(group, 3), Cards(some)]
    if table is not None:
        blocks += [Heading(table.title, 3), Grid(table.columns, table.rows), Prose(table.note, "note")]
    rest = list(others(scores))
    return [*blocks, Folded("All other numbers", [Grid(("score", "value"), rest)])] if rest else blocks


def _curves(rows: Sequence[Row], picture: Sequence[Path]) -> list[Block]:
    found = lines(rows)
    if not found:
        return []
    last = max(row["step"] for row in rows)
    spans = [(first, last if end is None else end) for _, first, end in alarms(rows)]
    charts = [(code(name), inline_svg(chart([line], spans), f"c{k}")) for k, (name, line) in enumerate(found.items())]
    marked = " Shaded: steps at which an alarm stood." if spans else ""
    note = f"By step: losses, their terms, and what was evaluated on the way; means between log rows.{marked}"
    return [
        Heading("Curves"),
        Prose(note, "note"),
        Charts(charts, f"figures/{picture[0].name}" if picture else ""),
    ]


def _figures(paths: Sequence[Path]) -> list[Block]:
    pictures = [Picture(CAPTIONS[path.stem], path.read_bytes(), f"figures/{path.name}") for path in paths]
    return [Heading("Figures"), Pictures(pictures)] if pictures else []


def _use(recipe: Recipe, encoder: bool) -> list[Block]:
    """Return three lines that use the model."""
    third = "x_z_x = model.reconstruct(x)" if encoder else "x = model.generate(64)"
    shape = ", ".join(map(str, recipe.networks.shape))
    of = f"(n, {shape}){', in [0, 1]' if len(recipe.networks.shape) == 3 else ''}"
    lines = ["import aimgan", 'model = aimgan.load("path/to/this/run")', f"{third}  # x: {of}"]
    also = "model.encode(x) and model.neighbours(x, 8) infer, model.generate(64) samples." if encoder else (
        "It has no encoder: it can only generate.")  # fmt: skip
    return [Heading("Use the model"), Listing("\n".join(lines), "python"), Prose(also, "note")]


def _again(recipe: Recipe, seed: int, record: Row) -> list[Block]:
    """Return the command, the machine, and every setting."""
    words = command(recipe, seed)
    machine = [(code(name), code(value)) for name, value in record.get("environment", {}).items()]
    settings = [(code(name), code(value)) for name, value in flat(to_dict(recipe))]
    commit = [("git commit", code(record["git"]))] if record.get("git") else []
    return [
        Heading("Make it again"),
        *([Listing(words, "sh")] if words else [Prose("The recipe has no name: run.json holds it by value.")]),
        Prose("On the same machine with the same versions this gives the same bits.", "note"),
        Folded("Versions and machine", [Grid(("", ""), [*machine, *commit])]),
        Folded("Every setting", [Grid(("setting", "value"), settings)]),
    ]
