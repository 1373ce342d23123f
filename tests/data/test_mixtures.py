from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from aimgan.data import Grid, Mixture, Ring, Unbalanced
from aimgan.errors import AimganError
from aimgan.noise import generator

TILTED = Mixture(
    means=[[0.0, 1.0, -2.0], [3.0, 0.0, 1.0]],
    covariances=torch.tensor(
        [[[2.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.0, 0.2, 0.5]], [[0.1, 0, 0], [0, 1, 0], [0, 0, 3]]]
    ),
    weights=[3, 1],
)


def test_moments_of_a_mixture_are_those_of_its_formula():
    x = TILTED.sample(200_000, generator(0)).double()
    means, covariances, weights = TILTED.means.double(), TILTED.covariances.double(), TILTED.weights.double()
    mean = weights @ means
    outer = torch.einsum("ki,kj->kij", means, means)
    covariance = torch.einsum("k,kij->ij", weights, covariances + outer) - torch.outer(mean, mean)
    assert torch.allclose(x.mean(0), mean, atol=0.02)
    assert torch.allclose(x.T.cov(), covariance, atol=0.05)


def test_each_component_has_its_weight_mean_and_covariance():
    x, component = TILTED.labelled(200_000, generator(1))
    assert torch.allclose(component.bincount() / len(x), torch.tensor([0.75, 0.25]), atol=0.005)
    for k in range(2):
        own = x[component == k]
        assert torch.allclose(own.mean(0), TILTED.means[k], atol=0.03)
        assert torch.allclose(own.T.cov(), TILTED.covariances[k], atol=0.05)
        # Every direction of a component is Gaussian.
        direction = torch.tensor([0.6, 0.0, 0.8])
        projected = (own - TILTED.means[k]) @ direction / (direction @ TILTED.covariances[k] @ direction).sqrt()
        assert stats.kstest(projected[:5_000].numpy(), "norm").pvalue > 1e-3


def test_the_grid_is_srivastavas_25():
    grid = Grid().load()
    assert sorted(map(tuple, grid.means.tolist())) == [(a, b) for a in range(-4, 5, 2) for b in range(-4, 5, 2)]
    assert torch.allclose(grid.covariances, 0.05**2 * torch.eye(2).expand(25, 2, 2))
    assert torch.allclose(grid.weights, torch.full((25,), 1 / 25))
    x, component = grid.labelled(50_000, generator(0))
    assert stats.chisquare(component.bincount().numpy()).pvalue > 1e-3
    distance = (x - grid.means[component]).norm(dim=1) / 0.05
    assert float((distance <= 3).double().mean()) == pytest.approx(1 - math.exp(-4.5), abs=0.002)


def test_the_ring_lies_on_its_circle():
    ring = Ring(count=8, radius=2.0, std=0.02).load()
    assert torch.allclose(ring.means.norm(dim=1), torch.full((8,), 2.0))
    gaps = torch.cdist(ring.means, ring.means).sort(dim=1).values[:, 1]
    assert torch.allclose(gaps, torch.full((8,), 4 * math.sin(math.pi / 8)), atol=1e-5)


def test_the_unbalanced_grid_is_the_grid_turned_with_weights_from_1_to_10():
    mixture, grid = Unbalanced().load(), Grid().load()
    corner = complex(*mixture.means[0].tolist()) / complex(*grid.means[0].tolist())
    assert abs(corner) == pytest.approx(1)
    assert math.degrees(math.atan2(corner.imag, corner.real)) == pytest.approx(30, abs=1e-4)
    assert torch.allclose(torch.cdist(mixture.means, mixture.means), torch.cdist(grid.means, grid.means), atol=1e-4)
    assert len(mixture.means[:, 0].round(decimals=3).unique()) == 25  # one coordinate of the straight grid takes five
    assert torch.equal(mixture.covariances, grid.covariances)
    weights = mixture.weights.double().sort().values
    assert float(weights[-1] / weights[0]) == pytest.approx(10, rel=1e-5)
    assert torch.allclose(weights[1:] / weights[:-1], torch.full((24,), 10 ** (1 / 24)).double(), rtol=1e-5)
    counts = mixture.labelled(50_000, generator(0))[1].bincount()
    expected = 50_000 * mixture.weights.double() / mixture.weights.double().sum()
    assert stats.chisquare(counts.numpy(), expected.numpy()).pvalue > 1e-3


