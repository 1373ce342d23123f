"""The statistical tests of the paper's claims: t-tests over seeds, equivalence, and Holm's correction.

Nothing is tested with fewer than three seeds of each method, or if a score is the same for every seed.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Any

import numpy as np
from scipy import stats

FEWEST = 3  # seeds of each method that a test needs
LEVEL = 0.05  # of significance
NORMAL = 1.96  # a normal distribution has 95 % within so many standard deviations of its mean


def untested(*samples: Sequence[float]) -> str | None:
    """Return why samples over seeds cannot be tested; None if they can."""
    fewest = min(len(sample) for sample in samples)
    if fewest < FEWEST:
        return f"{seeds_text(fewest)}: not tested"
    if not np.isfinite(np.concatenate(samples)).all():
        return "a score is not finite: not tested"
    if not any(variance(sample) for sample in samples):
        return "no variance: not tested"
    return None


def seeds_text(*counts: int) -> str:
    """Return numbers of seeds in words, each once: "one seed", "3 seeds", "3 and 2 seeds"."""
    if set(counts) == {1}:
        return "one seed"
    return f"{' and '.join(str(n) for n in dict.fromkeys(counts))} seeds"


@dataclass(frozen=True)
class Estimate:
    """A mean, or a difference of means, over seeds.

    `half_width` is that of its 95 % confidence interval, `p` the two-sided p value; or `untested` says why there are
    neither. `over` says what the interval is over.
    """

    value: float
    over: str
    half_width: float | None = None
    p: float | None = None
    untested: str | None = None

    def __str__(self) -> str:
        """The estimate as a table shows it."""
        if self.half_width is None:
            return f"{self.value:+.4g} ({self.over})"
        return f"{self.value:+.4g} ± {self.half_width:.2g} over {self.over}"

    def verdict(self, lower: bool, than: float = 0.0) -> str:
        """Return whether the value is lower (or higher) than another; undecided if the interval contains that."""
        if self.untested or self.half_width is None:
            return self.untested or "not tested"
        if abs(self.value - than) <= self.half_width:
            return "undecided"
        return "holds" if (self.value < than) == lower else "fails"


def welch(a: Sequence[float], b: Sequence[float]) -> Estimate:
    """Return mean(a) - mean(b) over seeds, with Welch's t-test that it is 0. The samples are independent."""
    value = fmean(a) - fmean(b)
    seeds = seeds_text(len(a), len(b))
    if reason := untested(a, b):
        return Estimate(value, seeds, untested=reason)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # SciPy warns if all seeds of one method are alike
        test = stats.ttest_ind(a, b, equal_var=False)
    return _estimate(value, f"{seeds} (Welch)", test)


def mean_of(values: Sequence[float], than: float, level: float = LEVEL) -> Estimate:
    """Return the mean over seeds, with Student's t-test that it is `than`."""
    value = fmean(values)
    seeds = seeds_text(len(values))
    if reason := untested(values):
        return Estimate(value, seeds, untested=reason)
    return _estimate(value, f"{seeds} (Student)", stats.ttest_1samp(values, than), level)


def _estimate(value: float, over: str, test: Any, level: float = LEVEL) -> Estimate:
    interval = test.confidence_interval(1 - level)
    return Estimate(value, over, float(interval.high - interval.low) / 2, float(test.pvalue))


@dataclass(frozen=True)
class Effect:
    """A quantity over seeds that should be 0, and the equivalence margin: how far from 0 makes no difference."""

    name: str
    values: tuple[float, ...]
    margin: float

    @property
    def mean(self) -> Estimate:
        """The mean over seeds, with its 90 % confidence interval, which goes with two one-sided tests at 5 %."""
        return mean_of(self.values, 0.0, 2 * LEVEL)

    @property
    def p_inside(self) -> float:
        """The p value of equivalence: the larger one of two one-sided tests, that the mean is above -m and below m."""
        below = stats.ttest_1samp(self.values, self.margin, alternative="less").pvalue
        above = stats.ttest_1samp(self.values, -self.margin, alternative="greater").pvalue
        return float(max(below, above))

    def __str__(self) -> str:
        """The effect as a table shows it."""
        mean = f"{self.mean.value:+.3g}"
        if self.mean.half_width is not None:
            mean += f" ± {self.mean.half_width:.2g}"
        return f"{self.name} {mean} (margin {self.margin:g})"


def equivalence(effects: Sequence[Effect]) -> tuple[str, float | None]:
    """Test whether all effects are within their margins (two one-sided tests of each), and return verdict and p value.

    If every mean is inside its margin, the p value is that of equivalence: the largest of the tests'. If one is
    outside, it is that of a difference beyond the margin: the smallest of the tests' times their number (Bonferroni),
    because any of the effects would do.
    """
    for effect in effects:
        if reason := untested(effect.values):
            return reason, None
    inside = [effect.p_inside for effect in effects]
    if all(abs(effect.mean.value) <= effect.margin for effect in effects):
        verdict, p = "holds", max(inside)
    else:
        verdict, p = "fails", min(1.0, len(effects) * (1 - max(inside)))  # 1 - p: the opposite one-sided test
    if p >= LEVEL:
        verdict = "undecided"
    return verdict, p


def holm(values: Sequence[float]) -> list[float]:
    """Return p values corrected for multiple testing by Holm's (1979) step-down method, in the order given."""
    corrected = [0.0] * len(values)
    largest = 0.0
    for rank, k in enumerate(np.argsort(values, kind="stable")):
        largest = max(largest, min(1.0, (len(values) - rank) * values[k]))
        corrected[k] = largest
    return corrected


def by_image(a: np.ndarray, b: np.ndarray) -> dict[str, Any]:
    """Compare two models' errors on the same images: mean difference, its 95 % confidence interval, and correlation.

    The interval is paired: it is that of the differences, image by image. It says nothing about other seeds.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    difference = a - b
    correlation = None
    if a.std() > 0 and b.std() > 0:
        correlation = float(np.corrcoef(a, b)[0, 1])
    return {
        "difference": float(difference.mean()),
        "half_width": float(NORMAL * difference.std(ddof=1) / math.sqrt(len(difference))),
        "correlation": correlation,
    }
