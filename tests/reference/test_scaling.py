"""The formulas of benchmarks/scaling_model.py: counts against the networks, all-reduces against one played through."""

from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator
from scaling import SIZES, fitted
from scaling_model import (
    H100,
    Fit,
    all_reduce,
    bytes_a_parameter,
    counts,
    largest,
    ring_bytes,
    scaled,
    sent_seconds,
    step_seconds,
)

from aimgan.networks import StandardNormal, Table4
from aimgan.objectives.aim import AIM
from aimgan.recipes.assemble import make_player
from aimgan.training.adam import Adam
from aimgan.training.engine import Engine


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
    assert c.norms == (4 + 2 * 3 + 5) + (4 + 3 * 3 + 5)  # G, D.features, E: forward; D's backward passes are three


def test_bytes_a_parameter_are_those_of_an_engine() -> None:
    family = Table4(shape=(3, 8, 8), dim=4, width=64)
    players = {name: make_player(name, family, AIM) for name in ("G", "E", "D")}
    engine = Engine(AIM(**players, prior=StandardNormal(4)), Adam(), Accelerator(cpu=True), ema=0.9)
    buffers = {id(b) for network in players.values() for b in network.buffers()}
    state = {k: v for k, v in engine.state().items() if v.numel() > 1 and id(v) not in buffers and "running" not in k}
    c = counts(family)
    kept = sum(v.numel() * v.element_size() for v in state.values())  # weights, averages, moments
    assert kept == pytest.approx(
        (bytes_a_parameter(c) - 4 - 8 * max(c.updates) / c.parameters) * c.parameters, rel=1e-3
    )
    assert largest(H100, c) * bytes_a_parameter(c) == pytest.approx(0.9 * 80e9)


def test_the_fit_finds_what_made_the_times() -> None:
    truth = Fit(0.01, 0.013, 0.017, 0.0013, latency=3e-4, link=1.5e9, contention=1.1, flat=0.002)
    of = {width: counts(Table4(shape=(3, 32, 32), width=width)) for width, _ in SIZES}
    times = {(n, w, b): step_seconds(truth, of[w], b, n) for w, b in SIZES for n in (1, 2)}
    found = fitted(times, {size: truth.latency + size / truth.link for size in (2**12, 2**18, 2**23)})
    assert vars(found) == pytest.approx(vars(truth), rel=1e-3)
    assert sent_seconds(truth, of[32], 1) == 0.0


def test_a_step_on_gpus() -> None:
    c = counts(Table4())
    assert all_reduce(H100, 1, 1e9) == 0.0
    assert all_reduce(H100, 2, 1e9) == pytest.approx(15.2e-6 + 1e9 / (0.8 * 450e9))
    assert all_reduce(H100, 16, 1e9) > all_reduce(H100, 8, 1e9)
    steps = [scaled(H100, c, 1024, n, 0.6, 1e-5) for n in (1, 8, 64, 1024)]
    assert torch.tensor([s.arithmetic for s in steps]).diff().lt(0).all()
    assert steps[0].seconds == steps[0].graphed  # one process: a graph
    assert steps[-1].seconds > steps[-1].graphed
    assert scaled(H100, c, 100, 128, 0.6, 1e-5).limit == "less than an image a GPU"
    assert steps[-1].limit == "host: calls of kernels"
