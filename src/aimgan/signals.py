"""Handle SIGINT and SIGTERM: by a callback in a block, and for a whole command."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from aimgan.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)
EXIT = 130  # the exit code of a command that a signal has ended
GRACE = 2.0  # seconds
IMPORT = "<frozen importlib._bootstrap>"  # the file of the functions that import a module
_received: list[float] = []  # when the first signal came


@contextmanager
def on_signal(act: Callable[[], None], numbers: Sequence[signal.Signals] = SIGNALS) -> Iterator[None]:
    """Call `act` on these signals inside the block. Outside the main thread, signals are left as they are."""

    def handle(*_: object) -> None:
        _received.append(time.monotonic())
        act()

    try:
        before = {number: signal.signal(number, handle) for number in numbers}
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


def end_by_signals() -> None:
    """Let the first SIGINT or SIGTERM end this command with one line and the exit code EXIT.

    Those that follow within GRACE seconds are ignored, and a later one ends the process at once. Signals that are
    ignored already stay so, as under nohup.
    """
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def ignore_signals() -> None:
    """Ignore SIGINT and SIGTERM from here on: Python's own end would otherwise leave their default action in place."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _end(number: int, frame: FrameType | None) -> None:
    if _received:
        if time.monotonic() - _received[0] > GRACE:
            os._exit(EXIT)
        return
    _received.append(time.monotonic())
    if os.environ.get("RANK", "0") == "0":
        os.write(2, b"aimgan: interrupted\n")
    while frame is not None:
        if frame.f_code.co_filename == IMPORT:  # extension modules turn the exception into others, or abort
            os._exit(EXIT)
        frame = frame.f_back
    raise SystemExit(EXIT)
