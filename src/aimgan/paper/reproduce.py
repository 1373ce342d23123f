"""`aimgan reproduce`: a table or a figure of the paper by one command, which continues where it was stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from aimgan import console as screen
from aimgan.devices import resolved_device
from aimgan.errors import AimganError, Interrupted, near_miss
from aimgan.paper import figures, table1_page, table2
from aimgan.paper.experiment import Experiment
from aimgan.paper.methods import IMAGES, MIXTURES, chosen
from aimgan.paper.parallel import run_all, workers_for
from aimgan.paper.results_table import Column, named
from aimgan.paper.table1 import table1
from aimgan.paper.training_run import Outcome


@dataclass(frozen=True)
class Request:
    """What a person asks for; None leaves the choice to the target.

    `seeds` is how many seeds (0, 1, ...) a table has, `seed` the one of a figure. `steps` is of each run. `preset` and
    `images` are for images: how large the networks are and how long they train, and where the images are. `columns`
    are those of a table on the screen and in LaTeX. `retry` repeats runs that diverged. `settings` are of every run.
    """

    target: str
    methods: Sequence[str] | None = None
    seeds: int | None = None
    seed: int | None = None
    steps: int | None = None
    data: str | None = None
    preset: str | None = None
    images: str | None = None
    columns: Sequence[str] | None = None
    output: Path | None = None
    workers: int | None = None
    device: str = "auto"
    retry: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """A table or a figure: what writes it, its folder, data sets, methods (None: all), number of seeds, columns."""

    write: Callable[[Experiment, Sequence[Outcome], Console], list[Path]]
    folder: str
    data: tuple[str, ...]  # the first is the default
    methods: tuple[str, ...] | None = None
    seeds: int = 1
    columns: tuple[Column, ...] = ()

    @property
    def is_figure(self) -> bool:
        """Whether it is a figure, which has one seed."""
        return self.write is figures.draw


FACES_FIRST = IMAGES[::-1]  # the paper draws these figures of faces
LAMBDAS = ("alice-1", "alice-10", "alice-100", "aim")
TARGETS = {
    "table1": Target(table1, "table1", IMAGES, columns=table1_page.EVERY),
    "table2": Target(table2.table2, "table2", MIXTURES, seeds=5, columns=table2.EVERY),
    "figure2": Target(figures.draw, "table1", IMAGES, ("aim", "ali")),
    "figure3": Target(figures.draw, "table2", MIXTURES),
    "figure4": Target(figures.draw, "table1", IMAGES, ("aim",)),
    "figure5": Target(figures.draw, "table1", FACES_FIRST, ("aim",)),
    "figure6": Target(figures.draw, "table1", FACES_FIRST, ("aim",)),
    "figure7": Target(figures.draw, "table1", FACES_FIRST, LAMBDAS),
    "figure8": Target(figures.draw, "table1", IMAGES, ("aim",)),
    "figure9": Target(figures.draw, "table1", IMAGES, ("aim",)),
    "figure10": Target(figures.draw, "table1", IMAGES, ("aim", "gan")),
}


def reproduce(request: Request, console: Console) -> list[Path]:
    """Train the runs that have no result yet, write the table or figure, and return its files.

    The same request continues where it was stopped: finished runs are kept, the others go on from their checkpoints.
    Raises AimganError for an unknown name and, after everything else is written, for runs that failed; Interrupted
    after SIGINT or SIGTERM.
    """
    if request.target not in TARGETS:
        raise near_miss("target", request.target, TARGETS)
    target = TARGETS[request.target]
    experiment = resolved(request, target)
    if target.is_figure:
        figures.check(experiment)
    outcomes = run_all(experiment.runs, experiment.folder, experiment.workers, console, experiment.retry)
    paths = target.write(experiment, outcomes, console)
    for path in paths:
        screen.say(console, f"wrote {path}")
    _check_all_done(outcomes, paths, experiment.folder)
    return paths


def resolved(request: Request, target: Target) -> Experiment:
    """Return what is to be trained. Raises AimganError for an unknown name or a value out of range."""
    device = resolved_device(request.device)
    data = _data(request, target)
    methods = chosen(target.methods if request.methods is None else request.methods, data)
    given = dict(request.settings)
    if request.target == "figure4":
        given["networks.dim"] = 2  # codes that can be drawn
    methods = [method.with_settings(given) for method in methods]
    folder = "-".join(filter(None, (target.folder, data, request.preset)))
    return Experiment(
        target=request.target,
        methods=tuple(methods),
        data=data,
        seeds=_seeds(request, target),
        steps=request.steps,
        output=request.output or Path("runs", "reproduce", folder),
        workers=workers_for(device, request.workers),
        device=device,
        retry=request.retry,
        command=_command(request, data),
        preset=request.preset,
        path=request.images,
        columns=_columns(request, target),
    )


def _data(request: Request, target: Target) -> str:
    data = target.data[0] if request.data is None else request.data
    if data not in target.data:
        raise near_miss("data set", data, target.data)
    if data not in IMAGES and (request.preset or request.images):
        raise AimganError(f"--preset and --images are for images, but {request.target} is of {data}: leave them out")
    return data


def _columns(request: Request, target: Target) -> tuple[str, ...]:
    """Return the names of the columns, which are checked here: before hours of training."""
    if request.columns is None:
        return ()
    if target.is_figure:
        raise AimganError(f"--columns are of a table, and {request.target} is a figure: leave them out")
    return tuple(column.name for column in named(request.columns, target.columns))


def _seeds(request: Request, target: Target) -> tuple[int, ...]:
    if target.is_figure:
        if request.seeds is not None:
            raise AimganError(f"{request.target} has one seed: pass --seed N instead of --seeds {request.seeds}")
        return (request.seed or 0,)
    if request.seed is not None:
        raise AimganError(
            f"{request.target} has several seeds: pass --seeds N (how many) instead of --seed {request.seed}"
        )
    count = target.seeds if request.seeds is None else request.seeds
    if count < 1:
        raise AimganError(f"--seeds is {count}; expected how many, at least 1")
    return tuple(range(count))


def _command(request: Request, data: str) -> str:
    """Return the command as it can be repeated elsewhere: without folders."""
    flags = {
        "methods": ",".join(request.methods or ()) or None,
        "seeds": request.seeds,
        "seed": request.seed,
        "steps": request.steps,
        "data": data,
        "preset": request.preset,
        "device": None if request.device == "auto" else request.device,
    }
    words = [f"--{name} {value}" for name, value in flags.items() if value is not None]
    words += [f"--set {name}={value}" for name, value in request.settings.items()]
    return " ".join(["aimgan reproduce", request.target, *words])


def _check_all_done(outcomes: Sequence[Outcome], paths: Sequence[Path], folder: Path) -> None:
    """Raise Interrupted if runs are missing, AimganError if runs failed or all of them diverged."""
    states = [outcome.state for outcome in outcomes]
    if "missing" in states:
        raise Interrupted(f"stopped with {len(states) - states.count('missing')} of {len(states)} runs done")
    if not paths and set(states) == {"stopped"}:
        raise AimganError(f"all {len(states)} runs diverged, the first: {outcomes[0].error}")
    failed = [outcome.error for outcome in outcomes if outcome.state == "failed"]
    if failed:
        raise AimganError(f"{len(failed)} of {len(states)} runs failed (logs in {folder}); the first: {failed[0]}")
