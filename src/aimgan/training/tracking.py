"""What a run writes while it trains, sent to trackers: TensorBoard and others, through Accelerate (docs/training.md).

A tracker has a thread of its own: training hands a row over and goes on. One that fails is told in one line and left;
what a run computes and writes is the same with and without. Only the first process of a launch has trackers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any
from uuid import uuid4

from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker
from jaxtyping import UInt8
from numpy import asarray, ndarray

from aimgan.checked import numbers, read_json
from aimgan.errors import AimganError, near_miss
from aimgan.files import write_json
from aimgan.training.run_dir import RunDir, flat

TRACKERS = ("tensorboard", "wandb", "mlflow", "trackio")
OFF = "off"
PROJECT = "aimgan"
PATIENCE = 20.0  # seconds that a run waits for a tracker to begin, and to end
Pictures = Mapping[str, UInt8[ndarray, "h w 3"]]


def trackers(names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the trackers that names mean: None is TensorBoard where it is installed, "off" is none.

    Raises AimganError for a name that is not known, or not installed.
    """
    here = [name for name in TRACKERS if _installed(name)]
    if names is None:
        return ("tensorboard",) if "tensorboard" in here else ()
    for name in names:
        if name not in (*TRACKERS, OFF):
            raise near_miss("tracker", name, (*TRACKERS, OFF))
        if name not in (*here, OFF):
            there = ", ".join(here) or "none"
            raise AimganError(f"tracker {name} is not installed (here: {there}): pip install {name}, or --track off")
    return tuple(dict.fromkeys(name for name in names if name != OFF))


def _installed(name: str) -> bool:
    """Whether a package is there; a folder of its name, as wandb leaves one where it is run, has no origin."""
    spec = find_spec(name)
    return spec is not None and spec.origin is not None


@dataclass(frozen=True)
class Message:
    """A row's numbers at a step, and pictures; `place` counts the run's rows from 0, None for what is no row."""

    step: int
    place: int | None
    values: Mapping[str, float]
    pictures: Pictures


@dataclass
class Tracking:
    """The trackers of a run. `warn(line)` is told of one that fails."""

    run: RunDir
    names: Sequence[str] = ()
    warn: Callable[[str], None] = lambda line: None
    _feeds: list[Feed] = field(default_factory=list)
    _rows: int = 0
    _pictures: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def from_step(self, start: int) -> Iterator[None]:
        """Open the trackers for a run that goes on after `start` steps; on leaving, wait for them a little.

        The rows that there are go out first: to a tracker that is new to the run. One that has them takes none again.
        """
        rows = self.run.rows() if self.names and self.run.metrics.exists() else []
        self._feeds = [Feed(name, self.run, start, len(rows), self.warn) for name in self.names]
        for row in rows:
            self.row(row)
        for feed in self._feeds:
            feed.ready.wait(PATIENCE)
        try:
            yield
        finally:
            for feed in self._feeds:
                feed.end()

    @property
    def on(self) -> bool:
        """Whether anything is listening."""
        return bool(self._feeds)

    def show(self, draw: Callable[[], Mapping[str, Any]]) -> None:
        """Send pictures along with the next row; they are drawn only where something listens."""
        if self.on:
            self._pictures.update({name: asarray(picture) for name, picture in draw().items()})

    def row(self, row: Mapping[str, Any]) -> None:
        """Send a row of metrics.jsonl."""
        group = "training" if "lr" in row else "evaluation"
        found = {name: value for name, value in numbers(row).items() if name != "step"}
        found |= {"alarms": len(row.get("alarms", ()))} if group == "training" else {}
        values = {name if "/" in name else f"{group}/{name}": value for name, value in found.items()}
        self._send(Message(row["step"], self._rows, values, self._pictures))
        self._rows, self._pictures = self._rows + 1, {}

    def final(self, step: int, scores: Mapping[str, Any], pictures: Pictures) -> None:
        """Send the scores of the finished run."""
        values = {f"final/{name}": value for name, value in numbers(scores).items()}
        self._send(Message(step, None, values, {f"final/{name}": picture for name, picture in pictures.items()}))

    def _send(self, message: Message) -> None:
        for feed in self._feeds:
            feed.messages.put(message)


