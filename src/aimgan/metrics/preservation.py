"""Preservation of the class, and of a classifier's features, in reconstructions (paper section 5.2)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from aimgan.errors import AimganError
from aimgan.metrics.reconstruction import ReconstructionError, unrelated_pair_mse
from aimgan.metrics.sums import require_finite, require_same_shape, require_samples


def class_preservation(logits_x: Float[Tensor, "n classes"], logits_x_z_x: Float[Tensor, "n classes"]) -> float:
    """Return the share of images whose reconstruction gets the same label as the image, right or wrong.

    Raises AimganError for no images, different shapes or logits that are not finite.
    """
    require_same_shape("reconstructions' logits", logits_x_z_x, logits_x)
    require_samples(len(logits_x))
    for logits in (logits_x, logits_x_z_x):
        require_finite("logits", logits)
    return float((logits_x.argmax(1) == logits_x_z_x.argmax(1)).double().mean())


def feature_error(features_x: Float[Tensor, "n d"], features_x_z_x: Float[Tensor, "n d"]) -> dict[str, float]:
    """Return feature_error: the mean of ||f(x) - f(x_z_x)||^2 over that of two different images x.

    0 is perfect, 1 as far as another image. The denominator is over all n (n - 1) pairs (`unrelated_pair_mse`). Raises
    AimganError for fewer than 2 images, images that all have the same features, different shapes or non-finite numbers.
    """
    error = ReconstructionError.of(features_x, features_x_z_x).mean
    unrelated = unrelated_pair_mse(features_x)
    if unrelated == 0:
        raise AimganError("got images that all have the same features, expected different ones; use a trained network")
    return {"feature_error": error / unrelated}
