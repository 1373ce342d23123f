"""`aimgan reproduce`: a table or a figure of the paper, from nothing, by one command that can be repeated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from aimgan import console as screen
from aimgan.checked import python_number
from aimgan.devices import resolved_device
from aimgan.errors import AimganError, Interrupted, near_miss
from aimgan.paper.cells import Outcome
from aimgan.paper.figure3 import figure3
from aimgan.paper.image_figures import draw_figure
from aimgan.paper.methods import IMAGES, MIXTURES, chosen
from aimgan.paper.parallel import workers_for
from aimgan.paper.request import Request
from aimgan.paper.stability import METHODS, stability
from aimgan.paper.table1 import table1
from aimgan.paper.table2 import table2


@dataclass(frozen=True)
class Target:
    """What can be reproduced: how, of which data, the default folder, methods and seeds; one seed, CPU only?"""

    run: Callable[[Request, Console], tuple[list[Path], list[Outcome]]]
    folder: str
    data: tuple[str, ...] = MIXTURES  # the first is the default
    methods: tuple[str, ...] | None = None  # None: all
    seeds: int = 1
    one_seed: bool = False
    cpu_only: bool = False


FACES_FIRST = tuple(reversed(IMAGES))  # what the paper draws these figures of
TARGETS = {
    "table2": Target(table2, "table2", seeds=5),
    "figure3": Target(figure3, "table2", one_seed=True),  # of the table's own runs
    "stability": Target(stability, "stability", methods=METHODS, seeds=2, cpu_only=True),
    "table1": Target(table1, "table1", IMAGES),
    **{
        name: Target(draw_figure, "table1", data, methods, one_seed=True)  # of the table's own runs
        for name, data, methods in (
            ("figure2", IMAGES, ("aim", "ali")),
            ("figure4", IMAGES, ("aim",)),
            ("figure5", FACES_FIRST, ("aim",)),
            ("figure6", FACES_FIRST, ("aim",)),
            ("figure7", FACES_FIRST, ("alice-1", "alice-10", "alice-100", "aim")),
            ("figure8", IMAGES, ("aim",)),
            ("figure9", IMAGES, ("aim",)),
            ("figure10", IMAGES, ("aim", "gan")),
        )
    },
}


def reproduce(
    target: str,
    methods: Sequence[str] | None = None,
    *,
    seeds: int | None = None,
    seed: int | None = None,
    steps: int | None = None,
    data: str | None = None,
    preset: str | None = None,
    path: str | Path | None = None,
    output: str | Path | None = None,
    workers: int | None = None,
    device: str = "auto",
    retry: bool = False,
    console: Console | None = None,
) -> list[Path]:
    """Run what a target needs and has no result yet, write it, and return the files.

    The same call goes on where it was stopped, cell by cell, and within a cell from its checkpoint. `seeds` says how
    many (0, 1, ...), for a figure `seed` says which. `preset` and `path` are of images: how large and how long
    (recipes/presets.py), and where they are. `retry` does cells that diverged again. Raises AimganError for an
    unknown name and, when all else is written, for cells that failed; Interrupted after SIGINT or SIGTERM.
    """
    if target not in TARGETS:
        raise near_miss("target", target, TARGETS)
    seeds, seed, steps, workers = map(python_number, (seeds, seed, steps, workers))
    found, console = TARGETS[target], console or Console(quiet=True)
    place = _place(target, found, device)
    data = _data(target, found, data, preset, path)
    request = Request(
        target=target,
        methods=tuple(chosen(found.methods if methods is None else methods, data)),
        data=data,
        seeds=_seeds(target, found, seeds, seed),
        steps=steps,
        output=Path(output or Path("runs", "reproduce", "-".join(filter(None, (found.folder, data, preset))))),
        workers=workers_for(place, workers),
        device=place,
        retry=retry,
        command=_command(target, methods, seeds, seed, steps, data, preset, device),
        preset=preset,
        path=None if path is None else str(path),
    )
    paths, outcomes = found.run(request, console)
    _report(paths, outcomes, request.folder, console)
    return paths


def _place(name: str, target: Target, device: str) -> str:
    place = resolved_device(device)
    if target.cpu_only and device == "cuda":
        raise AimganError(f"{name} trains its runs side by side on the CPU's cores: leave --device out")
    return "cpu" if target.cpu_only else place


def _data(name: str, target: Target, data: str | None, preset: str | None, path: object) -> str:
    """Return the data set. Raises AimganError for one that the target is not of, and flags that are for images."""
    data = target.data[0] if data is None else data
    if data not in target.data:
        raise near_miss("data set", data, target.data)
    if data not in IMAGES and (preset or path):
        raise AimganError(f"--preset and --images are of images, but {name} is of {data}: leave them out")
    return data


def _seeds(name: str, target: Target, seeds: int | None, seed: int | None) -> tuple[int, ...]:
    if target.one_seed:
        if seeds is not None:
            raise AimganError(f"{name} is of one seed: pass --seed N instead of --seeds {seeds}")
        return (seed or 0,)
    if seed is not None:
        raise AimganError(f"{name} is of several seeds: pass --seeds N (how many) instead of --seed {seed}")
    count = target.seeds if seeds is None else seeds
    if count < 1:
        raise AimganError(f"--seeds is {count}; expected how many, at least 1")
    return tuple(range(count))


def _command(target: str, methods: Sequence[str] | None, seeds: object, seed: object, steps: object, data: str,
             preset: str | None, device: str) -> str:  # fmt: skip
    """Write the command as a person would repeat it elsewhere: without folders."""
    given = {"methods": ",".join(methods) if methods else None, "seeds": seeds, "seed": seed, "steps": steps}
    given |= {"data": data, "preset": preset, "device": None if device == "auto" else device}
    flags = [f"--{name} {value}" for name, value in given.items() if value is not None]
    return " ".join(["aimgan reproduce", target, *flags])


def _report(paths: Sequence[Path], outcomes: Sequence[Outcome], folder: Path, console: Console) -> None:
    """Say what was written, and what there is no result of."""
    for path in paths:
        screen.say(console, f"wrote {path}")
    states = [outcome.state for outcome in outcomes]
    if "missing" in states:
        raise Interrupted(f"stopped with {len(states) - states.count('missing')} of {len(states)} cells done")
    if states and set(states) == {"stopped"} and not paths:
        raise AimganError(f"all {len(states)} cells diverged, the first: {outcomes[0].error}")
    failed = [outcome.error for outcome in outcomes if outcome.state == "failed"]
    if failed:
        raise AimganError(f"{len(failed)} of {len(states)} cells failed (logs in {folder}); the first: {failed[0]}")
