"""What an algorithm is here: a rule that yields updates, and the legend of names that all of them share.

    G  generator, z -> x            z_x    a code made from x
    E  encoder, -> q(z|x)           x_z    an image made from z
    D  discriminator, x -> logit    x_z_x  a reconstruction, G of a code made from x
    D_z, D_xz, D_xx  discriminators of codes, of pairs (x, z), of pairs (x, x'); D_m a second one of x

The paper's letters elsewhere: p(z) the prior, q(x) the data, L_d, L_g, L_e the losses, rho the discriminator's outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable

from torch import Tensor, nn


@dataclass(frozen=True)
class Update:
    """Move the parameters of `of`, and of nothing else, down the gradient of `loss`."""

    of: nn.Module | tuple[nn.Module, ...]
    loss: Tensor  # ()
    terms: Mapping[str, Tensor] = field(default_factory=dict)  # its parts, for the log
    rate: float = 1.0  # share of the learning rate, for an algorithm whose players have different ones

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The networks to move, always as a tuple."""
        return self.of if isinstance(self.of, tuple) else (self.of,)


def as_tuple(yielded: Update | tuple[Update, ...]) -> tuple[Update, ...]:
    """Return what a step yields as simultaneous updates, one or many."""
    return yielded if isinstance(yielded, tuple) else (yielded,)


@runtime_checkable
class Prior(Protocol):
    """p(z): a known distribution of codes."""

    dim: int

    def sample(self, n: int) -> Tensor:
        """Draw codes of shape (n, dim)."""
        ...


@runtime_checkable
class Objective(Protocol):
    """A dataclass whose network fields are its players and whose `step` is the paper's algorithm.

    `step` yields an `Update`, or a tuple of them that are simultaneous: all their gradients are taken before anything
    moves. After a `yield` the code sees the moved networks.

    `G_sees` and `E_sees` (class variables; "prior" without them) say which batches pass G and E in a step, and so by
    whose batch-norm statistics a trained model is normalised (aimgan.networks.batch_norm):
    "prior" codes z and the images x_z made of them, "data" x and the codes z_x made of them, or "both".
    """

    reads_features: ClassVar[bool]  # E reads D's features (and never updates them), not x
    posterior: ClassVar[str | None]  # what E answers, of networks.POSTERIORS; None: there is no E

    def step(self, x: Tensor) -> Iterator[Update | tuple[Update, ...]]:
        """Yield the updates of one training step on the batch x (n, *shape)."""
        ...
