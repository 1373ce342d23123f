"""Trackers (TensorBoard and others), used through Accelerate: they receive the rows and pictures of a training run.

Each has its own thread, so that training does not wait for a network. If one fails, this is reported in one line and
training goes on without it. docs/training.md says what is sent and what is guaranteed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple
from uuid import uuid4

from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker, get_available_trackers
from numpy import asarray, ndarray

from aimgan.card import last_part
from aimgan.checked import numbers, read_json
from aimgan.errors import AimganError, near_miss
from aimgan.files import as_json, write_json
from aimgan.training.run_dir import DATA_PATHS, RunDir, flat

TRACKERS = ("tensorboard", "wandb", "mlflow", "trackio")
OFF = "off"
PATIENCE = 20.0  # seconds that a run waits for a tracker at its end


def trackers(names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the trackers to use. None stands for TensorBoard if it is installed, "off" for no tracker.

    Raises AimganError for a name that is unknown or not installed.
    """
    installed = [str(name) for name in get_available_trackers() if str(name) in TRACKERS]
    if names is None:
        return ("tensorboard",) if "tensorboard" in installed else ()
    wanted = [name for name in dict.fromkeys(names) if name != OFF]
    for name in wanted:
        if name not in TRACKERS:
            raise near_miss("tracker", name, (*TRACKERS, OFF))
        if name not in installed:
            here = ", ".join(installed) or "none"
            raise AimganError(f"tracker {name} is not installed (here: {here}): pip install {name}, or --track off")
    return tuple(wanted)


class Message(NamedTuple):
    """Numbers, and pictures (h, w, 3) of uint8, at a step. `row`: line number in metrics.jsonl (from 1), or None."""

    step: int
    row: int | None
    values: dict[str, float]
    pictures: Mapping[str, ndarray]


