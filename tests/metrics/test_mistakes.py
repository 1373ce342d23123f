"""What each metric refuses, and how it says so."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nan

from aimgan import metrics
from aimgan.errors import AimganError
from aimgan.metrics import Calibration, FeatureMoments, ReconstructionError, WithinModes
from aimgan.metrics.prior_matching import mmd_to_standard_normal, share_within

X = torch.rand(20, 4, generator=torch.Generator().manual_seed(0))
IMAGES = torch.rand(5, 3, 4, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(20) % 2
MEANS, COVARIANCES, WEIGHTS = X[:3], torch.eye(4).repeat(3, 1, 1), torch.full((3,), 1 / 3)


def kernel_distance(x: torch.Tensor, y: torch.Tensor, subsets: int = 100) -> object:
    return metrics.kernel_distance(x, y, subsets, generator=torch.Generator())


MISTAKES = [
    (lambda: Calibration.of(X, X, X[:1]), "posterior log variances"),
    (lambda: Calibration.of(X, X, X * math.inf), "not finite"),
    (lambda: Calibration.of(X, X, X) + Calibration.of(X[:, :1], X[:, :1], X[:, :1]), "got sums of histogram of shape"),
    (lambda: FeatureMoments.of(X / 0), "not finite"),
    (lambda: metrics.frechet_distance(FeatureMoments.of(X[:1]), FeatureMoments.of(X)), "got 1 samples"),
    (lambda: metrics.frechet_distance(FeatureMoments.of(X[:, :3]), FeatureMoments.of(X)),
     r"got features of shape \(4,\) a row, expected \(3,\)"),
    (lambda: metrics.inception_score(X[:9]), "got 9 samples, expected at least 10"),
    (lambda: metrics.inception_score(X, splits=0), "got 0 splits"),
    (lambda: kernel_distance(X, X[:1]), "got 1 samples, expected at least 2"),
    (lambda: kernel_distance(X, X, 0), "got 0 subsets of 1000"),
    (lambda: kernel_distance(X, X[:, :3]), r"got features of shape \(3,\) a row, expected \(4,\)"),
    (lambda: metrics.linear_probe(X, 0 * LABELS, X, LABELS), "got training labels of 1 classes, expected at least 2"),
    (lambda: metrics.linear_probe(X, LABELS, X[:, :2], LABELS), r"test codes of shape \(2,\) a row, expected \(4,\)"),
    (lambda: metrics.nearest_neighbour_accuracy(X, LABELS, X, LABELS, k=21), "got 20 samples, expected at least 21"),
    (lambda: metrics.nearest_neighbour_accuracy(X, LABELS, X, LABELS, k=0), "got k = 0"),
    (lambda: metrics.cluster_scores(X[:0], LABELS[:0]), "got 0 samples"),
    (lambda: metrics.cluster_scores(X, LABELS[:5]), r"got labels of shape \(5,\), expected \(20,\)"),
    (lambda: metrics.manifold_metrics(X, X[:5]), "got 5 samples, expected at least 6"),
    (lambda: metrics.manifold_metrics(X, X, 0), "got k = 0"),
    (lambda: metrics.manifold_metrics(X, X[:, :3]), r"got fake features of shape \(3,\) a row, expected \(4,\)"),
    (lambda: metrics.nearest_distances(IMAGES, IMAGES[:0]), "got 0 samples"),
    (lambda: metrics.nearest_distances(IMAGES[:, :1], IMAGES), r"got queries of shape \(1, 4, 4\) a row, expected"),
    (lambda: metrics.memorisation(1 - IMAGES, IMAGES, IMAGES), "held-out images that are all training images"),
    (lambda: metrics.mode_metrics(X, MEANS, 0 * COVARIANCES, WEIGHTS), "not positive definite"),
    (lambda: metrics.mode_metrics(X, MEANS, COVARIANCES, 6 * WEIGHTS), "3 weights that sum to 6, expected 3"),
    (lambda: metrics.posterior_images(X, X[:, None]), "got 1 samples, expected at least 2"),
    (lambda: metrics.posterior_images(X[:0], X[:0, None].repeat(1, 2, 1)), "got 0 samples"),
    (lambda: metrics.posterior_images(X, X[:5, None].repeat(1, 2, 1)), r"got draws of shape \(5, 4\), expected"),
    (lambda: metrics.feature_error(0 * X, 0 * X), "got images that all have the same features"),
    (lambda: metrics.class_preservation(X, X[:1]), r"reconstructions' logits of shape \(1, 4\), expected \(20, 4\)"),
    (lambda: ReconstructionError.of(IMAGES, IMAGES[:1]), r"of shape \(1, 3, 4, 4\), expected \(5, 3, 4, 4\)"),
    (lambda: ReconstructionError.of(IMAGES[:0], IMAGES[:0]).mean, "got 0 samples"),
    (lambda: metrics.unrelated_pair_mse(IMAGES[:1]), "got 1 samples, expected at least 2"),
    (lambda: WithinModes.of(X[:0], X[:0], MEANS, COVARIANCES).compute(), "expected at least 1"),
    (lambda: WithinModes.of(X, X[:5], MEANS, COVARIANCES), "got reconstructions of shape"),
    (lambda: WithinModes.of(X[:, :3], X[:, :3], MEANS, COVARIANCES), r"points of shape \(3,\) a row, expected \(4,\)"),
    (lambda: mmd_to_standard_normal(X[:1]), "got 1 samples, expected at least 2"),
    (lambda: share_within(torch.tensor([[0.0, 1.0], [nan, 2.0]])), "1 of 4 numbers not finite"),
]  # fmt: skip


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(("call", "message"), MISTAKES)
def test_a_mistake_is_named(call, message):
    with pytest.raises(AimganError, match=message):
        call()
