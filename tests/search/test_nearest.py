"""The exact search against a plain one: all distances in double precision, sorted, equals by row."""

from __future__ import annotations

import numpy as np
import pytest

from aimgan.search import nearest


def plain(codes: np.ndarray, z: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    distances = np.linalg.norm(codes[None].astype(np.float64) - z[:, None].astype(np.float64), axis=2)
    rows = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, rows, axis=1).astype(np.float32), rows


@pytest.fixture(params=[50_000, 700, 1])
def block(request, monkeypatch) -> int:
    monkeypatch.setattr(nearest, "BLOCK", request.param)
    return request.param


@pytest.mark.parametrize("k", [1, 12, 299, 300, 10_000])
def test_the_nearest_are_those_of_a_plain_search(k, block):
    draw = np.random.default_rng(0)
    codes = draw.normal(size=(300, 16)).astype(np.float32)
    z = np.concatenate([codes[:5], draw.normal(size=(30, 16)).astype(np.float32)])
    distances, rows = nearest.exact(codes, z, k)
    true, order = plain(codes, z, k)
    assert rows.shape == (35, min(k, 300))
    assert (rows == order).all()
    np.testing.assert_allclose(distances, true, atol=1e-6)


@pytest.mark.parametrize("k", [1, 5, 40, 99, 100])
def test_equal_codes_come_in_the_order_of_their_rows(k, block):
    """More of them than are asked for, at the last place too: the first rows are the ones that are returned."""
    draw = np.random.default_rng(1)
    codes = draw.normal(size=(5, 3)).astype(np.float32)[draw.integers(0, 5, 100)]
    z = draw.normal(size=(8, 3)).astype(np.float32)
    assert (nearest.exact(codes, z, k)[1] == plain(codes, z, k)[1]).all()
    same = np.zeros((100, 3), np.float32)
    assert nearest.exact(same, z, k)[1].tolist() == [[*range(k)]] * 8


def test_codes_at_nearly_the_same_distance_are_told_apart(block):
    """In single precision they are at the same one, or in another order: what is nearer in truth comes first."""
    draw = np.random.default_rng(4)
    directions = draw.normal(size=(400, 64))
    directions *= (10 + 1e-5 * draw.random((400, 1))) / np.linalg.norm(directions, axis=1, keepdims=True)
    codes, z = directions.astype(np.float32), np.zeros((1, 64), np.float32)
    assert (nearest.exact(codes, z, 5)[1] == plain(codes, z, 5)[1]).all()


def test_codes_that_are_no_numbers_come_last(block):
    codes = np.zeros((20, 2), np.float32)
    codes[:, 0] = np.arange(20)[::-1]
    codes[[3, 19]], codes[8] = np.nan, np.inf
    distances, rows = nearest.exact(codes, np.zeros((1, 2), np.float32), 20)
    assert rows[0, :17].tolist() == [k for k in range(18, -1, -1) if k not in (3, 8)]
    assert not np.isfinite(distances[0, 17:]).any()


def test_many_are_searched_for_in_parts(monkeypatch):
    monkeypatch.setattr(nearest, "MOST", 7 * 60)
    draw = np.random.default_rng(3)
    codes, z = (draw.normal(size=(n, 4)).astype(np.float32) for n in (60, 50))
    assert (nearest.exact(codes, z, 3)[1] == plain(codes, z, 3)[1]).all()
    assert nearest.exact(codes, z[:0], 3)[1].shape == (0, 3)
    assert nearest.exact(codes[:0], z, 3)[1].shape == (50, 0)
