"""Copies of training images: distances of samples to the nearest one, compared with those of unseen real images."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from aimgan.errors import AimganError
from aimgan.metrics.distances import require_same_dimension, squared_distances
from aimgan.metrics.sums import require_finite, require_samples

CANDIDATES = 4  # references that the quick formula proposes for each query
_QUERIES, _REFERENCES = 500, 10_000  # images at a time: 20 MB of distances


def nearest_distances(
    queries: Float[Tensor, "n *shape"], references: Float[Tensor, "m *shape"]
) -> tuple[Float[Tensor, "n"], Int[Tensor, "n"]]:
    """Return each query's mean squared error over pixels from the nearest reference, and that reference's index.

    |a|^2 + |b|^2 - 2 a.b, in the images' precision, proposes four references; those are compared in float64 by
    subtraction, so a copy has exactly 0. The answer may be wrong where more than four references are equally near
    within 1e-6 of an image's square (float32). Raises AimganError for an empty set, different shapes or numbers that
    are not finite.
    """
    require_same_dimension("queries", queries, references)
    for images in (queries, references):
        require_samples(len(images))
        require_finite("images", images)
    dtype = torch.promote_types(queries.dtype, torch.float32)
    known = references.flatten(1)
    distances, indices = [], []
    for block in queries.to(known.device).flatten(1).split(_QUERIES):
        candidates = _candidates(block.to(dtype), known, dtype)
        errors = torch.stack([(block.double() - known[index].double()).square().mean(1) for index in candidates.T], 1)
        distance, place = errors.min(1)
        distances.append(distance)
        indices.append(candidates.gather(1, place[:, None])[:, 0])
    return torch.cat(distances), torch.cat(indices)


def memorisation(
    samples: Float[Tensor, "n *shape"], held_out: Float[Tensor, "k *shape"], train: Float[Tensor, "m *shape"]
) -> dict[str, float]:
    """Return `copying` for samples, held-out real images and training images.

    Raises AimganError as `nearest_distances` and `copying` do.
    """
    return copying(nearest_distances(samples, train)[0], nearest_distances(held_out, train)[0])


def copying(samples: Float[Tensor, "n"], held_out: Float[Tensor, "k"]) -> dict[str, float]:
    """Compare the distances of samples to their nearest training images with those of held-out real images.

    nearest_train_mse             mean over samples
    nearest_train_mse_held_out    mean over held-out images
    memorisation_ratio            the first over the second: about 1 for new images as varied as the data; well below 1
                                  for copies (or blur); above 1 for samples unlike the data

    Raises AimganError if either is empty, and if the held-out images are all training images.
    """
    for distances in (samples, held_out):
        require_samples(len(distances))
    made, real = float(samples.mean()), float(held_out.mean())
    if real == 0:
        raise AimganError("got held-out images that are all training images, expected unseen ones; use the test set")
    return {"nearest_train_mse": made, "nearest_train_mse_held_out": real, "memorisation_ratio": made / real}


def _candidates(
    queries: Float[Tensor, "n d"], references: Float[Tensor, "m d"], dtype: torch.dtype
) -> Int[Tensor, "n candidates"]:
    """Return the indices of the nearest few by the quick formula: of each block of references, then of those."""
    distances, indices = [], []
    for start in range(0, len(references), _REFERENCES):
        block = squared_distances(queries, references[start : start + _REFERENCES].to(dtype))
        best = block.topk(min(CANDIDATES, block.shape[1]), largest=False)
        distances.append(best.values)
        indices.append(best.indices + start)
    near, index = torch.cat(distances, 1), torch.cat(indices, 1)
    return index.gather(1, near.topk(min(CANDIDATES, near.shape[1]), largest=False).indices)
