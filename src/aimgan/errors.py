"""Errors that a user can fix. The message says in one line what is wrong, what was expected and how to fix it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

FEW = 25  # names that an error lists
OF_YOUR_OWN = " (a name of your own: --import MODULE, or import the module in Python)"
LONGEST = 1_500  # characters of a message, which may quote a file of unknown origin


class AimganError(ValueError):
    """A user's mistake. The command line prints it in one line and exits with 1."""

    def __init__(self, message: str) -> None:
        super().__init__(plain(message))


class Interrupted(Exception):
    """Work was stopped by SIGINT or SIGTERM with its state saved. The command line exits with 130."""


def plain(text: str) -> str:
    """Return text that is safe to print: control characters are escaped, and the middle of a long text is left out."""
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the error's type if it has no message."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def near_miss(kind: str, got: str, valid: Iterable[str], hint: str = "") -> AimganError:
    """Return the error for an unknown name: with the most similar valid name, or else with the first FEW of all.

    `hint` ends the message; it is OF_YOUR_OWN for names that a user can register.
    """
    names = sorted(valid)
    similar = get_close_matches(got[:LONGEST], names, n=1, cutoff=0.5)
    if similar:
        return AimganError(f"unknown {kind} {got!r}; did you mean {similar[0]!r}?{hint}")
    listed = ", ".join(names[:FEW])
    if len(names) > FEW:
        listed += f" and {len(names) - FEW} more"
    return AimganError(f"unknown {kind} {got!r}; expected one of: {listed}{hint}")
