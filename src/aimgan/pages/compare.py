"""`aimgan compare`: the settings, scores, curves and figures of several runs side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from statistics import median
from string import ascii_uppercase
from typing import Any

from rich.console import Console

from aimgan.checked import numbers, regular
from aimgan.console import say
from aimgan.errors import AimganError
from aimgan.figures.charts import COLOURS
from aimgan.files import require_mark, unwritable, write_json, write_text
from aimgan.markdown import code, words
from aimgan.pages.recorded import alarms, charts
from aimgan.pages.rendering import render
from aimgan.pages.report import CAPTIONS, mood_of
from aimgan.pages.tables import Table
from aimgan.recipes.recipe import to_dict
from aimgan.recipes.resolving import recorded
from aimgan.score_meanings import FEATURE_SCORES, MEANINGS, beats_anchor, best, number, sign
from aimgan.sharing.folder import scores_of
from aimgan.training.run_dir import RunDir, flat

MAX_PICTURE = 16 * 2**20  # bytes of a picture that a page may contain
FIGURES = ("samples", "reconstructions", "figure3")
ENVIRONMENT = ("aimgan", "torch", "processor", "threads")  # what may explain a difference between scores
FEATURES = ("feature_network", "feature_checksum", "feature_resizer", "n_fake", "n_real", "split")
SIGNS = (
    "↑ higher is better, ↓ lower is better, → nearer to that number is better; the best of a row is bold, unless it is "
    "no better than a trivial answer, such as the mean image. Each column is one run: only runs that differ in nothing "
    "but the seed show how much the seed changes."
)


UNJUDGED = "No verdict was recorded: score the run again (aimgan evaluate), or finish it by its training command."


@dataclass(frozen=True)
class ComparedRun:
    """A run of a comparison: its letter, its name, and what its folder holds."""

    key: str
    name: str
    folder: RunDir
    settings: dict[str, Any]
    verdict: dict[str, Any]  # whether the model is of use, and the sentence
    scores: dict[str, float]
    features: list[Any]  # what its scores of features depend on besides the model
    rows: list[dict[str, Any]]


def compare(paths: Sequence[str | Path], output: Path | None, console: Console) -> dict[str, Any]:
    """Print runs side by side, and return the comparison.

    `output` (.html) is a page to write; the page in Markdown and the comparison in JSON are written beside it. Raises
    AimganError for fewer than 2 or more than 8 runs, for one that is named twice, and for a folder without a run.
    """
    if output is not None and output.suffix.lower() != ".html":
        raise AimganError(f"--output is {output}; expected a name that ends in .html (.md and .json are put beside it)")
    runs = _read([Path(path) for path in paths])
    if output is not None:
        require_mark(output.with_suffix(".md"), "# Comparison")
        require_mark(output.with_suffix(".json"), '"differing": ')
    differing = _differing(runs)
    ranked, notes = _ranked(runs, differing)
    tables = {"summary": _summary(runs), "settings": _settings(runs, differing), "scores": _scores(runs, ranked)}
    for run in runs:
        say(console, f"{run.key}: {run.verdict['verdict']}")
    for table in (tables["summary"], tables["settings"], _without_meanings(tables["scores"])):
        console.print(table.rich())
    for note in notes:
        say(console, note, "note:")
    result = {"runs": list(map(_result, runs)), "differing": differing, "best": ranked, "notes": notes}
    if output is not None:
        _write(output, runs, {"notes": notes, **tables}, result)
        for suffix in (".html", ".md", ".json"):
            say(console, f"wrote {output.with_suffix(suffix)}")
    return result


def _read(paths: Sequence[Path]) -> list[ComparedRun]:
    if not 2 <= len(paths) <= COLOURS:
        raise AimganError(f"got {len(paths)} runs; expected 2 to {COLOURS}: name that many folders of runs")
    folders = [path.resolve() for path in paths]
    for path, folder in zip(paths, folders, strict=True):
        if folders.count(folder) > 1:
            raise AimganError(f"{path} is named twice; expected different runs")
    names = [folder.name for folder in folders]
    if len(set(names)) < len(names):
        names = list(map(str, paths))
    return list(map(_read_run, ascii_uppercase, names, map(RunDir, paths)))


def _read_run(key: str, name: str, folder: RunDir) -> ComparedRun:
    recipe, seed = recorded(folder)
    record = folder.read() or {}
    settings = dict(flat(to_dict(recipe)))
    settings |= {"steps": record["settings"].get("steps", 0), "seed": seed}
    for part in ENVIRONMENT:
        settings[part] = record.get("environment", {}).get(part)
    scores = scores_of(folder.path)
    features = [scores.get(feature) for feature in FEATURES]
    rows = []
    if folder.metrics.exists():
        rows = folder.rows()
    ready = scores.get("ready", "verdict" in scores)  # earlier versions wrote the sentence alone
    verdict = {"ready": ready is True, "verdict": words(str(scores.get("verdict", UNJUDGED)))}
    return ComparedRun(key, name, folder, settings, verdict, numbers(scores), features, rows)


def _result(run: ComparedRun) -> dict[str, Any]:
    return {
        "key": run.key,
        "path": str(run.folder.path),
        **run.verdict,
        "settings": run.settings,
        "scores": run.scores,
        "alarms": list(map(list, alarms(run.rows))),
    }


def _write(output: Path, runs: Sequence[ComparedRun], page: dict[str, Any], result: dict[str, Any]) -> None:
    names = {run.key: run.name for run in runs}
    title = f"Comparison: {' and '.join(names.values())}"
    if len(title) > 80:
        title = f"Comparison of {len(runs)} runs"
    page |= {"title": title, "legend": names, "figures": list(_figures(runs))}
    page["verdicts"] = [(mood_of(run.verdict), f"**{run.key}**: {run.verdict['verdict']}") for run in runs]
    page["charts"] = charts([run.rows for run in runs])
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_text(output, render("compare.html", **page))
        write_text(output.with_suffix(".md"), render("compare.md", **page))
        write_json(output.with_suffix(".json"), result)
    except OSError as reason:
        raise unwritable(output, reason) from None


def _differing(runs: Sequence[ComparedRun]) -> dict[str, list[Any]]:
    """Return the values of each setting, and of each part of the environment, that is not the same in all runs."""
    found = {}
    for name in dict.fromkeys(chain.from_iterable(run.settings for run in runs)):
        values = [run.settings.get(name, "-") for run in runs]
        if name != "name" and not _same(values):
            found[name] = values
    return found


def _same(values: Sequence[Any]) -> bool:
    return all(value == values[0] for value in values)


def _ranked(runs: Sequence[ComparedRun], differing: Iterable[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Return which runs have the best value of each score, and notes on what cannot be compared.

    No run has the best value where the values cannot be compared.
    """
    notes = []
    same_data = not any(name.startswith("data.") for name in differing)
    if not same_data:
        notes.append("The data differ: scores of different data cannot be compared, so none is marked as the best.")
    same_features = _same([run.features for run in runs if FEATURE_SCORES & run.scores.keys()])
    if not same_features:
        notes.append("Features are of different networks or numbers of images, so no score of features is marked.")
    ranked = {}
    for name in MEANINGS:
        values = {run.key: run.scores[name] for run in runs if name in run.scores}
        if values:
            comparable = same_data and (same_features or name not in FEATURE_SCORES)
            winners = best(name, values) if comparable else []
            ranked[name] = [run.key for run in runs if run.key in winners and beats_anchor(name, run.scores)]
    for run in runs:
        if not run.scores:
            notes.append(f"{run.key} has no scores: repeat its training command to finish it.")
    return ranked, notes


