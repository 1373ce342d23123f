from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import aimgan
from aimgan import noise

HOME = Path(__file__).parents[2] / "pretrained"


@pytest.mark.parametrize("name", sorted(folder.name for folder in HOME.iterdir()))
def test_a_pretrained_model_is_found_anywhere_and_reconstructs_its_own_samples(name, tmp_path, monkeypatch):
    folder = HOME / name
    assert (folder / "model.safetensors").stat().st_size <= 16 * 2**20
    assert json.loads((folder / "config.json").read_text())["about"]["recipe"] in aimgan.RECIPES
    monkeypatch.chdir(tmp_path)
    model = aimgan.load(f"pretrained/{name}")
    x = model.generate(100, noise.generator("pretrained"))
    assert x.dtype == torch.float32
    assert 0 <= float(x.min()) <= float(x.max()) <= 1
    error = (model.reconstruct(x) - x).square().mean()
    assert error < 0.5 * (x[1:] - x[:-1]).square().mean()  # nearer than another sample is
