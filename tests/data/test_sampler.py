from __future__ import annotations

import ast
from itertools import chain
from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aimgan import noise
from aimgan.data import Digits
from aimgan.data.sampler import indices, order

sizes = st.tuples(st.integers(1, 4), st.integers(1, 8), st.integers(1, 6), st.integers(0, 7))
quick = settings(max_examples=60, deadline=None)
DRAWS = {"noise.generator", "noise.mix", "mix", "_permutation"}  # of src/, the calls that are given labels


@given(st.integers(1, 300), st.integers(0, 2**63), st.integers(0, 10**6))
@quick
def test_an_epochs_order_is_a_permutation_and_a_function_of_its_arguments(n, seed, epoch):
    first = order(n, seed, epoch).clone()
    assert sorted(first.tolist()) == list(range(n))
    order.cache_clear()
    torch.manual_seed(epoch % 1000)
    assert torch.equal(order(n, seed, epoch), first)


def test_orders_of_other_epochs_and_seeds_differ():
    orders = {tuple(order(50, seed, epoch).tolist()) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25


@given(sizes, st.integers(0, 1000), st.integers(0, 5))
@quick
def test_an_epochs_batches_are_its_order_cut_in_pieces(size, seed, epoch):
    world, share, batches, remainder = size
    batch_size = world * share
    n = batch_size * batches + min(remainder, batch_size - 1)
    first = epoch * batches
    whole = torch.cat([indices(n, batch_size, seed, first + k) for k in range(batches)])
    assert torch.equal(whole, order(n, seed, epoch)[: batch_size * batches])
    assert len(whole.unique()) == len(whole)


@given(sizes, st.integers(0, 1000), st.integers(0, 40))
@quick
def test_ranks_part_the_batch_between_them(size, seed, step):
    world, share, batches, remainder = size
    n = world * share * batches + remainder
    parts = [indices(n, world * share, seed, step, rank, world) for rank in range(world)]
    assert all(len(part) == share for part in parts)
    assert torch.equal(torch.cat(parts), indices(n, world * share, seed, step))


def test_what_an_epoch_leaves_out_changes_from_epoch_to_epoch():
    left_out = {frozenset(range(10)) - frozenset(indices(10, 8, 0, epoch).tolist()) for epoch in range(20)}
    assert len(left_out) > 5


def test_batches_of_images_are_those_rows_of_the_data_in_zero_to_one():
    digits = Digits().load()
    pixels = digits.images.train.pixels
    for step in (0, 14, 15, 1000):
        x = digits.batch(7, step, 100)
        assert x.shape == (100, 1, 8, 8)
        assert torch.equal((x * 255).round().byte(), pixels[indices(1500, 100, 7, step)])
        halves = [digits.batch(7, step, 100, rank, 2) for rank in (0, 1)]
        assert torch.equal(torch.cat(halves), x)
    epoch = torch.cat([digits.batch(7, step, 100) for step in range(15)])
    assert torch.allclose(epoch.sum(0), pixels.sum(0) / 255)
    assert digits.shape == (1, 8, 8)
    assert (digits.epoch_size, len(digits)) == (1500, 1797)
    assert digits.test().shape == (297, 1, 8, 8)
    assert torch.equal(digits.test(5), digits.test()[:5])


# --- noise: the numbers below all of this -------------------------------------------------------------------------


def test_labels_that_begin_alike_do_not_draw_alike():
    labels = [
        "evaluate",
        "evaluate data",
        "evaluate date",
        "",
        "\x00",
        "figure samples",
        "figure sample",
        "a" * 16,
        "a" * 24,
    ]
    seeds = {noise.mix(0, label) for label in labels}
    assert len(seeds) == len(labels) - 1  # "" and "\x00" are the same number


def test_negative_integers_are_not_those_of_64_bits():
    numbers = [*range(-40, 40), -(2**63), 2**63, *range(2**64 - 40, 2**64)]
    assert len({noise.mix(number) for number in numbers}) == len(numbers)


def test_what_the_committed_runs_draw_from_is_as_it_was():
    """Changing one of these changes every result: seeds, steps and labels are hashed as in version 0.1."""
    assert noise.mix(0, "noise", 7) == 0xE92A9D601AF6AD36
    assert noise.mix(3, "weights", "G") == 0xEE519C7CBD093EAF
    assert noise.mix(2**64 - 1, "calibration noise", 12) == 0x600566E5603CD1B6


def labels_of_calls() -> dict[tuple[str | None, ...], list[str]]:
    """What is passed to `noise` in src/: literal labels as they are, and None for all else; with the places."""
    calls: dict[tuple[str | None, ...], list[str]] = {}
    for path in sorted(Path(noise.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in DRAWS:
                passed = [arg.value if isinstance(arg, ast.Constant) else None for arg in node.args]
                calls.setdefault(tuple(passed), []).append(f"{path.name}:{node.lineno}")
    return calls


def test_the_labels_of_the_package_are_different_words():
    calls = labels_of_calls()
    labels = sorted({label for call in calls for label in call if isinstance(label, str)})
    assert {"noise", "data", "order", "weights", "evaluate", "calibration noise"} <= set(labels)
    assert len({tuple(noise._words(label)) for label in labels}) == len(labels)
    joined = {tuple(chain.from_iterable([None] if part is None else noise._words(part) for part in c)) for c in calls}
    assert len(joined) == len(calls)


@given(st.lists(st.integers(-5, 2**64 + 5), min_size=1, max_size=4))
@quick
def test_seeds_are_64_bits_and_make_a_generator(numbers):
    assert 0 <= noise.mix(*numbers) < 2**64
    assert torch.equal(
        torch.rand(3, generator=noise.generator(*numbers)), torch.rand(3, generator=noise.generator(*numbers))
    )


def test_seeds_that_differ_by_one_share_nothing():
    seeds = [noise.mix(a, b) for a in range(40) for b in range(40)]
    assert len(set(seeds)) == 1600
    changed = [bin(noise.mix(a, 3) ^ noise.mix(a + 1, 3)).count("1") for a in range(500)]
    assert 30 < sum(changed) / len(changed) < 34  # half of the 64 bits


@given(st.integers(1, 4), st.integers(1, 9), st.integers(0, 99))
@quick
def test_ranks_part_a_steps_draws_between_them(world, n, seed):
    def draw(rank: int, world: int, n: int) -> list[torch.Tensor]:
        with noise.stream(noise.generator(seed), rank, world):
            return [noise.normal(n, 3), noise.normal(n, 2, 2)]

    whole = draw(0, 1, world * n)
    parts = [draw(rank, world, n) for rank in range(world)]
    for k, tensor in enumerate(whole):
        assert torch.equal(torch.cat([part[k] for part in parts]), tensor)
