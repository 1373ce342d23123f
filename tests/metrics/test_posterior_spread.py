from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

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


def test_a_point_has_no_diversity():
    x = draws(5, 3)
    assert posterior_images(x, (x + 1)[:, None].expand(5, 4, 3))["neighbour_ratio"] == 0
    perfect = posterior_images(x, x[:, None].expand(5, 4, 3))
    assert perfect == {"neighbour_mse": 0, "neighbour_diversity": 0, "neighbour_ratio": 0}
