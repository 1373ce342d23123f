"""A claim of section 5.5: images drawn from q(z|x) are useful as more training data where few are labelled.

    python benchmarks/augmentation.py RUN --data PATH

RUN is a run of mnist/aim. Of the training digits a few are labelled; the digit classifier learns from them alone, and
from them with 20 images G(z), z ~ q(z|x), of each, with the label of x. Both take as many steps (the digits alone are
repeated), neither is rotated or shifted. AIM itself saw all training images, without labels.
Writes benchmarks/results/augmentation.json and .md.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import fmean, stdev

import torch

import aimgan
from aimgan import noise
from aimgan.data import Images
from aimgan.data.image_data import ImageData, Split
from aimgan.data.image_set import as_float
from aimgan.evaluation.digit_classifier import Settings, train
from aimgan.pages.tables import pipes
from aimgan.training.run_dir import environment

RESULTS = Path(__file__).parent / "results"
LABELLED, DRAWS, SEEDS, EPOCHS = (100,), 20, 3, 4


def chosen(images: ImageData, n: int, seed: int) -> torch.Tensor:
    """Indices of n training digits, as many of each class."""
    labels = images.train.labels
    order = torch.randperm(len(labels), generator=noise.generator(seed, "labelled"))
    return torch.cat([order[labels[order] == digit][: n // 10] for digit in range(10)])


def shuffled(pixels: torch.Tensor, labels: torch.Tensor, images: ImageData) -> ImageData:
    split = Split(pixels, labels, tuple(map(str, range(len(labels)))))
    return ImageData(split, images.test, (), "few labels")


def accuracies(model, images: ImageData, n: int, seed: int) -> tuple[float, float]:
    """Test accuracy of the classifier from n digits alone, and with their neighbours."""
    pick = chosen(images, n, seed)
    pixels, labels = images.train.pixels[pick], images.train.labels[pick]
    near = model.neighbours(as_float(pixels), DRAWS, noise.generator(seed, "augmentation"))
    mixed = torch.randperm(n * DRAWS, generator=noise.generator(seed, "order"))  # the draws come class by class
    near = (near.flatten(0, 1).clamp(0, 1) * 255).round().byte()[mixed]
    of_near = labels.repeat_interleave(DRAWS)[mixed]
    alone = shuffled(pixels.repeat(DRAWS + 1, 1, 1, 1), labels.repeat(DRAWS + 1), images)
    # The originals last: the classifier holds the first twelfth out, which is of copies on one side, of draws here.
    both = shuffled(torch.cat((near, pixels)), torch.cat((of_near, labels)), images)
    settings = Settings(seed=seed, epochs=EPOCHS, rotation=0.0, shift=0.0, untouched=1.0)
    return tuple(train(each, settings).record["test_accuracy"] for each in (alone, both))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--data", required=True)
    given = parser.parse_args()
    model, images = aimgan.load(given.run), Images(given.data, size=28, channels=1).load().images
    rows, lines = [], []
    for n in LABELLED:
        pairs = [accuracies(model, images, n, seed) for seed in range(SEEDS)]
        gains = [both - alone for alone, both in pairs]
        rows.append({"labelled": n, "accuracies": pairs})
        half = 4.303 * stdev(gains) / SEEDS**0.5  # Student's t of two degrees of freedom, 95 %
        alone, both = (100 * fmean(column) for column in zip(*pairs, strict=True))
        verdict = "undecided" if abs(fmean(gains)) <= half else "holds" if fmean(gains) > 0 else "fails"
        gain = f"{100 * fmean(gains):+.2f} ± {100 * half:.2f}"
        lines.append((f"{n:,}", f"{alone:.2f}", f"{both:.2f}", gain, verdict))
    machine, about = environment(), model.config.about
    result = {"command": "python benchmarks/augmentation.py RUN --data PATH", "model": about, "environment": machine}
    (RESULTS / "augmentation.json").write_text(json.dumps(result | {"rows": rows}, indent=1) + "\n")
    day = time.strftime("%Y-%m-%d")
    run = f"RUN is {about['recipe']}, seed {about['seed']}, {about['steps']:,} steps"
    head = (
        f"`{result['command']}`: {day}, {machine['processor']}, torch {machine['torch']}; {run}. Test accuracy in %, "
        f"means over {SEEDS} choices of the labelled digits, {DRAWS} draws a digit; 95 % interval of the paired gain."
    )
    table = pipes(("labelled digits", "alone", "with draws of q(z\\|x)", "gain", "the claim"), lines)
    (RESULTS / "augmentation.md").write_text(f"{head}\n\n{table}\n")
    print((RESULTS / "augmentation.md").read_text())


if __name__ == "__main__":
    main()
