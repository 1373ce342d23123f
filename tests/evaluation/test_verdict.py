from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from aimgan.data import Images
from aimgan.evaluation.evaluate import baselines, reconstruction
from aimgan.evaluation.verdict import judged, verdict
from aimgan.model import LatentVariableModel, ModelConfig


def images(error: float, mean: float = 0.05, **more: float) -> dict[str, float]:
    return {"reconstruction_mse": error, "mean_image_mse": mean, **more}


def mixture(modes: int, quality: float) -> dict:
    return {"modes": modes, "high_quality": quality, "mode_counts": [1] * 25}


@pytest.mark.parametrize(
    ("scores", "count", "ready", "sentence"),
    [
        (images(0.09), 5_000, False, "Reconstruction error 0.09: worse than the mean image (0.05). Not ready: train "
         "longer (--extend --minutes 30), or take folder/vae."),
        (images(0.05), 5_000, False, "worse than the mean image"),
        (images(0.031), 5_000, False, "better than the mean image (0.05), but not usable yet: train"),
        (images(0.031), 100, False, "take more images (100 are few) or train longer"),
        (images(0.029), 5_000, True, "58% of the mean image (0.05). Usable."),
        (images(0.029, pca_mse=0.01), 5_000, True, "Usable, though principal components of as many numbers reach 0.01"),
        (images(0.009, pca_mse=0.01), 5_000, True, "better than principal components of as many numbers (0.01). Good."),
        (images(0.0, mean=0.0, generated_spread=0.0), 5_000, False, "All test images are the same, so nothing can be"),
        (images(0.02, generated_spread=0.1), 5_000, False, "All samples look alike: they vary 0.10 times as much as "
         "the images. Not ready: train longer (--extend --minutes 30), or again with another --seed or a lower "
         "learning rate (--set lr=...), or take folder/vae."),
        ({"nearest_train_mse": 0.1}, 5_000, True, "no encoder"),
        ({}, 1, False, "There are no test images"),
        (mixture(25, 0.97), None, True, "25 of 25 modes were found, and 97.0% of the samples"),
        (mixture(25, 0.5), None, False, "Samples are not sharp yet"),
        (mixture(20, 0.97), None, False, "Modes are missing"),
    ],
)  # fmt: skip
def test_each_case_has_a_sentence_that_is_right(scores, count, ready, sentence):
    found = verdict(scores, count, "folder/aim")
    assert found.ready is ready
    assert sentence in found.verdict


def test_a_vae_is_not_advised_to_be_a_vae():
    assert "vae" not in verdict(images(0.09), 5_000, "folder/vae").verdict
    assert "mnist/vae" in verdict(images(0.09), 5_000, "mnist/gan").verdict
    assert "a smaller --set sigma=" in verdict(images(0.02, generated_spread=0.1), 5_000, "mnist/vae").verdict


@pytest.mark.parametrize(
    ("case", "count", "sentence"),
    [
        ("digits", 600, "worse than the mean image"),
        ("digits", 40, "take more images (38 are few) or train longer"),
        ("digits", 3, "take more images (2 are few)"),
        ("grey", 600, "All test images are the same"),
        ("digits", 1, "There are no test images"),
    ],
)
def test_an_untrained_model_is_judged_on_real_images(case, count, sentence, tmp_path):
    x = (load_digits().images * 15.9).astype(np.uint8)[:count, None]
    np.save(tmp_path / "x.npy", np.full_like(x, 128) if case == "grey" else x)
    data = Images(str(tmp_path / "x.npy"), size=8, channels=1).load()
    model = LatentVariableModel.build(
        ModelConfig("mlp", {"shape": [1, 8, 8], "dim": 3, "width": 16}, "aim", "gaussian", True)
    )
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=1.0)
    scores = {}
    if len(data.images.test):
        scores = reconstruction(model, data) | baselines(data, model.dim)
    found = judged(model, data, scores, 0, "folder/aim")
    assert not found.ready
    assert sentence in found.verdict
