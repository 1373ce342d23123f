"""The formulas of benchmarks/scaling_model.py: counts against the networks, all-reduces against one played through."""

from __future__ import annotations

import pytest
from scaling_model import SIZES, Fit, counts, family, fitted, ring_bytes, sent_seconds, step_seconds

from aimgan.networks import Table4


def played_ring(n: int, parts: list[list[float]]) -> tuple[list[list[float]], list[int]]:
    """Reduce and gather around a ring of n ranks, a part at a time; the sums, and how many parts each rank sent."""
    held, sent = [list(p) for p in parts], [0] * n
    for turn in range(2 * (n - 1)):
        moving = [(rank, (rank - turn) % n) for rank in range(n)]
        values = [held[rank][part] for rank, part in moving]
        for (rank, part), value in zip(moving, values, strict=True):
            target = (rank + 1) % n
            held[target][part] = value + (held[target][part] if turn < n - 1 else 0.0)
            sent[rank] += 1
    return held, sent


@pytest.mark.parametrize("n", [2, 3, 8])
def test_a_ring_sends_what_its_formula_says(n: int) -> None:
    parts = [[float(10 * rank + part) for part in range(n)] for rank in range(n)]
    held, sent = played_ring(n, parts)
    assert held == [[sum(column) for column in zip(*parts, strict=True)]] * n
    assert [count / n for count in sent] == [ring_bytes(n, 1.0)] * n


def test_counts_of_table_4() -> None:
    c = counts(Table4())
    assert c.updates == (11_019_904 + 16_385, 12_068_611 + 13_216_384)  # science.md 3
    assert c.flop * 100 == pytest.approx(839.9e9, rel=1e-3)


def test_the_fit_finds_what_made_the_times() -> None:
    truth = Fit(0.01, 0.013, 0.017, 0.0013, latency=3e-4, link=1.5e9, contention=1.1, flat=0.002)
    of = {width: counts(family(width)) for width, _ in SIZES}
    times = {(n, w, b): step_seconds(truth, of[w], b, n) for w, b in SIZES for n in (1, 2)}
    found = fitted(times, {size: truth.latency + size / truth.link for size in (2**12, 2**18, 2**23)})
    assert vars(found) == pytest.approx(vars(truth), rel=1e-3)
    assert sent_seconds(truth, of[32], 1) == 0.0
