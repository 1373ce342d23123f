from __future__ import annotations

import pytest

from aimgan.evaluation.verdict import verdict


def images(error: float, mean: float = 0.05, **more: float) -> dict[str, float]:
    return {"reconstruction_mse": error, "mean_image_mse": mean, **more}


def mixture(modes: int, quality: float) -> dict:
    return {"modes": modes, "high_quality": quality, "mode_counts": [1] * 25}


@pytest.mark.parametrize(
    ("scores", "count", "ready", "sentence"),
    [
        (images(0.09), 5_000, False, "Reconstruction error 0.09: worse than the mean image (0.05). Not ready: train "
         "longer (--minutes 30), or take folder/vae."),
        (images(0.05), 5_000, False, "worse than the mean image"),
        (images(0.031), 5_000, False, "better than the mean image (0.05), but not usable yet: train"),
        (images(0.031), 100, False, "take more images (100 are few) or train longer"),
        (images(0.029), 5_000, True, "58% of the mean image (0.05). Usable."),
        (images(0.029, pca_mse=0.01), 5_000, True, "Usable, though principal components of as many numbers reach 0.01"),
        (images(0.009, pca_mse=0.01), 5_000, True, "better than principal components of as many numbers (0.01). Good."),
        (images(0.01, mean=0.0), 5_000, False, "all test images are the same"),
        (images(0.02, generated_spread=0.1), 5_000, False, "All samples look alike: they vary 0.10 times as much"),
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
    assert sentence in found.sentence


def test_a_vae_is_not_advised_to_be_a_vae():
    assert "vae" not in verdict(images(0.09), 5_000, "folder/vae").sentence
    assert "mnist/vae" in verdict(images(0.09), 5_000, "mnist/gan").sentence
