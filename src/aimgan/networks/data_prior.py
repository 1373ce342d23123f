"""p(z) as a second data set: a code is one of its samples, flattened."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aimgan import noise
from aimgan.errors import AimganError
from aimgan.networks.gaussian import StandardNormal


class DataPrior(nn.Module):
    """p(z) = the samples of a data set, each as likely as the others, as codes (n, dim) in the networks' own range.

    `samples` are (m, *shape): bytes of images, or numbers. They are never saved with a model, so a loaded one has none
    and cannot draw.
    """

    origin: Tensor
    samples: Tensor

    def __init__(self, dim: int, samples: Tensor | None = None, value_range: tuple[float, float] | None = None) -> None:
        super().__init__()
        self.dim, self.value_range = dim, value_range
        self.register_buffer("origin", torch.zeros(dim), persistent=False)
        self.register_buffer("samples", torch.empty(0, dim) if samples is None else samples, persistent=False)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "n d"]:
        """Draw n codes with replacement, from `generator` or from the training step's stream.

        Raises AimganError where there are no samples.
        """
        m = len(self.samples)
        if m == 0:
            raise AimganError(
                "p(z) of this model is a second data set, which is not saved with it, so it has no codes to draw: give "
                "it images of that data set, as in aimgan translate RUN IMAGES --back"
            )
        share = noise.uniform(n, generator=generator, device=self.origin.device)
        rows = (share * m).long().clamp(max=m - 1)
        return self.codes(self.samples[rows])

    def codes(self, samples: Tensor) -> Float[Tensor, "n d"]:
        """Return samples as codes: bytes as the networks' range, and flattened."""
        flat = samples.flatten(1).to(self.origin)
        if samples.dtype == torch.uint8 and self.value_range is not None:
            low, high = self.value_range
            flat = low + (high - low) / 255 * flat
        return flat


Prior = StandardNormal | DataPrior


def prior_for(family: object) -> Prior:
    """Return p(z) of a family of networks: a data set for networks between two domains, else N(0, I)."""
    if hasattr(family, "prior"):
        return family.prior()
    return StandardNormal(family.dim)  # type: ignore[attr-defined]
