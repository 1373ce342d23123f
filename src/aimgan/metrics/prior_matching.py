"""Are the codes of the data distributed as the prior, q(z) = p(z) = N(0, I)? (Paper section 5.3, Figure 3b.)

q(z) is the mixture of the posteriors over the data, so codes are *draws* from q(z|x), one an image. Posterior means are
too narrow by the mean posterior variance (law of total variance), and match N(0, I) only as the variance goes to 0.

None of these is a sum over codes: they take all of them at once, (n, d), and compute in float64.

The kernel is k(a, b) = the mean over s in (1/64, 1/16, 1/4, 1, 4) of exp(-||a - b||^2 / (2 s d)). Two draws of the
prior are 2 d apart (squared), so in every dimension the bandwidths go from holes between codes to the whole cloud; they
are fixed rather than a median of the codes, so that two models are scored by one measure. k(a, a) = 1.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.special import ndtri

from aimgan import noise
from aimgan.errors import AimganError
from aimgan.metrics.chi_square import chi_square_cdf
from aimgan.metrics.sums import require_finite, require_samples

BANDWIDTHS = (1 / 64, 1 / 16, 1 / 4, 1.0, 4.0)  # variances of the kernels, in units of the dimension
DIRECTIONS = 256
_BLOCK = 1000  # rows of a kernel matrix held at once: 80 MB for 10,000 columns


def mmd(codes: Float[Tensor, "n d"], reference: Float[Tensor, "m d"]) -> float:
    """Return the squared maximum mean discrepancy of two samples, unbiased (Gretton et al. 2012, equation 3).

    E k(x, x') - 2 E k(x, y) + E k(y, y'), x != x' and y != y' draws. Its mean is 0 for equal distributions, so it may
    be negative. Raises AimganError for fewer than 2 rows, unlike dimensions or non-finite numbers.
    """
    if codes.shape[1] != reference.shape[1]:
        raise AimganError(f"got codes of dimension {codes.shape[1]}, expected the reference's {reference.shape[1]}")
    a, b = _checked(codes), _checked(reference)
    return _mean_within(a) - 2 * _kernel_total(a, b) / (len(a) * len(b)) + _mean_within(b)


def mmd_to_standard_normal(codes: Float[Tensor, "n d"]) -> float:
    """Return the squared maximum mean discrepancy of codes from N(0, I), unbiased, with the prior's part exact.

    With v = s d, E_y k(x, y) = (v / (v + 1))^(d/2) exp(-||x||^2 / (2 (v + 1))) and E_{y,y'} k = (v / (v + 2))^(d/2),
    each averaged over s: what `mmd` tends to as the reference grows, without its noise. Raises AimganError as `mmd`.
    """
    x = _checked(codes)
    dimension, square = x.shape[1], x.square().sum(1)
    cross = sum(
        (v / (v + 1)) ** (dimension / 2) * float((-square / (2 * (v + 1))).exp().mean()) for v in _variances(dimension)
    ) / len(BANDWIDTHS)
    return _mean_within(x) - 2 * cross + _prior_kernel_mean(dimension)


def mmd_floor(n: int, dimension: int) -> float:
    """Return the standard deviation of `mmd_to_standard_normal` on n draws of the prior itself, exactly; its mean is 0.

    sqrt(2 E c^2 / (n (n - 1))), c(x, y) the kernel centred on the prior: E c^2 = E k^2 - 2 E (E_y k)^2 + (E k)^2.
    """
    half, variances = dimension / 2, _variances(dimension)
    pairs = [(v, w) for v in variances for w in variances]
    kernel_square = sum((1 + 2 * (1 / v + 1 / w)) ** -half for v, w in pairs) / len(pairs)
    mean_square = sum(
        (v / (v + 1) * w / (w + 1)) ** half * (1 + 1 / (v + 1) + 1 / (w + 1)) ** -half for v, w in pairs
    ) / len(pairs)
    centred_square = kernel_square - 2 * mean_square + _prior_kernel_mean(dimension) ** 2
    return math.sqrt(2 * max(centred_square, 0.0) / (n * (n - 1)))


def random_directions(m: int, dimension: int, generator: torch.Generator) -> Float[Tensor, "m d"]:
    """Draw m unit vectors, uniform on the sphere."""
    draws = noise.normal(m, dimension, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(draws, dim=1)


def sliced_wasserstein(codes: Float[Tensor, "n d"], directions: Float[Tensor, "m d"]) -> float:
    """Return the sliced 2-Wasserstein distance of codes from N(0, I), in units of the prior's standard deviation.

    sqrt of the mean over directions w (m, d, of length 1) of W2^2(<codes, w>, N(0, 1)); in one dimension the i-th of
    the sorted codes goes to the normal quantile at (i - 1/2) / n. A shift by c costs |c| / sqrt(d), a scale
    of s |s - 1|. Raises AimganError as `mmd`.
    """
    x = _checked(codes)
    ranks = (torch.arange(len(x), device=x.device, dtype=torch.float64) + 0.5) / len(x)
    projected = (x @ directions.to(x).T).sort(dim=0).values
    return float((projected - ndtri(ranks)[:, None]).square().mean().sqrt())


def share_within(codes: Float[Tensor, "n d"], sigmas: int | float = 3) -> float:
    """Return the share of codes in the ball about 0 that holds as much of the prior as the 2-D disk ||z|| <= sigmas.

    The paper's "three standard deviations area" is that disk, with 1 - exp(-sigmas^2 / 2) of the prior (0.98889 for 3).
    In d dimensions the ball of radius 3 holds ever less (1e-20 for d = 64), so the mass is kept and not the radius.
    """
    x = _checked(codes)
    inside = chi_square_cdf(x.square().sum(1), x.shape[1]) <= prior_share_within(sigmas)
    return float(inside.double().mean())


def prior_share_within(sigmas: int | float = 3) -> float:
    """Return what `share_within` is for the prior itself, in every dimension."""
    return 1 - math.exp(-(sigmas**2) / 2)


def prior_matching(codes: Float[Tensor, "n d"], generator: torch.Generator) -> dict[str, Any]:
    """Score codes, drawn from q(z|x) for real x, against N(0, I), each number beside what the prior itself scores.

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
        "share_within_3_sigma_prior": prior_share_within(),
    }


