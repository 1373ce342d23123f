"""Steps, and what happens between them: log, evaluate, checkpoint, stop."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from aimgan.errors import AimganError, Interrupted
from aimgan.train import checkpoint
from aimgan.train.clock import Clock
from aimgan.train.engine import Engine
from aimgan.train.run_dir import RunDir

PENDING = "log."  # before a loss's name in a checkpoint
REMEDY = "train again with a lower learning rate (--set lr=...) in another --output"


class NonFiniteLoss(AimganError):
    """A loss, one of its terms or a weight is not finite: the run stops before such a state is saved."""


@dataclass
class Loop:
    """Trains `engine` for `steps` steps on `batch(step)`, with `rate(step)` as the learning rate.

    `evaluate(step)` gives numbers for metrics.jsonl every `evaluate_every` steps. `progress(step, row)` is told of each
    log row. A checkpoint is written every `checkpoint_seconds`: when it falls changes nothing in the result.

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
    _pending: list[dict[str, Tensor]] = field(default_factory=list)
    _stop: bool = False

    def resume(self) -> int:
        """Load the newest valid checkpoint, if there is one, and return how many steps are done."""
        found = checkpoint.newest(self.run.checkpoints)
        if found is not None:
            self.engine.load_state(found.tensors)
            self._unpack(found.tensors)
        start = found.step if found else 0
        self.run.rewind(start)
        return start

    def train(self, start: int = 0) -> None:
        """Train from step `start` (what `resume` returned) to the last. Raises Interrupted, with the state saved."""
        clock = Clock(self.engine.accelerator.device)
        clock.start(start)
        saved = time.monotonic()
        with self._signals():
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
                        self._write({"step": done, **self.evaluate(done)})
                if self._stop or done == self.steps or time.monotonic() - saved > self.checkpoint_seconds:
                    with clock.paused():
                        self._save(done)
                    saved = time.monotonic()
                if self._stop and done < self.steps:
                    raise Interrupted(f"stopped after step {done} of {self.steps}")

    def _log(self, done: int, rate: float, clock: Clock) -> None:
        means = self._means(done)  # fetched from the device first: the clock then counts steps that have been taken
        speed = clock.lap(done)
        row = {"step": done, "lr": rate, **means, "steps_per_second": round(speed, 2)}
        if self.batch_size:
            row["images_per_second"] = round(speed * self.batch_size, 1)
        self._write(row)
        self.progress(done, row)

    def _means(self, done: int) -> dict[str, float]:
        """Average the losses since the last log line."""
        packed = self._pack(done)
        self._pending.clear()
        return {name.removeprefix(PENDING): values.mean().item() for name, values in packed.items()}

    def _pack(self, done: int) -> dict[str, Tensor]:
        """Bring the losses since the last log line over from the device, in one transfer, and check them."""
        if not self._pending:
            return {}
        names = list(self._pending[0])
        values = torch.stack([torch.stack([terms[name].float() for name in names]) for terms in self._pending]).cpu()
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
        state = self.engine.state() | self._pack(done)
        bad = [name for name, tensor in state.items() if not bool(tensor.isfinite().all())]
        if bad:
            raise NonFiniteLoss(
                f"{type(self.engine.objective).__name__}: {bad[0]} is not finite after step {done}: {REMEDY}"
            )
        if self.engine.accelerator.is_main_process:
            checkpoint.save(self.run.checkpoints, done, state)

    def _write(self, row: Mapping[str, Any]) -> None:
        if self.engine.accelerator.is_main_process:
            self.run.append(row)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Turn SIGINT and SIGTERM into a stop after the step under way."""

        def stop(signum: int, frame: object) -> None:
            self._stop = True

        try:
            old = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not the main thread: the caller's signals are its own
            old = {}
        try:
            yield
        finally:
            for s, handler in old.items():
                signal.signal(s, handler)


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