def _summary(runs: Sequence[ComparedRun]) -> Table:
    """Return what each letter stands for, with the speed and the alarms."""
    rows = []
    for run in runs:
        speed = "-"
        speeds = [row["steps_per_second"] for row in map(numbers, run.rows) if "steps_per_second" in row]
        if speeds:
            speed = f"{median(speeds):.1f}"
        raised = ", ".join(sorted({name for name, _, _ in alarms(run.rows)}))
        recipe, steps = code(run.settings["name"]), f"{run.settings['steps']:,}"
        rows.append([f"**{run.key}**", code(run.name), recipe, steps, speed, raised or "none"])
    return Table("runs", ["", "run", "recipe", "steps", "steps/s", "alarms"], rows)


def _settings(runs: Sequence[ComparedRun], differing: dict[str, list[Any]]) -> Table:
    rows = [[code(name), *map(code, values)] for name, values in differing.items()]
    if not rows:
        rows.append(["none", *[""] * len(runs)])
    return Table("settings that differ", ["setting", *[run.key for run in runs]], rows)


def _scores(runs: Sequence[ComparedRun], ranked: dict[str, list[str]]) -> Table:
    """Return a row for each score that a run has, with what it says; its references are below it, if one is trivial."""
    rows = []
    for name, winners in ranked.items():
        meaning = MEANINGS[name]
        rows.append([f"{code(name)} {sign(name)}".strip(), *_cells(runs, name, winners), meaning.says])
        for reference, label in meaning.references.items() if meaning.anchor else ():
            if any(reference in run.scores for run in runs):
                rows.append([label, *_cells(runs, reference, ()), ""])
    return Table("scores", ["score", *[run.key for run in runs], "says"], rows, SIGNS)


def _cells(runs: Sequence[ComparedRun], name: str, winners: Sequence[str]) -> Iterator[str]:
    """Yield a score of each run, those of the winners in bold."""
    for run in runs:
        cell = number(run.scores[name]) if name in run.scores else "-"
        yield f"**{cell}**" if run.key in winners else cell


def _without_meanings(scores: Table) -> Table:
    """Return the table of scores as a terminal has room for it."""
    return replace(scores, columns=scores.columns[:-1], rows=[row[:-1] for row in scores.rows])


def _figures(runs: Sequence[ComparedRun]) -> Iterator[tuple[str, bytes, str]]:
    """Yield each figure of each run with its caption and a name: samples of all runs first."""
    for name in FIGURES:
        for run in runs:
            content = _png(run.folder.figures / f"{name}.png")
            if content:
                yield f"**{run.key}** {code(run.name)}: {CAPTIONS[name]}", content, f"{name} of {run.key}"


def _png(path: Path) -> bytes:
    """Return the content of a picture, or nothing where there is none that a page can contain."""
    try:
        content = regular(path).read_bytes() if path.stat().st_size <= MAX_PICTURE else b""
    except OSError:
        return b""
    return content if content.startswith(b"\x89PNG") else b""
