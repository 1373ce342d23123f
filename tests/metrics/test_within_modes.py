from __future__ import annotations

import numpy as np
import pytest
import torch

from aimgan.data import Grid, Mixture, Ring, Unbalanced
from aimgan.metrics import ReconstructionError, WithinModes
from aimgan.metrics.within_modes import nearest_modes

GRID = Grid().load()
SKEW = Mixture([[0, 0], [3, 0], [0, 4]], torch.tensor([[[1, 0.3], [0.3, 0.2]], [[0.1, 0], [0, 0.1]], [[2, 0], [0, 1]]]))


def draws(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def score(x: torch.Tensor, x_z_x: torch.Tensor, data: Mixture = GRID) -> dict[str, float]:
    return WithinModes.of(x, x_z_x, data.means, data.covariances).compute()


def centres(x: torch.Tensor, data: Mixture = GRID) -> torch.Tensor:
    return data.means[nearest_modes(x, data.means, data.covariances)]


def by_loops(x: np.ndarray, again: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> dict[str, float]:
    """The definitions, a sample at a time."""
    inverse = [np.linalg.inv(c) for c in covariances]

    def mode(point: np.ndarray) -> int:
        return int(np.argmin([(point - m) @ i @ (point - m) for m, i in zip(means, inverse, strict=True)]))

    centre, wrong, error, reference = [], 0, 0.0, 0.0
    for a, b in zip(x, again, strict=True):
        k = mode(a)
        centre.append(np.mean((a - means[k]) ** 2))
        if mode(b) != k:
            wrong += 1
        else:
            error += np.sum((a - b) ** 2)
            reference += np.sum((a - means[k]) ** 2)
    return {"mode_centre_mse": np.mean(centre), "wrong_mode": wrong / len(x), "within_mode_r2": 1 - error / reference}


def test_agrees_with_the_definitions_in_parts():
    x = SKEW.test(300)
    again = x + 0.7 * draws(300, 2)
    got = score(x, again, SKEW)
    expected = by_loops(*(t.double().numpy() for t in (x, again, SKEW.means, SKEW.covariances)))
    assert got == pytest.approx(expected, rel=1e-9)
    assert 0.02 < got["wrong_mode"] < 0.5
    parts = [
        WithinModes.of(a, b, SKEW.means, SKEW.covariances) for a, b in zip(x.split(70), again.split(70), strict=True)
    ]
    assert sum(parts[1:], parts[0]).compute() == pytest.approx(got, rel=1e-12)


@pytest.mark.parametrize(("data", "variance"), [(Grid(), 0.0025), (Ring(), 0.0004), (Unbalanced(), 0.0025)])
def test_the_centre_scores_the_modes_variance_and_no_r2(data, variance: float):
    mixture = data.load()
    x = mixture.test()
    got = score(x, centres(x, mixture), mixture)
    assert got["mode_centre_mse"] == pytest.approx(variance, rel=0.03)
    assert got["wrong_mode"] == 0
    assert got["within_mode_r2"] == pytest.approx(0, abs=1e-6)
    assert got["mode_centre_mse"] == pytest.approx(ReconstructionError.of(x, centres(x, mixture)).mean, rel=1e-5)
    assert WithinModes.of(x, x, mixture.means, mixture.covariances).mode_variance == pytest.approx(variance, rel=1e-6)


def test_nothing_that_keeps_its_mode_has_no_r2():
    x = GRID.means[:5].clone() + 0.01
    got = score(x, x + torch.tensor([2.0, 0.0]))
    assert got["wrong_mode"] == 1
    assert "within_mode_r2" not in got
    assert "within_mode_r2" not in score(GRID.means, GRID.means)  # 0 / 0: there is no variance to explain
