"""A run's report: report.md and report.html, in the run's folder.

The same run gives the same bytes, whether it was interrupted or not: there are no times, speeds or folders in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aimgan.card import last_part
from aimgan.checked import regular
from aimgan.data.account import line
from aimgan.files import write_text
from aimgan.markdown import code, words
from aimgan.pages.recorded import Row, alarms, charts, command
from aimgan.pages.rendering import render
from aimgan.pages.tables import Table, of_run, paper_numbers
from aimgan.recipes.recipe import Recipe, to_dict, with_settings
from aimgan.score_meanings import explained, unexplained
from aimgan.training.alarms import ALARMS, PAGE
from aimgan.training.run_dir import DATA_PATHS, RunDir, flat

CAPTIONS = {
    "figure3": "(a) data; (b) codes of held-out data over the prior's circles, (c) their reconstructions, (d) samples.",
    "samples": "Samples: G(z), z ~ N(0, I).",
    "reconstructions": "Held-out images (odd columns) and their reconstructions G(mu(x)) (even columns).",
    "translations": "Held-out samples of A and their translations to B, then of B and theirs to A.",
    "neighbours": "A held-out image x (first column) and G(z), z ~ q(z|x).",
}
SCORE_COLUMNS = ("score", "this run", "compare with", "says", "cannot say")


def write_report(
    run: RunDir, recipe: Recipe, seed: int, scores: dict[str, Any], encoder: bool, real: dict[str, Any] | None = None
) -> list[Path]:
    """Write a run's report.md and report.html, and return their paths.

    `real` are the scores of the real data, where the data are a mixture. Figures, curves, alarms, versions and the
    machine are read from the run's folder.
    """
    rows, record = run.rows(), run.read() or {}
    recipe = _without_folders(recipe, record)
    settings = dict(flat(to_dict(recipe)))
    environment = {**record.get("environment", {}), "git commit": record.get("git")}
    page = {
        "title": f"{recipe.name}, seed {seed}",
        "about": [*_verdict(scores), ("lead", _lead(recipe, settings, record)), *_data(record), *_alarms(rows, scores)],
        "figures": list(_figures(run)),
        **_scores(recipe, scores, real),
        "charts": charts([rows]),
        "encoder": encoder,
        "own": settings["networks.kind"] == "own",
        "shape": ", ".join(map(str, recipe.networks.shape)),
        "command": command(recipe, seed),
        "environment": _pairs("Versions and machine", environment),
        "settings": _pairs("Every setting", settings),
    }
    paths = [run.path / "report.md", run.path / "report.html"]
    for path in paths:
        write_text(path, render(path.name, **page))
    return paths


def _without_folders(recipe: Recipe, record: Row) -> Recipe:
    """Return a recipe with the last part of each path of its data, unless that is an id on the Hub."""
    if record.get("data", {}).get("hub"):
        return recipe
    settings = dict(flat(to_dict(recipe)))
    return with_settings(recipe, {name: last_part(settings[name]) for name in DATA_PATHS if settings.get(name)})


def _verdict(scores: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield whether the model is of use, and what to do: the first thing to read."""
    if scores.get("verdict"):
        yield mood_of(scores), f"**{words(str(scores['verdict']))}**"


def mood_of(scores: Mapping[str, Any]) -> str:
    """Return how a page shows a verdict: one that is not good looks like an alarm."""
    return "verdict" if scores.get("ready", True) else "verdict alarm"


def _lead(recipe: Recipe, settings: Mapping[str, Any], record: Row) -> str:
    """Return what was trained, on which data, and for how long."""
    options = "".join(f", {code(f'{name} = {value}')}" for name, value in recipe.options.items())
    data = settings.get("data.path") or settings["data.kind"]
    shape = " x ".join(map(str, recipe.networks.shape))
    steps = record.get("settings", {}).get("steps", 0)
    return (
        f"{code(recipe.objective)}{options} with networks of the family {code(settings['networks.kind'])}, on "
        f"{code(data)} of shape {shape}: {steps:,} steps of {recipe.batch_size}, {steps * recipe.batch_size:,} in all."
    )


def _data(record: Row) -> Iterator[tuple[str, str]]:
    """Yield what was read of the images, and what the run was trained on before they were changed."""
    if record.get("data"):
        yield "", f"Data: {words(line(record['data']))}."
    for read in record.get("earlier_data", []):
        yield "alarm", f"**Other images** up to step {read['until_step']:,}: {words(line(read))}."


def _alarms(rows: Sequence[Row], scores: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    raised = alarms(rows)
    for name, first, last in raised:
        until = "the end" if last is None else f"{last:,}"
        yield "alarm", f"**{name}** from step {first:,} to {until}: {ALARMS[name][1]}. See {PAGE}#{name}."
    if not raised:
        yield "calm" if scores.get("ready", True) else "", "No alarm was raised in training."


def _figures(run: RunDir) -> Iterator[tuple[str, bytes, str]]:
    for name, caption in CAPTIONS.items():
        path = run.figures / f"{name}.png"
        if path.exists():
            yield caption, regular(path).read_bytes(), name


def _scores(recipe: Recipe, scores: Mapping[str, Any], real: Mapping[str, Any] | None) -> dict[str, Any]:
    found = explained(scores, {"real data": real or {}, "the paper": paper_numbers(recipe, scores)})
    features = ""
    if "feature_network" in scores:
        features = (
            f"Features are of the network {code(scores['feature_network'])}, of {scores.get('n_fake', 0):,} generated "
            f"and {scores.get('n_real', 0):,} test images."
        )
    return {
        "features": features,
        "scores": found,
        "score_table": Table("Scores", SCORE_COLUMNS, [[code(score.name), *score[2:]] for score in found]),
        "paper": of_run(recipe, scores, real) if real else None,
        "other_scores": _pairs("All other scores", unexplained(scores)),
    }


def _pairs(title: str, values: Mapping[str, Any]) -> Table:
    return Table(title, ["name", "value"], [[code(name), code(value)] for name, value in values.items()])
