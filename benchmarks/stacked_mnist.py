"""Stacked MNIST: how many of its 1,000 modes a model generates (Metz et al. 2017, Srivastava et al. 2017).

    python benchmarks/stacked_mnist.py --data PATH [--recipe folder/aim] [--steps N] [--seed N] [--output DIR]

Each picture is three random digits in its red, green and blue channels, so there are 10^3 modes. As in the public code
of PacGAN (Lin et al. 2018), 128,000 stacks are drawn once, a classifier names the digit in each channel of 26,000
samples, and a mode is captured if one sample has it. MNIST's digits are 28 x 28; a black border makes them 32 x 32, the
power of two that the networks of Table 4 need. PATH is MNIST in any layout, or nothing for the Hub's ylecun/mnist.

The protocol compares frequencies of modes with 1 / 1,000 (`mode_kl_uniform`). MNIST's digits are not equally frequent,
so `mode_kl` compares them with those of the data. The same classifier also scores stacks of real test digits. The run,
the stacks (stacks.npz) and the scores (stacked-mnist.json) are written to the output folder.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import aimgan
from aimgan import noise
from aimgan.data import Images
from aimgan.data.image_data import ImageData, Split
from aimgan.data.image_set import as_float
from aimgan.errors import AimganError
from aimgan.evaluation.digit_classifier import Trained, classify, digit_classifier
from aimgan.metrics.modes import kl_divergence, kl_floor
from aimgan.model import LatentVariableModel

CLASSES, CHANNELS = 10, 3
STACKS, TEST_STACKS, SAMPLES = 128_000, 10_000, 26_000
SIDE = 32  # of a picture
TOGETHER = 1_000  # pictures that are generated at a time


def stacks(split: Split, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return pictures (count, 3, side, side), uint8, of random digits, and the classes in their channels (count, 3)."""
    if split.labels is None:
        raise AimganError("the digits have no labels; expected those of MNIST, as in ylecun/mnist")
    chosen = torch.randint(len(split), (count, CHANNELS), generator=noise.generator(seed, "stacks"))
    margin = SIDE - split.pixels.shape[-1]
    before, after = margin // 2, margin - margin // 2
    pictures = torch.nn.functional.pad(split.pixels[chosen, 0], (before, after, before, after))
    return pictures, split.labels[chosen]


def class_frequencies(digits: ImageData) -> Tensor:
    """Return the frequencies (10,) of the classes. Raises AimganError unless the labels are 0 to 9, and all there."""
    labels = digits.train.labels
    counts = torch.zeros(0) if labels is None else labels.bincount(minlength=CLASSES)
    if len(counts) != CLASSES or not bool((counts > 0).all()):
        raise AimganError(f"{digits.source!r} does not have digits of all classes, labelled 0 to 9")
    return counts.double() / counts.sum()


def mode_weights(frequencies: Tensor) -> Tensor:
    """Return the weights (1,000,) of the modes: mode (a, b, c) is number 100 a + 10 b + c."""
    weights = frequencies.new_ones(1)
    for _ in range(CHANNELS):
        weights = torch.outer(weights, frequencies).flatten()
    return weights


def mode_scores(labels: Tensor, weights: Tensor) -> dict[str, Any]:
    """Return how many modes pictures have, from the classes in their channels (n, 3), and the KL divergences in nats.

    `mode_kl` is from the weights (1,000,), `mode_kl_uniform` from 1 / 1,000; `mode_kl_floor` is what sampling gives.
    """
    place = CLASSES ** torch.arange(CHANNELS - 1, -1, -1)
    counts = (labels * place).sum(1).bincount(minlength=len(weights)).double()
    frequencies = counts / counts.sum()
    return {
        "samples": len(labels),
        "modes": int((counts > 0).sum()),
        "mode_kl": kl_divergence(frequencies, weights),
        "mode_kl_floor": kl_floor(len(labels), len(weights)),
        "mode_kl_uniform": kl_divergence(frequencies, torch.full_like(weights, 1 / len(weights))),
    }


def classes_of(pictures: Tensor, classifier: Trained, side: int) -> Tensor:
    """Return the classes (n, 3) in the channels of pictures in [0, 1], whose digits have this side."""
    begin = (SIDE - side) // 2
    digits = pictures[:, :, begin : begin + side, begin : begin + side].reshape(-1, 1, side, side)
    return classify(classifier.network, digits).view(-1, CHANNELS)


def real_scores(digits: ImageData, classifier: Trained, seed: int, samples: int = SAMPLES) -> dict[str, Any]:
    """Score stacks of real test digits by the classifier: the row that no model can be expected to beat."""
    classes = classify(classifier.network, as_float(digits.test.pixels))
    chosen = torch.randint(len(classes), (samples, CHANNELS), generator=noise.generator(seed, "real stacks"))
    return mode_scores(classes[chosen], mode_weights(class_frequencies(digits)))


def generated_scores(
    model: LatentVariableModel, digits: ImageData, classifier: Trained, seed: int, samples: int = SAMPLES
) -> dict[str, Any]:
    """Score the samples of a model."""
    parts = []
    for begin in range(0, samples, TOGETHER):
        count = min(TOGETHER, samples - begin)
        pictures = model.generate(count, noise.generator(seed, "stacked", begin)).cpu()
        parts.append(classes_of(pictures, classifier, digits.shape[1]))
    return mode_scores(torch.cat(parts), mode_weights(class_frequencies(digits)))


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="ylecun/mnist")
    parser.add_argument("--recipe", default="folder/aim")
    parser.add_argument("--steps", type=int, default=64_000)  # 50 epochs of 128,000 stacks
    parser.add_argument("--stacks", type=int, default=STACKS)
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--output", type=Path, default=Path("runs/stacked-mnist"))
    given = parser.parse_args(arguments)
    digits = Images(given.data, channels=1).load().images
    given.output.mkdir(parents=True, exist_ok=True)
    path = given.output / "stacks.npz"
    if not path.exists():
        train, _ = stacks(digits.train, given.stacks, seed=0)
        test, _ = stacks(digits.test, min(given.stacks, TEST_STACKS), seed=1)
        np.savez(path, x_train=train.numpy(), x_test=test.numpy())
    # 64, 128 and 256 maps cost 36 GFLOP a step. The modes are what is scored, so no feature network is looked for.
    settings = {"networks.width": 256, "features": "off", **dict(pair.split("=", 1) for pair in given.set)}
    model = aimgan.train(
        given.recipe,
        given.output / "run",
        data=path,
        size=SIDE,
        seed=given.seed,
        steps=given.steps,
        device=given.device,
        settings=settings,
    )
    classifier = digit_classifier(digits)
    scores = {
        "recipe": given.recipe,
        "steps": given.steps,
        "seed": given.seed,
        "generated": generated_scores(model, digits, classifier, given.seed, given.samples),
        "real": real_scores(digits, classifier, given.seed, given.samples),
        "classifier_accuracy": classifier.record["test_accuracy"],
    }
    text = json.dumps(scores, indent=1)
    (given.output / "stacked-mnist.json").write_text(text + "\n")
    print(text)
    return scores


if __name__ == "__main__":
    main()
