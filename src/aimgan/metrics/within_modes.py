"""Reconstruction of a Gaussian mixture: whether the mode is kept, and the position within the mode.

- `mode_centre_mse` is the error of answering every x with its mode's centre, on the same samples.
- `wrong_mode` is the share of x that come back in another mode.
- `within_mode_r2` is R^2 of the x that keep their mode: 1 is perfect, 0 the centre, negative worse than the centre.

A point belongs to the mode that is nearest by Mahalanobis distance, as in modes.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from aimgan.metrics.distances import require_same_dimension
from aimgan.metrics.modes import Covariances, Means, Points, whitened
from aimgan.metrics.sums import Sums, require_finite, require_same_shape, require_samples


@dataclass(frozen=True, eq=False)
class WithinModes(Sums):
    """Sums over samples x and their reconstructions x', of squares per coordinate (|.|^2 / d) in the units of x."""

    count: Float[Tensor, ""]  # samples
    wrong: Float[Tensor, ""]  # those whose reconstruction is nearest to another mode
    centre: Float[Tensor, ""]  # |x - centre of its mode|^2 of all samples
    variance: Float[Tensor, ""]  # variance of each sample's mode: tr(covariance) / d
    kept_error: Float[Tensor, ""]  # |x - x'|^2 of samples that keep their mode
    kept_centre: Float[Tensor, ""]  # |x - centre|^2 of the same samples

    @classmethod
    def of(cls, x: Points, x_z_x: Points, means: Means, covariances: Covariances) -> WithinModes:
        """Compare one batch of points with their reconstructions, in the mixture's own units.

        n k d numbers are in memory at once: give a thousand points at a time. Raises AimganError for different shapes,
        another dimension than the modes', and numbers that are not finite.
        """
        require_same_shape("reconstructions", x_z_x, x)
        require_finite("points or reconstructions", x_z_x - x)
        require_same_dimension("points", x, means)
        x = x.double()
        x_z_x, means, covariances = x_z_x.to(x), means.to(x), covariances.to(x)
        mode = nearest_modes(x, means, covariances)
        kept = mode == nearest_modes(x_z_x, means, covariances)
        error = (x - x_z_x).square().mean(1)
        centre = (x - means[mode]).square().mean(1)
        variance = covariances.diagonal(dim1=1, dim2=2).mean(1)[mode]
        return cls(
            count=x.new_tensor(len(x)),
            wrong=(~kept).double().sum(),
            centre=centre.sum(),
            variance=variance.sum(),
            kept_error=error[kept].sum(),
            kept_centre=centre[kept].sum(),
        )

    @property
    def mode_variance(self) -> float:
        """The mean variance per coordinate of the samples' modes: mode_centre_mse without its sampling error.

        An encoder that knows nothing but the mode, so that G(z), z ~ q(z|x), is any point of the mode, has a
        `neighbour_mse` of twice this: the mean square between two independent draws of the mode.
        """
        require_samples(self.count)
        return float(self.variance / self.count)

    def compute(self) -> dict[str, float]:
        """Return the scores. Raises AimganError for no samples.

        mode_centre_mse   mean squared error, over samples and coordinates, of answering each x with its mode's centre
        wrong_mode        share of x whose reconstruction is nearest to another mode
        within_mode_r2    of the others: 1 - sum |x - x'|^2 / sum |x - centre|^2; left out where there are none
        """
        require_samples(self.count)
        scores = {
            "mode_centre_mse": float(self.centre / self.count),
            "wrong_mode": float(self.wrong / self.count),
        }
        if self.kept_centre > 0:
            scores["within_mode_r2"] = 1 - float(self.kept_error / self.kept_centre)
        return scores


def nearest_modes(x: Points, means: Means, covariances: Covariances) -> Int[Tensor, "n"]:
    """Return the index of each point's nearest mode by Mahalanobis distance. All in one precision."""
    return whitened(x, means, covariances).square().sum(-1).argmin(1)
