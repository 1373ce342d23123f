"""What a person sees while a run works: bars on a terminal, plain lines where output is piped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from aimgan.errors import plain

Report = Callable[[int, Mapping[str, Any] | None], None]
CellsReport = Callable[[int, Mapping[str, tuple[int, int]]], None]
SHOWN = 50  # names of skipped images


def say(console: Console, text: str, mark: str = "") -> None:
    """Print a line as it is: no markup is read in a path or a file's name, nothing is wrapped in a pipe."""
    if mark:
        console.print(mark, style="yellow", end=" ")
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def say_where(console: Console, start: int, steps: int, before: int | None, now: int) -> None:
    """Say where a run goes on and, in a launch, by how many processes."""
    if start:
        say(console, f"going on after step {start:,} of {steps:,}")
    if start and before not in (None, now):
        say(console, f"saved by {before} and now trained by {now} processes: the batch is shared by as many, and the "
            "run is the same but for the order of additions")  # fmt: skip
    elif now > 1:
        say(console, f"{now} processes share each batch")


def say_skipped(console: Console, skipped: Sequence[Skipped], used: int) -> None:
    """Name what could not be read, and count it."""
    for item in skipped[:SHOWN]:
        say(console, f"{item.name!r}: {plain(item.reason)}", "skipped")
    if len(skipped) > SHOWN:
        say(console, f"and {len(skipped) - SHOWN:,} more")
    if skipped:
        say(console, f"skipped {len(skipped):,} that could not be used; {used:,} images are used")


def bar(console: Console, speed_over: float = 30.0) -> Progress:
    """Return a bar with the share done, the time left and a note; its speed is of the last `speed_over` seconds."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim"),
        console=console,
        transient=True,
        refresh_per_second=4,
        speed_estimate_period=speed_over,
    )


@contextmanager
def training(console: Console, name: str, start: int, steps: int) -> Iterator[Report]:
    """Yield `report(step, row)`: a live bar with the losses, or ten lines a run where there is no terminal."""
    if not console.is_terminal:
        yield _lines(console, steps)
        return
    with bar(console) as progress:
        task = progress.add_task(name, total=steps, completed=start, note="")

        def report(step: int, row: Mapping[str, Any] | None) -> None:
            progress.update(task, completed=step)
            if row:
                progress.update(task, note=summary(row))

        yield report


def _lines(console: Console, steps: int) -> Report:
    every = max(1, steps // 10)
    latest: dict[str, int] = {"printed": -1}

    def report(step: int, row: Mapping[str, Any] | None) -> None:
        if row is not None and step // every > latest["printed"]:
            latest["printed"] = step // every
            say(console, f"step {step:>7,} of {steps:,}  {summary(row)}")

    return report


def summary(row: Mapping[str, Any]) -> str:
    """Return a log row's losses, terms and speed in a line, and the alarms that stand."""
    shown = [f"{name.split('/')[-1]} {row[name]:.3f}" for name in row if "/" in name and not name.startswith("loss/")]
    alarms = [f"! {', '.join(row['alarms'])}"] if "alarms" in row else []
    return "  ".join([*shown, f"{row['steps_per_second']:.1f} steps/s", *alarms])


@contextmanager
def decoding(console: Console) -> Iterator[Callable[[int, int], None]]:
    """Yield `progress(done, total)` for reading images: a bar on a terminal, nothing elsewhere."""
    if not console.is_terminal:
        yield lambda done, total: None
        return
    with bar(console) as progress:
        task = progress.add_task("decoding images", total=None, note="", visible=False)

        def report(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total, visible=True)

        yield report


@contextmanager
def cells(console: Console, total: int, done: int) -> Iterator[CellsReport]:
    """Yield `report(done, {cell: (step, steps)})`: a bar for all, with the time left, and one for each running cell.

    Nothing where there is no terminal: there the lines that finished cells print are enough.
    """
    if not console.is_terminal:
        yield lambda done, running: None
        return
    with bar(console, speed_over=86_400) as progress:  # a cell takes minutes: the speed is that of the whole day
        whole = progress.add_task("cells", total=total, completed=done, note="")
        lines: dict[str, TaskID] = {}

        def report(done: int, running: Mapping[str, tuple[int, int]]) -> None:
            for name in lines.keys() - running.keys():
                progress.remove_task(lines.pop(name))
            for name, (step, steps) in running.items():
                if name not in lines:
                    lines[name] = progress.add_task(name, total=steps, note="")
                progress.update(lines[name], completed=step)
            progress.update(whole, completed=done + sum(step / steps for step, steps in running.values()))

        yield report
