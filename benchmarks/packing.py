"""A million images packed: memory, images a second, and what training from the pack costs.

    python benchmarks/packing.py --folder FOLDER [--only make,pack,training] [--images N] [--quick]

`make` writes a million 64 x 64 JPEGs in WebDataset-style tar shards into FOLDER (2.5 GB; goes on where it was stopped).
`pack` packs them in a process of its own, whose peak RSS is taken. `training` trains the smallest networks on the pack
and on the same images in memory, in turns: only the ratio should be compared, since machines are shared and noisy.
Adds what was measured to benchmarks/results/packing.json and .md. Kills and full disks are tests/data/test_packed.py's.
"""

from __future__ import annotations

import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import common
import numpy as np
from accelerate import Accelerator
from PIL import Image

from aimgan.data import ImageSet
from aimgan.data.decoding import Form
from aimgan.data.image_data import Split
from aimgan.data.images import Reader
from aimgan.model import to_range
from aimgan.networks import Table4
from aimgan.recipes import RECIPES
from aimgan.recipes.assemble import assemble, fit_networks
from aimgan.runs.train import engine_of

PARTS = ("make", "pack", "training")
SHARD, SIDE, BATCH = 10_000, 64, 100
# What a process of its own runs: the source, the side, and what it says on its last line.
PACK = """
import sys, json, resource, time
from aimgan.data.decoding import Form
from aimgan.data.images import Reader
begun = time.perf_counter()
data = Reader(sys.argv[1], Form(int(sys.argv[2]), 3), packed=True, say=print).read()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
images = len(data.train) + len(data.test)
print(json.dumps({"seconds": time.perf_counter() - begun, "images": images, "peak_rss_mib": peak}))
"""