def _checked(codes: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Return the codes in float64: at least 2 of them, all finite."""
    require_samples(len(codes), minimum=2)
    require_finite("codes", codes)
    return codes.double()


def _variances(dimension: int) -> list[float]:
    return [s * dimension for s in BANDWIDTHS]


def _prior_kernel_mean(dimension: int) -> float:
    """E k(y, y') for two draws of N(0, I)."""
    return sum((v / (v + 2)) ** (dimension / 2) for v in _variances(dimension)) / len(BANDWIDTHS)


def _mean_within(x: Float[Tensor, "n d"]) -> float:
    """The mean of k over pairs of different rows; a row with itself scores 1."""
    n = len(x)
    return (_kernel_total(x, x) - n) / (n * (n - 1))


def _kernel_total(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> float:
    """The sum of k over all pairs of rows, in blocks so that 10,000 by 10,000 fits."""
    total, b_square = a.new_zeros(()), b.square().sum(1)
    for rows in a.split(_BLOCK):
        distance = rows.square().sum(1)[:, None] + b_square - 2 * rows @ b.T
        widest = distance.clamp_(min=0).mul_(-1 / (2 * BANDWIDTHS[-1] * a.shape[1])).exp_()
        # Each bandwidth is a quarter of the next, so its kernel is the fourth power of the next: one exp serves all.
        for _ in BANDWIDTHS:
            total += widest.sum()
            widest = widest.square_().square_()
    return float(total) / len(BANDWIDTHS)
