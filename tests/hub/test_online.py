"""`aimgan doctor --online`: whether the Hub answers, and whom it knows."""

from __future__ import annotations

import pytest

from aimgan.cli import doctor
from aimgan.cli.doctor import NOTE, OK, PROBLEM, examine


@pytest.mark.parametrize(("token", "fails", "state", "said"), [
    ("hf_writer", None, OK, "answers; logged in as me"),
    ("", None, OK, "nobody is logged in, which downloads do not need"),
    ("hf_unknown", None, NOTE, "does not know this token"),
    ("hf_writer", 502, PROBLEM, "answers with 502"),
])  # fmt: skip
def test_the_hub_is_asked_who_one_is(hub, monkeypatch, token, fails, state, said):
    monkeypatch.setattr(doctor, "CHECKS", {})
    monkeypatch.setenv("HF_TOKEN", token)
    hub.fails |= {"whoami": fails} if fails else {}
    assert examine() == []
    assert hub.asked == []
    (found,) = examine(online=True)
    assert (found.name, found.state) == ("hub", state)
    assert said in found.found


def test_a_hub_that_is_not_there(hub, monkeypatch):
    monkeypatch.setattr(doctor, "CHECKS", {})
    hub.stop()
    (found,) = examine(online=True)
    assert (found.state, found.found.split(":")[0]) == (PROBLEM, "ConnectError")
    assert "local files work without it" in found.fix
