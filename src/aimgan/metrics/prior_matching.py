"""The difference between the distribution q(z) of data codes and the prior N(0, I) (paper section 5.3, Figure 3b).

q(z) is the mixture of the posteriors over the data, so codes must be *draws* from q(z|x), one for each image. Posterior
means are too narrow by the mean posterior variance. All codes (n, d) are needed at once; everything is in float64.

The kernel is k(a, b) = the mean over s in (1/64, 1/16, 1/4, 1, 4) of exp(-||a - b||^2 / (2 s d)). Two draws of the
prior have a squared distance of 2 d, so in every dimension the bandwidths go from holes between codes to the whole
cloud. They are fixed, rather than a median of the codes, so that two models are scored by one measure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import product
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.special import ndtri

from aimgan import noise
from aimgan.metrics.chi_square import chi_square_cdf
from aimgan.metrics.sums import require_finite, require_samples

BANDWIDTHS = (1 / 64, 1 / 16, 1 / 4, 1.0, 4.0)  # variances of the kernels, in units of the dimension
DIRECTIONS = 256
PRIOR_SHARE = 1 - math.exp(-(3**2) / 2)  # of N(0, I) in the 2-D disk of radius 3: 0.98889
_BLOCK = 1000  # rows of a kernel matrix held at once: 80 MB for 10,000 columns

Codes = Float[Tensor, "n d"]


def mmd_to_standard_normal(codes: Codes) -> float:
    """Return the squared maximum mean discrepancy of codes from N(0, I), unbiased (Gretton et al., 2012, equation 3).

    It is E k(x, x') - 2 E k(x, y) + E k(y, y') over different codes x, x' and draws y, y' of the prior. The mean over
    codes of the prior is 0, so it may be negative. The prior's parts are exact: with v = s d, E_y k(x, y) =
    (v / (v + 1))^(d/2) exp(-||x||^2 / (2 (v + 1))) and E k(y, y') = (v / (v + 2))^(d/2), each averaged over s. Raises
    AimganError for fewer than 2 codes, or numbers that are not finite.
    """
    x = _checked(codes)
    d, square = x.shape[1], x.square().sum(1)
    cross = _mean((v / (v + 1)) ** (d / 2) * float((-square / (2 * (v + 1))).exp().mean()) for v in _variances(d))
    return _mean_within(x) - 2 * cross + _prior_kernel_mean(d)


def mmd_floor(n: int, dimension: int) -> float:
    """Return the standard deviation of `mmd_to_standard_normal` on n draws of the prior, exactly; its mean is 0.

    sqrt(2 E c^2 / (n (n - 1))), c(x, y) the kernel centred on the prior: E c^2 = E k^2 - 2 E (E_y k)^2 + (E k)^2.
    """
    half = dimension / 2
    pairs = list(product(_variances(dimension), repeat=2))
    kernel_square = _mean((1 + 2 * (1 / v + 1 / w)) ** -half for v, w in pairs)
    mean_square = _mean(
        (v / (v + 1) * w / (w + 1)) ** half * (1 + 1 / (v + 1) + 1 / (w + 1)) ** -half for v, w in pairs
    )
    centred_square = kernel_square - 2 * mean_square + _prior_kernel_mean(dimension) ** 2
    return math.sqrt(2 * max(centred_square, 0.0) / (n * (n - 1)))


def random_directions(m: int, dimension: int, generator: torch.Generator) -> Float[Tensor, "m d"]:
    """Draw m unit vectors, uniform on the sphere."""
    draws = noise.normal(m, dimension, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(draws, dim=1)


def sliced_wasserstein(codes: Codes, directions: Float[Tensor, "m d"]) -> float:
    """Return the sliced 2-Wasserstein distance of codes from N(0, I), in units of the prior's standard deviation.

    It is the root of the mean over unit vectors w of W2^2(<codes, w>, N(0, 1)). In one dimension the i-th of the sorted
    codes is paired with the normal quantile at (i - 1/2) / n. A shift by c costs |c| / sqrt(d), a scale of s costs
    |s - 1|. Raises AimganError for fewer than 2 codes, or numbers that are not finite.
    """
    x = _checked(codes)
    ranks = (torch.arange(len(x), device=x.device, dtype=torch.float64) + 0.5) / len(x)
    projected = (x @ directions.to(x).T).sort(dim=0).values
    return float((projected - ndtri(ranks)[:, None]).square().mean().sqrt())


def share_within(codes: Codes) -> float:
    """Return the share of codes in the ball around 0 that has as much of the prior as the 2-D disk ||z|| <= 3.

    The paper's "three standard deviations area" is that disk, with PRIOR_SHARE of the prior. In d dimensions the ball
    of radius 3 has much less (1e-20 for d = 64), so the mass is kept and not the radius.
    """
    x = _checked(codes)
    inside = chi_square_cdf(x.square().sum(1), x.shape[1]) <= PRIOR_SHARE
    return float(inside.double().mean())


def prior_matching(codes: Codes, generator: torch.Generator) -> dict[str, Any]:
    """Score codes, drawn from q(z|x) for real x, against N(0, I), each score with that of the prior itself.

    prior_mmd, prior_mmd_floor    squared MMD, and its standard deviation for n draws of the prior (its mean is 0)
    prior_sliced_wasserstein      sliced W2 over 256 directions drawn from `generator`
    prior_sliced_wasserstein_floor    the same of n draws of the prior, from `generator`, in the same directions
    share_within_3_sigma, share_within_3_sigma_prior    share of codes in the prior's central 98.9 %, and that number
    """
    n, dimension = codes.shape
    directions = random_directions(DIRECTIONS, dimension, generator)
    prior = noise.normal(n, dimension, generator=generator, dtype=torch.float64)
    return {
        "prior_mmd": mmd_to_standard_normal(codes),
        "prior_mmd_floor": mmd_floor(n, dimension),
        "prior_sliced_wasserstein": sliced_wasserstein(codes, directions),
        "prior_sliced_wasserstein_floor": sliced_wasserstein(prior, directions),
        "share_within_3_sigma": share_within(codes),
        "share_within_3_sigma_prior": PRIOR_SHARE,
    }


def _checked(codes: Codes) -> Codes:
    """Return the codes in float64. Raises AimganError for fewer than 2, and for numbers that are not finite."""
    require_samples(len(codes), minimum=2)
    require_finite("codes", codes)
    return codes.double()


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values)


def _variances(dimension: int) -> list[float]:
    return [s * dimension for s in BANDWIDTHS]


def _prior_kernel_mean(dimension: int) -> float:
    """Return E k(y, y') for two draws of N(0, I)."""
    return _mean((v / (v + 2)) ** (dimension / 2) for v in _variances(dimension))


def _mean_within(x: Codes) -> float:
    """Return the mean of k over pairs of different rows, in blocks so that 10,000 by 10,000 fits."""
    n, d = x.shape
    total, squares = x.new_zeros(()), x.square().sum(1)
    for rows in x.split(_BLOCK):
        distance = rows.square().sum(1)[:, None] + squares - 2 * rows @ x.T
        widest = distance.clamp_(min=0).mul_(-1 / (2 * BANDWIDTHS[-1] * d)).exp_()
        # Each bandwidth is a quarter of the next, so its kernel is the fourth power of the next: one exp serves all.
        for _ in BANDWIDTHS:
            total += widest.sum()
            widest = widest.square_().square_()
    return (float(total) / len(BANDWIDTHS) - n) / (n * (n - 1))
