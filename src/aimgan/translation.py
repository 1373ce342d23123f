"""Translation between the two data sets of a model that was trained on two."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from aimgan.errors import AimganError
from aimgan.model import LatentVariableModel
from aimgan.model_inputs import from_range, require_finite, require_tensor, to_range
from aimgan.networks import DataPrior


def second_shape(model: LatentVariableModel) -> tuple[int, ...]:
    """Return the shape of a sample of B. Raises AimganError for a model of one data set."""
    if not isinstance(model.prior, DataPrior):
        raise AimganError(
            f"this model ({model.config.objective}) was trained on one data set; translation needs one of two: train "
            "pairs/cyclegan --data A --data-b B"
        )
    family: Any = model.config.family()
    return tuple(family.codes)


def translate(model: LatentVariableModel, samples: Tensor, back: bool = False) -> Tensor:
    """Return samples of A as samples of B, E's mean, or with `back` samples of B as samples of A, by G.

    Images are floats in [0, 1] on both sides, (n, c, h, w), and points (n, d) in their own units. Raises AimganError
    for a model of one data set, and for samples that do not fit.
    """
    shape = second_shape(model)
    is_image = model.value_range is not None
    if not back:
        made = from_range(model.encode(samples).mean, model.value_range).unflatten(1, shape)
        return made.clamp(0, 1) if is_image else made
    require_tensor(samples, "samples of B", shape, is_image)
    require_finite(samples, model.prior.origin, "samples of B", is_image)
    return model.decode(to_range(samples.to(model.prior.origin), model.value_range).flatten(1))
