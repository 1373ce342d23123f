"""Fréchet distance of two sets of features (Heusel et al., 2017, equation 6): FID where they are Inception's.

||m1 - m2||^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), with m the means and C the covariances (divided by n - 1). With any
factors F F' = C, the trace of the root is the sum of the singular values of F1' F2. Unlike the root of C1 C2 it is
real, symmetric, and exists for singular covariances (fewer samples than dimensions).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from aimgan.metrics.distances import require_same_dimension
from aimgan.metrics.sums import Sums, require_finite, require_samples


@dataclass(frozen=True, eq=False)
class FeatureMoments(Sums):
    """Sums over images of their features and of the outer products of those."""

    count: Float[Tensor, ""]
    total: Float[Tensor, "d"]
    total_outer: Float[Tensor, "d d"]

    @classmethod
    def of(cls, features: Float[Tensor, "n d"]) -> FeatureMoments:
        """Sum one batch of features. Raises AimganError for numbers that are not finite."""
        require_finite("features", features)
        f = features.double()
        return cls(f.new_tensor(len(f)), f.sum(0), f.T @ f)

    @property
    def mean(self) -> Float[Tensor, "d"]:
        """The mean."""
        require_samples(self.count)
        return self.total / self.count

    @property
    def covariance(self) -> Float[Tensor, "d d"]:
        """The unbiased covariance, divided by n - 1. Raises AimganError for fewer than 2 samples."""
        require_samples(self.count, minimum=2)
        return (self.total_outer - torch.outer(self.total, self.mean)) / (self.count - 1)


def frechet_distance(a: FeatureMoments, b: FeatureMoments) -> float:
    """Return the Fréchet distance between Gaussians of these moments, at least 0.

    Raises AimganError for fewer than 2 samples or unlike dimensions.
    """
    require_same_dimension("features", b.total_outer, a.total_outer)
    c_a, c_b = a.covariance, b.covariance
    shift = (a.mean - b.mean).square().sum()
    trace_of_root = torch.linalg.svdvals(_factor(c_a).T @ _factor(c_b)).sum()
    return float((shift + c_a.trace() + c_b.trace() - 2 * trace_of_root).clamp(min=0))


def _factor(covariance: Float[Tensor, "d d"]) -> Float[Tensor, "d rank"]:
    """Return F with F F' = C, without eigenvalues that are 0 up to rounding, whose roots would be 1e-8 of noise."""
    values, vectors = torch.linalg.eigh(covariance)
    kept = values > len(values) * torch.finfo(values.dtype).eps * values.abs().max()
    return vectors[:, kept] * values[kept].sqrt()
