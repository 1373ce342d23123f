"""Small models with fresh weights, and digits: MNIST's where they are, else scikit-learn's at their size."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

from aimgan.model import LatentVariableModel, ModelConfig

MNIST = Path(__file__).parents[3] / "shared/data/mnist/test-00000-of-00001.parquet"


def model(shape: tuple[int, ...] = (1, 8, 8), dim: int = 3, posterior: str | None = "gaussian") -> LatentVariableModel:
    torch.manual_seed(0)
    arguments = {"shape": list(shape), "dim": dim, "width": 16, "scale": 4.0 if len(shape) == 1 else 1.0}
    objective = "gan" if posterior is None else "aim"
    made = LatentVariableModel.build(ModelConfig("mlp", arguments, objective, posterior, posterior is not None))
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.3)
    return made


def digits(folder: Path, n: int = 24) -> Path:
    """Write n digits as PNG files of 28 x 28, digit-CLASS-NUMBER.png."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, (image, label) in enumerate(_mnist(n) if MNIST.exists() else _small(n)):
        image.save(folder / f"digit-{label}-{k:03d}.png")
    return folder


def _mnist(n: int) -> Iterator[tuple[Image.Image, int]]:
    for row in pq.read_table(MNIST).slice(0, n).to_pylist():
        yield Image.open(BytesIO(row["image"]["bytes"])), row["label"]


def _small(n: int) -> Iterator[tuple[Image.Image, int]]:
    """Yield scikit-learn's digits, 20 x 20 in the middle of 28 x 28 as MNIST's are."""
    found = load_digits()
    for pixels, label in zip(found.images[:n], found.target, strict=False):
        small = Image.fromarray((pixels * 255 / 16).astype(np.uint8)).resize((20, 20), Image.Resampling.BICUBIC)
        whole = Image.new("L", (28, 28))
        whole.paste(small, (4, 4))
        yield whole, label
