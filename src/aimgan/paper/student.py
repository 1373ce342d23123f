"""Student's t distribution in plain Python: scipy is no dependency of the package.

With v degrees of freedom, P(|T| > t) = I_x(v / 2, 1 / 2) for x = v / (v + t^2), where I is the regularised incomplete
beta function. It is computed by its continued fraction (Abramowitz and Stegun, 26.5.8 and 26.7.1).
"""

from __future__ import annotations

import math

TERMS = 10_000  # of the continued fraction, at most: it takes about sqrt(max(a, b))
PRECISION = 1e-15
TINY = 1e-300  # stands for a denominator of 0


def two_sided(t: float, freedom: float) -> float:
    """Return P(|T| > |t|)."""
    square = t * t
    if square == 0:
        return 1.0
    # Both x and 1 - x are computed on their own, because a difference from 1 would lose the digits of a small one.
    return incomplete_beta(freedom / (freedom + square), 1 / (1 + freedom / square), freedom / 2, 0.5)


def cdf(t: float, freedom: float) -> float:
    """Return P(T <= t)."""
    tail = two_sided(t, freedom) / 2
    return tail if t < 0 else 1 - tail


def quantile(share: float, freedom: float) -> float:
    """Return the t with P(T <= t) = `share`, which is between 0 and 1, by bisection."""
    if share < 0.5:
        return -quantile(1 - share, freedom)
    low, high = 0.0, 1.0
    while cdf(high, freedom) < share:
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        if cdf(middle, freedom) < share:
            low = middle
        else:
            high = middle
    return low


def incomplete_beta(x: float, rest: float, a: float, b: float) -> float:
    """Return I_x(a, b), the regularised incomplete beta function, for x in [0, 1] and `rest` = 1 - x."""
    if x <= 0 or rest <= 0:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast on the other side only
        return 1 - incomplete_beta(rest, x, b, a)
    log_front = a * math.log(x) + b * math.log(rest) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return math.exp(log_front) / (a * _fraction(x, a, b))


def _fraction(x: float, a: float, b: float) -> float:
    """Return 1 + d_1 / (1 + d_2 / (1 + ...)) by Lentz's method, from the front until nothing changes any more."""
    value, ratio, inverse = 1.0, 1.0, 0.0
    for k in range(1, TERMS):
        term = _term(k, x, a, b)
        inverse = 1 / (1 + term * inverse or TINY)
        ratio = 1 + term / ratio or TINY
        value *= ratio * inverse
        if abs(ratio * inverse - 1) < PRECISION:
            break
    return value


def _term(k: int, x: float, a: float, b: float) -> float:
    """Return d_k of the continued fraction."""
    m = k // 2
    if k % 2:
        return -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
    return m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
