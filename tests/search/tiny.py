"""A model of 8 x 8 images that was never trained, and images for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from aimgan.model import LatentVariableModel, ModelConfig


def tiny(seed: int = 0, posterior: str | None = "unit") -> LatentVariableModel:
    torch.manual_seed(seed)
    arguments = {"shape": [1, 8, 8], "dim": 3, "width": 16, "scale": 1.0}
    model = LatentVariableModel.build(ModelConfig("mlp", arguments, "aim-minus", posterior, True))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (8, 8), np.uint8)


def write(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(seed)).save(path, "PNG")
    return path
