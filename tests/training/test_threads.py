"""Tiny networks take one thread, unless the user has chosen how many."""

from __future__ import annotations

import json

import pytest
import torch

import aimgan
from aimgan.recipes.assemble import assemble
from aimgan.training.threads import as_many_as_pay

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _two_threads(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def threads(name: str, batch_size: int, device: torch.device = CPU, **settings: object) -> int:
    recipe = aimgan.recipes.recipe.with_settings(aimgan.RECIPES[name], settings)
    with as_many_as_pay(assemble(recipe, 0), batch_size, device):
        inside = torch.get_num_threads()
    assert torch.get_num_threads() == 2
    return inside


def test_the_size_of_a_step_decides():
    assert threads("grid/aim", 256) == threads("digits/aim", 100) == 1
    assert threads("grid/aim", 256, **{"networks.width": 256}) == threads("grid/aim", 2_048) == 2
    assert threads("mnist/aim", 2, **{"networks.width": 16}) == 2
    assert threads("grid/aim", 256, torch.device("cuda")) == 2


def test_the_users_choice_is_kept(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert threads("grid/aim", 256) == 2


def test_a_run_records_its_threads_and_has_the_bits_of_one(tmp_path):
    for name in ("chosen", "one"):
        aimgan.train("grid/aim", tmp_path / name, steps=3, device="cpu")
        assert json.loads((tmp_path / name / "run.json").read_text())["environment"]["threads"] == 1
        torch.set_num_threads(1)  # for the second run
    first, second = ((tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("chosen", "one"))
    assert first == second
