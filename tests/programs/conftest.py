from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from aimgan import cli
from aimgan.evaluation import evaluate as evaluation
from aimgan.metrics import prior_matching
from aimgan.runs import finish


class Done(NamedTuple):
    code: int
    out: str
    error: str


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Score and draw fewer samples at the end of a run: seconds of what no test here looks at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "SAMPLES", 3_000)
        patch.setattr(evaluation, "CODES", 500)
        patch.setattr(evaluation, "prior_matching", lambda codes, generator: prior_matching(codes[:300], generator))
        patch.setattr(finish, "DATA_POINTS", 1_000)
        patch.setattr(finish, "OTHER_POINTS", 100)
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
