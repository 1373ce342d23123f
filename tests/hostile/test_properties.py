"""Every reader, parser and call on a few examples; benchmarks/fuzz.py takes thousands."""

from __future__ import annotations

import pytest
from folders import FOLDERS
from hypothesis import HealthCheck, Phase, given, settings
from properties import CALLS, READERS, hold, small_machine
from server import VERBS, Done, command, complaint, furnish

EXAMPLES = 12
# No shrinking here: the example is printed, and benchmarks/fuzz.py makes the smallest of it.
FEW = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@pytest.mark.parametrize("name", [*READERS, *FOLDERS, *CALLS])
def test_any_input_gives_a_result_or_an_aimgan_error(name, tmp_path):
    strategy, check = (READERS | FOLDERS | CALLS)[name]

    @FEW
    @given(strategy)
    def examples(example: object) -> None:
        hold(check, example, tmp_path)

    with small_machine():
        examples()


@pytest.fixture(scope="module")
def furnished(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    furnish(home)
    return home


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in ("train", "train on data", "evaluate")])
def test_a_command_on_hostile_words_ends_with_one_line(verb, furnished):
    @settings(FEW, max_examples=2)
    @given(VERBS[verb])
    def examples(words: list[str]) -> None:
        assert complaint(command(words, furnished)) is None

    examples()


def test_what_is_wrong_with_a_command_is_seen():
    assert complaint(Done(0, "", "")) is None
    assert complaint(Done(1, "", "aimgan: no")) is None
    for bad in (Done(99, "", ""), Done(-9, "", ""), Done(1, "", "Traceback\nValueError"), Done(0, "\x1b[31m", "")):
        assert complaint(bad)
