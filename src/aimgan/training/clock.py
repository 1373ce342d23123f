"""A clock that runs while training runs, and not while a model is evaluated or saved."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Clock:
    """Seconds of training on a device since the clock was made.

    A GPU works through a queue: its end is awaited before a pause, so that what was queued counts as training. Between
    pauses nothing waits, and `seconds` is meant for moments when the losses have just been fetched.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._began = time.monotonic()
        self._lap = (0, 0.0)  # step and seconds of the last lap

    def seconds(self) -> float:
        """Seconds of training so far."""
        return time.monotonic() - self._began

    def start(self, step: int) -> None:
        """Begin the first lap, after `step` steps."""
        self._lap = (step, self.seconds())

    def lap(self, step: int) -> float:
        """Return the steps a second since the last lap, now that `step` steps are done."""
        last, before = self._lap
        self._lap = (step, self.seconds())
        return (step - last) / max(self._lap[1] - before, 1e-9)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stand still inside the block."""
        self._drain()
        at = time.monotonic()
        try:
            yield
        finally:
            self._drain()
            self._began += time.monotonic() - at

    def _drain(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
