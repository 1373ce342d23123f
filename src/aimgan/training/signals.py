"""SIGINT and SIGTERM: heard, and answered when it suits."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aimgan.errors import Interrupted


@contextmanager
def on_signal(act: Callable[[], None]) -> Iterator[None]:
    """Call `act` on SIGINT and SIGTERM inside the block. Outside the main thread the caller's signals are its own."""
    try:
        old = {s: signal.signal(s, lambda signum, frame: act()) for s in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:
        old = {}
    try:
        yield
    finally:
        for s, handler in old.items():
            signal.signal(s, handler)


def interrupt(message: str) -> Callable[[], None]:
    """Return what to do on a signal in work that can be broken off anywhere: raise Interrupted."""

    def act() -> None:
        raise Interrupted(message)

    return act
