"""Steps, and what happens between them: log, evaluate, checkpoint, stop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from aimgan.errors import AimganError, Interrupted
from aimgan.training import checkpoint
from aimgan.training.alarms import Watch
from aimgan.training.clock import Clock
from aimgan.training.engine import Engine
from aimgan.training.processes import GO_ON, SAVE, STOP, Processes
from aimgan.training.run_dir import RunDir
from aimgan.training.signals import on_signal

PENDING = "log."  # before a loss's name in a checkpoint
PROCESSES = "processes"  # in a checkpoint: how many saved it
REMEDY = "train again with a lower learning rate (--set lr=...) in another --output"


class NonFiniteLoss(AimganError):
    """A loss, one of its terms or a weight is not finite: the run stops before such a state is saved."""


@dataclass
class Loop:
    """Trains `engine` for `steps` steps on `batch(step)`, with `rate(step)` as the learning rate.

    `evaluate(step)` gives numbers for metrics.jsonl every `evaluate_every` steps. `progress(step, row)` is told of each
    log row. A checkpoint is written every `checkpoint_seconds`: when it falls changes nothing in the result.

    Of several processes the first one writes, evaluates, and reads checkpoints for all; before each checkpoint they are
    compared. The others' `run` is not looked at.

    Alarms (training/alarms.py) are written into the rows they stand at; `warn(line)` gets each that begins or ends.
    `report(row)` is given every row that has been written.

    A log row's `steps_per_second` is the speed since the row before, without evaluations and checkpoints. With
    `batch_size`, the images of a step, there is `images_per_second` too.
    """

    engine: Engine
    batch: Callable[[int], Tensor]
    rate: Callable[[int], float]
    steps: int
    run: RunDir
    log_every: int = 100
    evaluate: Callable[[int], Mapping[str, float]] | None = None
    evaluate_every: int = 0
    checkpoint_seconds: float = 30.0
    batch_size: int = 0
    progress: Callable[[int, Mapping[str, Any] | None], None] = lambda step, row: None
    processes: Processes = field(default_factory=Processes)
    saved_by: int | None = field(default=None, init=False)  # how many processes saved what `resume` found, if known
    told: bool = field(default=False, init=False)  # that a signal came in the last step, too late to raise Interrupted
    warn: Callable[[str], None] = lambda line: None
    report: Callable[[Mapping[str, Any]], None] = lambda row: None
    _watch: Watch = field(default_factory=Watch)
    _pending: list[dict[str, Tensor]] = field(default_factory=list)
    _stop: bool = False

    def resume(self) -> int:
        """Load the newest valid checkpoint, if there is one, and return how many steps are done.

        The first process reads it and sends it to the others: no disk need be shared, and no two read different ones.
        """
        assert self.processes.world == self.engine.accelerator.num_processes
        found = checkpoint.newest(self.run.checkpoints) if self.processes.first else None
        start = self.processes.integer(found.step if found else 0)
        if start:
            tensors = self.processes.tensors(found.tensors if found else {})
            self.engine.load_state(tensors)
            self._unpack(tensors)
            self.saved_by = int(tensors[PROCESSES]) if PROCESSES in tensors else None
        if self.processes.first:
            checkpoint.prune(self.run.checkpoints, start)
            self.run.rewind(start, found.files if found else {})
            self._watch = Watch(self.run.rows() if self.run.metrics.exists() else ())
        self._compare(self.engine.state(), start)  # another seed or version on one machine is found here
        return start

    def train(self, start: int = 0) -> None:
        """Train from step `start` (what `resume` returned) to the last. Raises Interrupted, with the state saved."""
        clock = Clock(self.engine.accelerator.device)
        clock.start(start)
        saved = time.monotonic()
        with on_signal(self._hear):
            for step in range(start, self.steps):
                rate = self.rate(step)
                self._pending.append(self.engine.step(self.batch(step), step, rate))
                done = step + 1
                if done % self.log_every == 0 or done == self.steps:
                    self._log(done, rate, clock)
                else:
                    self.progress(done, None)
                if self.evaluate and (done == self.steps or (self.evaluate_every and done % self.evaluate_every == 0)):
                    with clock.paused():
                        self._evaluate(self.evaluate, done)
                asked = self._asked(done, time.monotonic() - saved > self.checkpoint_seconds)
                if asked or done == self.steps:
                    with clock.paused():
                        self._save(done)
                    saved = time.monotonic()
                self.told = asked == STOP
                if self.told and done < self.steps:
                    raise Interrupted(f"stopped after step {done} of {self.steps}")

    def _hear(self) -> None:
        self._stop = True

    def _asked(self, done: int, late: bool) -> int:
        """What all processes do now: stop, if any was told to; save, if the first one's clock says so."""
        asked = self.processes.agreed(STOP if self._stop else SAVE if late and self.processes.first else GO_ON)
        return asked or (self.processes.agreed(GO_ON) if done == self.steps else GO_ON)  # no step is left to answer in

    def _evaluate(self, evaluate: Callable[[int], Mapping[str, float]], done: int) -> None:
        """Evaluate on the first process: the others have the same model, and would read and compute the same."""
        if self.processes.first:
            self._write({"step": done, **evaluate(done)})
        self.processes.wait()

    def _log(self, done: int, rate: float, clock: Clock) -> None:
        means = self._means(done)  # fetched from the device first: the clock then counts steps that have been taken
        speed = clock.lap(done)
        row = {"step": done, "lr": rate, **means, "steps_per_second": round(speed, 2)}
        if self.batch_size:
            row["images_per_second"] = round(speed * self.batch_size, 1)
        self.progress(done, self._write(row))

    def _means(self, done: int) -> dict[str, float]:
        """Average the losses since the last log line."""
        packed = self._pack(done)
        self._pending.clear()
        return {name.removeprefix(PENDING): values.mean().item() for name, values in packed.items()}

    def _pack(self, done: int) -> dict[str, Tensor]:
        """Bring the losses since the last log line over from the device, in one transfer, and check them."""
        if not self._pending:
            return {}
        names = list(self._pending[-1])  # the order of this process's own steps: safetensors sorts what it keeps
        values = torch.stack([torch.stack([terms[name].float() for name in names]) for terms in self._pending]).cpu()
        values = self.processes.mean(values)
        if not bool(values.isfinite().all()):
            row, column = (int(index) for index in (~values.isfinite()).nonzero()[0])
            terms = ", ".join(f"{name} {value:.4g}" for name, value in zip(names, values[row].tolist(), strict=True))
            raise NonFiniteLoss(
                f"{type(self.engine.objective).__name__}: {names[column]} is {values[row, column].item()} at step "
                f"{done - len(values) + row + 1} ({terms}): {REMEDY}"
            )
        return {PENDING + name: values[:, column] for column, name in enumerate(names)}

    def _unpack(self, tensors: Mapping[str, Tensor]) -> None:
        packed = {name.removeprefix(PENDING): values for name, values in tensors.items() if name.startswith(PENDING)}
        rows = len(next(iter(packed.values()), ()))
        self._pending = [{name: values[k] for name, values in packed.items()} for k in range(rows)]

    def _save(self, done: int) -> None:
        """Save a state that only finite losses led to, with the losses that the next log line will average."""
        state = {name: tensor.detach().cpu() for name, tensor in self.engine.state().items()} | self._pack(done)
        bad = [name for name, tensor in state.items() if not bool(tensor.isfinite().all())]
        if bad:
            raise NonFiniteLoss(
                f"{type(self.engine.objective).__name__}: {bad[0]} is not finite after step {done}: {REMEDY}"
            )
        self._compare(state, done)
        if self.processes.first:
            state[PROCESSES] = torch.tensor(self.processes.world)
            checkpoint.save(self.run.checkpoints, done, state, self.run.records())

    def _compare(self, state: Mapping[str, Tensor], done: int) -> None:
        """Refuse to go on where processes have come apart. What forward passes move may be each one's own."""
        own = self.engine.statistics() | {name for name in state if name.startswith(PENDING)}
        moved = {name: tensor for name, tensor in state.items() if name not in own}
        self.processes.compare(moved, f"after step {done}")

    def _write(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """Write a row with the alarms that stand, on the first process, and return it."""
        if self.processes.first:
            for line in self._watch.see(row):
                self.warn(line)
            row = {**row, "alarms": self._watch.standing} if self._watch.standing else row
            self.run.append(row)
            self.report(row)
        return row


def learning_rate(schedule: str, base: float, steps: int, epoch: int, final: float = 0.0) -> Callable[[int], float]:
    """Return the rate of step 0, 1, ...: "constant", "linear" or "cosine" to `final` * base, or "inverse-sqrt-epoch".

    The last is the paper's, alpha_0 / sqrt(t) in epoch t = 1, 2, ... of `epoch` steps (Tables 3 and 4), not compounded.
    """
    rules: dict[str, Callable[[int], float]] = {
        "constant": lambda step: 1.0,
        "linear": lambda step: final + (1 - final) * (1 - step / steps),
        "cosine": lambda step: final + (1 - final) * 0.5 * (1 + math.cos(math.pi * step / steps)),
        "inverse-sqrt-epoch": lambda step: (step // epoch + 1) ** -0.5,
    }
    rule = rules[schedule]
    return lambda step: base * rule(step)


SCHEDULES = ("constant", "linear", "cosine", "inverse-sqrt-epoch")
