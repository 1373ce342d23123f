from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from short_ends import score_few

from aimgan import cli


class Done(NamedTuple):
    code: int
    out: str
    error: str


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Score and draw few samples at the end of a run, which no test here looks at."""
    with pytest.MonkeyPatch.context() as patch:
        score_few(3_000, 500, 1_000, patch.setattr)
        yield


@pytest.fixture
def aimgan(capfd, monkeypatch) -> Callable[..., Done]:
    """Run a command in this process: importing torch anew for each would take longer than all of them."""

    def command(*words: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["aimgan", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Done(ended.value.code, *capfd.readouterr())

    return command
