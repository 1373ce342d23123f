"""Modules of a user's own: what they register counts from then on (docs/extending.md)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from pathlib import Path
from traceback import extract_tb

from aimgan.errors import AimganError, first_line

IMPORTED: list[str] = []  # the modules, for the processes that this one starts


def import_modules(names: Iterable[str]) -> None:
    """Import modules from the current folder or from what is installed, and put the networks in them into OWN.

    Raises AimganError, with the place, for a module that is missing or fails.
    """
    for name in names:
        if str(Path.cwd()) not in sys.path:
            sys.path.append(str(Path.cwd()))  # at the end: a file there must not take the place of an installed module
        try:
            module = importlib.import_module(name)
        except AimganError:
            raise
        except Exception as reason:  # whatever the user's code raises
            at = extract_tb(reason.__traceback__)[-1]
            place = "" if "importlib" in at.filename else f" in {at.filename}, line {at.lineno}"
            raise AimganError(
                f"cannot import {name!r} ({type(reason).__name__}{place}: {first_line(reason)}): expected the name of "
                "a module, such as mine for mine.py in the current folder"
            ) from reason
        from aimgan.networks.own import OWN, PLAYERS  # here: without --import nothing heavy is imported

        for player in PLAYERS:
            if callable(getattr(module, player, None)):
                OWN[player] = getattr(module, player)
        IMPORTED.append(name)
