"""Handle SIGINT and SIGTERM by a callback."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aimgan.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def on_signal(act: Callable[[], None]) -> Iterator[None]:
    """Call `act` on SIGINT and SIGTERM inside the block. Outside the main thread, signals are left as they are."""
    try:
        before = {number: signal.signal(number, lambda *_: act()) for number in SIGNALS}
    except ValueError:  # not the main thread
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interrupt(message: str) -> Callable[[], None]:
    """Return a function for `on_signal` that raises Interrupted, for work that can be stopped anywhere."""

    def act() -> None:
        raise Interrupted(message)

    return act
