"""`precision=auto`: what it stands for, and that a run keeps what it stood for where the run began."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from short_ends import only_the_model

import aimgan
from aimgan.networks import GaussianHead
from aimgan.recipes import resolving
from aimgan.recipes.resolving import resolve
from aimgan.runs import job
from aimgan.training import precision
from aimgan.training.checkpoint import newest
from aimgan.training.processes import accelerator_for

SMALL = {
    "networks.width": 32,
    "networks.dim": 4,
    "batch_size": 8,
    "precision": "auto",
    "samples": 100,
    "features": "off",
}


@pytest.fixture(autouse=True)
def _unscored_and_float32_afterwards(monkeypatch):
    monkeypatch.setattr("aimgan.runs.train.finish", only_the_model)
    yield
    accelerator_for("cpu")  # Accelerate keeps the precision of the last run for whoever asks next


@pytest.fixture
def processor(monkeypatch):
    """Return a function that says whether the processor multiplies bf16."""

    def has_bf16(yes: bool) -> None:
        for module in (resolving, job):
            monkeypatch.setattr(module, "multiplies_bf16", lambda device: yes)

    return has_bf16


def chosen(recipe: str, **settings: object) -> str:
    return resolve(recipe, "nowhere", {"device": "cpu", "settings": settings}).recipe.precision


def test_auto_is_bf16_for_convolutions_where_the_processor_has_it(processor):
    for yes, expected in ((True, "bf16"), (False, "no")):
        processor(yes)
        assert chosen("mnist/aim", precision="auto") == expected
        assert chosen("grid/aim", precision="auto") == chosen("digits/aim", precision="auto") == "no"
        for name in ("no", "tf32", "bf16"):
            assert chosen("mnist/aim", precision=name) == name


def test_float32_is_the_recorded_no_and_other_names_are_refused():
    assert chosen("mnist/aim", precision="float32") == "no"
    with pytest.raises(aimgan.AimganError, match="unknown precision 'bf61'; did you mean 'bf16'"):
        chosen("mnist/aim", precision="bf61")


@pytest.mark.parametrize("flags", [("_is_avx512_bf16_supported",), ("_is_amx_tile_supported",), ()])
def test_a_processor_is_asked_for_both_kinds_of_bf16_products(monkeypatch, flags):
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda found=name in flags: found)
    assert precision.multiplies_bf16("cpu") == bool(flags)


def trained(folder: Path, **more: object) -> str:
    """Train a few steps in the folder, and return what was said."""
    said = io.StringIO()
    data = np.random.default_rng(0).integers(0, 256, (40, 16, 16), dtype=np.uint8)
    settings = {**SMALL, **more.pop("settings", {})}
    aimgan.train("folder/aim", folder, data=data, size=16, device="cpu", settings=settings,
                 console=Console(file=said, width=200), **more)  # fmt: skip
    return said.getvalue()


def recorded(folder: Path) -> str:
    return json.loads((folder / "run.json").read_text())["settings"]["recipe"]["precision"]


def test_a_run_keeps_its_precision_on_another_processor(tmp_path, processor):
    processor(True)
    assert precision.SLOW not in trained(tmp_path / "half", steps=2)
    processor(False)
    trained(tmp_path / "whole", steps=2)
    assert (recorded(tmp_path / "half"), recorded(tmp_path / "whole")) == ("bf16", "no")
    assert precision.SLOW in trained(tmp_path / "half", steps=3, extend=True)
    processor(True)
    trained(tmp_path / "whole", steps=3, extend=True)
    assert (recorded(tmp_path / "half"), recorded(tmp_path / "whole")) == ("bf16", "no")
    with pytest.raises(aimgan.AimganError, match=r"holds a run with recipe\.precision = bf16, but no was asked for"):
        trained(tmp_path / "half", steps=3, settings={"precision": "float32"})
    assert {tensor.dtype for tensor in newest(tmp_path / "half" / "checkpoints").tensors.values()} <= {
        torch.float32,
        torch.int64,  # the counts of batch norm and of the processes
    }


def test_a_resumed_run_in_bf16_has_the_bytes_of_an_undisturbed_one(tmp_path):
    settings = {"precision": "bf16", "schedule": "constant"}
    trained(tmp_path / "once", steps=4, settings=settings)
    trained(tmp_path / "twice", steps=2, settings=settings)
    trained(tmp_path / "twice", steps=4, extend=True, settings=settings)
    once, twice = (newest(tmp_path / name / "checkpoints").tensors for name in ("once", "twice"))
    assert all(torch.equal(once[name], twice[name]) for name in once)


def test_the_parameters_of_q_are_float32_under_autocast():
    head = GaussianHead(torch.nn.Linear(4, 2), torch.nn.Linear(4, 2))
    f = torch.randn(3, 4)
    with torch.autocast("cpu", torch.bfloat16):
        inside = head(f.bfloat16())
    outside = head(f.bfloat16().float())
    assert torch.equal(inside.mean, outside.mean)
    assert torch.equal(inside.log_variance, outside.log_variance)
