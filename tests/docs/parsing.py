"""Commands that are not run: does what they call exist, and would it understand these arguments?"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence

import typer
from pages import ROOT, arguments_of_aimgan

SHELL = {"export", "sbatch", "accelerate", "torchrun", "bash", "cmp", "hf", "tensorboard", "pytest"}  # others' programs


def parse(words: Sequence[str]) -> None:
    """Raise an error, click's or an AssertionError, for a command that would not be understood."""
    words = list(words)
    own = arguments_of_aimgan(words)
    if own is not None:
        _parse_verb(own)
    elif words[0] in ("python", "python3"):
        _parse_script(words[1:])
    elif words[0] == "pip":
        _parse_install(words)
    else:
        assert words[0] in SHELL, f"{words[0]} is no program that the pages may name"
        assert words[0] != "bash" or (ROOT / words[1]).is_file(), f"there is no {words[1]}"


def _parse_verb(words: list[str]) -> None:
    """Let the command line read the arguments as it would, and do nothing with them."""
    from aimgan import cli

    group = typer.main.get_command(cli.app)
    for parameter in group.params:
        parameter.callback = None  # --install-completion would be done while it is read
    with group.make_context("aimgan", list(words)) as context:
        if words[0].startswith("-"):
            return
        name, verb, rest = group.resolve_command(context, list(words))
        with verb.make_context(name, rest, parent=context):
            pass


def _parse_script(words: list[str]) -> None:
    script = ROOT / words[0]
    assert script.is_file(), f"there is no {words[0]}"
    text = script.read_text(encoding="utf-8")
    if words[0] == "make.py":
        assert f'"{words[1]}"' in text, f"make.py has no verb {words[1]}"
    flags = [word for word in words[1:] if word.startswith("--")]
    unknown = [flag for flag in flags if f'"{flag}"' not in text]
    assert not unknown, f"{words[0]} has no {unknown}"


def _parse_install(words: list[str]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    asked = [name for word in words for names in re.findall(r"\[([\w,-]+)\]", word) for name in names.split(",")]
    assert set(asked) <= set(extras), f"extras are {sorted(extras)}, not {asked}"
