"""FID, KID and IS against torchmetrics (where it is installed), which takes any module for its network."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from aimgan.metrics import FeatureMoments, frechet_distance, inception_score, kernel_distance


def features(n: int, d: int, seed: int) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    mix = torch.randn(d, d, generator=g, dtype=torch.float64) / d**0.5
    return torch.randn(n, d, generator=g, dtype=torch.float64) @ mix + 0.2


def network(d: int) -> nn.Module:
    module = nn.Identity()
    module.num_features = d  # what torchmetrics asks of a module that is not its own
    return module


def quiet(metric, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it keeps all that it is given
        return metric(*args, **options)


def fed(metric, x: torch.Tensor, y: torch.Tensor):
    for part in x.split(100):
        metric.update(part, real=True)
    metric.update(y, real=False)
    return metric


@pytest.mark.parametrize(("n", "m", "d", "rel"), [(600, 500, 64, 1e-9), (40, 50, 64, 1e-5)])
def test_frechet_distance(n: int, m: int, d: int, rel: float):
    """The second has singular covariances: theirs takes the root of rounding's eigenvalues, ours of none."""
    x, y = features(n, d, 0), features(m, d, 1)
    theirs = fed(FrechetInceptionDistance(network(d)).set_dtype(torch.float64), x, y).compute()
    ours = frechet_distance(FeatureMoments.of(x), FeatureMoments.of(y))
    assert ours == pytest.approx(float(theirs), rel=rel)


def test_kernel_distance():
    """Both draw two permutations a subset: from one seed, the same subsets."""
    x, y = features(400, 32, 0), features(300, 32, 1)
    theirs = fed(quiet(KernelInceptionDistance, network(32), subsets=20, subset_size=100), x, y)
    torch.manual_seed(5)
    mean, std = theirs.compute()
    ours = kernel_distance(x, y, 20, 100, generator=torch.Generator().manual_seed(5))
    expected = {"kernel_distance": float(mean), "kernel_distance_std": float(std)}
    assert ours == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "splits"), [(1000, 10), (50, 5)])
def test_inception_score(n: int, splits: int):
    """Theirs shuffles, and divides the variance by splits - 1."""
    logits = 3 * features(n, 10, 0)
    theirs = quiet(InceptionScore, network(10), splits=splits)
    theirs.update(logits)
    torch.manual_seed(5)
    mean, std = theirs.compute()
    torch.manual_seed(5)
    ours = inception_score(logits[torch.randperm(n)], splits)
    assert ours["inception_score"] == pytest.approx(float(mean), rel=1e-9)
    assert ours["inception_score_std"] == pytest.approx(float(std) * np.sqrt((splits - 1) / splits), rel=1e-9)
