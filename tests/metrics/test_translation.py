"""Scores of translations, on pairs that are easily counted."""

from __future__ import annotations

import pytest
import torch

from aimgan.metrics import translation_scores

TRUTH = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 4.0], [0.0, 5.0]])
CLASSES = torch.tensor([0, 0, 1, 1])


def test_the_truth_scores_best() -> None:
    assert translation_scores(TRUTH, TRUTH, CLASSES) == {"mse": 0, "pairs": 1, "classes": 1}


def test_a_wrong_sample_of_the_right_class_and_of_a_wrong_one() -> None:
    scores = translation_scores(TRUTH[[1, 1, 3, 0]] + 0.1, TRUTH, CLASSES)
    squares = [1.1**2 + 0.1**2, 2 * 0.1**2, 0.1**2 + 1.1**2, 0.1**2 + 4.9**2]
    assert scores == pytest.approx({"mse": sum(squares) / 8, "pairs": 1 / 4, "classes": 3 / 4})
    assert translation_scores(TRUTH, TRUTH, None).keys() == {"mse", "pairs"}
