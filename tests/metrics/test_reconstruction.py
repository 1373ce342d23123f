from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from aimgan.metrics import PixelMoments, ReconstructionError, on_signed_scale, unrelated_pair_mse


def images(n: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 3, 4, 5, generator=torch.Generator().manual_seed(seed))


def test_agrees_with_a_loop_over_images():
    x, x_z_x = images(7), images(7, 1)
    errors = [np.mean((a - b) ** 2) for a, b in zip(x.double().numpy(), x_z_x.double().numpy(), strict=True)]
    error = ReconstructionError.of(x, x_z_x)
    assert error.compute() == pytest.approx(
        {"reconstruction_mse": np.mean(errors), "reconstruction_mse_std": np.std(errors)}
    )


def test_the_signed_scale_is_that_of_the_rescaled_images():
    x, y = images(6), images(6, 1)
    plain, signed = ReconstructionError.of(x, y), ReconstructionError.of(2 * x - 1, 2 * y - 1)
    assert on_signed_scale(plain.mean) == pytest.approx(signed.mean, rel=1e-6)
    assert on_signed_scale(plain.std) == pytest.approx(signed.std, rel=1e-5)


def test_unrelated_pairs_agree_with_every_pair():
    x = images(6).double()
    pairs = [((a - b) ** 2).mean().item() for a, b in itertools.permutations(x, 2)]
    assert unrelated_pair_mse(x) == pytest.approx(np.mean(pairs))


def test_mean_image_is_the_best_constant_answer():
    x = images(9)
    mean = PixelMoments.of(x).mean_image
    anchor = ReconstructionError.of(x, mean.expand_as(x)).mean
    assert anchor == pytest.approx(x.double().var(dim=0, correction=0).mean().item())
    assert 2 * anchor * 9 / 8 == pytest.approx(unrelated_pair_mse(x))
    assert ReconstructionError.of(x, (mean + 0.1).expand_as(x)).mean == pytest.approx(anchor + 0.01, rel=1e-5)
