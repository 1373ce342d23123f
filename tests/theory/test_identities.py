"""The identities of science.md 1, on Gaussians where both sides are closed forms.

Generator p(z) p(x|z), encoder q(x) q(z|x): z in R^2, x in R^3, all linear-Gaussian and unrelated to each other.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from linear_gaussians import (
    Array,
    Conditional,
    Gaussian,
    constant,
    expected_kl,
    expected_nll,
    kl,
    mutual_information,
)

D_Z, D_X = 2, 3


def spd(rng: np.random.Generator, n: int) -> Array:
    root = rng.normal(size=(n, n))
    return root @ root.T + 0.3 * np.eye(n)


class World:
    """The two joint distributions of section 4, and what Bayes makes of them."""

    def __init__(self, seed: int, d_x: int = D_X) -> None:
        rng = np.random.default_rng(seed)
        self.p_z = Gaussian(np.zeros(D_Z), np.eye(D_Z))
        self.p_x_z = Conditional(rng.normal(size=(d_x, D_Z)), rng.normal(size=d_x), spd(rng, d_x))
        self.q_x = Gaussian(rng.normal(size=d_x), spd(rng, d_x))
        self.q_z_x = Conditional(rng.normal(size=(D_Z, d_x)), rng.normal(size=D_Z), spd(rng, D_Z))
        self.z, self.x = rng.normal(size=D_Z), rng.normal(size=d_x)
        self.apply_bayes()

    def apply_bayes(self) -> None:
        self.p_x, self.p_z_x = self.p_x_z.after(self.p_z), self.p_x_z.inverse(self.p_z)
        self.q_z, self.q_x_z = self.q_z_x.after(self.q_x), self.q_z_x.inverse(self.q_x)

    @property
    def term_1(self) -> float:
        """E_p(z) KL(p(x|z) || q(x))."""
        return expected_kl(self.p_x_z, constant(self.q_x, D_Z), self.p_z)

    @property
    def term_2(self) -> float:
        """E_p(z) E_p(x|z)[-log q(z|x)]."""
        return expected_nll(self.q_z_x, self.p_x_z, self.p_z)

    @property
    def equation_1(self) -> float:
        return expected_kl(self.p_x_z, self.q_x_z, self.p_z) + kl(self.p_z, self.q_z)


@pytest.fixture(params=range(4))
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


def same(a: float, b: float) -> None:
    assert a == pytest.approx(b, rel=1e-9, abs=1e-9)


def nll_at(q: Conditional, drawn: Gaussian, given: Array) -> float:
    """E_drawn[-log q(given | drawn)] for one `given`."""
    residual = Gaussian(given - q.slope @ drawn.mean - q.offset, q.slope @ drawn.cov @ q.slope.T)
    return -Gaussian(np.zeros(len(given)), q.cov).expected_log_prob(residual)


# The helper itself, by sampling.


def test_the_closed_forms_are_what_samples_say(world: World) -> None:
    rng = np.random.default_rng(1)
    n = 100_000
    z = rng.normal(size=(n, D_Z))
    x = z @ world.p_x_z.slope.T + world.p_x_z.offset + rng.multivariate_normal(np.zeros(D_X), world.p_x_z.cov, n)
    error = z - x @ world.q_z_x.slope.T - world.q_z_x.offset
    nll = 0.5 * np.einsum("ni,ij,nj->n", error, np.linalg.inv(world.q_z_x.cov), error)
    nll += 0.5 * np.log(np.linalg.det(2 * np.pi * world.q_z_x.cov))
    assert world.term_2 == pytest.approx(nll.mean(), abs=5 * nll.std() / np.sqrt(n))
    gaps = [kl(world.p_x_z.at(code), world.q_x) for code in z[:4000]]
    assert world.term_1 == pytest.approx(np.mean(gaps), abs=5 * np.std(gaps) / np.sqrt(4000))
    np.testing.assert_allclose(world.p_x.cov, np.cov(x.T), atol=0.05 * np.abs(world.p_x.cov).max())


def test_bayes_agrees_with_the_joint(world: World) -> None:
    log_joint = world.p_x_z.joint(world.p_z).log_prob(np.concatenate([world.z, world.x]))
    same(log_joint, world.p_z.log_prob(world.z) + world.p_x_z.at(world.z).log_prob(world.x))
    same(log_joint, world.p_x.log_prob(world.x) + world.p_z_x.at(world.x).log_prob(world.z))


# Section 4.2.


def test_equation_2_at_one_code(world: World) -> None:
    p_x_z, z = world.p_x_z.at(world.z), world.z
    left = kl(p_x_z, world.q_x_z.at(z))
    same(left, kl(p_x_z, world.q_x) + nll_at(world.q_z_x, p_x_z, z) + world.q_z.log_prob(z))


def test_equation_3_with_the_entropy_of_the_prior(world: World) -> None:
    same(world.equation_1 + world.p_z.entropy, world.term_1 + world.term_2)
    same(world.p_z.entropy, D_Z * (1 + np.log(2 * np.pi)) / 2)


def test_term_1_is_a_kl_to_the_data_not_to_their_conditional(world: World) -> None:
    """As in Proposition 1: with q(x|z), which stands under I in our copy, equation 3 is false."""
    as_in_our_copy = expected_kl(world.p_x_z, world.q_x_z, world.p_z)
    assert abs(world.equation_1 + world.p_z.entropy - as_in_our_copy - world.term_2) > 0.01


def test_equation_1_is_the_joint_kl(world: World) -> None:
    """The chain rule: so equation 1 is no 'stronger than the constraint on the joint distributions'."""
    d = [*range(D_Z, D_Z + D_X), *range(D_Z)]
    q = world.q_z_x.joint(world.q_x)  # (x, z)
    p = world.p_x_z.joint(world.p_z)  # (z, x)
    same(world.equation_1, kl(Gaussian(p.mean[d], p.cov[np.ix_(d, d)]), q))
    same(world.equation_1, kl(world.p_x, world.q_x) + expected_kl(world.p_z_x, world.q_z_x, world.p_x))


def test_equation_1_is_zero_only_where_the_joints_agree(world: World) -> None:
    world.q_x, world.q_z_x = world.p_x, world.p_z_x
    world.apply_bayes()
    same(world.equation_1, 0)
    assert World(0).equation_1 > 0.1


# Section 4.3, corrected: the KL of q(z|x) is to the prior p(z), and equation 5's marginals are those of x.


def test_equation_4_corrected_at_one_image(world: World) -> None:
    q_z_x, x = world.q_z_x.at(world.x), world.x
    left = kl(q_z_x, world.p_z_x.at(x))
    same(left, kl(q_z_x, world.p_z) + nll_at(world.p_x_z, q_z_x, x) + world.p_x.log_prob(x))


@pytest.mark.parametrize("seed", range(4))
def test_equation_4_as_printed_is_a_slip(seed: int) -> None:
    """KL(q(z|x) || p(x)) can be written only where x and z have one dimension, and is another number there."""
    world = World(seed, d_x=D_Z)
    q_z_x, x = world.q_z_x.at(world.x), world.x
    left = kl(q_z_x, world.p_z_x.at(x))
    rest = nll_at(world.p_x_z, q_z_x, x) + world.p_x.log_prob(x)
    same(left, kl(q_z_x, world.p_z) + rest)
    assert abs(left - kl(q_z_x, world.p_x) - rest) > 0.01


def test_equation_5_corrected(world: World) -> None:
    left = expected_kl(world.q_z_x, world.p_z_x, world.q_x) + kl(world.q_x, world.p_x) + world.q_x.entropy
    to_prior = expected_kl(world.q_z_x, constant(world.p_z, D_X), world.q_x)
    same(left, to_prior + expected_nll(world.p_x_z, world.q_z_x, world.q_x))


def test_equation_5_is_the_joint_kl_the_other_way(world: World) -> None:
    """KL(q(x, z) || p(x, z)), data to model; equation 1 is KL(p(x, z) || q(x, z)), another number."""
    d = [*range(D_Z, D_Z + D_X), *range(D_Z)]
    p = world.p_x_z.joint(world.p_z)  # (z, x)
    vae = kl(world.q_z_x.joint(world.q_x), Gaussian(p.mean[d], p.cov[np.ix_(d, d)]))
    same(vae, expected_kl(world.q_z_x, world.p_z_x, world.q_x) + kl(world.q_x, world.p_x))
    assert abs(vae - world.equation_1) > 0.01


# What the game can do.


def test_a_discriminator_of_x_alone_misses_the_mutual_information(world: World) -> None:
    information = mutual_information(world.p_x_z, world.p_z)
    same(world.term_1, kl(world.p_x, world.q_x) + information)
    assert information > 0


def test_what_aim_descends_at_the_best_discriminator(world: World) -> None:
    """KL(p(x)||q(x)) + II = KL(p(x)||q(x)) + E KL(p(z|x)||q(z|x)) + H_p(z|x) = equation 1 + H_p(z|x)."""
    conditional_entropy = Gaussian(np.zeros(D_Z), world.p_z_x.cov).entropy
    descended = kl(world.p_x, world.q_x) + world.term_2
    gap = expected_kl(world.p_z_x, world.q_z_x, world.p_x)
    same(descended, kl(world.p_x, world.q_x) + gap + conditional_entropy)
    same(descended, world.equation_1 + conditional_entropy)
    same(conditional_entropy, world.p_z.entropy - mutual_information(world.p_x_z, world.p_z))


def test_at_the_best_encoder_only_the_entropy_is_left(world: World) -> None:
    world.q_z_x = world.p_z_x
    best = Gaussian(np.zeros(D_Z), world.p_z_x.cov).entropy
    same(world.term_2, best)
    for worse in (
        replace(world.p_z_x, cov=1.1 * world.p_z_x.cov),
        replace(world.p_z_x, slope=world.p_z_x.slope + 0.05),
    ):
        world.q_z_x = worse
        assert world.term_2 > best + 1e-4


def test_the_entropy_falls_without_bound_for_a_deterministic_injective_generator(world: World) -> None:
    """H_p(z|x) = d log(noise) + constant: the plain loss rewards sigma -> 0 without end."""
    noises = np.array([1e-2, 1e-3, 1e-4, 1e-5])
    inverses = [replace(world.p_x_z, cov=noise**2 * np.eye(D_X)).inverse(world.p_z) for noise in noises]
    entropies = [Gaussian(np.zeros(D_Z), inverse.cov).entropy for inverse in inverses]
    np.testing.assert_allclose(np.diff(entropies), -D_Z * np.log(10), rtol=1e-2)


def at_noise(world: World, noise: float) -> World:
    """G's noise set to `noise`, and the best encoder for it."""
    world.p_x_z = replace(world.p_x_z, cov=noise**2 * np.eye(len(world.x)))
    world.apply_bayes()
    world.q_z_x = world.p_z_x
    world.apply_bayes()
    return world


