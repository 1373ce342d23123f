"""Mode collapse on a Gaussian mixture (paper section 5.3, Table 2): captured modes, sample quality, mode width.

The definitions are Srivastava et al.'s (2017, VEEGAN): a sample is of *high quality* if it is within three standard
deviations of the nearest mode; a mode is *captured* if it is nearest to at least one high quality sample. Distances are
Mahalanobis distances, which for equal isotropic covariances (the grid) are Euclidean ones over the standard deviation.

The spread of a mode is the standard deviation of its high quality samples about their own mean, over the true one.
- It is taken in whitened coordinates r = L^-1 (x - mean), L L' = covariance, over all d axes: sqrt(tr cov(r) / d).
- Cutting a Gaussian at 3 standard deviations leaves the variance P(chi2_{d+2} <= 9) / P(chi2_d <= 9) on each axis
  (d = 2: 0.94945, a std of 0.9744); the spread is divided by that std, so real data score 1.
- With fewer than 10 high quality samples it is 0: an estimate with 25 % noise would decide the maximum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from aimgan.errors import AimganError
from aimgan.metrics.chi_square import chi_square_cdf
from aimgan.metrics.distances import require_same_dimension
from aimgan.metrics.sums import Sums, require_finite, require_samples

RADIUS = 3.0  # standard deviations: the limit of high quality
MINIMUM_FOR_SPREAD = 10  # high quality samples
_CHUNK = 10_000  # samples at a time: their distances to every mode are in memory together

Points = Float[Tensor, "n d"]
Means = Float[Tensor, "k d"]
Covariances = Float[Tensor, "k d d"]
PerMode = Float[Tensor, "k"]


@dataclass(frozen=True, eq=False)
class ModeCounts(Sums):
    """Sums over samples, for each of k modes."""

    nearest: PerMode  # samples nearest to the mode
    high_quality: PerMode  # those of them within three standard deviations
    residual: Float[Tensor, "k d"]  # sum of the high quality samples' whitened residuals
    residual_square: PerMode  # sum of these residuals' squared norms

    @classmethod
    def of(cls, samples: Points, means: Means, covariances: Covariances) -> ModeCounts:
        """Count one batch of samples of a mixture, in its own units.

        Raises AimganError for samples that are not finite or have another dimension than the modes, and for a
        covariance that is not positive definite.
        """
        require_same_dimension("points", samples, means)
        require_finite("samples", samples)
        samples = samples.double()
        residuals = whitened(samples, means.to(samples), covariances.to(samples))
        distance, index = residuals.square().sum(-1).min(1)
        residual = residuals[torch.arange(len(index), device=index.device), index]
        nearest = torch.nn.functional.one_hot(index, len(means)).double()
        good = nearest * (distance <= RADIUS**2)[:, None]
        return cls(nearest.sum(0), good.sum(0), good.T @ residual, good.T @ residual.square().sum(1))

    @property
    def spread(self) -> PerMode:
        """Each mode's standard deviation over the true one; 0 with fewer than 10 high quality samples."""
        d = self.residual.shape[1]
        n = self.high_quality.clamp(min=2)
        scatter = (self.residual_square - self.residual.square().sum(1) / n).clamp(min=0)
        ratio = (scatter / ((n - 1) * d * truncated_variance(d))).sqrt()
        return ratio * (self.high_quality >= MINIMUM_FOR_SPREAD)

    def compute(self, weights: PerMode) -> dict[str, Any]:
        """Return the scores against a mixture with these weights, which sum to 1.

        modes           int: modes nearest to at least one high quality sample
        high_quality    fraction of the samples; real data of separate modes score P(chi2_d <= 9), 0.989 for d = 2
        mode_kl         KL(frequencies of all samples by nearest mode || weights), nats
        mode_kl_floor   its mean for samples of the mixture itself
        mode_spread     [min, max] of the modes' std over the true one; real data score 1
        mode_counts, mode_high_quality_counts, mode_spreads    the same for each mode, lists of length k
        """
        count = int(self.nearest.sum())
        require_samples(count)
        spread = self.spread.tolist()
        return {
            "modes": int((self.high_quality > 0).sum()),
            "high_quality": float(self.high_quality.sum()) / count,
            "mode_kl": kl_divergence(self.nearest / count, weights),
            "mode_kl_floor": kl_floor(count, len(self.nearest)),
            "mode_spread": [min(spread), max(spread)],
            "mode_counts": self.nearest.long().tolist(),
            "mode_high_quality_counts": self.high_quality.long().tolist(),
            "mode_spreads": spread,
        }


def mode_metrics(samples: Points, means: Means, covariances: Covariances, weights: PerMode) -> dict[str, Any]:
    """Return `ModeCounts.compute` for all samples."""
    first, *rest = samples.split(_CHUNK)
    counts = ModeCounts.of(first, means, covariances)
    for part in rest:
        counts += ModeCounts.of(part, means, covariances)
    return counts.compute(weights)


def kl_floor(n: int, k: int) -> float:
    """Return the mean KL of k frequencies from their true weights for n samples, nats: (k - 1) / (2 n).

    It is the first term of an expansion (2 n KL tends to chi-square of k - 1 degrees): 0.00024 for 25 and 50,000.
    """
    return (k - 1) / (2 * n)


def truncated_variance(dimension: int) -> float:
    """Return the variance on each axis of N(0, I) cut to the ball of three standard deviations."""
    square = torch.tensor(RADIUS**2, dtype=torch.float64)
    return float(chi_square_cdf(square, dimension + 2) / chi_square_cdf(square, dimension))


def whitened(samples: Points, means: Means, covariances: Covariances) -> Float[Tensor, "n k d"]:
    """Return L^-1 (x - mean) for every sample and mode, L L' = covariance. All in one precision.

    Raises AimganError for a covariance that is not positive definite.
    """
    root, failed = torch.linalg.cholesky_ex(covariances)
    if failed.any():
        raise AimganError(
            f"got a covariance of mode {int(failed.nonzero()[0])} that is not positive definite, "
            "expected variances above 0; pass covariances, not standard deviations"
        )
    return torch.einsum("kij,nkj->nki", torch.linalg.inv(root), samples[:, None] - means)


def kl_divergence(frequencies: PerMode, weights: PerMode) -> float:
    """Return KL(frequencies || weights), nats, 0 log 0 = 0. Raises AimganError for weights that do not sum to 1."""
    w = weights.to(frequencies)
    if w.shape != frequencies.shape or (w < 0).any() or abs(float(w.sum()) - 1) > 1e-4:
        raise AimganError(
            f"got {len(w)} weights that sum to {float(w.sum()):.6g}, expected {len(frequencies)}, none negative, "
            "that sum to 1; divide them by their sum"
        )
    return float((frequencies.xlogy(frequencies) - frequencies.xlogy(w / w.sum())).sum())
