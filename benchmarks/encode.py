"""Indexing a folder of 20,000 images: wall time, and beside it, in turns, that of another version of the package.

    python benchmarks/encode.py --faces FACES --mnist MNIST [--before SRC] --images 20000 --rounds 3

FACES (shared/data/unpack.py faces64 FOLDER) become JPEG files of 178 x 178 pixels, CelebA's size, for Table 4's
networks at 32 x 32; MNIST's digits become PNG files for pretrained/mnist-aim. SRC is the `src` folder of the version
to compare with. Each build is a process of its own, which is timed from `build` on. Writes
benchmarks/results/encode.json and .md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

import aimgan
from aimgan.data.images import load_images
from aimgan.model import LatentVariableModel, ModelConfig
from aimgan.training.run_dir import environment

RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).parents[1]
# What a process of its own runs: a model, images, an index.
BUILD = """
import sys, time
import aimgan
from aimgan.search import build
model = aimgan.load(sys.argv[1])
begun, cpu = time.perf_counter(), time.process_time()
index = build(model, sys.argv[2], sys.argv[3])
print(time.perf_counter() - begun, time.process_time() - cpu, len(index))
"""


def write(source: str, folder: Path, n: int, side: int | None, kind: str) -> None:
    """Write n images of a source as files in folders of 1,000, if they are not there."""
    if (folder / f"{(n - 1) // 1_000:04d}").exists():
        return
    for k, row in enumerate(load_images(source, test_fraction=0.0).train.pixels[:n].numpy()):
        image = Image.fromarray(row[0] if len(row) == 1 else np.ascontiguousarray(row.transpose(1, 2, 0)))
        image = image if side is None else image.resize((side, side), Image.Resampling.BICUBIC)
        path = folder / f"{k // 1_000:04d}" / f"{k:06d}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, quality=90)


def built(src: Path, model: Path, images: Path) -> float:
    """Seconds that a version takes to index images that have no index yet."""
    index = Path(tempfile.mkdtemp()) / "index"
    command = [sys.executable, "-c", BUILD, str(model), str(images), str(index)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(src)}, capture_output=True, text=True, check=True
    )
    shutil.rmtree(index.parent)
    return float(done.stdout.split()[0])


def measure(model: Path, images: Path, before: Path | None, rounds: int) -> list[dict]:
    """Time both versions in turns."""
    versions = {"now": ROOT / "src", **({"before": before} if before else {})}
    found = []
    for _ in range(rounds):
        found.append({name: built(src, model, images) for name, src in versions.items()})
        print(found[-1], flush=True)
    return found


def markdown(result: dict) -> str:
    machine, n = result["environment"], result["images"]
    lines = [
        f"`{result['command']}`: {result['date']}, {machine['processor']}, {os.cpu_count()} virtual cores, torch "
        f"{machine['torch']}; {n:,} images. Medians of {result['rounds']} rounds, in turns. Asked for: at most 1.1.",
        "",
        "| images | s | images/s | s, earlier version | ratio |",
        "| --- | --- | --- | --- | --- |",
    ]
    for label, rounds in result["found"].items():
        now = median(row["now"] for row in rounds)
        earlier = [row["before"] for row in rounds if "before" in row]
        ratio = median(row["now"] / row["before"] for row in rounds) if earlier else None
        beside = f"{median(earlier):.2f} | {ratio:.2f}" if earlier else "- | -"
        lines.append(f"| {label} | {now:.2f} | {n / now:,.0f} | {beside} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces")
    parser.add_argument("--mnist")
    parser.add_argument("--before", type=Path, help="the src folder of another version")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/aimgan-encode"), help="of the images' files")
    parser.add_argument("--output", type=Path, default=RESULTS / "encode.json")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    small = ModelConfig("table4", {"shape": (3, 32, 32), "width": 256}, "aim", "gaussian", True)
    cases = {
        "MNIST, PNG 28 x 28": (arguments.mnist, None, "png", lambda: aimgan.load(ROOT / "pretrained" / "mnist-aim")),
        "faces, JPEG 178 x 178": (arguments.faces, 178, "jpg", lambda: LatentVariableModel.build(small)),
    }
    found = {}
    for label, (source, side, kind, model) in cases.items():
        if source is not None:
            folder, saved = (arguments.folder / f"{what}{kind}-{arguments.images}" for what in ("", "model-"))
            write(source, folder, arguments.images, side, kind)
            model().save(saved)
            found[label] = measure(saved, folder, arguments.before, arguments.rounds)
    result = {
        "command": " ".join(["python", "benchmarks/encode.py", *sys.argv[1:]]), "date": time.strftime("%Y-%m-%d"),
        "environment": environment(), "images": arguments.images, "rounds": arguments.rounds, "found": found,
    }  # fmt: skip
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")
    arguments.output.with_suffix(".md").write_text(markdown(result))
    print(markdown(result))


if __name__ == "__main__":
    main()
