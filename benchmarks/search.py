"""An index of 100,000 generated images: seconds, bytes, memory, what a query takes and finds, and kills in between.

    nice python benchmarks/search.py --images 100000 --kills 3 --seed 0 [--model RUN]

G makes the images (of pretrained/mnist-aim, or a RUN), which are written as PNG files. They are indexed by a process
that is left alone, then by one that is killed (SIGKILL) at random moments and repeated after each: all files must have
the same bytes. A query is measured on the same codes, and on a million codes drawn from the prior. Writes
benchmarks/results/search.json and .md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import common
import numpy as np
import torch
from PIL import Image

import aimgan
from aimgan import noise
from aimgan.search import build, open_index
from aimgan.search.nearest import exact

MODEL = str(common.ROOT / "pretrained" / "mnist-aim")
MILLION = 1_000_000


def generate(source: str, folder: Path, n: int, seed: int) -> None:
    """Write n images that G makes, as PNG files in folders of 1,000."""
    model = aimgan.load(source)
    for start in range(0, n, 1_000):
        part = folder / f"{start // 1_000:04d}"
        if part.exists():
            continue
        pixels = (model.generate(1_000, noise.generator(seed, "search", start)) * 255).round().byte().numpy()
        fresh = folder / f".{part.name}"
        fresh.mkdir(parents=True, exist_ok=True)
        for k, image in enumerate(pixels[: n - start, 0]):
            Image.fromarray(image).save(fresh / f"{k:03d}.png", compress_level=1)
        fresh.rename(part)


def build_here(source: str, images: str, index: str) -> None:
    """Build, and print what it took: what this file does when it is called with a model and two folders."""
    model = aimgan.load(source)
    before, begun, cpu = common.peak_mib(), time.perf_counter(), time.process_time()
    found = build(model, images, index)
    took = {"seconds": time.perf_counter() - begun, "cpu_seconds": time.process_time() - cpu}
    print(json.dumps({**took, "images": len(found), "peak_mib": common.peak_mib(), "peak_before_mib": before}))


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start a build in a process of its own."""
    return subprocess.Popen([sys.executable, __file__, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"a build ended with exit code {process.returncode}")
    return json.loads(out.splitlines()[-1])


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def killed(model: str, images: Path, index: Path, moments: list[float]) -> list[int]:
    """Build through kills at these moments of the building time; return the rows that are there after each."""
    rows, codes = [], index / "codes.npy"
    for wait in np.diff([0, *moments]):
        process = start(model, images, index)
        before = size(codes)
        while process.poll() is None and size(codes) == before:
            time.sleep(0.05)  # the time to start does not count
        time.sleep(wait)
        process.kill()
        process.wait()
        rows.append((size(codes) - 128) // 128)  # a header, and 32 numbers of 4 bytes a row
        print(f"killed at {rows[-1]:,} rows", flush=True)
    finish(start(model, images, index))
    return rows


def digests(index: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(index.iterdir())}


def query_ms(codes: np.ndarray, n: int = 30) -> float:
    """Return the median milliseconds of a query for 12 images, torch with one thread."""
    torch.set_num_threads(1)
    times = []
    for z in codes[:: len(codes) // n]:
        begun = time.perf_counter()
        exact(codes, z[None], 12)
        times.append(1_000 * (time.perf_counter() - begun))
    return median(times)


def measure(given: argparse.Namespace) -> dict[str, Any]:
    source, index, broken = (given.folder / name for name in ("images", "index", "index-killed"))
    generate(given.model, source, given.images, given.seed)
    for old in (index, broken):
        shutil.rmtree(old, ignore_errors=True)
    whole = finish(start(given.model, source, index))
    print(whole, flush=True)
    unchanged = finish(start(given.model, source, index))
    draw = random.Random(given.seed)
    moments = sorted(draw.uniform(0, whole["seconds"]) for _ in range(given.kills))
    rows = killed(given.model, source, broken, moments)
    begun = time.perf_counter()
    opened = open_index(index)
    opening = time.perf_counter() - begun
    million = given.folder / "million.npy"
    np.save(million, noise.normal(MILLION, 64, generator=noise.generator(given.seed, "a million")).numpy())
    return {
        "build": whole,
        "unchanged": unchanged,
        "kills": rows,
        "equal": digests(index) == digests(broken),
        "bytes": {path.name: size(path) for path in sorted(index.iterdir())},
        "open_seconds": opening,
        "query_ms": query_ms(opened.codes),
        "million_ms": query_ms(np.load(million, mmap_mode="c")),  # from a file, as an index has them
    }


def markdown(result: dict[str, Any]) -> str:
    built, n = result["build"], result["build"]["images"]
    total = sum(result["bytes"].values())
    kills = ", ".join(f"{row:,}" for row in result["kills"])
    minutes = built["cpu_seconds"] / n * MILLION / 2 / 60
    rows = [
        ("build: decode, encode, write", f"{built['seconds']:.0f} s ({built['cpu_seconds']:.0f} CPU s)"),
        ("the same call, nothing changed", f"{result['unchanged']['seconds']:.1f} s"),
        ("peak memory, and before the build", f"{built['peak_mib']:.0f} and {built['peak_before_mib']:.0f} MiB"),
        ("the index's files", f"{total / 2**20:.1f} MiB, {total / n:.0f} bytes an image"),
        ("opening it", f"{1_000 * result['open_seconds']:.0f} ms"),
        ("a query, 12 nearest, all codes compared, one thread", f"{result['query_ms']:.1f} ms"),
        ("a query among 1,000,000 codes of 64 numbers", f"{result['million_ms']:.0f} ms"),
        (f"killed after {kills} rows: the same bytes", result["equal"]),
        ("on paper, 1,000,000 images", f"{minutes:.1f} min on two free cores, {total / n * MILLION / 2**20:.0f} MiB"),
    ]
    return (
        f"{common.origin(result)}, {os.cpu_count()} cores shared with other work, seed {result['seed']}; {n:,} images "
        f"of 28 x 28, codes of 32 dimensions.\n\n{common.table(('what', 'measured'), rows)}"
    )


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/aimgan-search"), help="of the images and the indexes")
    parser.add_argument("--output", type=Path, default=common.RESULTS / "search.json")
    given = parser.parse_args()
    result = {**common.about(), "seed": given.seed, **measure(given)}
    common.write(given.output, result, markdown(result))


if __name__ == "__main__":
    if len(sys.argv) == 4 and not sys.argv[1].startswith("-"):
        build_here(*sys.argv[1:])
    else:
        main()
