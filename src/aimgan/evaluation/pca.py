"""Principal components as an encoder and decoder: about the best that a linear model of the same dimension can do."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import add

import numpy as np
import torch
from jaxtyping import Float
from sklearn.decomposition import IncrementalPCA
from torch import Tensor

from aimgan.data import ImageSet
from aimgan.metrics import ReconstructionError

Rebuild = Callable[[Float[Tensor, "n c h w"]], Float[Tensor, "n c h w"]]


def principal_components(data: ImageSet, dim: int, n: int | None = None) -> Rebuild | None:
    """Return what rebuilds images from their first `dim` principal components; None for fewer than `dim` images.

    The components are found in the first n training images (all without n), a thousand at a time: IncrementalPCA, a
    close approximation, which leaves out a batch smaller than `dim`. Rebuilt images are clamped to [0, 1].
    """
    if data.epoch_size < dim:
        return None
    components = IncrementalPCA(dim)
    for x in data.chunks("train", n):
        if len(x) >= dim:
            with np.errstate(invalid="ignore"):  # scikit-learn divides by the variance, which equal images do not have
                components.partial_fit(x.flatten(1).cpu().numpy())

    def rebuild(x: Tensor) -> Tensor:
        codes = components.transform(x.flatten(1).cpu().numpy())
        return torch.from_numpy(components.inverse_transform(codes)).to(x.dtype).view(x.shape).clamp(0, 1)

    return rebuild


def rebuilding_error(data: ImageSet, rebuild: Rebuild) -> ReconstructionError:
    """Return the error of test images that are rebuilt. There must be one."""
    return reduce(add, [ReconstructionError.of(x.cpu(), rebuild(x.cpu())) for x in data.chunks()])
