"""Many cells side by side: which are done, what runs, and a polite stop."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Lock
from typing import TypeVar

from rich.console import Console

from aimgan import console as screen
from aimgan.errors import AimganError
from aimgan.paper import cells
from aimgan.paper.cells import Cell, Outcome
from aimgan.paper.request import folder_made

# Of a finished cell's scores, on its line.
TOLD = ("modes", "high_quality", "reconstruction_mse", "inception_score", "frechet_distance")
LOOK = 0.25  # seconds between two looks at what runs
# A run saves its state at SIGINT and at SIGTERM; a shell's background job, and all that it starts, may ignore SIGINT.
STOP = signal.SIGTERM
T = TypeVar("T")


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers_for(device: str, asked: int | None) -> int:
    """Return how many cells run at once: one a core on the CPU, one on a GPU. Raises AimganError for none."""
    if asked is not None and asked < 1:
        raise AimganError(f"--workers is {asked}; expected at least 1")
    return asked or (cores() if device == "cpu" else 1)


@contextmanager
def stop_signal() -> Iterator[Event]:
    """Yield an event that SIGINT and SIGTERM set, in the place of what they do otherwise."""
    event = Event()
    try:
        old = {s: signal.signal(s, lambda *_: event.set()) for s in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: the caller's signals are its own
        old = {}
    try:
        yield event
    finally:
        for s, handler in old.items():
            signal.signal(s, handler)


class Processes:
    """The processes of running cells, by the cell's number. Once stopped, none is started any more."""

    def __init__(self, todo: Sequence[Cell], folder: Path) -> None:
        self.todo, self.folder = todo, folder
        self.running: dict[int, subprocess.Popen[str]] = {}
        self.stopped = False
        self._lock = Lock()

    def run(self, k: int) -> Outcome:
        """Run cell k, unless there was a stop."""

        def started(process: subprocess.Popen[str]) -> None:
            with self._lock:
                self.running[k] = process
                if self.stopped:
                    process.send_signal(STOP)

        if self.stopped:
            return Outcome("missing")
        try:
            return cells.run(self.todo[k], self.folder, started)
        finally:
            with self._lock:
                self.running.pop(k, None)

    def stop(self) -> None:
        """Ask all that run to stop: they save their state first."""
        with self._lock:
            self.stopped = True
            for process in self.running.values():
                process.send_signal(STOP)

    def steps(self) -> dict[str, tuple[int, int]]:
        """Return the step and the length of each running cell, by name."""
        running = [self.todo[k] for k in tuple(self.running)]
        return {cell.name: (cells.step_of(cell, self.folder), cell.length) for cell in running}


def run_all(todo: Sequence[Cell], folder: Path, workers: int, console: Console, retry: bool = False) -> list[Outcome]:
    """Return all cells' outcomes, having run those that have none yet, `workers` at a time.

    `retry` does those that diverged again, from the start. After SIGINT or SIGTERM the running ones stop with their
    state saved, and what is not settled is missing.
    """
    found = [cells.outcome(cell, folder) for cell in todo]
    if retry:
        for cell in (cell for cell, result in zip(todo, found, strict=True) if result.state == "stopped"):
            cells.begin_again(cell, folder)
        found = [cells.outcome(cell, folder) for cell in todo]
    left = [k for k, result in enumerate(found) if not result.settled]
    if len(left) < len(todo):
        screen.say(console, f"{len(todo) - len(left)} of {len(todo)} cells are done already")
    if left:
        results = _run([todo[k] for k in left], folder_made(folder), workers, console, len(todo))
        found = [results.get(left.index(k), result) if k in left else result for k, result in enumerate(found)]
    return found


def _run(todo: Sequence[Cell], folder: Path, workers: int, console: Console, total: int) -> dict[int, Outcome]:
    """Run cells and return the outcomes by number."""
    processes = Processes(todo, folder)
    results: dict[int, Outcome] = {}
    before = total - len(todo)

    def look(stop: Event, report: screen.CellsReport) -> None:
        report(before + len(results), processes.steps())
        if stop.is_set() and not processes.stopped:
            screen.say(console, "stopping: the running cells save their state")
            processes.stop()

    with stop_signal() as stop, screen.cells(console, total, before) as report, ThreadPoolExecutor(workers) as pool:
        futures = {pool.submit(processes.run, k): k for k in range(len(todo))}
        try:
            for future in as_done(futures, lambda: look(stop, report)):
                k = futures[future]
                results[k] = future.result()
                if results[k].state != "missing":
                    screen.say(console, f"{before + len(results)} of {total}  {_line(todo[k], results[k])}")
        except BaseException:
            processes.stop()
            raise
    return results


def as_done(futures: Iterable[Future[T]], look: Callable[[], None]) -> Iterator[Future[T]]:
    """Yield each future when it is done, and look at what runs in between."""
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, timeout=LOOK, return_when=FIRST_COMPLETED)
        yield from done
        look()


def _line(cell: Cell, result: Outcome) -> str:
    """Say what a cell came to."""
    took = f", {result.seconds:.0f} s" if result.seconds is not None else ""
    if result.scores is None:
        return f"{cell.name}: {result.state}: {result.error}{took}"
    told = [f"{name} {result.scores[name]:.4g}" for name in TOLD if name in result.scores]
    return f"{cell.name}: {', '.join(told) or 'finished'}{took}"
