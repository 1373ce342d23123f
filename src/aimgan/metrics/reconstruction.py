"""Reconstruction error (paper section 5.1, Table 1), and two references: unrelated images and the mean image.

The error of one image is the mean over its pixels of (x - G(mu(x)))^2; the table shows the mean and the population
standard deviation over images. Images here are on [0, 1]; on [-1, 1] the same error is four times as large
(`on_signed_scale`), and papers seldom say which they print. Points of 2-D data are in their own units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from aimgan.metrics.sums import Sums, require_finite, require_same_shape, require_samples


@dataclass(frozen=True, eq=False)
class ReconstructionError(Sums):
    """Sums over images of the error of each and its square."""

    count: Float[Tensor, ""]
    total: Float[Tensor, ""]
    total_square: Float[Tensor, ""]

    @classmethod
    def of(cls, x: Float[Tensor, "n *shape"], x_z_x: Float[Tensor, "n *shape"]) -> ReconstructionError:
        """Compare images with their reconstructions. Raises AimganError for different shapes or non-finite numbers."""
        require_same_shape("reconstructions", x_z_x, x)
        require_finite("images or reconstructions", x_z_x - x)
        errors = (x_z_x.double() - x.double()).square().flatten(1).mean(1)
        return cls(errors.new_tensor(len(errors)), errors.sum(), errors.square().sum())

    @property
    def mean(self) -> float:
        """The mean squared error, over pixels and images."""
        require_samples(self.count)
        return float(self.total / self.count)

    @property
    def std(self) -> float:
        """The population standard deviation over images of their errors."""
        require_samples(self.count)
        variance = self.total_square / self.count - (self.total / self.count).square()
        return float(variance.clamp(min=0).sqrt())

    def compute(self) -> dict[str, Any]:
        """Return reconstruction_mse and reconstruction_mse_std, on the scale of the images given ([0, 1])."""
        return {"reconstruction_mse": self.mean, "reconstruction_mse_std": self.std}


@dataclass(frozen=True, eq=False)
class PixelMoments(Sums):
    """Sums over images of each pixel and its square, for the mean image and the error of unrelated pairs."""

    count: Float[Tensor, ""]
    total: Float[Tensor, "*shape"]
    total_square: Float[Tensor, "*shape"]

    @classmethod
    def of(cls, x: Float[Tensor, "n *shape"]) -> PixelMoments:
        """Sum one batch of images. Raises AimganError for numbers that are not finite."""
        require_finite("images", x)
        pixels = x.double()
        return cls(pixels.new_tensor(len(pixels)), pixels.sum(0), pixels.square().sum(0))

    @property
    def mean_image(self) -> Float[Tensor, "*shape"]:
        """The mean image."""
        require_samples(self.count)
        return self.total / self.count

    @property
    def unrelated_pair_mse(self) -> float:
        """The mean squared error between two different images, over all pairs: twice the unbiased variance."""
        require_samples(self.count, minimum=2)
        scatter = (self.total_square - self.total.square() / self.count).clamp(min=0)
        return float(2 * scatter.mean() / (self.count - 1))


def unrelated_pair_mse(x: Float[Tensor, "n *shape"]) -> float:
    """Return the mean squared error between two different images of x, over all pairs."""
    return PixelMoments.of(x).unrelated_pair_mse


def on_signed_scale(mse: float) -> float:
    """Return an error measured on [0, 1] (or its standard deviation) as it is on [-1, 1], x -> 2 x - 1: times 4."""
    return 4 * mse


def with_signed_scale(scores: dict[str, float]) -> dict[str, float]:
    """Return errors on [0, 1] by name, and each on [-1, 1] too: reconstruction_mse_signed, and so on."""
    signed = {name.replace("_mse", "_mse_signed"): on_signed_scale(value) for name, value in scores.items()}
    return scores | signed
