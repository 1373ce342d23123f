"""The tests behind verdicts, against scipy's, which the package itself does without."""

from __future__ import annotations

import pytest
from scipy import stats

from aimgan.paper import statistics, student


@pytest.mark.parametrize("freedom", [1, 2, 2.0001, 3.7, 10, 300.5, 1e6])
def test_students_t_is_scipys(freedom):
    for t in (0.0, 1e-9, 0.3, 1.0, 4.3, 60.0, 1e9):
        for signed in (t, -t):
            assert student.cdf(signed, freedom) == pytest.approx(stats.t.cdf(signed, freedom), rel=1e-8, abs=1e-300)
        assert student.two_sided(t, freedom) == pytest.approx(2 * stats.t.sf(t, freedom), rel=1e-8, abs=1e-300)
    for share in (0.001, 0.05, 0.3, 0.5, 0.95, 0.975, 0.9999):
        assert student.quantile(share, freedom) == pytest.approx(stats.t.ppf(share, freedom), rel=1e-8)


def test_the_incomplete_beta_function_has_its_ends():
    assert student.incomplete_beta(0.0, 1.0, 2.0, 0.5) == 0
    assert student.incomplete_beta(1.0, 0.0, 2.0, 0.5) == 1
    assert student.two_sided(1e200, 4) == 0  # its square is infinite


@pytest.mark.filterwarnings("ignore:Precision loss:RuntimeWarning")  # of scipy's, for seeds that are all alike
@pytest.mark.parametrize("b", [[0.041, 0.047, 0.052], [0.041, 0.047, 0.052, 0.06], [0.04] * 3])
def test_the_interval_over_seeds_is_welchs(b):
    a = [0.031, 0.035, 0.030]
    found, expected = statistics.welch(a, b), stats.ttest_ind(a, b, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert found.half is not None
    assert found.value - found.half == pytest.approx(interval.low)
    assert found.value + found.half == pytest.approx(interval.high)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.verdict(lower=True) == "holds"
    assert found.verdict(lower=False) == "fails"
    assert "seeds (Welch)" in str(found)


def test_holms_correction_by_hand():
    assert statistics.holm([0.04, 0.01, 0.03, 0.5]) == pytest.approx([0.09, 0.04, 0.09, 0.5])
    assert statistics.holm([0.9, 0.8]) == [1.0, 1.0]
    assert statistics.holm([0.02, 0.02]) == pytest.approx([0.04, 0.04])
    assert statistics.holm([]) == []


def test_seeds_are_told_in_words():
    assert statistics.seeds_text(1) == "one seed"
    assert statistics.seeds_text(1, 1) == "one seed"
    assert statistics.seeds_text(3, 3) == "3 seeds"
    assert statistics.seeds_text(1, 3) == "1 and 3 seeds"


def test_equivalence_is_two_one_sided_tests():
    values = (0.03, 0.04, 0.055)
    verdict, p = statistics.equivalence([statistics.Effect("shift", values, 0.1)])
    above = stats.ttest_1samp(values, 0.1, alternative="less").pvalue
    below = stats.ttest_1samp(values, -0.1, alternative="greater").pvalue
    assert p == pytest.approx(max(above, below))
    assert verdict == "holds"
    effect = statistics.Effect("shift", values, 0.01)
    interval = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert effect.mean - effect.half == pytest.approx(interval.low)
    assert statistics.equivalence([effect])[1] == pytest.approx(
        stats.ttest_1samp(values, 0.01, alternative="greater").pvalue
    )
