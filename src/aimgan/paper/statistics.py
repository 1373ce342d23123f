"""The tests behind the verdicts on claims: over seeds, image by image, for equivalence, and for many claims at once.

Nothing is tested with fewer than three seeds of each method, nor where no score varies from seed to seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Any

import numpy as np

from aimgan.paper import student

FEWEST = 3  # seeds of each method, for a verdict
LEVEL = 0.05
NORMAL = 1.96  # standard deviations of a normal distribution that hold 95 % of it: images are thousands


def untested(*samples: Sequence[float]) -> str | None:
    """Return why samples over seeds are not tested; None where they are."""
    fewest = min(len(of) for of in samples)
    if fewest < FEWEST:
        return f"{seeds_text(fewest)}: not tested"
    if not all(math.isfinite(value) for of in samples for value in of):
        return "a score is not finite: not tested"
    return None if any(variance(of) for of in samples) else "no variance: not tested"


def seeds_text(*counts: int) -> str:
    """Return how many seeds there are, once where all counts are alike: "one seed", "3 seeds", "3 and 2 seeds"."""
    if set(counts) == {1}:
        return "one seed"
    return f"{' and '.join(str(n) for n in dict.fromkeys(counts))} seeds"


@dataclass(frozen=True)
class Estimate:
    """A number over seeds with the half width of its 95 % interval and its two-sided p value.

    `untested` says why it has neither of the two; `over` says what the interval is over.
    """

    value: float
    over: str
    half: float | None = None
    p: float | None = None
    untested: str | None = None

    def __str__(self) -> str:
        """The number as a table shows it."""
        if self.half is None:
            return f"{self.value:+.4g} ({self.over})"
        return f"{self.value:+.4g} ± {self.half:.2g} over {self.over}"

    def verdict(self, lower: bool, than: float = 0.0) -> str:
        """Return whether the number is lower (or higher) than another: undecided where its interval has both."""
        if self.untested or self.half is None:
            return self.untested or "not tested"
        if abs(self.value - than) <= self.half:
            return "undecided"
        return "holds" if (self.value < than) == lower else "fails"


def welch(a: Sequence[float], b: Sequence[float]) -> Estimate:
    """Return the difference of two methods' means over seeds, a - b, with Welch's interval and his test that it is 0.

    Neither of the methods needs to have the other's seeds, or as many.
    """
    value, counts = fmean(a) - fmean(b), seeds_text(len(a), len(b))
    if reason := untested(a, b):
        return Estimate(value, counts, untested=reason)
    parts = [variance(of) / len(of) for of in (a, b)]
    error = math.sqrt(sum(parts))
    # Shares of the variance, and not variances: the square of a tiny variance is 0.
    shares = [part / sum(parts) for part in parts]
    freedom = 1 / sum(share**2 / (len(of) - 1) for share, of in zip(shares, (a, b), strict=True))
    half = student.quantile(1 - LEVEL / 2, freedom) * error
    return Estimate(value, f"{counts} (Welch)", half, student.two_sided(value / error, freedom))


def mean_of(values: Sequence[float], than: float) -> Estimate:
    """Return the mean over seeds with Student's interval, and his test that it is `than`."""
    value, counts = fmean(values), seeds_text(len(values))
    if reason := untested(values):
        return Estimate(value, counts, untested=reason)
    error, freedom = math.sqrt(variance(values) / len(values)), len(values) - 1
    half = student.quantile(1 - LEVEL / 2, freedom) * error
    return Estimate(value, f"{counts} (Student)", half, student.two_sided((value - than) / error, freedom))


@dataclass(frozen=True)
class Effect:
    """What should be 0, over seeds, and how far from it counts as nothing."""

    name: str
    values: tuple[float, ...]
    margin: float

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return fmean(self.values)

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        return math.sqrt(variance(self.values) / len(self.values))

    @property
    def half(self) -> float:
        """The half width of the 90 % interval: two one-sided tests at 5 %."""
        return student.quantile(1 - LEVEL, len(self.values) - 1) * self.error

    @property
    def p_inside(self) -> float:
        """The p value of the test that shows that the effect is within its margin."""
        return student.cdf((abs(self.mean) - self.margin) / self.error, len(self.values) - 1)

    @property
    def p_outside(self) -> float:
        """The p value of the test that shows that the effect is beyond its margin."""
        return student.cdf((self.margin - abs(self.mean)) / self.error, len(self.values) - 1)

    def __str__(self) -> str:
        """The effect as a table shows it."""
        spread = "" if untested(self.values) else f" ± {self.half:.2g}"
        return f"{self.name} {self.mean:+.3g}{spread} (margin {self.margin:g})"


def equivalence(effects: Sequence[Effect]) -> tuple[str, float | None]:
    """Return whether all effects are within their margins, and a p value (two one-sided tests of each at 5 %).

    It holds if every 90 % interval is inside its margin, and fails if one effect is larger than its margin. The p value
    is of
    equivalence (the largest of all one-sided tests) where all means are inside their margins, and of a larger effect
    where one is outside: the smallest of all, times their number, since any of them would do (Bonferroni).
    """
    for effect in effects:
        if reason := untested(effect.values):
            return reason, None
    if all(abs(effect.mean) <= effect.margin for effect in effects):
        p = max(effect.p_inside for effect in effects)
        return ("holds" if p < LEVEL else "undecided"), p
    p = min(1.0, len(effects) * min(effect.p_outside for effect in effects))
    return ("fails" if p < LEVEL else "undecided"), p


def holm(values: Sequence[float]) -> list[float]:
    """Return p values adjusted for being tested at once (Holm 1979), in the order given."""
    adjusted, largest = [0.0] * len(values), 0.0
    for rank, k in enumerate(sorted(range(len(values)), key=lambda k: values[k])):
        largest = max(largest, min(1.0, (len(values) - rank) * values[k]))
        adjusted[k] = largest
    return adjusted


def by_image(a: np.ndarray, b: np.ndarray) -> dict[str, Any]:
    """Return the mean difference of two models' errors on the same images, and how far the errors correlate.

    The 95 % interval is over images, and paired: of the differences image by image. It says nothing about other seeds.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    difference = a - b
    varies = a.std() > 0 and b.std() > 0
    return {
        "difference": float(difference.mean()),
        "half_width": float(NORMAL * difference.std(ddof=1) / math.sqrt(len(difference))),
        "correlation": float(np.corrcoef(a, b)[0, 1]) if varies else None,
    }
