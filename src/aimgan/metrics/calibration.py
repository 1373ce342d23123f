"""The calibration of the posterior q(z|x), measured on x = G(z), z ~ N(0, I), for which the true code z is known.

Simulation-based calibration (Talts et al., 2018): if q(z|x) = N(mean, diag(variance)) is the posterior, the probability
integral transform u_i = Phi((z_i - mean_i) / std_i) is uniform in every dimension i. So its histogram is flat, a
central interval of 80 % contains 80 % of the codes, and so does the ellipsoid ||(z - mean) / std||^2 <= the 80 %
quantile of chi2_d. q(z|x) = p(z), which ignores x, is perfectly calibrated too: read it with the log score
E log q(z|G(z)), which only the posterior itself maximises, and with the sharpness.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.special import ndtr, ndtri

from aimgan.metrics.chi_square import chi_square_cdf
from aimgan.metrics.sums import Sums, require_finite, require_same_shape, require_samples

LEVELS = (0.5, 0.8, 0.95)  # of the central intervals and of the ellipsoid
RANK_BINS = 20
FINE_BINS = 1000  # of the stored histogram, a multiple of RANK_BINS; the Kolmogorov-Smirnov distance is exact to 1/1000
_LOG_2_PI = math.log(2 * math.pi)


@dataclass(frozen=True, eq=False)
class Calibration(Sums):
    """Sums over pairs (z, q(z|G(z))) of codes with d dimensions."""

    count: Float[Tensor, ""]
    histogram: Float[Tensor, "d fine"]  # of the probability integral transform, for each dimension
    covered: Float[Tensor, "levels"]  # coordinates inside their central interval, over all dimensions
    jointly_covered: Float[Tensor, "levels"]  # codes inside their ellipsoid
    log_score: Float[Tensor, ""]
    prior_log_score: Float[Tensor, ""]
    std: Float[Tensor, ""]
    log_std: Float[Tensor, ""]

    @classmethod
    def of(cls, z: Float[Tensor, "n d"], mean: Float[Tensor, "n d"], log_variance: Float[Tensor, "n d"]) -> Calibration:
        """Compare codes with the posteriors of the images made from them.

        Raises AimganError for different shapes, and for codes or posteriors that are not finite.
        """
        require_same_shape("posterior means", mean, z)
        require_same_shape("posterior log variances", log_variance, z)
        z, log_std = z.double(), log_variance.double() / 2
        r = (z - mean.double()) / log_std.exp()
        require_finite("codes or posteriors", r + log_std)
        d, levels = z.shape[1], z.new_tensor(LEVELS)
        square = r.square().sum(1)
        inside = r.abs().flatten()[:, None] <= ndtri((1 + levels) / 2)
        jointly_inside = chi_square_cdf(square, d)[:, None] <= levels
        return cls(
            count=z.new_tensor(len(z)),
            histogram=_histogram(ndtr(r)),
            covered=inside.double().sum(0),
            jointly_covered=jointly_inside.double().sum(0),
            log_score=-(square / 2 + log_std.sum(1) + d * _LOG_2_PI / 2).sum(),
            prior_log_score=-(z.square().sum(1) + d * _LOG_2_PI).sum() / 2,
            std=log_std.exp().sum(),
            log_std=log_std.sum(),
        )

    def compute(self) -> dict[str, Any]:
        """Return the scores.

        coverage_50, _80, _95          fraction of coordinates inside their central interval
        joint_coverage_50, _80, _95    fraction of codes inside their ellipsoid
        calibration_error              mean over dimensions and 20 bins of |20 frequency - 1|: 0 (flat) to 1.9
        calibration_ks                 Kolmogorov-Smirnov distance from uniform, of the worst dimension
        calibration_error_floor, calibration_ks_floor    scores of a perfect posterior with this number of codes
        log_score                      E log q(z|G(z)), nats
        prior_log_score                E log p(z) = -d (1 + log 2 pi) / 2, exactly
        prior_log_score_sample         the mean of log p(z) over the codes used
        sharpness, posterior_std       geometric and arithmetic mean of the posterior's standard deviations
        rank_histogram                 20 frequencies that sum to 1, over all dimensions
        """
        require_samples(self.count)
        d, n = len(self.histogram), int(self.count)
        ranks = self.histogram.unflatten(1, (RANK_BINS, -1)).sum(2) / n
        uniform = torch.ones_like(self.histogram).cumsum(1) / FINE_BINS
        ks_distances = (self.histogram.cumsum(1) / n - uniform).abs().amax(1)
        scores: dict[str, Any] = {}
        for name, counts in (("coverage", self.covered / d), ("joint_coverage", self.jointly_covered)):
            for level, share in zip(LEVELS, (counts / n).tolist(), strict=True):
                scores[f"{name}_{round(100 * level)}"] = share
        return scores | {
            "calibration_error": float((RANK_BINS * ranks - 1).abs().mean()),
            "calibration_error_floor": calibration_error_floor(n),
            "calibration_ks": float(ks_distances.max()),
            "calibration_ks_floor": calibration_ks_floor(n, d),
            "log_score": float(self.log_score) / n,
            "prior_log_score": -d * (1 + _LOG_2_PI) / 2,
            "prior_log_score_sample": float(self.prior_log_score) / n,
            "sharpness": math.exp(float(self.log_std) / (n * d)),
            "posterior_std": float(self.std) / (n * d),
            "rank_histogram": ranks.mean(0).tolist(),
        }


def calibration_error_floor(n: int) -> float:
    """Return the calibration error expected of a perfect posterior on n codes: sqrt(2 (20 - 1) / (pi n)).

    It is the mean of |20 f - 1| for a binomial frequency f of chance 1/20, in the normal limit: 0.035 for 10,000.
    """
    return math.sqrt(2 * (RANK_BINS - 1) / (math.pi * n))


def calibration_ks_floor(n: int, dimension: int) -> float:
    """Return the median worst distance of a perfect posterior on n codes with independent dimensions.

    It solves (1 - 2 exp(-2 n x^2))^d = 1/2, the tail of Kolmogorov's distribution: 0.0083 for 10,000 codes and d = 1.
    """
    return math.sqrt(-math.log((1 - 0.5 ** (1 / dimension)) / 2) / (2 * n))


def _histogram(u: Float[Tensor, "n d"]) -> Float[Tensor, "d fine"]:
    """Count u in [0, 1] in FINE_BINS equal bins, each column by itself."""
    bins = (u * FINE_BINS).long().clamp(max=FINE_BINS - 1)
    return torch.stack([torch.bincount(column, minlength=FINE_BINS) for column in bins.T]).double()
