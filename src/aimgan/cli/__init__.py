"""The command line. Every verb is one call of the library."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import suppress
from typing import Any

import typer

from aimgan.cli import running, using  # noqa: F401 - they put their verbs into the app, in the order of --help
from aimgan.cli.options import app, drop_output, with_import
from aimgan.errors import AimganError, Interrupted, plain
from aimgan.signals import EXIT

# isort: split
from aimgan.cli import sharing  # noqa: F401

__all__ = ["app", "main"]

for command in app.registered_commands:
    assert command.callback is not None
    command.callback = with_import(command.callback)


def main() -> None:
    """Run a command: exit 0 when done, 1 with one line for a user's mistake, 130 when interrupted."""
    # Typer carries click inside since 0.2x and used the package before: this is its base of all usage errors in both.
    usage_error: Any = next(cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "ClickException")
    warnings.formatwarning = lambda message, *_: f"aimgan: {plain(str(message))}\n"
    with suppress(AttributeError):  # a file's name may hold bytes that are no text
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except typer.Exit as done:
        sys.exit(done.exit_code)
    except AimganError as mistake:
        _fail(str(mistake), 1)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted", EXIT)
    except Interrupted as stopped:
        _fail(f"{stopped}; run the same command again to go on", EXIT)
    except usage_error as mistake:
        _fail(mistake.format_message(), 1)
    except BrokenPipeError:  # `| head -1` has closed what is written to
        drop_output()
        _fail("what reads this command's output has ended", 1)
    except OSError as reason:  # a full disk, a file that may not be read
        _fail(str(reason), 1)
    except MemoryError as reason:
        _fail(f"there is not enough memory ({reason}): ask for less at a time", 1)


def _fail(message: str, code: int) -> None:
    rank = os.environ.get("RANK", "0")  # of a launch's processes, which all say their errors; the first says a stop
    if rank == "0" or code == 1:
        name = "aimgan" if rank == "0" else f"aimgan (process {rank})"
        print(f"{name}: {plain(' '.join(message.split()))}", file=sys.stderr)  # noqa: T201
    sys.exit(code)
