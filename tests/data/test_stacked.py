from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aimgan.data import Stacked, StackedSet
from aimgan.data.digits import load_digits
from aimgan.errors import AimganError

DIGITS = load_digits()
STACKED = StackedSet(DIGITS, 10)


def rows_of(x: torch.Tensor, split) -> torch.Tensor:
    """Find each channel of each picture among the digits, which differ from each other: (n, 3) row numbers."""
    inside = (x[:, :, 1:9, 1:9] * 255).round().byte().flatten(2)
    match = (inside[:, :, None] == split.pixels.flatten(1)).all(-1)
    assert bool((match.sum(-1) == 1).all())
    return match.int().argmax(-1)


def test_a_picture_is_three_digits_inside_a_black_border():
    x = STACKED.batch(0, 0, 50)
    assert x.shape == (50, 3, 10, 10)
    assert STACKED.shape == (3, 10, 10)
    assert float(x[:, :, [0, 9]].max()) == float(x[..., [0, 9]].max()) == 0
    rows = rows_of(x, DIGITS.train)
    assert len(rows.unique()) > 120  # of 150: the channels have nothing to do with each other


def test_in_an_epoch_every_digit_comes_once_in_each_channel():
    rows = torch.cat([rows_of(STACKED.batch(5, step, 100), DIGITS.train) for step in range(15)])
    assert STACKED.epoch_size == 1500
    for channel in rows.T:
        assert sorted(channel.tolist()) == list(range(1500))
    later = rows_of(STACKED.batch(5, 15, 100), DIGITS.train)
    assert not torch.equal(later, rows[:100])
    labels = DIGITS.train.labels[rows].double()
    assert torch.corrcoef(labels.T).triu(1).abs().max() < 0.1


@given(st.integers(0, 2**63), st.integers(0, 10**6), st.sampled_from([1, 2, 4]))
@settings(max_examples=15, deadline=None)
def test_a_batch_is_a_function_of_seed_and_step_and_ranks_share_it(seed, step, world):
    whole = STACKED.batch(seed, step, 8)
    torch.manual_seed(step % 1000)
    assert torch.equal(STACKED.batch(seed, step, 8), whole)
    parts = [STACKED.batch(seed, step, 8, rank, world) for rank in range(world)]
    assert torch.equal(torch.cat(parts), whole)


def test_the_test_pictures_are_always_the_same_and_their_modes_known():
    x = STACKED.test()
    assert x.shape == (297, 3, 10, 10)
    assert torch.equal(STACKED.test(20, seed=3), x[:20])
    rows = rows_of(x, DIGITS.test)
    assert all(sorted(channel.tolist()) == list(range(297)) for channel in rows.T)
    assert torch.equal(DIGITS.test.labels[rows], STACKED.test_labels())


def test_pictures_come_apart_as_they_were_put_together():
    x = STACKED.batch(0, 3, 20)
    digits = STACKED.digits_of(x)
    assert digits.shape == (60, 1, 8, 8)
    assert torch.equal(digits.view(20, 3, 8, 8), x[:, :, 1:9, 1:9])
    odd = StackedSet(DIGITS, 9)  # no border before, one pixel after
    assert torch.equal(odd.digits_of(odd.batch(0, 3, 20)), digits)


def test_frequencies_are_those_of_the_training_digits():
    expected = DIGITS.train.labels.bincount() / 1500
    assert torch.allclose(STACKED.frequencies.float(), expected)


def test_any_source_with_labels_can_be_stacked(tmp_path):
    pixels, labels = DIGITS.train.pixels[:, 0].numpy(), DIGITS.train.labels.numpy()
    np.savez(tmp_path / "digits.npz", images=pixels, labels=labels)
    stacked = Stacked(str(tmp_path / "digits.npz"), size=16).load()
    assert (stacked.shape, stacked.side, stacked.margin) == ((3, 16, 16), 14, 1)
    assert stacked.test().shape[1:] == (3, 16, 16)
    np.savez(tmp_path / "plain.npz", images=pixels)
    with pytest.raises(AimganError, match="has no labels from 0 to 9"):
        Stacked(str(tmp_path / "plain.npz"), size=16).load()


def test_what_cannot_be_stacked_is_refused():
    colour = replace(DIGITS, train=replace(DIGITS.train, pixels=DIGITS.train.pixels.expand(-1, 3, -1, -1)))
    with pytest.raises(AimganError, match=r"got digits of \(3, 8, 8\); expected grey ones"):
        StackedSet(colour, 10)
    with pytest.raises(AimganError, match="at most 7 to a side"):
        StackedSet(DIGITS, 7)
    wrong = replace(DIGITS, train=replace(DIGITS.train, labels=DIGITS.train.labels + 1))
    with pytest.raises(AimganError, match="labels from 0 to 9"):
        StackedSet(wrong, 10)
    no_nine = replace(DIGITS, train=replace(DIGITS.train, labels=DIGITS.train.labels.clamp(max=8)))
    with pytest.raises(AimganError, match="no training digit of class 9"):
        StackedSet(no_nine, 10)
