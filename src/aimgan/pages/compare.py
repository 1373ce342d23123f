"""`aimgan compare`: the settings, scores, curves and figures of several runs side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from string import ascii_uppercase
from typing import Any

from rich.console import Console

from aimgan.checked import numbers, regular
from aimgan.console import say
from aimgan.errors import AimganError
from aimgan.figures.charts import COLOURS
from aimgan.files import unwritable, write_json, write_text
from aimgan.markdown import code
from aimgan.pages.recorded import alarms, charts, scores_of
from aimgan.pages.rendering import render
from aimgan.pages.report import CAPTIONS
from aimgan.pages.tables import Table
from aimgan.recipes.recipe import to_dict
from aimgan.recipes.resolving import recorded
from aimgan.score_meanings import FEATURE_SCORES, MEANINGS, best, number, sign
from aimgan.training.run_dir import RunDir, flat

MAX_PICTURE = 16 * 2**20  # bytes of a picture that a page may contain
FIGURES = ("samples", "reconstructions", "figure3")
ENVIRONMENT = ("aimgan", "torch", "processor", "threads")  # what may explain a difference between scores
FEATURES = ("feature_network", "feature_checksum", "feature_resizer", "n_fake", "n_real", "split")
SIGNS = (
    "↑ higher is better, ↓ lower is better, → nearer to that number is better; the best of a row is bold. "
    "Each column is one run: only runs that differ in nothing but the seed show how much the seed changes."
)


@dataclass(frozen=True)
class ComparedRun:
    """A run of a comparison: its letter, its shortest name, and what its folder holds."""

    key: str
    name: str
    folder: RunDir
    settings: dict[str, Any]
    environment: dict[str, Any]
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
    differing = _differing(runs)
    ranked, notes = _ranked(runs)
    tables = {"summary": _summary(runs), "settings": _settings(runs, differing), "scores": _scores(runs, ranked)}
    for table in tables.values():
        console.print(table.rich())
    plain_notes = [note.replace("`", "") for note in notes]
    for note in plain_notes:
        say(console, note, "note:")
    result = {"runs": list(map(_result, runs)), "differing": differing, "best": ranked, "notes": plain_notes}
    if output is not None:
        tables["scores"] = _with_meanings(tables["scores"], ranked)
        _write(output, runs, {"notes": notes, **tables}, result)
        for suffix in (".html", ".md", ".json"):
            say(console, f"wrote {output.with_suffix(suffix)}")
    return result


def _read(paths: Sequence[Path]) -> list[ComparedRun]:
    if not 2 <= len(paths) <= COLOURS:
        raise AimganError(f"got {len(paths)} runs; expected 2 to {COLOURS}: name that many folders of runs")
    folders = [path.resolve() for path in paths]
    names = [folder.name for folder in folders]
    runs = []
    for place, path in enumerate(paths):
        if folders[place] in folders[:place]:
            raise AimganError(f"{path} is named twice; expected different runs")
        name = names[place]
        if names.count(name) > 1:
            name = str(path)
        runs.append(_read_run(ascii_uppercase[place], name, RunDir(path)))
    return runs


def _read_run(key: str, name: str, folder: RunDir) -> ComparedRun:
    recipe, seed = recorded(folder)
    record = folder.read() or {}
    settings = dict(flat(to_dict(recipe)))
    settings |= {"steps": record["settings"].get("steps", 0), "seed": seed}
    scores = scores_of(folder)
    features = [scores.get(name) for name in FEATURES]
    rows = []
    if folder.metrics.exists():
        rows = folder.rows()
    return ComparedRun(key, name, folder, settings, record.get("environment", {}), numbers(scores), features, rows)


def _result(run: ComparedRun) -> dict[str, Any]:
    return {
        "key": run.key,
        "path": str(run.folder.path),
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
    page["charts"] = charts([run.rows for run in runs])
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_text(output, render("compare.html", **page))
        write_text(output.with_suffix(".md"), render("compare.md", **page))
        write_json(output.with_suffix(".json"), result)
    except OSError as reason:
        raise unwritable(output, reason) from None


def _ranked(runs: Sequence[ComparedRun]) -> tuple[dict[str, list[str]], list[str]]:
    """Return whose value is the best of each score that a run has, and notes on what cannot be compared.

    Nobody's is the best where the values cannot be compared.
    """
    names = [name for name in MEANINGS if any(name in run.scores for run in runs)]
    unranked: set[str] = set()
    notes = []
    if not _same([[value for name, value in run.settings.items() if name.startswith("data.")] for run in runs]):
        unranked.update(names)
        data = [f"{run.key}: {code(run.settings.get('data.path') or run.settings['data.kind'])}" for run in runs]
        notes.append(f"The data differ ({'; '.join(data)}): scores of different data cannot be compared.")
    if not _same([run.features for run in runs if FEATURE_SCORES & run.scores.keys()]):
        unranked |= FEATURE_SCORES
        shown = ", ".join(name for name in names if name in FEATURE_SCORES)
        notes.append(f"Features are of different networks or numbers of images: of {shown} none is marked.")
    for run in runs:
        if not run.scores:
            notes.append(f"{run.key} has no scores: repeat its training command to finish it.")
    ranked: dict[str, list[str]] = {name: [] for name in names}
    for name in ranked.keys() - unranked:
        ranked[name] = best(name, {run.key: run.scores[name] for run in runs if name in run.scores})
    return ranked, notes


def _same(values: Sequence[Any]) -> bool:
    return all(value == values[0] for value in values)


def _differing(runs: Sequence[ComparedRun]) -> dict[str, list[Any]]:
    """Return each setting, and each part of the environment, that is not the same in all runs."""
    described = []
    for run in runs:
        environment = {name: run.environment.get(name) for name in ENVIRONMENT}
        described.append({**run.settings, **environment, "name": ""})
    found = {}
    for name in {name: None for settings in described for name in settings}:
        values = [settings.get(name, "-") for settings in described]
        if not _same(values):
            found[name] = values
    return found


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
        rows.append((f"**{run.key}**", code(run.name), recipe, steps, speed, raised or "none"))
    return Table("runs", ("", "run", "recipe", "steps", "steps/s", "alarms"), tuple(rows))


def _settings(runs: Sequence[ComparedRun], differing: dict[str, list[Any]]) -> Table:
    rows = [(code(name), *map(code, values)) for name, values in differing.items()]
    if not rows:
        rows.append(("none", *[""] * len(runs)))
    return Table("settings that differ", ("setting", *[run.key for run in runs]), tuple(rows))


def _scores(runs: Sequence[ComparedRun], ranked: dict[str, list[str]]) -> Table:
    """Return a row for each score that a run has."""
    rows = []
    for name, winners in ranked.items():
        row = [f"{code(name)} {sign(name)}".strip()]
        for run in runs:
            cell = "-"
            if name in run.scores:
                cell = number(run.scores[name])
            if run.key in winners:
                cell = f"**{cell}**"
            row.append(cell)
        rows.append(tuple(row))
    return Table("scores", ("score", *[run.key for run in runs]), tuple(rows), SIGNS)


def _with_meanings(scores: Table, ranked: dict[str, list[str]]) -> Table:
    """Return the table of scores with what each score says."""
    rows = [(*row, MEANINGS[name].says) for row, name in zip(scores.rows, ranked, strict=True)]
    return replace(scores, columns=(*scores.columns, "says"), rows=tuple(rows))


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
