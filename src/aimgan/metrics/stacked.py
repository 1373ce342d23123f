"""Modes of stacked digits: how many of the 1,000 are made, and how evenly (Srivastava et al. 2017, Lin et al. 2018).

A classifier names the digit in each channel, and the three classes are the picture's mode. A mode counts as captured if
one sample is of it, which is the protocol's rule; so a wrong answer of the classifier can capture one, and the real
data's own score by the same classifier belongs beside.

The protocol measures the frequencies against 1 / 1,000. MNIST's digits are not equally frequent, so a perfect generator
does not score 0 there: `mode_kl` is against the data's own frequencies, `mode_kl_uniform` the protocol's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from aimgan.errors import AimganError
from aimgan.metrics.modes import kl_divergence, kl_floor
from aimgan.metrics.sums import added, require_samples


@dataclass(frozen=True, eq=False)
class StackedCounts:
    """How many samples each mode has, (k,), in the order of `stacked_weights`; `+` joins batches and processes."""

    counts: Float[Tensor, "k"]

    @classmethod
    def of(cls, labels: Int[Tensor, "n c"], classes: int = 10) -> StackedCounts:
        """Count one batch of pictures by the classes in their c channels. Raises AimganError for other labels."""
        if len(labels) and not bool(((labels >= 0) & (labels < classes)).all()):
            low, high = int(labels.min()), int(labels.max())
            raise AimganError(f"got labels from {low} to {high}, expected 0 to {classes - 1}; another classifier?")
        channels = labels.shape[1]
        place = classes ** torch.arange(channels - 1, -1, -1, device=labels.device)
        return cls((labels.long() * place).sum(1).bincount(minlength=classes**channels).double())

    def __add__(self, other: StackedCounts) -> StackedCounts:
        """Join two parts of the samples."""
        return added(self, other)

    def compute(self, weights: Float[Tensor, "k"]) -> dict[str, Any]:
        """Return the scores of a generator of data whose modes have these weights (k,), none zero, which sum to 1.

        samples            how many pictures were counted
        modes              int: modes that at least one sample is of
        mode_kl            KL(frequencies || weights), nats
        mode_kl_floor      what sampling alone gives to it
        mode_kl_uniform    KL(frequencies || 1 / k), as PacGAN's public code has it
        """
        count = int(self.counts.sum())
        require_samples(count)
        if not bool((weights > 0).all()):
            raise AimganError("got a mode of weight zero, expected only modes that the data have: its KL is infinite")
        k = len(self.counts)
        frequencies = self.counts / count
        return {
            "samples": count,
            "modes": int((self.counts > 0).sum()),
            "mode_kl": kl_divergence(frequencies, weights),
            "mode_kl_floor": kl_floor(count, k),
            "mode_kl_uniform": kl_divergence(frequencies, torch.full_like(frequencies, 1 / k)),
        }


def stacked_weights(frequencies: Float[Tensor, "classes"], channels: int = 3) -> Float[Tensor, "k"]:
    """Return the modes' weights where channels are independent: products, mode (a, b, c) at 100 a + 10 b + c."""
    weights = frequencies.new_ones(1)
    for _ in range(channels):
        weights = torch.outer(weights, frequencies).flatten()
    return weights
