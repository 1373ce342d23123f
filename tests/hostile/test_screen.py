"""What the terminal is sent: no text from a file, a name or a warning controls it."""

from __future__ import annotations

import io
import warnings
from types import SimpleNamespace

import pytest
from rich.console import Console

from aimgan import cli
from aimgan import console as screen
from aimgan.pages.tables import Table

EVIL = "a\x1b]0;title\x07\x1b[2J[red]b"
SHOWN = r"a\x1b]0;title\x07\x1b[2J[red]b"


def test_text_from_outside_does_not_control_the_terminal():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=200)
    screen.say(console, EVIL, "warning:")
    console.print(Table(EVIL, ["a", EVIL], [["x", EVIL]], EVIL).rich())
    with screen.training(console, EVIL, 0, 2) as report:
        report(1, None)
    assert not [part for part in ("\x1b]", "\x07", "\x1b[2J") if part in out.getvalue()]
    assert out.getvalue().count(SHOWN) >= 4


def test_decoding_for_long_says_so_in_a_pipe(monkeypatch):
    out = io.StringIO()
    times = iter((0, 5, 11, 12, 22))
    monkeypatch.setattr(screen, "time", SimpleNamespace(monotonic=lambda: next(times)))
    with screen.decoding(Console(file=out)) as report:
        for done in (1, 2):
            report(done, 1_000_000)
    assert out.getvalue() == "decoded         2 of 1,000,000\n"


def test_warnings_do_not_either(monkeypatch, capsys):
    def fail(*_, **__):
        raise OSError(EVIL)

    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit):
        cli.main()
    assert capsys.readouterr().err == f"aimgan: {SHOWN}\n"
    assert warnings.formatwarning(UserWarning(EVIL), UserWarning, "file", 1) == f"aimgan: {SHOWN}\n"
