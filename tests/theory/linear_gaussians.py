"""Gaussians and linear-Gaussian conditionals, whose divergences and entropies are closed forms. In nats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray


def log_det(matrix: Array) -> float:
    return float(np.linalg.slogdet(matrix)[1])


@dataclass(frozen=True)
class Gaussian:
    """N(mean, cov)."""

    mean: Array
    cov: Array

    @property
    def entropy(self) -> float:
        return 0.5 * log_det(2 * np.pi * np.e * self.cov)

    def log_prob(self, x: Array) -> float:
        return -0.5 * float((x - self.mean) @ np.linalg.solve(self.cov, x - self.mean) + log_det(2 * np.pi * self.cov))

    def expected_log_prob(self, over: Gaussian) -> float:
        """E_over[log N(x; mean, cov)]."""
        return self.log_prob(over.mean) - 0.5 * float(np.trace(np.linalg.solve(self.cov, over.cov)))


@dataclass(frozen=True)
class Conditional:
    """N(slope @ given + offset, cov)."""

    slope: Array
    offset: Array
    cov: Array

    def at(self, given: Array) -> Gaussian:
        return Gaussian(self.slope @ given + self.offset, self.cov)

    def after(self, given: Gaussian) -> Gaussian:
        """The marginal."""
        return Gaussian(self.slope @ given.mean + self.offset, self.slope @ given.cov @ self.slope.T + self.cov)

    def joint(self, given: Gaussian) -> Gaussian:
        """The distribution of (given, drawn), in this order."""
        cross = given.cov @ self.slope.T
        marginal = self.after(given)
        cov = np.block([[given.cov, cross], [cross.T, marginal.cov]])
        return Gaussian(np.concatenate([given.mean, marginal.mean]), cov)

    def inverse(self, given: Gaussian) -> Conditional:
        """Bayes: the distribution of what was given, given what is drawn."""
        marginal = self.after(given)
        slope = np.linalg.solve(marginal.cov, self.slope @ given.cov).T
        return Conditional(slope, given.mean - slope @ marginal.mean, given.cov - slope @ marginal.cov @ slope.T)


def constant(marginal: Gaussian, given: int) -> Conditional:
    """A distribution that ignores what is given."""
    return Conditional(np.zeros((len(marginal.mean), given)), marginal.mean, marginal.cov)


def kl(p: Gaussian, q: Gaussian) -> float:
    """KL(p || q)."""
    return -p.entropy - q.expected_log_prob(p)


def expected_kl(p: Conditional, q: Conditional, over: Gaussian) -> float:
    """E_over[ KL(p(.|given) || q(.|given)) ]: the means' difference is itself a Gaussian."""
    difference = Gaussian(
        (p.slope - q.slope) @ over.mean + p.offset - q.offset,
        (p.slope - q.slope) @ over.cov @ (p.slope - q.slope).T + p.cov,
    )
    zero = np.zeros(len(p.offset))
    return -Gaussian(zero, p.cov).entropy - Gaussian(zero, q.cov).expected_log_prob(difference)


def expected_nll(q: Conditional, drawn: Conditional, given: Gaussian) -> float:
    """E[-log q(given | drawn)] over the joint of `given` and `drawn`: the residual is a Gaussian."""
    joint = drawn.joint(given)
    to_residual = np.hstack([np.eye(len(given.mean)), -q.slope])
    residual = Gaussian(to_residual @ joint.mean - q.offset, to_residual @ joint.cov @ to_residual.T)
    return -Gaussian(np.zeros(len(q.offset)), q.cov).expected_log_prob(residual)


def mutual_information(drawn: Conditional, given: Gaussian) -> float:
    """I(given; drawn)."""
    return 0.5 * (log_det(drawn.after(given).cov) - log_det(drawn.cov))
