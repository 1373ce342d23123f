"""Reconstruction of a Gaussian mixture, read against the modes: is the mode kept, and more than the mode?

On separate modes an encoder can score a small error by the mode alone: answering the mode's centre for every x has the
mode's own variance for its error (0.0025 a coordinate on the grid, 0.0004 on the ring). So 0.0016 on the grid says
that 36 % of what varies within the modes is known, and 0.0007 on the ring is worse than knowing nothing but the mode.

- `mode_centre_mse` is that anchor, on the very samples that are reconstructed.
- `wrong_mode`: one x that comes back in a neighbouring mode, 2 away on the grid, costs as much as 800 at the centre
  (2^2 / 2 against 0.0025), so the mean error mostly counts those. Their share is said by itself.
- `within_mode_r2`: what is left, of the x that keep their mode: 1 is perfect, 0 the centre, negative worse than it.

A point belongs to the mode that it is nearest to, by Mahalanobis' distance, as in modes.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from aimgan.errors import AimganError
from aimgan.metrics.modes import whitened
from aimgan.metrics.sums import added, require_finite, require_same_shape, require_samples


@dataclass(frozen=True, eq=False)
class WithinModes:
    """Sums over samples x and their reconstructions x'; `+` joins batches and processes. In squared units of x."""

    count: Float[Tensor, ""]
    """Samples."""
    wrong: Float[Tensor, ""]
    """Those of them whose reconstruction is nearest to another mode."""
    centre: Float[Tensor, ""]
    """Sum of |x - the centre of its mode|^2, a coordinate (over d), of all samples."""
    variance: Float[Tensor, ""]
    """Sum of the variance a coordinate of each sample's mode: tr(covariance) / d."""
    kept_error: Float[Tensor, ""]
    """Sum of |x - x'|^2 a coordinate, of samples that keep their mode."""
    kept_centre: Float[Tensor, ""]
    """Sum of |x - centre|^2 a coordinate, of the same."""

    @classmethod
    def of(
        cls,
        x: Float[Tensor, "n d"],
        x_z_x: Float[Tensor, "n d"],
        means: Float[Tensor, "k d"],
        covariances: Float[Tensor, "k d d"],
    ) -> WithinModes:
        """Compare one batch of points with their reconstructions, in the mixture's own units.

        n k d numbers are held at once: give a thousand points at a time. Raises AimganError for unlike shapes, another
        dimension than the modes', and numbers that are not finite.
        """
        require_same_shape("reconstructions", x_z_x, x)
        require_finite("points or reconstructions", x_z_x - x)
        if x.shape[1:] != means.shape[1:]:
            raise AimganError(
                f"got points of {x.shape[1]} dimensions, expected the modes' {means.shape[1]}; another data set?"
            )
        x, x_z_x, means, covariances = (t.to(x.device, torch.float64) for t in (x, x_z_x, means, covariances))
        mode = nearest_modes(x, means, covariances)
        kept = mode == nearest_modes(x_z_x, means, covariances)
        error = (x - x_z_x).square().mean(1)
        centre = (x - means[mode]).square().mean(1)
        variance = covariances.diagonal(dim1=1, dim2=2).mean(1)[mode]
        return cls(
            x.new_tensor(len(x)),
            (~kept).double().sum(),
            centre.sum(),
            variance.sum(),
            error[kept].sum(),
            centre[kept].sum(),
        )

    def __add__(self, other: WithinModes) -> WithinModes:
        """Join two parts of the samples."""
        return added(self, other)

    @property
    def mode_variance(self) -> float:
        """The variance a coordinate of the samples' modes, by what the mixture says: mode_centre_mse without chance.

        Two independent draws of one mode differ by twice that, in squares: an encoder that keeps the mode of x and
        nothing else, so that G(z), z ~ q(z|x), is any point of the mode, has a `neighbour_mse` of twice this.
        """
        require_samples(self.count)
        return float(self.variance / self.count)

    def compute(self) -> dict[str, float]:
        """Return the scores; raises AimganError for no samples.

        mode_centre_mse   mean squared error, over samples and coordinates, of answering each x with its mode's centre
        wrong_mode        share of x whose reconstruction is nearest to another mode than x is
        within_mode_r2    of the others: 1 - sum |x - x'|^2 / sum |x - centre|^2; left out where nothing keeps its mode
        """
        require_samples(self.count)
        scores = {
            "mode_centre_mse": float(self.centre / self.count),
            "wrong_mode": float(self.wrong / self.count),
        }
        if self.kept_centre > 0:
            scores["within_mode_r2"] = 1 - float(self.kept_error / self.kept_centre)
        return scores


def nearest_modes(
    x: Float[Tensor, "n d"], means: Float[Tensor, "k d"], covariances: Float[Tensor, "k d d"]
) -> Int[Tensor, "n"]:
    """Return the mode that each point is nearest to, by Mahalanobis' distance. All in one precision."""
    return whitened(x, means, covariances).square().sum(-1).argmin(1)
