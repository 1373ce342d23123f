"""Are samples copies of training images? Their distance to the nearest one, beside what unseen real images have.

The anchor makes the number readable: images of one kind are close to each other, copied or not, and the more training
images there are the closer the nearest. Distances are mean squared errors over pixels, so a copy that is shifted,
mirrored or recoloured is not found, and blurred samples are close to everything.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from aimgan.errors import AimganError
from aimgan.metrics.distances import require_same_dimension, squared_distances
from aimgan.metrics.sums import require_finite, require_samples

CANDIDATES = 4  # by the quick formula, a query; the nearest of them by subtraction is the answer
_QUERIES, _REFERENCES = 500, 10_000  # images at a time: 20 MB of distances


def nearest_distances(
    queries: Float[Tensor, "n *shape"], references: Float[Tensor, "m *shape"]
) -> tuple[Float[Tensor, "n"], Int[Tensor, "n"]]:
    """Return each query's mean squared error from the nearest reference, over pixels, and that one's index.

    In blocks. |a|^2 + |b|^2 - 2 a.b, in the images' precision, proposes four references; the distances to those are
    taken in float64 by subtraction, so a copy has exactly 0. More than four references that are equally
    near within 1e-6 of an image's square may be taken for each other (float32). Raises AimganError for an empty set,
    unlike shapes or numbers that are not finite.
    """
    require_same_dimension("queries", queries, references)
    for images in (queries, references):
        require_samples(len(images))
        require_finite("images", images)
    dtype = torch.promote_types(queries.dtype, torch.float32)
    known = references.flatten(1)
    found = [_nearest(q, known, dtype) for q in queries.to(known.device).flatten(1).split(_QUERIES)]
    return torch.cat([distance for distance, _ in found]), torch.cat([index for _, index in found])


def memorisation(
    samples: Float[Tensor, "n *shape"], held_out: Float[Tensor, "k *shape"], train: Float[Tensor, "m *shape"]
) -> dict[str, float]:
    """Compare samples' distances to the training images with those of held-out real images, as `copying` tells them.

    Raises AimganError as `nearest_distances` and `copying`.
    """
    return copying(nearest_distances(samples, train)[0], nearest_distances(held_out, train)[0])


def copying(samples: Float[Tensor, "n"], held_out: Float[Tensor, "k"]) -> dict[str, float]:
    """Return the same from the nearest distances themselves, for training sets that are read in parts.

    nearest_train_mse             mean over samples of the mean squared error from the nearest training image
    nearest_train_mse_held_out    the same of the held-out images
    memorisation_ratio            the first over the second: about 1 for new images as varied as the data; well below,
                                  copies (or blur); above, samples unlike the data

    Raises AimganError for none of either, and where the held-out images are all training images.
    """
    for distances in (samples, held_out):
        require_samples(len(distances))
    made, real = float(samples.mean()), float(held_out.mean())
    if real == 0:
        raise AimganError("got held-out images that are all training images, expected unseen ones; use the test set")
    return {"nearest_train_mse": made, "nearest_train_mse_held_out": real, "memorisation_ratio": made / real}


def _nearest(
    queries: Float[Tensor, "n d"], references: Float[Tensor, "m d"], dtype: torch.dtype
) -> tuple[Float[Tensor, "n"], Int[Tensor, "n"]]:
    candidates = _candidates(queries.to(dtype), references, dtype)
    exact = torch.stack([(queries.double() - references[index].double()).square().mean(1) for index in candidates.T], 1)
    distance, place = exact.min(1)
    return distance, candidates.gather(1, place[:, None])[:, 0]


def _candidates(
    queries: Float[Tensor, "n d"], references: Float[Tensor, "m d"], dtype: torch.dtype
) -> Int[Tensor, "n candidates"]:
    """The indices of the nearest few by the quick formula: of each block of references, then among the blocks'."""
    distances, indices = [], []
    for start in range(0, len(references), _REFERENCES):
        block = squared_distances(queries, references[start : start + _REFERENCES].to(dtype))
        best = block.topk(min(CANDIDATES, block.shape[1]), largest=False)
        distances.append(best.values)
        indices.append(best.indices + start)
    near, index = torch.cat(distances, 1), torch.cat(indices, 1)
    return index.gather(1, near.topk(min(CANDIDATES, near.shape[1]), largest=False).indices)
