"""Metrics: pure functions, and accumulators that are sums. They know tensors, not models or networks."""

from __future__ import annotations

from aimgan.metrics.calibration import Calibration, calibration_error_floor, calibration_ks_floor
from aimgan.metrics.modes import ModeCounts, kl_floor, mode_metrics
from aimgan.metrics.prior_matching import (
    mmd,
    mmd_floor,
    mmd_to_standard_normal,
    prior_matching,
    prior_share_within,
    random_directions,
    share_within,
    sliced_wasserstein,
)
from aimgan.metrics.reconstruction import (
    PixelMoments,
    ReconstructionError,
    mean_image_mse,
    on_signed_scale,
    unrelated_pair_mse,
)
from aimgan.metrics.stacked import StackedCounts, stacked_weights

__all__ = [
    "Calibration",
    "ModeCounts",
    "PixelMoments",
    "ReconstructionError",
    "StackedCounts",
    "calibration_error_floor",
    "calibration_ks_floor",
    "kl_floor",
    "mean_image_mse",
    "mmd",
    "mmd_floor",
    "mmd_to_standard_normal",
    "mode_metrics",
    "on_signed_scale",
    "prior_matching",
    "prior_share_within",
    "random_directions",
    "share_within",
    "sliced_wasserstein",
    "stacked_weights",
    "unrelated_pair_mse",
]
