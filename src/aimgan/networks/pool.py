"""A pool of generated images, from which a discriminator sees earlier ones too (Shrivastava et al., 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aimgan import noise

SIZE = 50  # images, in CycleGAN (section 4)


class Pool(nn.Module):
    """Keeps SIZE images. It has no parameters; its buffers are part of a checkpoint, as all that training changes."""

    images: Tensor
    filled: Tensor

    def __init__(self, shape: Sequence[int], size: int = SIZE) -> None:
        super().__init__()
        self.register_buffer("images", torch.zeros(size, *shape))
        self.register_buffer("filled", torch.zeros(size, dtype=torch.bool))

    @torch.no_grad()
    def forward(self, x: Float[Tensor, "n *shape"]) -> Float[Tensor, "n *shape"]:
        """Return each image of a batch, or half of the time an earlier one, whose place in the pool it takes.

        Each image meets a place of its own, drawn from the step's stream; one that meets an empty place is returned and
        kept. Where a batch has more images than the pool, the last of them pass by.
        """
        size = len(self.images)
        places = noise.normal(size, device=x.device).argsort()[: len(x)]
        m = len(places)
        swap = noise.normal(len(x), device=x.device)[:m] > 0
        filled = self.filled[places]
        each = (m, *[1] * (x.dim() - 1))
        old, new = self.images[places], x[:m].to(self.images)
        self.images.index_copy_(0, places, torch.where((swap | ~filled).view(each), new, old))
        self.filled.index_fill_(0, places, True)
        return torch.cat([torch.where((swap & filled).view(each), old, new).to(x), x[m:]])
