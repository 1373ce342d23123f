from __future__ import annotations

import json
import subprocess
import sys
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


def test_loading_imports_only_what_a_model_needs():
    code = """if True:
        import sys
        import aimgan
        aimgan.load("pretrained/mnist-aim")
        heavy = {"accelerate", "huggingface_hub", "matplotlib", "sklearn", "jinja2", "PIL", "torch._dynamo"}
        heavy.add("aimgan.training")
        print(*heavy & sys.modules.keys())
        print(sum(name.startswith("aimgan") for name in sys.modules))
    """
    imported, count = subprocess.check_output([sys.executable, "-c", code], text=True).splitlines()
    assert imported == ""
    assert int(count) <= 30
