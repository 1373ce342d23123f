"""`aimgan compare`: runs side by side: what differs, which score is best, curves and pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from string import ascii_uppercase
from typing import Any

from rich.console import Console

from aimgan.checked import numbers, regular
from aimgan.console import say
from aimgan.errors import AimganError
from aimgan.figures.charts import COLOURS, Line, chart, inline_svg
from aimgan.files import unwritable, write_json, write_text
from aimgan.pages import document
from aimgan.pages.document import Block, Charts, Grid, Heading, Legend, Picture, Pictures, Prose, code
from aimgan.pages.recorded import Row, alarms, lines, scores_of
from aimgan.pages.report import CAPTIONS
from aimgan.pages.scores import FEATURES, JUDGE, MEANINGS, arrow, best, number
from aimgan.recipes.recipe import to_dict
from aimgan.recipes.resolving import recorded
from aimgan.training.run_dir import RunDir, flat

MAX_PICTURE = 16 * 2**20  # bytes of a picture that is shown
SHOWN = ("samples", "reconstructions", "figure3")
ENVIRONMENT = ("aimgan", "torch", "processor", "threads")  # what may explain a difference
SIGNS = (
    "↑ more is better, ↓ less is, → near that number is; bold: the best of its row. One run a column: how much of a "
    "difference is the seed's, only runs that differ in nothing but the seed can say."
)


@dataclass(frozen=True)
class Side:
    """A run of a comparison: its letter, its shortest name, and what its folder holds."""

    key: str
    name: str
    run: RunDir
    settings: dict[str, Any]
    environment: dict[str, Any]
    scores: dict[str, Any]
    rows: list[dict[str, Any]]

    def data(self) -> dict[str, Any]:
        """Return the settings of its data."""
        return {name: value for name, value in self.settings.items() if name.startswith("data.")}

    def judge(self) -> list[Any]:
        """Return what its scores of features depend on, besides the model."""
        return [self.scores.get(name) for name in JUDGE]


def compare(runs: Sequence[str | Path], output: Path | None, console: Console) -> dict[str, Any]:
    """Print runs side by side, write them to `output` (.html) and beside it .md and .json, and return the last's.

    Raises AimganError for fewer than 2 or more than 8 runs, one that is named twice, and a folder without a run.
    """
    if output is not None and output.suffix.lower() != ".html":
        raise AimganError(f"--output is {output}; expected a name that ends in .html (.md and .json are put beside it)")
    sides = _sides(runs)
    for table in (
        _runs(sides).table("runs"),
        _settings(sides).table("settings that differ"),
        _scores(sides).table("scores", SIGNS),
    ):
        shown = table.rich()
        for column in shown.columns[1:]:
            column.overflow = "fold"
        console.print(shown)
    for note in _notes(sides):
        say(console, note.replace("`", ""), "note:")
    told = _told(sides)
    if output is not None:
        _write(output, sides, told, console)
    return told


def _sides(runs: Sequence[str | Path]) -> list[Side]:
    paths = [Path(run) for run in runs]
    if not 2 <= len(paths) <= COLOURS:
        raise AimganError(f"got {len(paths)} runs; expected 2 to {COLOURS}: name as many folders of runs")
    for k, path in enumerate(paths):
        if path.resolve() in [other.resolve() for other in paths[:k]]:
            raise AimganError(f"{path} is named twice; expected different runs")
    names = [path.resolve().name for path in paths]
    unique = [name if names.count(name) == 1 else str(path) for name, path in zip(names, paths, strict=True)]
    return [_side(*each) for each in zip(ascii_uppercase, unique, paths, strict=False)]


def _side(key: str, name: str, path: Path) -> Side:
    run = RunDir(path)
    recipe, seed = recorded(run)
    record = run.read() or {}
    total = record["settings"].get("steps", 0)
    settings = {**dict(flat(to_dict(recipe))), "steps": total, "seed": seed}
    rows = run.rows() if run.metrics.exists() else []
    return Side(key, name, run, settings, record.get("environment", {}), scores_of(run), rows)


def _write(output: Path, sides: Sequence[Side], told: dict[str, Any], console: Console) -> None:
    title = " and ".join(filter(None, (", ".join(side.name for side in sides[:-1]), sides[-1].name)))
    title = f"{len(sides)} runs" if len(title) > 60 else title
    blocks = _blocks(sides)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_text(output, document.html(f"Comparison: {code(title)}", blocks))
        write_text(output.with_suffix(".md"), document.markdown(f"Comparison: {code(title)}", blocks))
        write_json(output.with_suffix(".json"), told)
    except OSError as reason:
        raise unwritable(output, reason) from None
    for suffix in (".html", ".md", ".json"):
        say(console, f"wrote {output.with_suffix(suffix)}")


def _blocks(sides: Sequence[Side]) -> list[Block]:
    """Return the page."""
    legend = Legend([(side.key, code(side.name)) for side in sides])
    return [
        *(Prose(note, "alarm") for note in _notes(sides)),
        _runs(sides),
        Heading("Settings that differ"),
        _settings(sides),
        Heading("Scores"),
        Prose(SIGNS, "note"),
        _scores(sides, says=True),
        *_curves(sides, legend),
        *_pictures(sides),
    ]


def _runs(sides: Sequence[Side]) -> Grid:
    """Return what each letter is: speed and alarms beside, which are no settings."""
    heads = ("", "run", "recipe", "steps", "steps/s", "alarms")
    return Grid(heads, [
        (f"**{side.key}**", code(side.name), code(side.settings["name"]), f"{side.settings['steps']:,}",
         _speed(side.rows), ", ".join(dict.fromkeys(name for name, *_ in alarms(side.rows))) or "none")
        for side in sides
    ])  # fmt: skip


def _speed(rows: Sequence[Row]) -> str:
    speeds = [numbers(row)["steps_per_second"] for row in rows if "steps_per_second" in numbers(row)]
    return f"{median(speeds):.1f}" if speeds else "-"


def _differing(sides: Sequence[Side]) -> dict[str, list[Any]]:
    """Return each setting, and each part of the machine, that is not the same in all runs."""
    all_of = [side.settings | {name: side.environment.get(name) for name in ENVIRONMENT} for side in sides]
    names = dict.fromkeys(name for settings in all_of for name in settings if name != "name")
    found = {name: [settings.get(name, "-") for settings in all_of] for name in names}
    return {name: values for name, values in found.items() if any(value != values[0] for value in values)}


def _settings(sides: Sequence[Side]) -> Grid:
    rows = [(code(name), *map(code, values)) for name, values in _differing(sides).items()]
    return Grid(("setting", *(side.key for side in sides)), rows or [("none", *("" for _ in sides))])


def _notes(sides: Sequence[Side]) -> list[str]:
    """Return what keeps these runs from being compared."""
    notes = []
    if any(side.data() != sides[0].data() for side in sides):
        named = {side.key: side.settings.get("data.path") or side.settings["data.kind"] for side in sides}
        told = "; ".join(f"{key}: {code(name)}" for key, name in named.items())
        notes.append(f"The data differ ({told}): scores of different data cannot be compared, and none is marked.")
    judged = [side for side in sides if side.judge()[0] is not None]
    if any(side.judge() != judged[0].judge() for side in judged):
        names = ", ".join(name for name in MEANINGS if name in FEATURES and any(name in side.scores for side in sides))
        notes.append(f"Their features are of different networks or numbers of images: of {names} none is marked.")
    unscored = [side.key for side in sides if not side.scores]
    return notes + [f"{key} has no scores: repeat its training command to finish it." for key in unscored]


def _best(sides: Sequence[Side], name: str) -> list[str]:
    """Return whose score is the best, of none where that cannot be said."""
    having = [side for side in sides if name in numbers(side.scores)]
    comparable = all(side.data() == sides[0].data() for side in sides)
    if name in FEATURES:
        comparable &= all(side.judge() == having[0].judge() for side in having)
    return best(name, {side.key: numbers(side.scores)[name] for side in having}) if comparable else []


def _scores(sides: Sequence[Side], says: bool = False) -> Grid:
    """Return a row for each score that a run has; `says` adds what it means."""
    rows = []
    for name, meaning in MEANINGS.items():
        values = [numbers(side.scores).get(name) for side in sides]
        if any(value is not None for value in values):
            marked = _best(sides, name)
            cells = ["-" if value is None else number(value) for value in values]
            cells = [f"**{cell}**" if s.key in marked else cell for s, cell in zip(sides, cells, strict=True)]
            rows.append((f"{code(name)} {arrow(name)}".strip(), *cells, *([meaning.says] if says else [])))
    return Grid(("score", *(side.key for side in sides), *(["says"] if says else [])), rows)


def _curves(sides: Sequence[Side], legend: Block) -> Iterator[Block]:
    found: dict[str, list[Line]] = {}
    for place, side in enumerate(sides):
        for name, line in lines(side.rows, place).items():
            found.setdefault(name, []).append(line)
    if found:
        yield Heading("Curves")
        yield legend
        yield Charts([(code(name), inline_svg(chart(each), f"c{k}")) for k, (name, each) in enumerate(found.items())])


def _pictures(sides: Sequence[Side]) -> Iterator[Block]:
    for kind in SHOWN:
        pictures = [
            Picture(f"**{side.key}** {code(side.name)}", data)
            for side in sides
            if (data := _png(side.run.figures / f"{kind}.png"))
        ]
        if pictures:
            yield Heading(CAPTIONS[kind].split(":")[0] if kind == "samples" else kind.capitalize())
            yield Prose(CAPTIONS[kind], "note")
            yield Pictures(pictures)


def _png(path: Path) -> bytes | None:
    """Return a picture that a page can hold."""
    try:
        data = regular(path).read_bytes() if path.stat().st_size <= MAX_PICTURE else b""
    except OSError:
        return None
    return data if data.startswith(b"\x89PNG") else None


def _told(sides: Sequence[Side]) -> dict[str, Any]:
    """Return the comparison for programs."""
    named = [name for name in MEANINGS if any(name in numbers(side.scores) for side in sides)]
    return {
        "runs": [
            {"key": side.key, "path": str(side.run.path), "settings": side.settings, "scores": numbers(side.scores),
             "alarms": [list(each) for each in alarms(side.rows)]}
            for side in sides
        ],
        "differing": {name: list(values) for name, values in _differing(sides).items()},
        "best": {name: _best(sides, name) for name in named},
        "notes": [note.replace("`", "") for note in _notes(sides)],
    }  # fmt: skip
