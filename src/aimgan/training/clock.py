"""A clock that measures training time and is paused while the model is evaluated or saved."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Clock:
    """Measures the speed of training on a device, from step `start` on.

    The clock synchronises with the GPU only before and after a pause. So call `lap` just after losses have been fetched
    from the device.
    """

    def __init__(self, device: torch.device, start: int) -> None:
        self._device = device
        self._step, self._time = start, time.monotonic()  # of the last lap, moved on by pauses

    def lap(self, step: int) -> float:
        """Return the steps per second since the last lap, now that `step` steps are done."""
        now = time.monotonic()
        speed = (step - self._step) / max(now - self._time, 1e-9)
        self._step, self._time = step, now
        return speed

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count the time that the block takes."""
        self._wait_for_device()
        began = time.monotonic()
        try:
            yield
        finally:
            self._wait_for_device()
            self._time += time.monotonic() - began

    def _wait_for_device(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
