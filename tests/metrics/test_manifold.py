from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from aimgan.metrics import expected_coverage, manifold_metrics


def draws(n: int, d: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def shares(real: torch.Tensor, fake: torch.Tensor, k: int = 5) -> dict[str, float]:
    """Return the four shares without what would be expected of one of them."""
    scores = manifold_metrics(real, fake, k)
    assert scores.pop("coverage_expected") == expected_coverage(len(real), len(fake), k)
    return scores


def reference(real: np.ndarray, fake: np.ndarray, k: int) -> dict[str, float]:
    """The definitions, with scikit-learn's neighbours and scipy's distances."""
    radii = [NearestNeighbors(n_neighbors=k).fit(x).kneighbors()[0][:, -1] for x in (real, fake)]  # without itself
    apart = cdist(real, fake)
    in_real, in_fake = apart <= radii[0][:, None], apart <= radii[1]
    return {
        "precision": in_real.any(0).mean(),
        "recall": in_fake.any(1).mean(),
        "density": in_real.sum() / (k * len(fake)),
        "coverage": in_real.any(1).mean(),
    }


@pytest.mark.parametrize(("n", "m", "k"), [(1500, 2100, 5), (300, 40, 3), (6, 7, 5), (30, 30, 1)])
def test_agrees_with_the_definitions_in_more_than_a_block(n: int, m: int, k: int):
    real, fake = draws(n), 0.8 * draws(m, seed=1) + 0.4
    got = shares(real, fake, k)
    assert got == pytest.approx(reference(real.double().numpy(), fake.double().numpy(), k), abs=1e-12)


def test_rows_that_are_equal_or_tied_are_inside():
    real = torch.arange(10.0).repeat(4)[:, None]  # balls of radius 0, with 4 rows in each
    assert shares(real, real, 3) == {"precision": 1, "recall": 1, "density": 4 / 3, "coverage": 1}
    assert shares(real, real + 0.01, 3) == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}
    line = shares(real[:10], real[:10] + 1, 1)  # balls reach to both neighbours: 1..8 are in 3, 9 in 2, 10 in 1
    assert line == pytest.approx({"precision": 1, "recall": 1, "density": (8 * 3 + 2 + 1) / 10, "coverage": 1})


def test_clusters_that_are_far_apart_score_as_they_do_side_by_side():
    """The rounding of a matrix product goes with the norms: 1e-8 here, where squared distances within are 1e-6."""
    inner, outer = (1e-3 * draws(120, 4, s).double().view(2, 60, 4) for s in (0, 1))
    outer[1] = 2 * outer[1] + 1e-3  # one cluster is hit well, the other beside and too wide

    def score(distance: float) -> dict[str, float]:
        places = torch.tensor([0.0, distance], dtype=torch.float64)[:, None, None]
        return shares(*((x + places).flatten(0, 1) for x in (inner, outer)))

    assert score(1e4) == score(1.0)
    assert 0.3 < score(1e4)["coverage"] < 0.9
    assert 0.3 < score(1e4)["precision"] < 0.9
