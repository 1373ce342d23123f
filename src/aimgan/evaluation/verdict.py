"""Is a model good enough, and what should be done? One sentence, from its scores and the anchors of the same data.

Reconstructions are judged against the mean training image, which needs no model, and against the principal components
of as many numbers as the code has (PCA), which need no training. The thresholds are tested and documented
(docs/start.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from aimgan.data import Data, Mixture, OwnBatches, TwoDomains
from aimgan.evaluation.collapse import generated_spread
from aimgan.model import LatentVariableModel

USABLE = 0.6  # of the mean image's error: below, people and objects are recognised in reconstructions
FEW = 500  # training images; of fewer a model learns the images and not their kind
COLLAPSED = 0.2  # of the data's standard deviation over samples: below, all samples look alike
MORE = "--extend --minutes 30"  # trains a run that has ended for longer
TRANSLATED = 0.6  # of held-out samples, in both directions
GOOD_QUALITY = 0.9  # of a mixture's samples within three standard deviations of a mode


class Verdict(NamedTuple):
    """`ready` says whether the model is of use; the sentence `verdict` says why, and what to do."""

    ready: bool
    verdict: str


def judged(model: LatentVariableModel, data: Data, scores: Mapping[str, Any], seed: int, recipe: str) -> Verdict:
    """Judge a model by its scores on data, and by how much its samples vary."""
    if isinstance(data, Mixture):
        return verdict(scores)
    if isinstance(data, TwoDomains):
        return _of_translation(scores)
    if isinstance(data, OwnBatches) and not data.has_held_out:
        return Verdict(False, "There are no held-out samples, so nothing can be said: give the data chunks().")
    if len(data.shape) == 1:
        return _of_points(scores)
    return verdict({**generated_spread(model, data, seed), **scores}, data.epoch_size, recipe)


def verdict(scores: Mapping[str, Any], training_images: int | None = None, recipe: str = "") -> Verdict:
    """Judge a model by its scores, as `evaluate` names them.

    Args:
        scores: of a mixture or of images; scores that are missing are not judged.
        training_images: how many images the model was trained on; None for a mixture.
        recipe: the recipe's name, so that the advice names another one than the model's.
    """
    if "high_quality" in scores:
        return _of_mixture(scores)
    if scores.get("mean_image_mse") == 0:
        return Verdict(False, "All test images are the same, so nothing can be judged: take other images.")
    if scores.get("generated_spread", 1.0) < COLLAPSED:
        return _of_collapse(scores["generated_spread"], recipe)
    if "reconstruction_mse" in scores and "mean_image_mse" in scores:
        return _of_reconstructions(scores, training_images, recipe)
    if "reconstruction_mse" not in scores and "nearest_train_mse" in scores:
        return Verdict(True, "This model has no encoder, so only its samples can be judged: look at samples.png.")
    return Verdict(False, "There are no test images, so nothing can be said: train on two images or more.")


def _of_mixture(scores: Mapping[str, Any]) -> Verdict:
    found, count, quality = scores["modes"], len(scores["mode_counts"]), scores["high_quality"]
    line = (
        f"{found} of {count} modes were found, and {quality:.1%} of the samples lie within 3 standard deviations of one"
    )
    if found < count:
        return Verdict(False, f"{line}. Modes are missing: train longer ({MORE}), or again with another --seed.")
    if quality < GOOD_QUALITY:
        return Verdict(False, f"{line}. Samples are not sharp yet: train longer ({MORE}).")
    return Verdict(True, f"{line}. The model has learnt the distribution.")


def _of_translation(scores: Mapping[str, Any]) -> Verdict:
    """Judge translations by classes of held-out pairs, or by the pairs themselves where there are no classes."""
    kind = "classes" if "a_to_b_classes" in scores else "pairs"
    there, back = scores.get(f"a_to_b_{kind}"), scores.get(f"b_to_a_{kind}")
    if there is None or back is None:
        return Verdict(True, "There are no held-out pairs to judge the translation by: look at translations.png.")
    right = "a sample of the right class" if kind == "classes" else "their own counterpart"
    line = f"{there:.1%} of A are translated nearest to {right} in B, and {back:.1%} of B back"
    if min(there, back) < TRANSLATED:
        return Verdict(False, f"{line}. Not ready: train longer ({MORE}), or again with another --seed.")
    return Verdict(True, f"{line}. Usable.")


def _of_points(scores: Mapping[str, Any]) -> Verdict:
    line = "This model has no encoder"
    if "reconstruction_mse" in scores:
        line = f"Reconstruction error {scores['reconstruction_mse']:.3g}, in squared units of the data"
    return Verdict(True, f"{line}. Points have no further verdict: look at the figures.")


def _of_collapse(spread: float, recipe: str) -> Verdict:
    line = f"All samples look alike: they vary {spread:.2f} times as much as the images"
    other = f", or take {_vae_of(recipe)}" if _vae_of(recipe) else ", or a smaller --set sigma=..."
    return Verdict(
        False,
        f"{line}. Not ready: train longer ({MORE}), or again with another --seed or a lower learning rate "
        f"(--set lr=...){other}.",
    )


def _vae_of(recipe: str) -> str:
    """Return what is the most reliable on the same data, or nothing where this is it."""
    if recipe.endswith("/vae"):
        return ""
    data = recipe.partition("/")[0] or "folder"
    if data == "own":
        return "the objective vae"
    return f"{data}/vae"


def _of_reconstructions(scores: Mapping[str, Any], training_images: int | None, recipe: str) -> Verdict:
    error, mean_image = scores["reconstruction_mse"], scores["mean_image_mse"]
    line = f"Reconstruction error {error:.3g}"
    anchor = f"the mean image ({mean_image:.3g})"
    longer = f"train longer ({MORE})"
    if training_images is not None and training_images < FEW:
        longer = f"take more images ({training_images:,} are few) or {longer}"
    if _vae_of(recipe):
        longer += f", or take {_vae_of(recipe)}"
    if error >= mean_image:
        return Verdict(False, f"{line}: worse than {anchor}. Not ready: {longer}.")
    if error >= USABLE * mean_image:
        return Verdict(False, f"{line}: better than {anchor}, but not usable yet: {longer}.")
    pca = scores.get("pca_mse")
    if pca is None:
        return Verdict(True, f"{line}: {error / mean_image:.0%} of {anchor}. Usable.")
    if error > pca:
        worse = f"principal components of as many numbers reach {pca:.3g}"
        return Verdict(True, f"{line}: {error / mean_image:.0%} of {anchor}. Usable, though {worse}: {longer}.")
    return Verdict(True, f"{line}: better than principal components of as many numbers ({pca:.3g}). Good.")
