"""The digit classifier (Li et al. 2017) that counts stacked MNIST's modes: train it, and say how good it is.

Beside its accuracy, what 26,000 stacks of real test digits score by it: the row that no model can be told to beat.

    python benchmarks/digit_classifier.py --data PATH [--epochs N] [--seed N]

PATH is MNIST (a folder of parquet, ...), or nothing for the Hub's ylecun/mnist. The classifier is kept in
~/.cache/aimgan, where benchmarks/stacked_mnist.py finds it if its settings are these defaults; a kept one is not
trained again. Writes benchmarks/results/digit-classifier.json and .md.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

from stacked_mnist import real_scores

from aimgan.data import Images
from aimgan.evaluation.digit_classifier import SETTINGS, Settings, digit_classifier

RESULTS = Path(__file__).parent / "results"


def progress(every: float = 20.0) -> Callable[[int, int], None]:
    begun = said = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal said
        if time.monotonic() - said >= every or done == total:
            said = time.monotonic()
            print(f"step {done:,} of {total:,}, {said - begun:.0f} s", flush=True)

    return report


def write(record: dict, command: str) -> None:
    settings, digits, machine = record["settings"], record["digits"], record["environment"]
    real = record["real_stacks"]
    columns = ("seed", "epochs", "test accuracy %", "validation accuracy %", "seconds")
    columns += ("real modes", "real KL", "real KL, uniform")
    row = (
        settings["seed"],
        f"{settings['epochs']:g}",
        f"{100 * record['test_accuracy']:.2f}",
        f"{100 * record['validation_accuracy']:.2f}",
        f"{record['seconds']:.0f}",
        f"{real['modes']:,}",
        f"{real['mode_kl']:.4f}",
        f"{real['mode_kl_uniform']:.4f}",
    )
    text = (
        f"`{command}`: {time.strftime('%Y-%m-%d')}, {machine['processor']}, {machine['threads']} thread(s), torch "
        f"{machine['torch']}; {digits['train']:,} training, {digits['validation']:,} validation and "
        f"{digits['test']:,} test images. Real: {real['samples']:,} stacks of test digits by this classifier; KL from "
        f"the training digits' own frequencies (from sampling alone {real['mode_kl_floor']:.4f}), and from 1 / 1,000.\n"
    )
    lines = (columns, ["---"] * len(columns), row)
    text += "\n" + "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "digit-classifier.json").write_text(json.dumps({"command": command, **record}, indent=1) + "\n")
    (RESULTS / "digit-classifier.md").write_text(text)
    print(text)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="ylecun/mnist")
    parser.add_argument("--epochs", type=float, default=SETTINGS.epochs)
    parser.add_argument("--seed", type=int, default=SETTINGS.seed)
    given = parser.parse_args(arguments)
    images = Images(given.data, channels=1).load().images
    trained = digit_classifier(images, Settings(seed=given.seed, epochs=given.epochs), progress())
    stacks = real_scores(images, trained, given.seed)
    flags = f"--epochs {given.epochs:g} --seed {given.seed:g}"
    write({**trained.record, "real_stacks": stacks}, f"python benchmarks/digit_classifier.py --data PATH {flags}")


if __name__ == "__main__":
    main()
