"""Progress of long work: progress bars on a terminal, plain lines if the output is piped."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from aimgan.data import Skipped
from aimgan.errors import AimganError, plain

Report = Callable[[int, Mapping[str, Any] | None], None]
CellsReport = Callable[[int, Mapping[str, tuple[int, int]]], None]
SHOWN = 50  # names of skipped images
LINES = 10  # of a run's progress without a terminal
SECONDS_BETWEEN_LINES = 10  # of other progress there


def default() -> Console:
    """Return a console that shows progress in a notebook, and nothing anywhere else."""
    console = Console()
    console.quiet = not console.is_jupyter
    return console


def has_bars(console: Console) -> bool:
    """Return whether progress bars can be drawn: on a terminal, and in a notebook that has ipywidgets."""
    return console.is_terminal or (console.is_jupyter and find_spec("ipywidgets") is not None)


def status(console: Console, text: str) -> AbstractContextManager[Any]:
    """Return a context that shows that work is done, where bars can be drawn."""
    return console.status(text) if has_bars(console) else nullcontext()


def say(console: Console, text: str, mark: str = "") -> None:
    """Print a line without markup or wrapping, after an optional mark in yellow.

    Text from anywhere is safe here: what would control the terminal is escaped.
    """
    if mark:
        console.print(mark, style="yellow", end=" ")
    console.print(plain(text), markup=False, highlight=False, soft_wrap=True)


def require_consent(console: Console, what: str, flag: str) -> None:
    """Ask in a terminal whether to go on in spite of `what`. Raises AimganError if not, and without a terminal.

    `flag` is what says yes on the command line.
    """
    if console.is_terminal and sys.stdin.isatty():
        say(console, what, "warning:")
        if console.input("Go on? [y/N] ", markup=False).strip().lower() in ("y", "yes"):
            return
    raise AimganError(f"{what}: pass {flag}, if you trust it")


def say_where(console: Console, start: int, steps: int, before: int | None, now: int) -> None:
    """Print after which step a run goes on, and how many processes saved it (`before`) and train it (`now`)."""
    if start:
        say(console, f"going on after step {start:,} of {steps:,}")
    if start and before not in (None, now):
        say(
            console,
            f"saved by {before} and now trained by {now} processes: the run is the same but for the order of additions",
        )
    elif now > 1:
        say(console, f"{now} processes share each batch")


def say_skipped(console: Console, skipped: Sequence[Skipped], used: int) -> None:
    """Print the names of images that were skipped, why, and how many images are used."""
    for item in skipped[:SHOWN]:
        say(console, f"{item.name!r}: {item.reason}", "skipped")
    if len(skipped) > SHOWN:
        say(console, f"and {len(skipped) - SHOWN:,} more")
    if skipped:
        say(console, f"skipped {len(skipped):,} that could not be used; {used:,} images are used")


def bar(console: Console, speed_over: float = 30.0) -> Progress:
    """Return a progress bar; the time left is estimated from the last `speed_over` seconds."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim", markup=False),
        console=console,
        transient=True,
        refresh_per_second=4,
        speed_estimate_period=speed_over,
    )


@contextmanager
def training(console: Console, name: str, start: int, steps: int) -> Iterator[Report]:
    """Yield `report(step, row)`, which shows a bar with the losses, or prints LINES lines if there is no terminal."""
    if not has_bars(console):
        yield _line_printer(console, steps)
        return
    with bar(console) as progress:
        task = progress.add_task(plain(name), total=steps, completed=start, note="")

        def report(step: int, row: Mapping[str, Any] | None) -> None:
            progress.update(task, completed=step)
            if row:
                progress.update(task, note=summary(row))

        yield report


def _line_printer(console: Console, steps: int) -> Report:
    every = max(1, steps // LINES)
    printed = -1

    def report(step: int, row: Mapping[str, Any] | None) -> None:
        nonlocal printed
        if row is not None and step // every > printed:
            printed = step // every
            say(console, f"step {step:>7,} of {steps:,}  {summary(row)}")

    return report


def summary(row: Mapping[str, Any]) -> str:
    """Return the loss terms, the speed and the alarms of a row of metrics.jsonl in one line."""
    parts = []
    for name, value in row.items():
        if "/" in name and not name.startswith("loss/"):
            parts.append(f"{name.split('/')[-1]} {value:.3f}")
    parts.append(f"{row['steps_per_second']:.1f} steps/s")
    if "alarms" in row:
        parts.append(f"! {', '.join(row['alarms'])}")
    return "  ".join(parts)


def lines(console: Console, text: Callable[[int, int], str]) -> Callable[[int, int], None]:
    """Return `report(done, total)`, which prints `text(done, total)` every SECONDS_BETWEEN_LINES."""
    last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            say(console, text(done, total))

    return report


@contextmanager
def decoding(console: Console) -> Iterator[Callable[[int, int], None]]:
    """Yield `report(done, total)`: a bar for decoded images, or now and then a line if there is no terminal."""
    if not has_bars(console):
        yield lines(console, lambda done, total: f"decoded {done:>9,} of {total:,}")
        return
    with bar(console) as progress:
        task = progress.add_task("decoding images", total=None, note="", visible=False)

        def report(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total, visible=True)

        yield report


@contextmanager
def cells(console: Console, total: int, done: int) -> Iterator[CellsReport]:
    """Yield `report(done, running)`, which shows a bar for all runs of a table and one for each that is running.

    `running` has a run's step and length by its name. Nothing is shown if there is no terminal.
    """
    if not console.is_terminal:
        yield lambda done, running: None
        return
    with bar(console, speed_over=86_400) as progress:  # a run takes minutes: the speed is that of the whole day
        whole = progress.add_task("cells", total=total, completed=done, note="")
        tasks: dict[str, TaskID] = {}

        def report(done: int, running: Mapping[str, tuple[int, int]]) -> None:
            for name in tasks.keys() - running.keys():
                progress.remove_task(tasks.pop(name))
            for name, (step, steps) in running.items():
                if name not in tasks:
                    tasks[name] = progress.add_task(plain(name), total=steps, note="")
                progress.update(tasks[name], completed=step)
            progress.update(whole, completed=done + sum(step / steps for step, steps in running.values()))

        yield report