@pytest.mark.parametrize("seed", range(4))
def test_at_the_best_encoder_equation_1_is_the_gans_kl_though_its_terms_diverge(seed: int) -> None:
    """I + II - H = KL(p(x) || q(x)), whatever G's noise: I rises by d log(1 / noise), II falls by it."""
    worlds = [at_noise(World(seed, d_x=D_Z), noise) for noise in (1e-3, 1e-4)]
    for world in worlds:
        assert world.equation_1 == pytest.approx(kl(world.p_x, world.q_x), rel=1e-5)
    np.testing.assert_allclose(np.diff([world.term_1 for world in worlds]), D_Z * np.log(10), rtol=1e-2)
    np.testing.assert_allclose(np.diff([world.term_2 for world in worlds]), -D_Z * np.log(10), rtol=1e-2)


@pytest.mark.parametrize("seed", range(4))
def test_the_kl_of_x_has_no_bound_where_codes_have_fewer_dimensions(seed: int) -> None:
    """By log(1 / noise) for each dimension of x that G does not reach: here one of three."""
    worlds = [at_noise(World(seed), noise) for noise in (1e-3, 1e-4, 1e-5)]
    np.testing.assert_allclose(np.diff([kl(world.p_x, world.q_x) for world in worlds]), np.log(10), rtol=1e-2)


