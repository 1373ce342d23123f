"""The common parts of all verbs: the program, arguments that several verbs have, the console."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aimgan._version import __version__
from aimgan.errors import plain
from aimgan.extensions import import_modules

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(
    help="Generative models that can also infer: train, then encode, reconstruct, generate, interpolate.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def to_write(path: Path | None) -> Path | None:
    """Return the path of a file to write. Raises AimganError if it cannot be written."""
    from aimgan.cli.output import require_writable  # here, so that --help need not wait for torch

    return require_writable(path)


Run = Annotated[str, typer.Argument(help="A run's folder, a saved model's folder, or a Hub id.")]
Output = Annotated[
    Path, typer.Option("--output", "-o", callback=to_write, help="A .png picture, or .npz for the numbers.")
]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]

Import = Annotated[
    list[str] | None,
    typer.Option("--import", metavar="MODULE", help="A module of yours that registers objectives, data or networks."),
]


def _version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"aimgan {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Read the flags that belong to no verb."""


def with_import(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Return a verb that has the option --import, too."""

    @wraps(verb)
    def call(*arguments: Any, import_: list[str] | None = None, **options: Any) -> Any:
        import_modules(import_ or [])
        return verb(*arguments, **options)

    shown = signature(verb, eval_str=True)
    own = Parameter("import_", Parameter.KEYWORD_ONLY, default=None, annotation=Import)
    call.__signature__ = shown.replace(parameters=[*shown.parameters.values(), own])  # type: ignore[attr-defined]
    call.__annotations__ = {name: parameter.annotation for name, parameter in shown.parameters.items()}
    call.__annotations__["import_"] = Import
    return call


def console() -> Console:
    """Return where a verb prints. Text that it is given is never markup: paths and names may hold brackets."""
    from rich.console import Console  # here, so that --help need not wait for it

    made = Console(markup=False)
    # Where the reader of a pipe has ended (`| head -1`), a run is stopped as by Ctrl+C, which saves its state. Rich
    # would end the process.
    made.on_broken_pipe = _stop_unread  # type: ignore[method-assign]
    return made


def drop_output() -> None:
    """Send the rest of what is printed nowhere: its reader has ended, and Python would complain at the exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _stop_unread() -> None:
    drop_output()
    signal.raise_signal(signal.SIGINT)


def wrote(path: Path) -> None:
    """Say which file was written."""
    typer.echo(plain(f"wrote {path}"))