class Tracking:
    """The trackers of a run. `warn(line)` is called for one that fails."""

    def __init__(self, run: RunDir, names: Sequence[str] = (), warn: Callable[[str], None] = print) -> None:
        self.run, self.names, self.warn = run, names, warn
        self._threads: list[TrackerThread] = []
        self._rows = 0
        self._pictures: dict[str, ndarray] = {}

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Send the rows that are already written, then those written inside the block; then wait for the trackers."""
        rows = self.run.rows() if self.names and self.run.metrics.exists() else []
        self._threads = [TrackerThread(name, self.run, rows, self.warn) for name in self.names]
        for row in rows:
            self.row(row)
        try:
            yield
        finally:
            for thread in self._threads:
                thread.finish()

    @property
    def on(self) -> bool:
        """Whether there is a tracker."""
        return bool(self._threads)

    def show(self, draw: Callable[[], Mapping[str, Any]]) -> None:
        """Send the pictures that `draw()` returns with the next row; without trackers, draw nothing."""
        if self.on:
            self._pictures = {name: asarray(picture) for name, picture in draw().items()}

    def row(self, row: Mapping[str, Any]) -> None:
        """Send a row of metrics.jsonl."""
        group = "training" if "lr" in row else "evaluation"
        values = {name if "/" in name else f"{group}/{name}": value for name, value in numbers(row).items()}
        values.pop(f"{group}/step", None)
        if "lr" in row:
            values["training/alarms"] = len(row.get("alarms", ()))
        self._rows += 1
        self._send(Message(row["step"], self._rows, values, self._pictures))
        self._pictures = {}

    def final(self, step: int, scores: Mapping[str, Any], pictures: Mapping[str, ndarray]) -> None:
        """Send the scores and pictures of the finished run."""
        values = {f"final/{name}": value for name, value in numbers(scores).items()}
        self._send(Message(step, None, values, {f"final/{name}": picture for name, picture in pictures.items()}))

    def _send(self, message: Message) -> None:
        for thread in self._threads:
            thread.messages.put(message)


class TrackerThread(Thread):
    """A tracker and the only thread that uses it, since a run of MLflow belongs to a thread.

    A run that is resumed after a kill writes some rows again, and most trackers would show them twice, or as a new run.
    So RUN/tracking/NAME.json keeps how many rows a tracker was sent, and the identifier of its run. TensorBoard needs
    none: its files have the rows before the step that the run goes on from, and it hides those after that step.
    """

    def __init__(
        self, kind: str, folder: RunDir, rows: Sequence[Mapping[str, Any]], warn: Callable[[str], None]
    ) -> None:
        super().__init__(name=f"track {kind}", daemon=True)
        self.kind, self.folder, self.rows, self.warn = kind, folder, rows, warn  # the rows before it began
        self.record = folder.path / "tracking" / f"{kind}.json"
        self.sent, self.id = 0, ""
        self.messages: SimpleQueue[Message | None] = SimpleQueue()
        self.start()

    def finish(self) -> None:
        """Wait until the tracker has everything, at most PATIENCE seconds."""
        self.messages.put(None)
        self.join(PATIENCE)
        if self.is_alive():
            self.warn(f"{self.kind} did not take all rows within {PATIENCE:g} s: they are in {self.folder.metrics}")

    def run(self) -> None:
        """Send messages until there is None."""
        try:
            tracker = self._open()
            while message := self.messages.get():
                if message.row is None or message.row > self.sent:
                    self._log(tracker, message)
            tracker.finish()
        except Exception as reason:  # trackers raise errors of all kinds
            line = " ".join(str(reason).split()) or type(reason).__name__
            rows = self.folder.metrics
            self.warn(f"{self.kind} failed ({line}): training goes on without it, all rows are in {rows}")

    def _open(self) -> GeneralTracker:
        """Open the tracker at its earlier run for this folder, or at a new one, which gets the settings."""
        if self.kind == "tensorboard":
            self.sent = len(self.rows) if (self.folder.path / self.kind).exists() else 0
            self._await_next_second()
        else:
            self.record.parent.mkdir(exist_ok=True)
            with suppress(OSError, ValueError, KeyError, TypeError):  # a new or damaged record
                kept = read_json(self.record)
                self.sent, self.id = int(kept["rows"]), str(kept["id"])
        tracker = LOGGER_TYPE_TO_CLASS[self.kind](**self._arguments())
        tracker.start()
        if self.kind == "mlflow":
            self.id = tracker.tracker.info.run_id
        record = self.folder.read() or {"settings": {}}
        settings = dict(flat(record["settings"]))
        if not record.get("data", {}).get("hub"):
            for name in (f"recipe.{path}" for path in DATA_PATHS):
                if settings.get(name):
                    settings[name] = last_part(settings[name])
        if self.sent == 0 and self.kind == "tensorboard":
            tracker.log({"settings": f"```\n{as_json(settings)}```"}, step=0)
        elif self.sent == 0:
            tracker.store_init_configuration(settings)
        return tracker

    def _await_next_second(self) -> None:
        """Wait until a new file of events is later than the newest by its name.

        TensorBoard reads its files in the order of their names, events.out.tfevents.SECOND.HOST.PROCESS.COUNTER, as
        text: of two files of one second it may read the later one first, and then hide the rows of both.
        """
        seconds = [
            int(path.name.split(".")[3]) for path in (self.folder.path / self.kind).glob("events.out.tfevents.*")
        ]
        while int(time.time()) == max(seconds, default=0):
            time.sleep(0.05)

    def _arguments(self) -> dict[str, Any]:
        path = self.folder.path.resolve()
        if self.kind == "tensorboard":
            after = self.rows[-1]["step"] + 1 if self.sent else 0
            return {"run_name": self.kind, "logging_dir": str(path), "purge_step": after}
        if self.kind == "mlflow":  # it makes the identifier itself
            return {"experiment_name": "aimgan", "run_name": path.name, "run_id": self.id or None}
        self.id = self.id or uuid4().hex[:12]
        if self.kind == "wandb":
            return {"run_name": "aimgan", "id": self.id, "name": path.name, "resume": "allow", "dir": str(path)}
        return {"run_name": "aimgan", "name": f"{path.name}-{self.id}", "resume": "allow"}

    def _log(self, tracker: GeneralTracker, message: Message) -> None:
        """Send a message. The row is recorded first: after a crash one may be missing, never duplicated."""
        if message.row is not None and self.kind != "tensorboard":
            write_json(self.record, {"id": self.id, "rows": message.row})
        values = message.values
        if self.kind == "mlflow":  # it does not allow + in a name
            values = {re.sub(r"[^\w./ -]", "_", name): value for name, value in values.items()}
        tracker.log(values, step=message.step)
        if message.pictures and hasattr(tracker, "log_images"):
            batches = {name: picture[None] for name, picture in message.pictures.items()}
            layout = {"dataformats": "NHWC"} if self.kind == "tensorboard" else {}
            tracker.log_images(batches, step=message.step, **layout)
