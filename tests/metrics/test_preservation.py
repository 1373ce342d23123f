from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from aimgan.metrics import class_preservation, feature_error


def features(n: int, d: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_the_share_of_equal_labels():
    one = torch.eye(4)[[0, 1, 2, 3, 0]]
    assert class_preservation(one, 10 * one + 3) == 1
    assert class_preservation(one, one[[0, 1, 2, 2, 1]]) == pytest.approx(3 / 5)
    assert class_preservation(features(2000, 10), features(2000, 10, 1)) == pytest.approx(0.1, abs=0.03)


def test_feature_error_agrees_with_every_pair():
    x, y = features(20), features(20, seed=1)
    error = np.mean([float((a - b).square().sum()) for a, b in zip(x, y, strict=True)])
    pairs = np.mean([float((a - b).square().sum()) for a, b in itertools.permutations(x, 2)])
    assert feature_error(x, y) == pytest.approx({"feature_error": error / pairs}, rel=1e-6)
