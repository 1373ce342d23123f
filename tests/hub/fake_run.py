"""A small model, and what a run's folder has beside it."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from PIL import Image

from aimgan.model import LatentVariableModel, ModelConfig

SHAPE = {"shape": [1, 8, 8], "dim": 3, "width": 16}
ABOUT = {"recipe": "folder/aim", "seed": 0, "steps": 20}
RECORD = {
    "settings": {"recipe": {"name": "folder/aim", "data": {"kind": "images", "path": "/home/alice/photos", "size": 8}}},
    "environment": {"aimgan": "0.1.0", "torch": "2.13.0"},
    "git": "0123abc",
    "command": ["/home/alice/.venv/bin/aimgan", "train", "folder/aim", "--data", "/home/alice/photos"],
}
SCORES = {"steps": 20, "reconstruction_mse": 0.0325, "frechet_distance": 12.5, "feature_network": "/home/alice/net.pt",
          "n_fake": 100, "rank_histogram": [0.5, 0.5], "frechet_distance_std": 0.1}  # fmt: skip
FIGURES = ("curves", "neighbours", "reconstructions", "samples")


def made(posterior: str | None = "gaussian", arguments: dict | None = None) -> LatentVariableModel:
    torch.manual_seed(0)
    objective = "gan" if posterior is None else "aim"
    config = ModelConfig("mlp", arguments or SHAPE, objective, posterior, posterior is not None, ABOUT)
    return LatentVariableModel.build(config)


def write_run(folder: Path) -> Path:
    made().save(folder / "model")
    (folder / "run.json").write_text(json.dumps(RECORD))
    (folder / "evaluation.json").write_text(json.dumps(SCORES))
    (folder / "figures").mkdir()
    for k, name in enumerate(FIGURES):
        Image.new("L", (4, 4), k).save(folder / "figures" / f"{name}.png")
    return folder