# Equation 8: q(z|x) with a diagonal covariance.


def bound_of_diagonals(inverse: Conditional) -> float:
    """sum_j log(2 pi e Var(z_j | x)) / 2."""
    return 0.5 * float(np.log(2 * np.pi * np.e * np.diag(inverse.cov)).sum())


def test_the_best_diagonal_encoder_has_the_variances_of_single_codes(world: World) -> None:
    variances = np.diag(world.p_z_x.cov)
    world.q_z_x = replace(world.p_z_x, cov=np.diag(variances))
    best = bound_of_diagonals(world.p_z_x)
    same(world.term_2, best)
    assert best > Gaussian(np.zeros(D_Z), world.p_z_x.cov).entropy  # a full covariance would do better
    for scale in ([1.1, 1.0], [1.0, 0.9]):
        world.q_z_x = replace(world.q_z_x, cov=np.diag(variances * scale))
        assert world.term_2 > best + 1e-4


def test_where_x_tells_no_single_code_a_diagonal_encoder_is_bounded_and_the_entropy_is_not() -> None:
    """One number made of two codes, without noise: not injective."""
    slope = np.array([[1.0, -0.7]])
    noises = np.array([1e-2, 1e-3, 1e-4, 1e-5])
    p_z = Gaussian(np.zeros(2), np.eye(2))
    inverses = [Conditional(slope, np.zeros(1), noise**2 * np.eye(1)).inverse(p_z) for noise in noises]
    entropies = [Gaussian(np.zeros(2), inverse.cov).entropy for inverse in inverses]
    np.testing.assert_allclose(np.diff(entropies), -np.log(10), rtol=1e-2)
    np.testing.assert_allclose(np.diff([bound_of_diagonals(inverse) for inverse in inverses]), 0, atol=1e-3)


def test_the_log_score_bounds_the_mutual_information_from_below(world: World) -> None:
    """E log q(z|x) - E log p(z) = I_p(x; z) - E KL(p(z|x) || q(z|x))."""
    gap = expected_kl(world.p_z_x, world.q_z_x, world.p_x)
    same(world.p_z.entropy - world.term_2, mutual_information(world.p_x_z, world.p_z) - gap)
    assert gap > 0
    world.q_z_x = constant(world.p_z, D_X)  # an encoder that looks at nothing
    same(world.term_2, world.p_z.entropy)
