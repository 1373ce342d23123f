"""The stability map: how often a method works at a short budget, over learning rate x a second number x seeds.

A run succeeds if it captures all modes and 90 % of its samples are of high quality. Runs are bare (bare.py): a line in
cells.jsonl each, so that a line that is there is not done again, and a run that was cut off is just redone.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from rich.console import Console

from aimgan import console as screen
from aimgan.errors import AimganError
from aimgan.figures import stability_map
from aimgan.files import write_text
from aimgan.paper import bare, stability_page
from aimgan.paper.cells import Cell, Outcome
from aimgan.paper.methods import Method
from aimgan.paper.parallel import as_done, stop_signal
from aimgan.paper.request import Request, folder_made, write_results
from aimgan.recipes import RECIPES
from aimgan.runs.finish import save

NAME = "stability"
STEPS = 10_000
BUDGET = {"batch_size": 64}  # a quarter of the tables': a run takes 20 s of a core, where grid/aim's takes 150 s
HIGH_QUALITY = 0.9
GROUP = 15  # runs side by side in a process: more of them no longer fit its core's cache
LRS = (5e-4, 1e-3, 2e-3, 4e-3, 8e-3)
BETA1 = ("beta1", (0.0, 0.25, 0.5, 0.75, 0.9))
WEIGHT = ("weight", (0.05, 0.15, 0.5, 1.5, 5.0))  # lambda: about the paper's 1/d, from a tenth to ten times of it
# The second axis: an objective's own number if it has one, Adam's beta1 if it has none.
AXES: dict[str, tuple[str, tuple[float, ...]]] = {
    "gan": BETA1,
    "ali": BETA1,
    "veegan": ("weight", (0.1, 0.3, 1.0, 3.0, 10.0)),
    "aim-minus": WEIGHT,
    "aim": WEIGHT,
    "aim-weighted": WEIGHT,
}
METHODS = ("gan", "ali", "veegan", "aim-weighted", "aim")


@dataclass(frozen=True)
class Point:
    """A run of the map."""

    method: Method
    lr: float
    axis: str
    value: float
    cell: Cell

    @property
    def key(self) -> str:
        """What a line of cells.jsonl is found by: a recipe that has changed since is another run."""
        digest = hashlib.sha256(json.dumps(self.cell.recorded_settings, sort_keys=True).encode()).hexdigest()
        return f"{self.cell.name} {digest[:16]}"


def stability(request: Request, console: Console) -> tuple[list[Path], list[Outcome]]:
    """Run the points that have no line, write what there is then, and return the files and all outcomes."""
    points = grid(request)
    lines = request.output / "cells.jsonl"
    found = _read(lines)
    if request.retry:
        again = {point.key for point in points}
        found = {key: row for key, row in found.items() if row["error"] is None or key not in again}
    todo = [point for point in points if point.key not in found]
    if len(todo) < len(points):
        screen.say(console, f"{len(points) - len(todo)} of {len(points)} runs are done already")
    if todo:
        folder_made(request.output)
        write_text(lines, "".join(_line(key, row) for key, row in found.items()))
        for point, row in _rows(todo, request.workers, console, len(points)):
            found[point.key] = row
            with lines.open("a", encoding="utf-8") as file:
                file.write(_line(point.key, row))
    outcomes = [_outcome(found.get(point.key)) for point in points]
    results = collected(request, points, outcomes)
    console.print(stability_page.table(results).rich())
    return write(results, request.output), outcomes


def grid(request: Request) -> list[Point]:
    """Return all points: of each method, its settings seed by seed."""
    return [
        Point(method, lr, axis, value, _cell(request, method, {"lr": lr, axis: value}, seed))
        for method in request.methods
        for axis, values in [AXES.get(method.key, BETA1)]
        for seed in request.seeds
        for lr in LRS
        for value in values
    ]


def groups(todo: Sequence[Point]) -> list[list[Point]]:
    """Split points into groups that one process trains side by side: of one method, at most GROUP of them."""
    by_method: dict[str, list[Point]] = {}
    for point in todo:
        by_method.setdefault(point.method.key, []).append(point)
    return [points[k : k + GROUP] for points in by_method.values() for k in range(0, len(points), GROUP)]


def _cell(request: Request, method: Method, settings: Mapping[str, Any], seed: int) -> Cell:
    steps = STEPS if request.steps is None else request.steps
    return Cell(method.recipe(request.data), {**method.settings, **BUDGET, **settings}, seed, steps, request.device)


def _rows(todo: Sequence[Point], workers: int, console: Console, total: int) -> Iterator[tuple[Point, Any]]:
    """Run points on worker processes, yield each with its row. At SIGINT or SIGTERM those under way are dropped."""
    context = multiprocessing.get_context("spawn")
    told, before = context.Event(), total - len(todo)
    done = 0

    def look(stop: Event, report: screen.CellsReport) -> None:
        report(before + done, {})
        if stop.is_set() and not told.is_set():
            screen.say(console, "stopping: the runs under way are dropped, those done are kept")
            told.set()

    with (
        stop_signal() as stop,
        screen.cells(console, total, before) as report,
        ProcessPoolExecutor(workers, context, bare.begin, (told, os.getpid())) as pool,
    ):
        futures: dict[Future[Any], list[Point]] = {
            pool.submit(bare.rows, [point.cell for point in group]): group for group in groups(todo)
        }
        try:
            for future in as_done(futures, lambda: look(stop, report)):
                for point, row in zip(futures[future], future.result() or (), strict=False):
                    done += 1
                    screen.say(console, f"{before + done} of {total}  {point.cell.name}: {_told(row)}")
                    yield point, row
        except BrokenProcessPool:
            raise AimganError(
                "a worker was killed (out of memory?): repeat the command, with fewer --workers"
            ) from None
        finally:
            told.set()  # whatever happened, nobody waits for what is still running


def _line(key: str, row: Mapping[str, Any]) -> str:
    return json.dumps({"key": key, **row}) + "\n"


def _told(row: Mapping[str, Any]) -> str:
    if row["scores"] is None:
        return f"stopped: {row['error']}"
    return "{modes} modes, HQ {high_quality:.1%}".format(**row["scores"])


def _read(lines: Path) -> dict[str, Any]:
    """Return the rows by key; a line that a kill cut off is none."""
    rows = {}
    for line in lines.read_text(encoding="utf-8", errors="replace").splitlines() if lines.exists() else []:
        try:
            row = json.loads(line)
            rows[row.pop("key")] = row
        except (ValueError, LookupError, TypeError, AttributeError):
            continue
    return rows


def _outcome(row: Mapping[str, Any] | None) -> Outcome:
    if row is None:
        return Outcome("missing")
    return Outcome("stopped" if row["error"] else "finished", **row)


def collected(request: Request, points: Sequence[Point], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the results file."""
    data: Any = RECIPES[points[0].cell.recipe].data.load()
    environments = [dict(outcome.environment) for outcome in outcomes if outcome.environment]
    return {
        **request.head(),
        "steps": points[0].cell.length,
        "success": {"modes": len(data.means), "high_quality": HIGH_QUALITY},
        "environments": [e for k, e in enumerate(environments) if e not in environments[:k]],
        "methods": [_method(request, method) for method in request.methods],
        "cells": [_result(*pair) for pair in zip(points, outcomes, strict=True)],
    }


def _method(request: Request, method: Method) -> dict[str, Any]:
    axis, values = AXES.get(method.key, BETA1)
    about = {"method": method.key, "label": method.label, "recipe": method.recipe(request.data)}
    return {**about, "settings": dict(method.settings), "lrs": list(LRS), "axis": axis, "values": list(values)}


def _result(point: Point, outcome: Outcome) -> dict[str, Any]:
    where = {"method": point.method.key, "lr": point.lr, "value": point.value, "seed": point.cell.seed}
    came = {name: getattr(outcome, name) for name in ("state", "scores", "seconds", "error")}
    return where | came


def write(results: dict[str, Any], folder: Path) -> list[Path]:
    """Write the results file and what is rendered from it."""
    paths = write_results(results, folder / f"{NAME}.json", {".md": stability_page.markdown(results)})
    return [*paths, save(stability_map(stability_page.panels(results)), folder / f"{NAME}.png")]
