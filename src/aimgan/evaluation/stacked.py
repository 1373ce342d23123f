"""Stacked MNIST: 1,000 modes, and how many of them a model finds (Metz et al. 2017, Srivastava et al. 2017).

    aimgan train stacked-mnist/aim --data PATH

The digit classifier names the digit in each channel of 26,000 samples, as in the public code of PacGAN (Lin et al.
2018). It is trained where none is kept for these digits (evaluation/digit_classifier.py).
"""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

import torch
from jaxtyping import Float
from rich.console import Console
from torch import Tensor

from aimgan import noise
from aimgan.console import say
from aimgan.data import StackedSet
from aimgan.data.image_set import as_float
from aimgan.evaluation.digit_classifier import Trained, classify, digit_classifier
from aimgan.metrics import StackedCounts, stacked_weights
from aimgan.model import LatentVariableModel

SAMPLES, CHUNK = 26_000, 1_000


def stacked_modes(model: LatentVariableModel, data: StackedSet, seed: int) -> dict[str, Any]:
    """Return the modes of generated pictures, and beside them those of real ones by the same classifier.

    samples, modes, mode_kl, mode_kl_floor, mode_kl_uniform    metrics/stacked.py
    modes_real, mode_kl_real    of as many stacks of test digits
    classifier_accuracy         of the classifier, on the test digits
    """
    classifier = digit_classifier(data.images, say=_tell)
    weights = stacked_weights(data.frequencies)
    sizes = [min(CHUNK, SAMPLES - begun) for begun in range(0, SAMPLES, CHUNK)]
    parts = (
        counted(model.generate(n, noise.generator(seed, "stacked", k)).cpu(), data, classifier)
        for k, n in enumerate(sizes)
    )
    real = real_counts(data, classifier, seed).compute(weights)
    return {
        **reduce(add, parts).compute(weights),
        "modes_real": real["modes"],
        "mode_kl_real": real["mode_kl"],
        "classifier_accuracy": classifier.record["test_accuracy"],
    }


def counted(x: Float[Tensor, "n c h w"], data: StackedSet, classifier: Trained) -> StackedCounts:
    """Count pictures by the classes in their channels."""
    return StackedCounts.of(classify(classifier.network, data.digits_of(x)).view(len(x), -1))


def real_counts(data: StackedSet, classifier: Trained, seed: int) -> StackedCounts:
    """Count 26,000 random stacks of test digits, each of which needs to be classified only once."""
    pixels = data.images.test.pixels
    labels = classify(classifier.network, as_float(pixels))
    chosen = torch.randint(len(labels), (SAMPLES, data.shape[0]), generator=noise.generator(seed, "real stacks"))
    return StackedCounts.of(labels[chosen])


def _tell(text: str) -> None:
    say(Console(stderr=True), text)  # standard output may be a table that something reads
