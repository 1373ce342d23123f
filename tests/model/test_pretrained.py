from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import aimgan
from aimgan import noise

HOME = Path(__file__).parents[2] / "pretrained"


@pytest.mark.parametrize("folder", sorted(HOME.iterdir()), ids=lambda folder: folder.name)
def test_a_kept_model_loads_small_and_knows_its_own_images(folder):
    assert (folder / "model.safetensors").stat().st_size <= 16 * 2**20
    assert json.loads((folder / "config.json").read_text())["about"]["recipe"] in aimgan.RECIPES
    model = aimgan.load(folder)
    x = model.generate(100, noise.generator("pretrained"))
    assert x.dtype == torch.float32
    assert 0 <= float(x.min()) <= float(x.max()) <= 1
    error = (model.reconstruct(x) - x).square().mean()
    assert error < 0.5 * (x[1:] - x[:-1]).square().mean()  # nearer than another of them
