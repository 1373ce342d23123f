from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from aimgan.model import LatentVariableModel, ModelConfig
from aimgan.search import encoding, rows


def tiny(seed: int = 0, posterior: str | None = "unit") -> LatentVariableModel:
    torch.manual_seed(seed)
    arguments = {"shape": [1, 8, 8], "dim": 3, "width": 16, "scale": 1.0}
    model = LatentVariableModel.build(ModelConfig("mlp", arguments, "aim-minus", posterior, True))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture
def model() -> LatentVariableModel:
    return tiny()


@pytest.fixture(autouse=True)
def _short_chunks(monkeypatch) -> None:
    monkeypatch.setattr(encoding, "CHUNK", 8)
    monkeypatch.setattr(rows, "LINE", 8)


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (8, 8), np.uint8)


def write(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(seed)).save(path, "PNG")
    return path


@pytest.fixture
def photos(tmp_path) -> Path:
    """Forty images, two broken ones among them."""
    for k in range(40):
        write(tmp_path / "photos" / f"{k:02d}.png", k)
    (tmp_path / "photos" / "07.png").write_bytes(b"no image")
    (tmp_path / "photos" / "30.png").write_bytes(b"")
    return tmp_path / "photos"
