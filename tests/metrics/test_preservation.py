from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

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


def test_perfect_is_zero_another_image_one_and_the_mean_half():
    x = features(3000)
    assert feature_error(x, x) == {"feature_error": 0}
    assert feature_error(x, x.roll(1, 0))["feature_error"] == pytest.approx(1, rel=0.05)
    assert feature_error(x, x.mean(0).expand_as(x))["feature_error"] == pytest.approx(0.5, rel=1e-3)


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 20), st.floats(0.01, 100), st.integers(0, 2**20))
def test_units_rotations_and_origin_of_the_features_do_not_matter(n: int, scale: float, seed: int):
    x, y = features(n, 4, seed).double(), features(n, 4, seed + 1).double()
    rotation = scale * torch.linalg.qr(features(4, 4, seed + 2).double()).Q
    assert feature_error(x @ rotation + 5, y @ rotation + 5) == pytest.approx(feature_error(x, y), rel=1e-5)
