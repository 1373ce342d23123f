from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aimgan.data.streaming.order import Order

quick = settings(max_examples=60, deadline=None)
sizes = st.lists(st.integers(0, 9), min_size=1, max_size=30).filter(any).map(lambda sizes: np.array(sizes, np.int64))


def taken(order: Order, seed: int, step: int, batch_size: int, rank: int = 0, world: int = 1) -> list[int]:
    """The images of a batch, from its slices of windows."""
    parts = order.parts(seed, step, batch_size, rank, world)
    return [int(image) for part in parts for image in part.window.images[part.start : part.stop]]


@given(sizes, st.integers(1, 40), st.integers(0, 2**63), st.integers(0, 10**6))
@quick
def test_an_epoch_has_every_image_once_window_by_window(sizes, buffer, seed, epoch):
    order, n = Order(sizes, buffer), int(sizes.sum())
    images = taken(order, seed, epoch, n)
    assert len(order) == n
    assert sorted(images) == list(range(n))
    ends = np.cumsum(sizes)
    seen: list[int] = []
    for part in order.parts(seed, epoch, n):
        groups = {int(np.searchsorted(ends, image, "right")) for image in part.window.images}
        assert groups == set(part.window.groups.tolist())
        assert not groups & set(seen)
        assert len(part.window.images) <= buffer or len(groups) == 1
        seen += groups


@given(sizes, st.integers(1, 40), st.integers(0, 1000), st.integers(1, 4), st.integers(1, 3), st.integers(0, 40))
@quick
def test_a_batch_is_the_same_after_a_jump_and_is_the_ranks_shares(sizes, buffer, seed, world, share, step):
    batch_size = world * share
    if batch_size > sizes.sum():
        return
    walked = Order(sizes, buffer)
    whole = [taken(walked, seed, k, batch_size) for k in range(step + 1)][-1]
    torch.manual_seed(step)  # which must not matter
    jumped = Order(sizes, buffer)
    assert taken(jumped, seed, step, batch_size) == whole
    shares = [taken(jumped, seed, step, batch_size, rank, world) for rank in range(world)]
    assert [image for share in shares for image in share] == whole


def test_what_takes_much_room_is_taken_in_smaller_windows_and_other_epochs_differ():
    sizes = np.full(10, 5)
    assert {len(part.window.groups) for part in Order(sizes, 20).parts(0, 0, 50)} == {4, 2}
    assert {len(part.window.groups) for part in Order(sizes, 20, np.full(10, 10)).parts(0, 0, 50)} == {2}
    assert len({tuple(taken(Order(sizes, 20), seed, epoch, 50)) for seed in range(4) for epoch in range(4)}) == 16