class Feed:
    """A tracker and the thread in which all of it happens: MLflow's runs belong to a thread."""

    def __init__(self, name: str, run: RunDir, start: int, rows: int, warn: Callable[[str], None]) -> None:
        self.name, self.run, self.start, self.rows, self.warn = name, run, start, rows, warn
        self.messages: SimpleQueue[Message | None] = SimpleQueue()
        self.ready = Event()
        self.thread = Thread(target=self._work, name=f"track {name}", daemon=True)
        self.thread.start()

    def end(self) -> None:
        """Let the tracker finish, for PATIENCE at most: a network that is gone must not hold the run."""
        self.messages.put(None)
        self.thread.join(PATIENCE)
        if self.thread.is_alive():
            self.warn(f"{self.name} did not take all rows within {PATIENCE:g} s: they are in {self.run.metrics}")

    def _work(self) -> None:
        try:
            tracker, ledger = self._begun()
            self.ready.set()
            while message := self.messages.get():
                if ledger.takes(message):
                    _log(tracker, message)
            tracker.finish()
        except Exception as reason:  # a tracker's client raises what it likes
            line = " ".join(str(reason).split()) or type(reason).__name__
            self.warn(f"{self.name} failed ({line}): training goes on without it, all rows are in {self.run.metrics}")
        finally:
            self.ready.set()

    def _begun(self) -> tuple[GeneralTracker, Ledger]:
        """Open the tracker, as a new run or as the one that it has already, and tell a new one the settings."""
        ledger = Ledger.of(self.name, self.run, self.rows)
        settings = dict(flat((self.run.read() or {}).get("settings", {})))
        if self.name == "tensorboard":
            kept = self.start + 1 if ledger.rows else 0  # what lies past the checkpoint comes again
            tracker = LOGGER_TYPE_TO_CLASS[self.name](self.name, str(self.run.path), purge_step=kept)
            tracker.start()
            if not ledger.rows:
                text = "\n".join(f"| {name} | {value} |" for name, value in settings.items())
                tracker.log({"settings": f"| setting | value |\n| --- | --- |\n{text}"}, step=0)
            return tracker, ledger
        tracker = LOGGER_TYPE_TO_CLASS[self.name](PROJECT, **_place(self.name, self.run, ledger))
        tracker.start()
        if self.name == "mlflow":
            ledger.id = tracker.tracker.info.run_id
        if not ledger.rows:
            tracker.store_init_configuration(settings)
        return tracker, ledger


@dataclass
class Ledger:
    """How many of the run's rows a tracker has, so that a resumed run sends none twice, and as which run it has them.

    It is kept in RUN/tracking/NAME.json, but for TensorBoard, which drops what lies past a step itself.
    """

    path: Path | None
    rows: int = 0
    id: str | None = None

    @classmethod
    def of(cls, name: str, run: RunDir, rows: int) -> Ledger:
        """Read a tracker's ledger, or begin one: for TensorBoard all `rows` of a run whose events are there."""
        if name == "tensorboard":
            return cls(None, rows if (run.path / name).exists() else 0)
        path = run.path / "tracking" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        try:
            kept = read_json(path)
            return cls(path, int(kept["rows"]), str(kept["id"]))
        except (OSError, ValueError, KeyError, TypeError):
            return cls(path)

    def takes(self, message: Message) -> bool:
        """Whether a message is new to the tracker. It is noted before it is sent: better a row less than one twice."""
        if message.place is None:
            return True
        if message.place < self.rows:
            return False
        self.rows = message.place + 1
        if self.path is not None:
            write_json(self.path, {"id": self.id, "rows": self.rows})
        return True


def _place(name: str, run: RunDir, ledger: Ledger) -> dict[str, Any]:
    """Return the arguments by which a tracker finds a run that it has already."""
    own = run.path.resolve().name
    if name == "mlflow":
        return {"run_name": own, "run_id": ledger.id}
    ledger.id = ledger.id or uuid4().hex[:12]
    if name == "wandb":
        return {"id": ledger.id, "name": own, "resume": "allow", "dir": str(run.path)}
    return {"name": f"{own}-{ledger.id}", "resume": "allow"}


def _log(tracker: GeneralTracker, message: Message) -> None:
    """Send a message. MLflow has no + in a name, and through Accelerate only TensorBoard and wandb take pictures."""
    values = dict(message.values)
    if tracker.name == "mlflow":
        values = {re.sub(r"[^\w./ -]", "_", name): value for name, value in values.items()}
    tracker.log(values, step=message.step)
    if message.pictures and tracker.name == "tensorboard":
        shown = {name: picture[None] for name, picture in message.pictures.items()}
        tracker.log_images(shown, step=message.step, dataformats="NHWC")
    elif message.pictures and tracker.name == "wandb":
        tracker.log_images({name: [picture] for name, picture in message.pictures.items()}, step=message.step)
