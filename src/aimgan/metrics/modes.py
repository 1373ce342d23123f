"""Mode collapse on a Gaussian mixture (paper section 5.3, Table 2): which modes are sampled, how well and how wide.

The rule is Srivastava et al.'s (2017, VEEGAN): a sample is of *high quality* if it is within three standard deviations
of the nearest mode; the modes *captured* are those nearest to at least one high quality sample. Both distances are
Mahalanobis', which for equal isotropic covariances (the grid) is the Euclidean rule itself.

Both can be gamed: a generator that puts a point on every mean scores 25 / 100 %. So beside them stand the KL of the
mode frequencies from the mixture's weights, and each mode's spread.

Spread of a mode: the standard deviation of its high quality samples about their own mean, over the true one.
- Only the high quality samples, or the few bridge samples between modes, 20 standard deviations out, would set it.
- In whitened coordinates r = L^-1 (x - mean), L L' = covariance, pooled over the d axes: sqrt(tr cov(r) / d).
- Cutting a true Gaussian at 3 standard deviations leaves the variance P(chi2_{d+2} <= 9) / P(chi2_d <= 9) an axis
  (d = 2: 1 - 4.5 / (e^4.5 - 1) = 0.94945, a std of 0.9744); it is divided out, so real data score 1.
- A mode with fewer than 10 high quality samples has spread 0: it has no width to speak of, and noise of 25 % or more
  would set the maximum. So take 50,000 samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from aimgan.errors import AimganError
from aimgan.metrics.chi_square import chi_square_cdf
from aimgan.metrics.sums import added, require_finite, require_samples

RADIUS = 3.0  # standard deviations: what "high quality" means
MINIMUM_FOR_SPREAD = 10  # high quality samples
_CHUNK = 10_000  # samples at a time: their distances to every mode are held together


@dataclass(frozen=True, eq=False)
class ModeCounts:
    """Sums over samples, for each of k modes; `+` joins batches and processes."""

    nearest: Float[Tensor, "k"]
    """Samples nearest to the mode."""
    high_quality: Float[Tensor, "k"]
    """Those of them within three standard deviations."""
    residual: Float[Tensor, "k d"]
    """Sum of the high quality samples' whitened residuals."""
    residual_square: Float[Tensor, "k"]
    """Sum of the residuals' squared norms."""

    @classmethod
    def of(
        cls,
        samples: Float[Tensor, "n d"],
        means: Float[Tensor, "k d"],
        covariances: Float[Tensor, "k d d"],
    ) -> ModeCounts:
        """Count one batch of samples against the mixture, in its own units.

        Raises AimganError for samples that are not finite or of another dimension than the modes, and for a covariance
        that is not positive definite.
        """
        if samples.shape[1:] != means.shape[1:]:
            raise AimganError(
                f"got samples of {samples.shape[1]} dimensions, expected the modes' {means.shape[1]}; another data set?"
            )
        require_finite("samples", samples)
        residuals = whitened(*(t.to(samples.device, torch.float64) for t in (samples, means, covariances)))
        distance, index = residuals.square().sum(-1).min(1)
        residual = residuals[torch.arange(len(index), device=index.device), index]
        nearest = torch.nn.functional.one_hot(index, len(means)).double()
        good = nearest * (distance <= RADIUS**2)[:, None]
        return cls(nearest.sum(0), good.sum(0), good.T @ residual, good.T @ residual.square().sum(1))

    def __add__(self, other: ModeCounts) -> ModeCounts:
        """Join two parts of the samples."""
        return added(self, other)

    @property
    def spread(self) -> Float[Tensor, "k"]:
        """Each mode's standard deviation over the true one; 0 with fewer than 10 high quality samples."""
        dimension = self.residual.shape[1]
        n = self.high_quality.clamp(min=2)
        scatter = (self.residual_square - self.residual.square().sum(1) / n).clamp(min=0)
        ratio = (scatter / ((n - 1) * dimension * truncated_variance(dimension))).sqrt()
        return ratio * (self.high_quality >= MINIMUM_FOR_SPREAD)

    def compute(self, weights: Float[Tensor, "k"]) -> dict[str, Any]:
        """Return the scores of a generator of a mixture with these weights (k,), which sum to 1.

        modes           int: mixture components nearest to at least one high quality sample
        high_quality    fraction of the samples; real data of separate modes score P(chi2_d <= 9), 0.989 for d = 2
        mode_kl         KL(frequencies of all samples by nearest mode || weights), nats
        mode_kl_floor   what sampling alone gives to it
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


def mode_metrics(
    samples: Float[Tensor, "n d"],
    means: Float[Tensor, "k d"],
    covariances: Float[Tensor, "k d d"],
    weights: Float[Tensor, "k"],
) -> dict[str, Any]:
    """Score samples against a mixture at once; the keys are those of `ModeCounts.compute`."""
    parts = (ModeCounts.of(part, means, covariances) for part in samples.split(_CHUNK))
    return reduce(add, parts).compute(weights)


def kl_floor(n: int, k: int) -> float:
    """Return what the KL of k frequencies is expected to be from sampling n alone, nats: (k - 1) / (2 n).

    The first term of its expansion (2 n KL tends to chi-square of k - 1 degrees): 0.00024 for 25 modes and 50,000.
    """
    return (k - 1) / (2 * n)


def truncated_variance(dimension: int) -> float:
    """Return the variance, an axis, of N(0, I) cut to the ball of three standard deviations."""
    square = torch.tensor(RADIUS**2, dtype=torch.float64)
    return float(chi_square_cdf(square, dimension + 2) / chi_square_cdf(square, dimension))


def whitened(
    samples: Float[Tensor, "n d"], means: Float[Tensor, "k d"], covariances: Float[Tensor, "k d d"]
) -> Float[Tensor, "n k d"]:
    """Return L^-1 (x - mean) for every sample and mode, L L' = covariance. All in one precision.

    Raises AimganError for a covariance that is not positive definite.
    """
    root, failed = torch.linalg.cholesky_ex(covariances)
    if failed.any():
        raise AimganError(
            f"got a covariance of mode {int(failed.nonzero()[0])} that is not positive definite, "
            "expected variances above 0; is it a standard deviation, or a mixture of points?"
        )
    return torch.einsum("kij,nkj->nki", torch.linalg.inv(root), samples[:, None] - means)


def kl_divergence(frequencies: Float[Tensor, "k"], weights: Float[Tensor, "k"]) -> float:
    """Return KL(frequencies || weights), nats, 0 log 0 = 0. Raises AimganError for what are no weights."""
    w = weights.to(frequencies)
    if w.shape != frequencies.shape or (w < 0).any() or abs(float(w.sum()) - 1) > 1e-4:
        raise AimganError(
            f"got {len(w)} weights that sum to {float(w.sum()):.6g}, expected {len(frequencies)}, none negative, "
            "that sum to 1; divide them by their sum"
        )
    return float((frequencies.xlogy(frequencies) - frequencies.xlogy(w / w.sum())).sum())
