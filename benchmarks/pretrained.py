"""Keep a run's model, or MNIST's classifier, in the project, in half precision, where it is small enough.

    python benchmarks/pretrained.py RUN NAME
    python benchmarks/pretrained.py --classifier IMAGES      trains it first: minutes

Writes pretrained/NAME (config.json, model.safetensors, README.md): G, and E with the features it reads; no D's head, no
optimiser. Refuses more than 16 MiB. It loads as any model does: aimgan.load("pretrained/NAME"). The card has the run's
scores, which are of single precision. The classifier goes beside the code that looks for it
(evaluation/digit_classifier.py), with its accuracy in half precision.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import aimgan
from aimgan.data import Images
from aimgan.evaluation.digit_classifier import SETTINGS, SHIPPED, Trained, accuracy, cache_path, train, write
from aimgan.files import write_text
from aimgan.model import CARD
from aimgan.sharing.hub import described

LIMIT = 16 * 2**20


def main(run: str, name: str) -> None:
    folder = Path(__file__).parents[1] / "pretrained" / name
    model = aimgan.load(run).half()
    size = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    if size > LIMIT:
        sys.exit(f"{run} takes {size / 2**20:.1f} MiB in half precision; expected at most {LIMIT / 2**20:.0f}")
    model.save(folder)
    card, _ = described(run)
    write_text(folder / CARD, replace(card, source=f"pretrained/{name}", license="apache-2.0").markdown())
    print(f"wrote {folder}, {size / 2**20:.1f} MiB")


def classifier(path: str) -> None:
    images = Images(path, size=28, channels=1).load().images
    network, record = train(images, SETTINGS, print)
    network.half().float()  # what a reader of the file computes with
    found = accuracy(network, images.test.pixels, images.test.labels)
    record |= {"weights": "rounded to half precision", "test_accuracy": found}
    write(SHIPPED / cache_path(images, SETTINGS).name, Trained(network.half(), record))
    print(f"wrote {SHIPPED / cache_path(images, SETTINGS).name}, test accuracy {found:.4f}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    if sys.argv[1] == "--classifier":
        classifier(sys.argv[2])
    else:
        main(*sys.argv[1:])
