"""Indexing a folder of 20,000 images: wall time, and in turns with it, that of another version of the package.

    python benchmarks/encode.py --faces FACES --mnist MNIST [--before SRC] --images 20000 --rounds 3

FACES (shared/data/unpack.py faces64 FOLDER) become JPEG files of 178 x 178 pixels, CelebA's size, for Table 4's
networks at 32 x 32; MNIST's digits become PNG files for pretrained/mnist-aim. SRC is the `src` folder of the version
to compare with. Each build is a process of its own, which is timed from `build` on. Writes
benchmarks/results/encode.json and .md.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import common
import numpy as np
import torch
from PIL import Image

import aimgan
from aimgan.data.images import load_images
from aimgan.model import LatentVariableModel, ModelConfig

# What a process of its own runs: a model, images, an index.
BUILD = """
import sys, time
import aimgan
from aimgan.search import build
model = aimgan.load(sys.argv[1])
begun = time.perf_counter()
build(model, sys.argv[2], sys.argv[3])
print(time.perf_counter() - begun)
"""


def write(source: str, folder: Path, n: int, side: int | None, kind: str) -> None:
    """Write n images of a source as files in folders of 1,000, if they are not there."""
    if (folder / f"{(n - 1) // 1_000:04d}").exists():
        return
    for k, row in enumerate(load_images(source, test_fraction=0.0).train.pixels[:n].numpy()):
        image = Image.fromarray(row[0] if len(row) == 1 else np.ascontiguousarray(row.transpose(1, 2, 0)))
        if side is not None:
            image = image.resize((side, side), Image.Resampling.BICUBIC)
        path = folder / f"{k // 1_000:04d}" / f"{k:06d}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, quality=90)


def build_seconds(src: Path, model: Path, images: Path) -> float:
    """Return the seconds that a version takes to index images that have no index yet."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", BUILD, str(model), str(images), f"{folder}/index"]
        environment = {**os.environ, "PYTHONPATH": str(src)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def measure(model: Path, images: Path, before: Path | None, rounds: int) -> list[dict[str, float]]:
    """Time both versions in turns."""
    versions = {"now": common.ROOT / "src"}
    if before:
        versions["before"] = before
    found = []
    for _ in range(rounds):
        found.append({name: build_seconds(src, model, images) for name, src in versions.items()})
        print(found[-1], flush=True)
    return found


def markdown(result: dict[str, Any]) -> str:
    n, rows = result["images"], []
    for label, rounds in result["found"].items():
        now = median(row["now"] for row in rounds)
        row = [label, f"{now:.2f}", f"{n / now:,.0f}", "-", "-"]
        if "before" in rounds[0]:
            row[3] = f"{median(row['before'] for row in rounds):.2f}"
            row[4] = f"{median(row['now'] / row['before'] for row in rounds):.2f}"
        rows.append(row)
    return (
        f"{common.origin(result)}, {os.cpu_count()} virtual cores; {n:,} images. Medians of {result['rounds']} rounds, "
        "in turns. Asked for: at most 1.1.\n\n"
        + common.table(("images", "s", "images/s", "s, earlier version", "ratio"), rows)
    )


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--faces")
    parser.add_argument("--mnist")
    parser.add_argument("--before", type=Path, help="the src folder of another version")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/aimgan-encode"), help="of the images' files")
    parser.add_argument("--output", type=Path, default=common.RESULTS / "encode.json")
    given = parser.parse_args()
    torch.manual_seed(0)
    small = ModelConfig("table4", {"shape": (3, 32, 32), "width": 256}, "aim", "gaussian", True)
    digits = aimgan.load(common.ROOT / "pretrained" / "mnist-aim")
    cases = {
        "MNIST, PNG 28 x 28": (given.mnist, None, "png", digits),
        "faces, JPEG 178 x 178": (given.faces, 178, "jpg", LatentVariableModel.build(small)),
    }
    found = {}
    for label, (source, side, kind, model) in cases.items():
        if source is not None:
            images, saved = given.folder / f"{kind}-{given.images}", given.folder / f"model-{kind}"
            write(source, images, given.images, side, kind)
            model.save(saved)
            found[label] = measure(saved, images, given.before, given.rounds)
    result = {**common.about(), "images": given.images, "rounds": given.rounds, "found": found}
    common.write(given.output, result, markdown(result))


if __name__ == "__main__":
    main()
