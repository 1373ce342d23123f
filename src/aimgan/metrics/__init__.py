"""Metrics: pure functions, and accumulators that are sums. They take tensors and import no models or networks."""

from aimgan.metrics.calibration import Calibration, calibration_error_floor, calibration_ks_floor
from aimgan.metrics.frechet import FeatureMoments, frechet_distance
from aimgan.metrics.inception_score import inception_score
from aimgan.metrics.kernel_distance import kernel_distance
from aimgan.metrics.latent import cluster_scores, latent_scores, linear_probe, nearest_neighbour_accuracy
from aimgan.metrics.manifold import expected_coverage, manifold_metrics
from aimgan.metrics.memorisation import copying, memorisation, nearest_distances
from aimgan.metrics.modes import ModeCounts, kl_floor, mode_metrics
from aimgan.metrics.posterior_spread import posterior_images
from aimgan.metrics.preservation import class_preservation, feature_error
from aimgan.metrics.prior_matching import prior_matching
from aimgan.metrics.reconstruction import (
    PixelMoments,
    ReconstructionError,
    on_signed_scale,
    unrelated_pair_mse,
    with_signed_scale,
)
from aimgan.metrics.sharpness import sharpness
from aimgan.metrics.translation import translation_scores
from aimgan.metrics.within_modes import WithinModes

__all__ = [
    "Calibration",
    "FeatureMoments",
    "ModeCounts",
    "PixelMoments",
    "ReconstructionError",
    "WithinModes",
    "calibration_error_floor",
    "calibration_ks_floor",
    "class_preservation",
    "cluster_scores",
    "copying",
    "expected_coverage",
    "feature_error",
    "frechet_distance",
    "inception_score",
    "kernel_distance",
    "kl_floor",
    "latent_scores",
    "linear_probe",
    "manifold_metrics",
    "memorisation",
    "mode_metrics",
    "nearest_distances",
    "nearest_neighbour_accuracy",
    "on_signed_scale",
    "posterior_images",
    "prior_matching",
    "sharpness",
    "translation_scores",
    "unrelated_pair_mse",
    "with_signed_scale",
]
