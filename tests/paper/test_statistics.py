"""The statistical tests of claims: what they are, and which of SciPy's."""

from __future__ import annotations

import pytest
from scipy import stats

from aimgan.paper import statistics


@pytest.mark.filterwarnings("ignore:Precision loss:RuntimeWarning")  # of scipy's, for seeds that are all alike
@pytest.mark.parametrize("b", [[0.041, 0.047, 0.052], [0.041, 0.047, 0.052, 0.06], [0.04] * 3])
def test_the_interval_over_seeds_is_welchs(b):
    a = [0.031, 0.035, 0.030]
    found, expected = statistics.welch(a, b), stats.ttest_ind(a, b, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert found.half_width is not None
    assert found.value - found.half_width == pytest.approx(interval.low)
    assert found.value + found.half_width == pytest.approx(interval.high)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.verdict(lower=True) == "holds"
    assert found.verdict(lower=False) == "fails"
    assert "seeds (Welch)" in str(found)


def test_holms_correction_by_hand():
    assert statistics.holm([0.04, 0.01, 0.03, 0.5]) == pytest.approx([0.09, 0.04, 0.09, 0.5])
    assert statistics.holm([0.9, 0.8]) == [1.0, 1.0]
    assert statistics.holm([0.02, 0.02]) == pytest.approx([0.04, 0.04])
    assert statistics.holm([]) == []


def test_equivalence_is_two_one_sided_tests():
    values = (0.03, 0.04, 0.055)
    verdict, p = statistics.equivalence([statistics.Effect("shift", values, 0.1)])
    above = stats.ttest_1samp(values, 0.1, alternative="less").pvalue
    below = stats.ttest_1samp(values, -0.1, alternative="greater").pvalue
    assert p == pytest.approx(max(above, below))
    assert verdict == "holds"
    effect = statistics.Effect("shift", values, 0.01)
    interval = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert effect.mean.value - effect.mean.half_width == pytest.approx(interval.low)
    assert statistics.equivalence([effect])[1] == pytest.approx(
        stats.ttest_1samp(values, 0.01, alternative="greater").pvalue
    )
