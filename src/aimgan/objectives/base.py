"""What an objective is, and the names that all objectives share.

    G  generator, z -> x            z_x    a code made from x
    E  encoder, x -> q(z|x)         x_z    an image made from z
    D  discriminator, x -> logit    x_z_x  a reconstruction: G of a code made from x
    D_z, D_xz, D_xx  discriminators of codes, of pairs (x, z) and of pairs (x, x'); D_m a second discriminator of x
    P_x, P_z  pools of earlier x_z and z_x, which no gradient moves

Other letters are the paper's: p(z) the prior, q(x) the data, rho the discriminator's outputs (logits here: the sigmoid
is part of the loss), L_d, L_g and L_e the losses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class Update:
    """Move the parameters of `of`, and of nothing else, down the gradient of `loss`."""

    of: nn.Module | tuple[nn.Module, ...]
    loss: Tensor  # ()
    terms: Mapping[str, Tensor] = field(default_factory=dict)  # parts of the loss, for the log
    rate: float = 1.0  # multiplies the learning rate, for an algorithm whose players have different ones
    clip: float | None = None  # after the move each parameter is set to the nearest value in [-clip, clip]

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The networks to move, always as a tuple."""
        if isinstance(self.of, tuple):
            return self.of
        return (self.of,)


Batch = Float[Tensor, "n *shape"]
Updates = Iterator[Update | tuple[Update, ...]]


def as_tuple(yielded: Update | tuple[Update, ...]) -> tuple[Update, ...]:
    """Return what a step yields as a tuple of simultaneous updates."""
    if isinstance(yielded, tuple):
        return yielded
    return (yielded,)


@runtime_checkable
class Prior(Protocol):
    """p(z): a known distribution of codes."""

    dim: int

    def sample(self, n: int) -> Float[Tensor, "n dim"]:
        """Draw n codes."""
        ...


@runtime_checkable
class Objective(Protocol):
    """A dataclass whose fields are its players (networks), its prior and its options.

    Besides those it has class attributes. The two below are required. `G_sees` and `E_sees` say which batches pass G
    and E in a step, and so which batch-norm statistics a trained model needs (aimgan.networks.batch_norm): "prior" for
    codes z and images x_z, "data" for x and codes z_x, or "both". Without them it is "prior".
    `D_outputs` is how many kinds of images D tells apart, with a logit for each; without it D has one logit.
    """

    reads_features: ClassVar[bool]  # True: E reads D's features (which it never updates); False: E reads x
    posterior: ClassVar[str | None]  # the kind of q(z|x), one of networks.POSTERIORS; None: there is no E

    def step(self, x: Batch) -> Updates:
        """Yield the updates of one training step on the batch x.

        A tuple of updates is simultaneous: all its gradients are taken before anything moves. After a `yield` the
        generator sees the moved networks.
        """
        ...