def make(folder: Path, images: int) -> None:
    """Write `images` training images and 10,000 to test, a shard at a time, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate([*(f"train-{k:05d}.tar" for k in range(images // SHARD)), "test-00000.tar"]):
        if not (folder / name).exists():
            fresh = folder / f".{name}.new"
            write_shard(fresh, 10**6 if name.startswith("test") else number)
            fresh.rename(folder / name)


def write_shard(path: Path, number: int) -> None:
    """Write 10,000 smooth colour images: 4 x 4 random pixels blown up to 64 x 64."""
    coarse = np.random.default_rng(number).random((SHARD, 4, 4, 3), np.float32)
    places = np.clip((np.arange(SIDE) + 0.5) / 16 - 0.5, 0, 3)
    blend = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(4))).astype(np.float32)  # (64, 4), linear
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for k, pixels in enumerate(coarse):
            rows = np.tensordot(blend, pixels, 1)  # (64, 4, 3)
            fine = np.tensordot(blend, rows.transpose(1, 0, 2), 1)
            buffer = io.BytesIO()
            Image.fromarray(np.uint8(255 * fine)).save(buffer, "JPEG", quality=85)
            member = tarfile.TarInfo(f"{number:05d}{k:05d}.jpg")
            member.size = buffer.tell()
            buffer.seek(0)
            tar.addfile(member, buffer)
            tar.members.clear()  # else it remembers them all


def packed_apart(folder: Path, cache: Path) -> dict[str, Any]:
    """Pack in a process of its own, and return what it says at its end."""
    command = [sys.executable, "-c", PACK, str(folder), str(SIDE)]
    environment = {**os.environ, "AIMGAN_CACHE": str(cache)}
    done = subprocess.run(command, env=environment, text=True, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def pack(folder: Path, cache: Path) -> dict[str, Any]:
    """Pack all, in a process of its own; then open the pack in another one."""
    first, again = packed_apart(folder, cache), packed_apart(folder, cache)
    size = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    return {
        **first,
        "seconds": round(first["seconds"], 1),
        "images_per_second": round(first["images"] / first["seconds"]),
        "disk_gib": round(size / 2**30, 2),
        "opened_again_seconds": round(again["seconds"], 1),
    }


def training(folder: Path, cache: Path, rounds: int, steps: int, count: int) -> dict[str, Any]:
    """Train the smallest networks on the pack and on some of its images in memory, in turns, and compare."""
    os.environ["AIMGAN_CACHE"] = str(cache)
    packed = Reader(str(folder), Form(SIDE, 3), packed=True).read()
    pixels, names = packed.train.pixels[:count], packed.train.names[:count]
    data = {
        "packed": ImageSet(replace(packed, train=Split(pixels, None, names))),
        "in_memory": ImageSet(replace(packed, train=Split(pixels.clone(), None, names), packed=None)),
        "all_packed": ImageSet(packed),
    }
    networks = Table4(width=64)
    recipe = fit_networks(replace(RECIPES["folder/aim"], networks=networks), packed.shape)
    engine = engine_of(recipe, assemble(recipe, 0), Accelerator(cpu=True), 0)
    done = 0
    alone = {name: batches_a_second(batches, steps * 20) for name, batches in data.items()}
    speeds: dict[str, list[float]] = {name: [] for name in data}
    for turn in range(rounds + 1):
        for name, batches in data.items():
            clock = time.perf_counter()
            for step in range(turn * steps, (turn + 1) * steps):
                engine.step(to_range(batches.batch(0, step, BATCH), networks.value_range), done, 1e-4)
                done += 1
            speeds[name].append(steps * BATCH / (time.perf_counter() - clock))
    found = {name: np.array(speed[1:]) for name, speed in speeds.items()}  # the first turn warms up
    return {
        "images": count,
        "all_images": len(packed.train),
        "rounds": rounds,
        "steps": steps,
        **{name: round(statistics.median(speed), 1) for name, speed in found.items()},
        "ratio_packed": round(float(np.median(found["packed"] / found["in_memory"])), 3),
        "ratio_all_packed": round(float(np.median(found["all_packed"] / found["in_memory"])), 3),
        "batches_alone": {name.replace("_", " "): round(speed * BATCH) for name, speed in alone.items()},
    }


def batches_a_second(data: ImageSet, steps: int) -> float:
    """Return how many batches a second are gathered, after the first ones."""
    for step in range(5):
        data.batch(0, step, BATCH)
    clock = time.perf_counter()
    for step in range(5, 5 + steps):
        data.batch(0, step, BATCH)
    return steps / (time.perf_counter() - clock)


def markdown(result: dict[str, Any]) -> str:
    """Return the page that docs/data.md shows."""
    rows: list[tuple[str, str, str]] = []
    if row := result.get("pack"):
        rows += [
            ("packing: peak memory (RSS)", f"{row['peak_rss_mib']:,} MiB", "< 2,048"),
            (f"packing {row['images']:,} images", f"{row['seconds']:,} s, {row['images_per_second']:,} images/s", ""),
            ("the pack on the disk", f"{row['disk_gib']} GiB", ""),
            ("finding and opening it again", f"{row['opened_again_seconds']} s", ""),
        ]
    if row := result.get("training"):
        speeds = f"packed {row['packed']:,}, in memory {row['in_memory']:,} images/s"
        alone = ", ".join(f"{name} {speed:,}" for name, speed in row["batches_alone"].items())
        rows += [
            (f"training, smallest networks, {row['images']:,} images: {speeds}", f"ratio {row['ratio_packed']:.3f}",
             ">= 0.95"),
            (f"the same on all {row['all_images']:,} packed: {row['all_packed']:,} images/s",
             f"ratio {row['ratio_all_packed']:.3f}", ""),
            ("batches alone, images/s", alone, ""),
        ]  # fmt: skip
    head = f"{common.origin(result)}; {result['images']:,} JPEGs of 64 x 64 in tar shards.\n\n"
    return head + common.table(("what", "measured", "asked"), rows)


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--quick", action="store_true", help="few steps, nothing kept: does it work?")
    given = parser.parse_args()
    folder, cache = given.folder, given.folder.with_name(f"{given.folder.name}-cache")  # not among the images
    length = (1, 2, 2_000) if given.quick else (9, 20, 100_000)
    measures = {
        "pack": lambda: pack(folder, cache),
        "training": lambda: training(folder, cache, *length),
    }
    parts = given.only.split(",")
    if "make" in parts:
        make(folder, given.images)
    found = {part: measures[part]() for part in parts if part != "make"}
    path = Path(tempfile.gettempdir()) / "packing.json" if given.quick else common.RESULTS / "packing.json"
    images = SHARD * len(list(folder.glob("train-*.tar")))
    command = f"python benchmarks/packing.py --folder FOLDER --images {images}"
    if found:
        result = {**common.kept(path), **common.about(command), "images": images, **found}
        common.write(path, result, markdown(result))


if __name__ == "__main__":
    main()
