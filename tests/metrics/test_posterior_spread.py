from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aimgan.metrics import posterior_images


def draws(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(3, 4, 5), (2,)])
def test_agrees_with_loops_in_more_than_a_block(shape: tuple[int, ...]):
    x, near = draws(130, *shape), draws(130, 4, *shape, seed=1) * 0.5
    mse = np.mean([float((x[i] - y).square().mean()) for i in range(130) for y in near[i]])
    pairs = np.mean([float((a - b).square().mean()) for y in near for a, b in itertools.permutations(y, 2)])
    expected = {"neighbour_mse": mse, "neighbour_diversity": pairs, "neighbour_ratio": pairs / mse}
    assert posterior_images(x, near) == pytest.approx(expected)


def test_an_image_that_is_one_more_draw_scores_one():
    centre, noise = draws(2000, 1, 6), draws(2000, 5, 6, seed=1)
    all_alike = centre + 0.3 * noise
    score = posterior_images(all_alike[:, 0], all_alike[:, 1:])
    assert score["neighbour_ratio"] == pytest.approx(1, rel=0.02)
    assert score["neighbour_mse"] == pytest.approx(2 * 0.09, rel=0.02)


@pytest.mark.parametrize(("width", "offset"), [(0.1, 1.0), (1.0, 0.0), (2.0, 1.0)])
def test_the_ratio_is_the_closed_form(width: float, offset: float):
    x = draws(3000, 4)
    near = x[:, None] + offset + width * draws(3000, 8, 4, seed=1)
    expected = 2 * width**2 / (width**2 + offset**2)
    assert posterior_images(x, near)["neighbour_ratio"] == pytest.approx(expected, rel=0.03)


def test_draws_of_the_prior_score_one_as_the_file_warns():
    score = posterior_images(draws(2000, 6), draws(2000, 4, 6, seed=1))
    assert score["neighbour_ratio"] == pytest.approx(1, rel=0.02)


def test_a_point_has_no_diversity():
    x = draws(5, 3)
    assert posterior_images(x, (x + 1)[:, None].expand(5, 4, 3))["neighbour_ratio"] == 0
    perfect = posterior_images(x, x[:, None].expand(5, 4, 3))
    assert perfect == {"neighbour_mse": 0, "neighbour_diversity": 0, "neighbour_ratio": 0}


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 9), st.integers(2, 6), st.integers(0, 2**20))
def test_order_origin_and_units_do_not_matter_to_the_ratio(n: int, m: int, seed: int):
    x, near = draws(n, 3, seed=seed), draws(n, m, 3, seed=seed + 1)
    ratio = posterior_images(x, near)["neighbour_ratio"]
    assert 0 <= ratio <= 2 * m / (m - 1) + 1e-9
    assert posterior_images(3 * x + 1, 3 * near.flip(1) + 1)["neighbour_ratio"] == pytest.approx(ratio)
