from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy

from aimgan.metrics import inception_score


def logits(n: int, classes: int = 10, seed: int = 0, scale: float = 3.0) -> torch.Tensor:
    return scale * torch.randn(n, classes, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("n", "splits"), [(1000, 10), (103, 10), (7, 7), (50, 1)])
def test_agrees_with_scipy_on_the_parts_of_the_authors_code(n: int, splits: int):
    p = softmax(logits(n).double().numpy(), axis=1)
    parts = [p[i * n // splits : (i + 1) * n // splits] for i in range(splits)]
    scores = [np.exp(np.mean([entropy(row, part.mean(0)) for row in part])) for part in parts]
    expected = {"inception_score": np.mean(scores), "inception_score_std": np.std(scores)}
    assert inception_score(logits(n), splits) == pytest.approx(expected, rel=1e-10)


def test_sure_and_even_score_the_number_of_classes_and_all_else_less():
    sure = 200 * torch.eye(10).repeat(20, 1)
    assert inception_score(sure) == pytest.approx({"inception_score": 10, "inception_score_std": 0}, abs=1e-12)
    assert inception_score(sure[::10])["inception_score"] == pytest.approx(1)  # one class only
    assert inception_score(0 * sure)["inception_score"] == pytest.approx(1)  # no opinion
    assert inception_score(sure.sort(0).values)["inception_score"] == pytest.approx(1)


def test_logits_of_any_size_are_stable():
    assert inception_score(logits(100, scale=1e4) + 1e5)["inception_score"] <= 10
    shifted = logits(100).double() + 1e3 * torch.arange(100)[:, None]
    assert inception_score(shifted) == pytest.approx(inception_score(logits(100)), rel=1e-9)
