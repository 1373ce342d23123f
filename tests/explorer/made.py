"""Small models with fresh weights, and digits of MNIST's size made of scikit-learn's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

from aimgan.model import LatentVariableModel, ModelConfig


def model(shape: tuple[int, ...] = (1, 8, 8), dim: int = 3, posterior: str | None = "gaussian") -> LatentVariableModel:
    torch.manual_seed(0)
    arguments = {"shape": list(shape), "dim": dim, "width": 16, "scale": 4.0 if len(shape) == 1 else 1.0}
    objective = "gan" if posterior is None else "aim"
    made = LatentVariableModel.build(ModelConfig("mlp", arguments, objective, posterior, posterior is not None))
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.3)
    return made


def digits(folder: Path, n: int = 24) -> Path:
    """Write n digits as PNG files, 20 x 20 in the middle of 28 x 28 as MNIST's are."""
    folder.mkdir(parents=True, exist_ok=True)
    found = load_digits()
    for k in range(n):
        small = Image.fromarray((found.images[k] * 255 / 16).astype(np.uint8)).resize(
            (20, 20), Image.Resampling.BICUBIC
        )
        whole = Image.new("L", (28, 28))
        whole.paste(small, (4, 4))
        whole.save(folder / f"digit-{found.target[k]}-{k:02d}.png")
    return folder