def test_the_unbalanced_weights_have_no_trend_along_the_grid_nor_outwards():
    ranks = Unbalanced().load().weights.argsort().argsort().double()
    assert sorted(ranks.tolist()) == list(range(25))
    i, j = torch.meshgrid(torch.arange(5.0), torch.arange(5.0), indexing="ij")
    for direction in (i, j, i + j, i - j, (i - 2).abs() + (j - 2).abs()):
        assert abs(float(torch.corrcoef(torch.stack([ranks, direction.flatten().double()]))[0, 1])) < 0.2
    for line in (*ranks.view(5, 5), *ranks.view(5, 5).T):
        assert not torch.equal(line, line.sort().values)


def test_an_unbalanced_grid_of_ratio_1_at_no_angle_is_the_grid():
    mixture, grid = Unbalanced(angle=0, ratio=1).load(), Grid().load()
    assert torch.equal(mixture.batch(3, 7, 100), grid.batch(3, 7, 100))


@pytest.mark.parametrize("dimension", [1, 2, 5, 64])
def test_any_dimension_and_every_way_to_give_a_covariance(dimension):
    means = torch.randn(3, dimension, generator=generator(dimension))
    ways = (0.25, [0.25] * 3, 0.25 * torch.eye(dimension).expand(3, dimension, dimension), np.full(3, 0.25))
    mixtures = [Mixture(means, way if isinstance(way, (float, list)) else torch.as_tensor(way)) for way in ways]
    for mixture in mixtures:
        assert mixture.shape == (dimension,)
        assert torch.equal(mixture.sample(7, generator(0)), mixtures[0].sample(7, generator(0)))
    x, component = mixtures[0].labelled(20_000, generator(0))
    assert float((x - means[component]).std()) == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(2), 1.0), r"means have shape \(2,\); expected \(components, dimension\)"),
        (([], 1.0), r"means have shape \(0,\)"),
        (([[]], 1.0), r"means have shape \(1, 0\)"),
        (([[math.nan, 0.0]], 1.0), "all finite"),
        (([[0.0, 0.0]], torch.eye(2)), r"covariances have shape \(2, 2\); expected a number, \(1,\) or \(1, 2, 2\)"),
        (([[0.0], [1.0]], [1.0, 1.0, 1.0]), r"covariances have shape \(3,\)"),
        (([[0.0, 0.0]], torch.ones(1, 3, 3)), r"covariances have shape \(1, 3, 3\)"),
        (([[0.0], [1.0]], [1.0, 0.0]), "covariance 1 is not symmetric and positive definite"),
        (([[0.0], [1.0]], -1.0), "covariance 0 is not"),
        (([[0.0, 0.0]], torch.tensor([[[1.0, 2.0], [2.0, 1.0]]])), "covariance 0 is not"),
        (([[0.0, 0.0]], torch.tensor([[[1.0, 0.5], [0.0, 1.0]]])), "covariance 0 is not symmetric"),
        (([[0.0]], math.nan), "covariance 0 is not"),
        (([[0.0], [1.0]], 1.0, [1.0]), r"weights have shape \(1,\); expected \(2,\), finite and above zero"),
        (([[0.0], [1.0]], 1.0, [1.0, 0.0]), "above zero"),
        (([[0.0], [1.0]], 1.0, [1.0, math.inf]), "finite"),
    ],
)
def test_what_is_no_mixture_is_refused(arguments, message):
    with pytest.raises(AimganError, match=message):
        Mixture(*arguments)


def test_a_grid_of_nothing_is_refused():
    for wrong in (
        Grid(side=0),
        Grid(std=0.0),
        Ring(count=0),
        Ring(std=-0.0),
        Unbalanced(ratio=0.5),
        Unbalanced(ratio=math.nan),
        Unbalanced(angle=math.nan),
        Unbalanced(std=0.0),
    ):
        with pytest.raises(AimganError):
            wrong.load()


@given(st.integers(0, 2**63), st.integers(0, 10**9), st.sampled_from([1, 2, 3, 4]), st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_a_batch_is_a_function_of_seed_and_step_and_ranks_share_it(seed, step, world, share):
    grid = Grid().load()
    whole = grid.batch(seed, step, world * share)
    torch.manual_seed(step % 1000)  # torch's own generator has no part in it
    assert torch.equal(grid.batch(seed, step, world * share), whole)
    parts = [grid.batch(seed, step, world * share, rank, world) for rank in range(world)]
    assert torch.equal(torch.cat(parts), whole)


def test_batches_of_other_seeds_and_steps_are_other_samples_and_the_test_stream_is_its_own():
    grid = Grid().load()
    drawn = [grid.batch(seed, step, 64) for seed in range(4) for step in range(4)]
    drawn += [grid.test(64), grid.test(64, seed=1)]
    drawn.append(grid.sample(64, generator(0, "evaluate data")))
    assert len(torch.cat(drawn).unique(dim=0)) == 64 * len(drawn)
    assert torch.equal(grid.test(64), grid.test(64))
    assert grid.epoch_size == 100_000
