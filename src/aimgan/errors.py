"""What is raised for a mistake the user can mend: what was got, what was expected, the likely fix, in one line."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

FEW = 25  # names that an error lists
LONGEST = 1_500  # characters of a message, which may quote a stranger's file


class AimganError(ValueError):
    """A user's mistake. The command line prints it in one line and exits with 1."""

    def __init__(self, message: str) -> None:
        super().__init__(plain(message))


def plain(text: str) -> str:
    """Return text as a terminal may show it: what it would obey is escaped, what is very long is cut in the middle."""
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def first_line(error: BaseException) -> str:
    """Return what an error says, without the lines after the first."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def near_miss(kind: str, got: str, valid: Iterable[str]) -> AimganError:
    """Return the error for an unknown name: the closest valid one if any is close, and the valid ones, FEW at most."""
    names = sorted(valid)
    close = get_close_matches(got[:LONGEST], names, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return AimganError(f"unknown {kind} {got!r}{hint}{'.' if not close else ''} Valid: {', '.join(names[:FEW])}{more}")


class Interrupted(Exception):
    """Work was told to stop (SIGINT, SIGTERM); its state is saved. The command line exits with 130."""
