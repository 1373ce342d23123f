"""Many training runs side by side, each in a process of its own, on as many cores as are asked for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event

from rich.console import Console

from aimgan import console as screen
from aimgan.checked import cores
from aimgan.errors import AimganError
from aimgan.paper.experiment import make_folder
from aimgan.paper.training_run import Attempt, Outcome, TrainingRun, last_step, outcome, remove
from aimgan.signals import on_signal

# The scores of a finished run that its line names.
NAMED = ("modes", "high_quality", "reconstruction_mse", "inception_score", "frechet_distance")
POLL = 0.25  # seconds between two looks at the processes


def workers_for(device: str, asked: int | None) -> int:
    """Return how many runs train at once: one a core on the CPU, one on a GPU. Raises AimganError for less than 1."""
    if asked is None:
        return cores() if device == "cpu" else 1
    if asked < 1:
        raise AimganError(f"--workers is {asked}; expected at least 1")
    return asked


def run_all(
    runs: Sequence[TrainingRun], folder: Path, workers: int, console: Console, retry: bool = False
) -> list[Outcome]:
    """Train the runs that have no result yet, `workers` at a time, and return the outcomes of all.

    `retry` repeats runs that diverged, from the start. After SIGINT or SIGTERM the processes save their state and end;
    the runs that have no result then are missing.
    """
    outcomes = [outcome(run, folder) for run in runs]
    if retry:
        for k, run in enumerate(runs):
            if outcomes[k].state == "stopped":
                remove(run, folder)
                outcomes[k] = Outcome("missing")
    done = sum(found.has_result for found in outcomes)
    if done:
        screen.say(console, f"{done} of {len(runs)} runs are done already")
    if done < len(runs):
        make_folder(folder)
        _train(runs, outcomes, folder, workers, console)
    return outcomes


def _train(runs: Sequence[TrainingRun], outcomes: list[Outcome], folder: Path, workers: int, console: Console) -> None:
    """Train the runs without a result, and put what they came to into `outcomes`."""
    waiting = [k for k, found in enumerate(outcomes) if not found.has_result]
    attempts: dict[int, Attempt] = {}  # by the run's number
    done = len(runs) - len(waiting)
    stop = Event()
    stopping = False
    with on_signal(stop.set), screen.cells(console, len(runs), done) as report:
        try:
            while waiting or attempts:
                while waiting and len(attempts) < workers:
                    k = waiting.pop(0)
                    attempts[k] = Attempt(runs[k], folder)
                time.sleep(POLL)
                for k in [k for k, attempt in attempts.items() if attempt.ended()]:
                    outcomes[k] = attempts.pop(k).outcome()
                    if outcomes[k].state != "missing":
                        done += 1
                        screen.say(console, f"{done} of {len(runs)}  {_line(runs[k], outcomes[k])}")
                report(done, {runs[k].name: (last_step(runs[k], folder), runs[k].length) for k in attempts})
                if stop.is_set() and not stopping:
                    stopping = True
                    waiting.clear()
                    screen.say(console, "stopping: the runs in progress save their state")
                    for attempt in attempts.values():
                        attempt.stop()
        finally:  # no process is left, unless an error ended the loop
            for attempt in attempts.values():
                attempt.stop()
                attempt.process.wait()


def _line(run: TrainingRun, found: Outcome) -> str:
    """Describe what a run came to in one line."""
    seconds = ""
    if found.seconds is not None:
        seconds = f", {found.seconds:.0f} s"
    if found.scores is None:
        return f"{run.name}: {found.state}: {found.error}{seconds}"
    scores = [f"{name} {found.scores[name]:.4g}" for name in NAMED if name in found.scores]
    return f"{run.name}: {', '.join(scores) or 'finished'}{seconds}"
