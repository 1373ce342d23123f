"""Networks between two data sets: shapes, the prior that is a data set, and the pool of images."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from aimgan import noise
from aimgan.errors import AimganError
from aimgan.networks import DataPrior, PointTranslator, Translator
from aimgan.networks.pool import Pool

N = 3


@pytest.mark.parametrize(("side", "halvings"), [(8, 0), (16, 1), (32, 2), (64, 2)])
def test_images_of_a_become_images_of_b_and_back(side: int, halvings: int) -> None:
    second = torch.zeros(5, 3, side, side, dtype=torch.uint8)
    family = Translator(width=8, blocks=1).between((1, side, side), second)
    assert (family.halvings, family.dim, family.codes) == (halvings, 3 * side**2, (3, side, side))
    x, z = torch.rand(N, 1, side, side), torch.rand(N, family.dim)
    assert family.G()(z).shape == x.shape
    for kind in ("gaussian", "unit", "point"):
        q = family.E(False, kind)(x)
        assert q.mean.shape == q.log_variance.shape == z.shape
        assert q.mean.abs().max() <= 1
    D = family.D()
    assert family.E()(D.features(x)).mean.shape == z.shape
    assert D(x).shape == family.D_z()(z).shape == family.D_xz()(x, z).shape == family.D_xx()(x, x).shape == (N,)
    with pytest.raises(AimganError, match="no posterior sphere"):
        family.E(True, "sphere")


def test_other_samples_than_square_images_are_refused() -> None:
    with pytest.raises(AimganError, match=r"got samples of \(1, 10, 10\) in A"):
        Translator(shape=(1, 10, 10))


def test_points_have_the_dimensions_of_both_data_sets() -> None:
    family = PointTranslator().between((2,), torch.zeros(5, 3))
    assert (family.shape, family.dim) == ((2,), 3)
    assert family.G()(torch.zeros(N, 3)).shape == (N, 2)


# The prior.


def test_draws_are_samples_each_as_likely_as_the_others() -> None:
    prior = DataPrior(1, torch.arange(10.0)[:, None])
    counts = prior.sample(20_000, noise.generator(0)).flatten().long().bincount(minlength=10)
    assert len(counts) == 10
    assert ((counts - 2_000).abs() < 5 * 2_000**0.5).all()


def test_bytes_become_the_range_of_the_networks() -> None:
    pixels = torch.tensor([0, 255, 51], dtype=torch.uint8).view(1, 3, 1, 1)
    torch.testing.assert_close(DataPrior(3, pixels, (-1.0, 1.0)).sample(1), torch.tensor([[-1.0, 1.0, -0.6]]))


def test_processes_draw_together_what_one_draws() -> None:
    prior = DataPrior(1, torch.arange(1_000.0)[:, None])

    def draw(n: int, rank: int, world: int) -> Tensor:
        with noise.stream(noise.generator(3), rank, world):
            return prior.sample(n)

    assert torch.equal(torch.cat([draw(4, 0, 2), draw(4, 1, 2)]), draw(8, 0, 1))


def test_a_prior_without_samples_says_so() -> None:
    with pytest.raises(AimganError, match="a second data set, which is not saved with it"):
        DataPrior(2).sample(1)
    assert DataPrior(2, torch.zeros(4, 2)).state_dict() == {}


# The pool, against the definition: an image meets a place; an empty place keeps it; a full one swaps half of the time.


def remembered(pool: Pool, x: Tensor, source: Any) -> Tensor:
    with noise.stream(source):
        return pool(x)


def test_a_pool_returns_each_image_or_an_earlier_one_and_keeps_the_other() -> None:
    pool, source = Pool((1,), size=4), noise.generator(1)
    kept: set[float] = set()
    swaps, given = 0, 0
    for step in range(200):
        x = 1 + 2.0 * step + torch.arange(2.0)[:, None] / 2
        out = remembered(pool, x, source)
        full = len(kept) == 4
        for own, got in zip(x.flatten().tolist(), out.flatten().tolist(), strict=True):
            assert got == own or got in kept
            given, swaps = given + full, swaps + (full and got != own)
        now = {value for value in pool.images.flatten().tolist() if value}
        assert now <= kept | set(x.flatten().tolist())
        assert kept | set(x.flatten().tolist()) == now | set(out.flatten().tolist())  # nothing is lost
        kept = now
    assert 0.4 < swaps / given < 0.6


def test_images_beyond_the_size_of_the_pool_pass_by() -> None:
    pool = Pool((1,), size=2)
    x = torch.arange(1.0, 6.0)[:, None]
    assert torch.equal(remembered(pool, x, noise.generator(0)), x)
    again = remembered(pool, 10 + x, noise.generator(2))
    assert torch.equal(again[2:], 10 + x[2:])
