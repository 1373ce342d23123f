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
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

import aimgan
from aimgan import noise
from aimgan.search import build, open_index
from aimgan.search.nearest import exact
from aimgan.training.run_dir import environment

RESULTS = Path(__file__).parent / "results"
MODEL = str(Path(__file__).parents[1] / "pretrained" / "mnist-aim")
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


def built(source: str, images: str, index: str) -> None:
    """Build, and print what it took: what this file does when it is called with a model and two folders."""
    model = aimgan.load(source)
    before, begun, cpu = peak(), time.perf_counter(), time.process_time()
    found = build(model, images, index)
    took = {"seconds": time.perf_counter() - begun, "cpu_seconds": time.process_time() - cpu}
    print(json.dumps({**took, "images": len(found), "peak_mib": peak(), "peak_before_mib": before}))


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def process(*arguments: object) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, __file__, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def finish(running: subprocess.Popen) -> dict:
    out, _ = running.communicate()
    if running.returncode:
        raise SystemExit(f"exit code {running.returncode}")
    return json.loads(out.splitlines()[-1])


def killed(model: str, images: Path, index: Path, kills: int, seconds: float, seed: int) -> list[int]:
    """Build through kills at moments drawn uniformly over the building time; return the rows after each."""
    draw, rows = random.Random(seed), []
    for wait in np.diff([0, *sorted(draw.uniform(0, seconds) for _ in range(kills))]):
        running = process(model, images, index)
        before = size(index / "codes.npy")
        while running.poll() is None and size(index / "codes.npy") == before:
            time.sleep(0.05)  # starting takes no part
        time.sleep(wait)
        running.kill()
        running.wait()
        rows.append((size(index / "codes.npy") - 128) // 128)
        print(f"killed at {rows[-1]:,} rows", flush=True)
    finish(process(model, images, index))
    return rows


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def digests(index: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(index.iterdir())}


def queries(codes: np.ndarray, n: int = 30) -> float:
    """Median milliseconds of a query for 12 images, torch with one thread."""
    torch.set_num_threads(1)
    times = []
    for z in codes[:: len(codes) // n]:
        begun = time.perf_counter()
        exact(codes, z[None], 12)
        times.append(1_000 * (time.perf_counter() - begun))
    return median(times)


def mapped(folder: Path, codes: np.ndarray) -> np.ndarray:
    """Return codes as an index has them: mapped from a file."""
    np.save(folder / "million.npy", codes)
    return np.load(folder / "million.npy", mmap_mode="c")


def measure(model: str, folder: Path, images: int, kills: int, seed: int) -> dict:
    source, index, broken = folder / "images", folder / "index", folder / "index-killed"
    generate(model, source, images, seed)
    for old in (index, broken):
        shutil.rmtree(old, ignore_errors=True)
    whole = finish(process(model, source, index))
    print(whole, flush=True)
    again = finish(process(model, source, index))
    rows = killed(model, source, broken, kills, whole["seconds"], seed)
    begun = time.perf_counter()
    opened = open_index(index)
    opening = time.perf_counter() - begun
    prior = noise.normal(MILLION, 64, generator=noise.generator(seed, "a million")).numpy()
    return {
        "build": whole, "unchanged": again, "kills": rows, "equal": digests(index) == digests(broken),
        "bytes": {path.name: size(path) for path in sorted(index.iterdir())},
        "open_seconds": opening, "query_ms": queries(opened.codes), "million_ms": queries(mapped(folder, prior)),
    }  # fmt: skip


def markdown(result: dict) -> str:
    m, built = result["environment"], result["build"]
    n, total = built["images"], sum(result["bytes"].values())
    each = f"{total / n:.0f} bytes an image"
    minutes = built["cpu_seconds"] / n * MILLION / 2 / 60
    mib = total / n * MILLION / 2**20
    rows = [
        ("build: decode, encode, write", f"{built['seconds']:.0f} s ({built['cpu_seconds']:.0f} CPU s)"),
        ("the same call, nothing changed", f"{result['unchanged']['seconds']:.1f} s"),
        ("peak memory, and before the build", f"{built['peak_mib']:.0f} and {built['peak_before_mib']:.0f} MiB"),
        ("the index's files", f"{total / 2**20:.1f} MiB, {each}"),
        ("opening it", f"{1_000 * result['open_seconds']:.0f} ms"),
        ("a query, 12 nearest, all codes compared, one thread", f"{result['query_ms']:.1f} ms"),
        ("a query among 1,000,000 codes of 64 numbers", f"{result['million_ms']:.0f} ms"),
        (f"killed after {', '.join(f'{row:,}' for row in result['kills'])} rows: the same bytes", str(result["equal"])),
        ("on paper, 1,000,000 images", f"{minutes:.1f} min on two free cores, {mib:.0f} MiB"),
    ]  # fmt: skip
    return (
        f"`{result['command']}`: {result['date']}, {m['processor']}, {os.cpu_count()} cores shared with other work, "
        f"torch {m['torch']}, seed {result['seed']}; {n:,} images of {result['shape']}, codes "
        "of 32 dimensions.\n\n| what | measured |\n| --- | --- |\n" + "".join(f"| {a} | {b} |\n" for a, b in rows)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/aimgan-search"), help="of the images and the indexes")
    parser.add_argument("--output", type=Path, default=RESULTS / "search.json")
    arguments = parser.parse_args()
    result = {
        "command": " ".join(["python", "benchmarks/search.py", *sys.argv[1:]]), "date": time.strftime("%Y-%m-%d"),
        "environment": environment(), "seed": arguments.seed,
        "shape": "28 x 28",
        **measure(arguments.model, arguments.folder, arguments.images, arguments.kills, arguments.seed),
    }  # fmt: skip
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")
    arguments.output.with_suffix(".md").write_text(markdown(result))
    print(markdown(result))


if __name__ == "__main__":
    if len(sys.argv) == 4 and not sys.argv[1].startswith("-"):
        built(*sys.argv[1:])
    else:
        main()
