"""The training loop: it takes steps, writes log rows, evaluates, saves checkpoints, and stops on a signal."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from aimgan.checked import read_json
from aimgan.errors import AimganError, Interrupted
from aimgan.signals import on_signal
from aimgan.training import checkpoint
from aimgan.training.alarms import Watch
from aimgan.training.checkpoint import Checkpoint
from aimgan.training.clock import Clock
from aimgan.training.engine import Engine
from aimgan.training.processes import GO_ON, SAVE, STOP, Processes
from aimgan.training.run_dir import LENGTH, RunDir, differing

PENDING = "log."  # the prefix of losses in a checkpoint
PROCESSES = "processes"  # the name in a checkpoint for how many processes saved it
REMEDY = "train again with a lower learning rate (--set lr=...) in another --output"


class NonFiniteLoss(AimganError):
    """A loss, a term or a weight is not finite. The run stops before such a state is saved."""


@dataclass
class Loop:
    """Trains `engine` for `steps` steps on `batch(step)`, with `rate(step)` as the learning rate.

    Every `log_every` steps a row of mean losses is written to metrics.jsonl, with the speed since the last such row
    (evaluations and checkpoints not counted); every `evaluate_every` steps a row with the numbers of `evaluate(step)`;
    every `checkpoint_seconds` seconds a checkpoint. When checkpoints are written does not affect the result.
    `batch_size` is the number of images in a step, for the speed. Rows name the active alarms (training/alarms.py).

    `progress(step, row)` is called after each step, `report(row)` for each written row, and `warn(line)` when an alarm
    begins or ends. Of several processes the first one writes, evaluates, and reads checkpoints for all; all are
    compared before each checkpoint. The others do not use `run`.
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
    saved_by: int | None = field(default=None, init=False)  # how many processes saved the loaded checkpoint, if known
    signalled: bool = field(default=False, init=False)  # whether a signal came during the last step
    warn: Callable[[str], None] = lambda line: None
    report: Callable[[Mapping[str, Any]], None] = lambda row: None
    _watch: Watch = field(default_factory=Watch)
    _pending: list[dict[str, Tensor]] = field(default_factory=list)  # the losses of each step since the last log row
    _stop: bool = False

    def resume(self) -> int:
        """Load the newest undamaged checkpoint, if there is one, and return how many steps are done.

        The first process reads it and sends it to the others, so that they need no shared disk.
        """
        assert self.processes.world == self.engine.accelerator.num_processes
        found = Checkpoint(0, {})
        if self.processes.first:
            found = checkpoint.newest(self.run.checkpoints) or found
        start = self.processes.integer(found.step)
        if start:
            tensors = self.processes.tensors(found.tensors)
            self._require_own_run(found)
            self.engine.load_state(tensors)
            self._unpack(tensors, start)
        if self.processes.first:
            checkpoint.prune(self.run.checkpoints, start)
            self.run.rewind(start, found.files)
            if self.run.metrics.exists():
                self._watch = Watch(self.run.rows())
        self._compare(self.engine.state(), start)  # fails if processes have different seeds or versions
        return start

    def train(self, start: int = 0) -> None:
        """Train from step `start` (what `resume` returned) to the last. Raises Interrupted, with the state saved."""
        clock = Clock(self.engine.accelerator.device, start)
        saved = time.monotonic()
        with on_signal(self._on_signal):
            for step in range(start, self.steps):
                rate = self.rate(step)
                self._pending.append(self.engine.step(self.batch(step), step, rate))
                done = step + 1
                last = done == self.steps
                if last or done % self.log_every == 0:
                    self._log(done, rate, clock)
                else:
                    self.progress(done, None)
                if self._evaluation_is_due(done):
                    with clock.paused():
                        self._evaluate(done)
                request = self._agreed_request(last, time.monotonic() - saved > self.checkpoint_seconds)
                if last or request != GO_ON:
                    with clock.paused():
                        self._save(done)
                    saved = time.monotonic()
                if request == STOP and not last:
                    raise Interrupted(f"stopped after step {done} of {self.steps}")
                self.signalled = request == STOP

    def _on_signal(self) -> None:
        self._stop = True

    def _agreed_request(self, last: bool, checkpoint_is_due: bool) -> int:
        """Return what all processes do after this step: STOP, SAVE or GO_ON."""
        request = GO_ON
        if checkpoint_is_due and self.processes.first:
            request = SAVE
        if self._stop:
            request = STOP
        agreed = self.processes.agreed(request)
        if last and agreed == GO_ON:  # with several processes the answer comes one step later: ask once more
            return self.processes.agreed(GO_ON)
        return agreed

    def _evaluation_is_due(self, done: int) -> bool:
        if self.evaluate is None:
            return False
        return done == self.steps or (self.evaluate_every > 0 and done % self.evaluate_every == 0)

    def _evaluate(self, done: int) -> None:
        """Evaluate on the first process; the others have the same model and wait."""
        if self.processes.first and self.evaluate:
            self._write({"step": done, **self.evaluate(done)})
        self.processes.wait()

    def _log(self, done: int, rate: float, clock: Clock) -> None:
        """Write the mean losses since the last log row."""
        packed = self._pack(done)  # waits for the device, so that the clock counts finished steps only
        self._pending.clear()
        speed = clock.lap(done)
        row: dict[str, Any] = {"step": done, "lr": rate}
        for name, values in packed.items():
            row[name.removeprefix(PENDING)] = values.mean().item()
        row["steps_per_second"] = round(speed, 2)
        if self.batch_size:
            row["images_per_second"] = round(speed * self.batch_size, 1)
        self.progress(done, self._write(row))

    def _pack(self, done: int) -> dict[str, Tensor]:
        """Fetch the losses since the last log row from the device in one transfer, (steps,) each, and check them."""
        if not self._pending:
            return {}
        names = list(self._pending[-1])
        if any(losses.keys() != self._pending[-1].keys() for losses in self._pending):  # those of a checkpoint
            raise self._foreign("of a run with other losses", done - len(self._pending))
        steps = [torch.stack([log[name].float() for name in names]) for log in self._pending]
        values = self.processes.mean(torch.stack(steps).cpu())
        if not values.isfinite().all():
            self._raise_non_finite(names, values, done)
        return {PENDING + name: values[:, column] for column, name in enumerate(names)}

    def _raise_non_finite(self, names: list[str], values: Tensor, done: int) -> None:
        row, column = (int(index) for index in (~values.isfinite()).nonzero()[0])
        step = done - len(values) + row + 1
        terms = ", ".join(f"{name} {value:.4g}" for name, value in zip(names, values[row].tolist(), strict=True))
        raise NonFiniteLoss(
            f"{type(self.engine.objective).__name__}: {names[column]} is {values[row, column].item()} at step {step} "
            f"({terms}): {REMEDY}"
        )

    def _require_own_run(self, found: Checkpoint) -> None:
        """Raise AimganError unless the copy of run.json in a checkpoint has the settings of this run."""
        copy = found.files.get(self.run.record.name)
        if copy is None or not self.run.record.exists():
            return
        try:
            names = differing(read_json(copy)["settings"], read_json(self.run.record)["settings"])
        except checkpoint.DAMAGED:
            raise self._foreign("of a run with a damaged run.json", found.step) from None
        different = [name for name in names if name not in LENGTH]
        if different:
            raise self._foreign(f"of a run with another {different[0]}", found.step)

    def _foreign(self, what: str, step: int) -> AimganError:
        place = self.run.checkpoints / f"{step:09d}"
        return AimganError(f"checkpoint {place} is {what}; expected one of this run: remove it to go on without it")

    def _unpack(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Restore the losses that a checkpoint holds, and how many processes saved it."""
        self._pending.clear()
        losses = {name.removeprefix(PENDING): values for name, values in tensors.items() if name.startswith(PENDING)}
        world = tensors.get(PROCESSES)  # aimgan 0.1 did not save it
        counts = {tuple(values.shape) for values in losses.values()}
        if len(counts) > 1 or any(len(shape) != 1 for shape in counts) or (world is not None and world.numel() != 1):
            raise self._foreign("damaged in its losses or its number of processes", step)
        for values in zip(*losses.values(), strict=True):
            self._pending.append(dict(zip(losses, values, strict=True)))
        if world is not None:
            self.saved_by = int(world)

    def _save(self, done: int) -> None:
        """Save the state, if it is finite, with the losses that the next log row will average."""
        state = {name: tensor.detach().cpu() for name, tensor in self.engine.state().items()}
        state |= self._pack(done)
        for name, tensor in state.items():
            if not tensor.isfinite().all():
                objective = type(self.engine.objective).__name__
                raise NonFiniteLoss(f"{objective}: {name} is not finite after step {done}: {REMEDY}")
        self._compare(state, done)
        if self.processes.first:
            state[PROCESSES] = torch.tensor(self.processes.world)
            checkpoint.save(self.run.checkpoints, done, state, self.run.records())

    def _compare(self, state: Mapping[str, Tensor], done: int) -> None:
        """Raise AimganError if processes have different weights. Losses and batch-norm statistics may differ."""
        own = self.engine.buffer_names()
        compared = {}
        for name, tensor in state.items():
            if name not in own and not name.startswith(PENDING):
                compared[name] = tensor
        self.processes.compare(compared, f"after step {done}")

    def _write(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """Write a row, with the active alarms, on the first process, and return it."""
        if not self.processes.first:
            return row
        for line in self._watch.see(row):
            self.warn(line)
        if self._watch.standing:
            row = {**row, "alarms": self._watch.standing}
        self.run.append(row)
        self.report(row)
        return row


SCHEDULES = ("constant", "linear", "cosine", "inverse-sqrt-epoch")


def learning_rate(schedule: str, base: float, steps: int, epoch: int, final: float = 0.0) -> Callable[[int], float]:
    """Return a function from the step (0, 1, ...) to the learning rate, which begins at `base`.

    "linear" and "cosine" end at `final` * base. "inverse-sqrt-epoch" is the paper's, base / sqrt(t) in epoch
    t = 1, 2, ... of `epoch` steps (Tables 3 and 4).
    """
    rules: dict[str, Callable[[int], float]] = {
        "constant": lambda step: 1.0,
        "linear": lambda step: final + (1 - final) * (1 - step / steps),
        "cosine": lambda step: final + (1 - final) * 0.5 * (1 + math.cos(math.pi * step / steps)),
        "inverse-sqrt-epoch": lambda step: (step // epoch + 1) ** -0.5,
    }
    rule = rules[schedule]
    return lambda step: base * rule(step)
