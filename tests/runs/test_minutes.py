"""A run that is given minutes instead of steps."""

from __future__ import annotations

import json

import pytest
from short_ends import only_the_model

import aimgan
from aimgan.errors import AimganError
from aimgan.runs import timing


@pytest.fixture(autouse=True)
def unscored(monkeypatch) -> None:
    monkeypatch.setattr("aimgan.runs.train.finish", only_the_model)


def test_the_first_call_measures_and_later_calls_keep_its_steps(tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "SECONDS", 0.05)
    aimgan.train("digits/aim", tmp_path, minutes=0.002, device="cpu")
    settings = json.loads((tmp_path / "run.json").read_text())["settings"]
    steps = settings["steps"]
    assert steps == settings["recipe"]["steps"] > 0
    assert int(float(f"{steps:.2g}")) == steps
    before = (tmp_path / "model" / "model.safetensors").read_bytes()
    monkeypatch.setattr("aimgan.runs.timing.steps_in", lambda *_: 10**6)
    aimgan.train("digits/aim", tmp_path, minutes=0.002, device="cpu")
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == before
    again = aimgan.train("digits/aim", tmp_path / "again", steps=steps, device="cpu")
    again.save(tmp_path / "saved")
    assert (tmp_path / "saved" / "model.safetensors").read_bytes() == before


def test_an_extended_run_gets_as_many_steps_more(tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "SECONDS", 0.05)
    aimgan.train("digits/aim", tmp_path, steps=7, device="cpu")
    aimgan.train("digits/aim", tmp_path, minutes=0.002, extend=True, device="cpu")
    steps = json.loads((tmp_path / "run.json").read_text())["settings"]["steps"]
    assert steps > 7
    assert int(float(f"{steps - 7:.2g}")) == steps - 7


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"minutes": 1.0, "steps": 3}, "got 3 steps and 1.0 minutes; expected one of them"),
        ({"minutes": 0.0}, "minutes is 0.0; expected a number above zero"),
        ({"minutes": float("nan")}, "minutes is nan; expected a number above zero"),
    ],
)
def test_what_minutes_are_not(tmp_path, flags, message):
    with pytest.raises(AimganError, match=message):
        aimgan.train("digits/aim", tmp_path, **flags)
