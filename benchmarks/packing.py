"""A million images packed: memory, images a second, what kills and a full disk do, and what training from it costs.

    python benchmarks/packing.py --folder FOLDER [--only make,pack,kill,full,training] [--images N] [--quick]

`make` writes a million 64 x 64 JPEGs in WebDataset-style tar shards into FOLDER (2.5 GB; goes on where it was stopped).
`pack` packs them in a process of its own, whose peak RSS is taken. `kill` packs a part of them again and again, killed
by SIGKILL at random moments, and compares every file. `full` packs into a file system of 64 MiB (it needs the right to
mount one). `training` trains the smallest networks on the pack and on the same images in memory, in turns: only the
ratio should be compared, since machines are shared and noisy. Adds what was measured to
benchmarks/results/packing.json and .md.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from aimgan.training.run_dir import environment

RESULTS = Path(__file__).parent / "results"
PARTS = ("make", "pack", "kill", "full", "training")
SHARD, SIDE, BATCH = 10_000, 64, 100
KILLS, KILLED_SHARDS = 20, 10
# What a process of its own runs: the source, the side, and what it says on its last line.
PACK = """
import sys, json, resource, time
from aimgan.data.decoding import Form
from aimgan.data.images import Reader
begun = time.perf_counter()
data = Reader(sys.argv[1], Form(int(sys.argv[2]), 3), packed=True, say=lambda line: print(line, flush=True)).read()
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


def packing(source: str, cache: Path, **options: Any) -> subprocess.Popen[str]:
    """Start a process that packs."""
    command = [sys.executable, "-c", PACK, source, str(SIDE)]
    return subprocess.Popen(
        command, env={**os.environ, "AIMGAN_CACHE": str(cache)}, text=True, stdout=subprocess.PIPE, **options
    )


def pack(folder: Path, cache: Path) -> dict[str, Any]:
    """Pack all, in a process of its own; then open the pack in another one."""
    first = json.loads(packing(str(folder), cache).communicate()[0].splitlines()[-1])
    again = json.loads(packing(str(folder), cache).communicate()[0].splitlines()[-1])
    size = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    return {
        **first,
        "seconds": round(first["seconds"], 1),
        "images_per_second": round(first["images"] / first["seconds"]),
        "disk_gib": round(size / 2**30, 2),
        "opened_again_seconds": round(again["seconds"], 1),
    }


def kill(folder: Path) -> dict[str, Any]:
    """Pack some shards KILLS times, killed at a random moment each time, then to the end; compare with one go."""
    source = str(folder / f"train-0000[0-{KILLED_SHARDS - 1}].tar")
    dice, landed = random.Random(0), 0
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as many:
        whole = json.loads(packing(source, Path(one)).communicate()[0].splitlines()[-1])
        for _ in range(KILLS):
            process = packing(source, Path(many))
            assert process.stdout is not None
            process.stdout.readline()  # it has begun
            time.sleep(dice.uniform(0, 2 * whole["seconds"] / KILLS))
            process.send_signal(signal.SIGKILL)
            landed += process.wait() == -signal.SIGKILL
        ended = json.loads(packing(source, Path(many)).communicate()[0].splitlines()[-1])
        same = hashes(Path(one)) == hashes(Path(many))
    return {"images": ended["images"], "kills": landed, "same_bytes": same}


def hashes(cache: Path) -> dict[str, str]:
    """Return each file of a cache with a hash of its bytes."""
    return {
        str(path.relative_to(cache)): hashlib.file_digest(path.open("rb"), "blake2b").hexdigest()
        for path in sorted(cache.rglob("*"))
        if path.is_file()
    }


def full(folder: Path) -> dict[str, Any]:
    """Pack 10,000 images where 64 MiB are free: refused beforehand; and where the disk fills up on the way."""
    source, told = str(folder / "train-00000.tar"), []
    with tempfile.TemporaryDirectory() as place:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", place], check=True)
        try:
            cache = Path(place) / "cache"
            filler = Path(place) / "filler"
            filler.write_bytes(bytes(96 * 2**20))
            told.append(failed(packing(source, cache, stderr=subprocess.PIPE)))
            filler.unlink()
            process = packing(source, cache, stderr=subprocess.PIPE)
            assert process.stdout is not None
            process.stdout.readline()
            filler.write_bytes(bytes(96 * 2**20))
            told.append(failed(process))
            whole = any(cache.rglob("pack.json"))
            filler.unlink()
            ended = json.loads(packing(source, cache).communicate()[0].splitlines()[-1])
        finally:
            subprocess.run(["umount", place], check=True)
    return {"told": told, "taken_for_whole": whole, "images_after_room": ended["images"]}


def failed(process: subprocess.Popen[str]) -> str:
    """Return the error that a process ended with."""
    errors = process.communicate()[1]
    assert process.returncode, "it had room"
    return errors.strip().splitlines()[-1]


def training(folder: Path, cache: Path, rounds: int, steps: int, count: int) -> dict[str, Any]:
    """Train the smallest networks on the pack and on some of its images in memory, in turns, and compare."""
    os.environ["AIMGAN_CACHE"] = str(cache)
    packed = Reader(str(folder), Form(SIDE, 3), packed=True).read()
    some = Split(packed.train.pixels[:count].clone(), None, packed.train.names[:count])
    mapped = Split(packed.train.pixels[:count], None, packed.train.names[:count])
    data = {
        "packed": ImageSet(replace(packed, train=mapped)),
        "in memory": ImageSet(replace(packed, train=some, packed=None)),
        "all packed": ImageSet(packed),
    }
    networks = Table4(width=64)
    recipe = fit_networks(replace(RECIPES["folder/aim"], networks=networks), packed.shape)
    engine = engine_of(recipe, assemble(recipe, 0), Accelerator(cpu=True), 0)
    done, speeds = 0, {name: [] for name in data}
    alone = {name: images_a_second(batches, steps * 20) for name, batches in data.items()}
    for turn in range(rounds + 1):
        for name, batches in data.items():
            begun = time.perf_counter()
            for step in range(turn * steps, (turn + 1) * steps):
                engine.step(to_range(batches.batch(0, step, BATCH), networks.value_range), done, 1e-4)
                done += 1
            speeds[name].append(steps * BATCH / (time.perf_counter() - begun))
    times = {name: speed[1:] for name, speed in speeds.items()}  # the first turn warms up
    return {
        "images": count,
        "all_images": len(packed.train),
        "rounds": rounds,
        "steps": steps,
        **{name.replace(" ", "_"): round(statistics.median(speed), 1) for name, speed in times.items()},
        **{
            f"ratio_{name.replace(' ', '_')}": round(
                statistics.median(a / b for a, b in zip(times[name], times["in memory"], strict=True)), 3
            )
            for name in ("packed", "all packed")
        },
        "batches_alone": {name: round(speed) for name, speed in alone.items()},
    }


def images_a_second(data: ImageSet, steps: int) -> float:
    """Return how many images a second are gathered, after the first batches."""
    for step in range(5):
        data.batch(0, step, BATCH)
    begun = time.perf_counter()
    for step in range(5, 5 + steps):
        data.batch(0, step, BATCH)
    return steps * BATCH / (time.perf_counter() - begun)


def measure(folder: Path, parts: list[str], quick: bool) -> dict[str, Any]:
    """Return what was asked for, by name."""
    found: dict[str, Any] = {}
    cache = folder.with_name(f"{folder.name}-cache")  # not among the images
    if "pack" in parts:
        found["pack"] = pack(folder, cache)
    if "kill" in parts:
        found["kill"] = kill(folder)
    if "full" in parts:
        found["full"] = full(folder)
    if "training" in parts:
        found["training"] = training(folder, cache, *((1, 2, 2_000) if quick else (9, 20, 100_000)))
    return found


def markdown(result: dict[str, Any]) -> str:
    """Return the table that docs/data.md shows."""
    about = result["environment"]
    lines = [
        f"`{result['command']}`: {result['date']}, {about['processor']}, {about['threads']} thread(s), torch "
        f"{about['torch']}; {result['images']:,} JPEGs of 64 x 64 in tar shards.",
        "",
        "| what | measured | asked |",
        "| --- | --- | --- |",
    ]
    if row := result.get("pack"):
        lines += [
            f"| packing: peak memory (RSS) | {row['peak_rss_mib']:,} MiB | < 2,048 |",
            f"| packing {row['images']:,} images | {row['seconds']:,} s, {row['images_per_second']:,} images/s | |",
            f"| the pack on the disk | {row['disk_gib']} GiB | |",
            f"| finding and opening it again | {row['opened_again_seconds']} s | |",
        ]
    if row := result.get("kill"):
        same = "the same bytes" if row["same_bytes"] else "OTHER BYTES"
        lines.append(f"| {row['images']:,} images, killed {row['kills']} times while packing | {same} | the same |")
    if row := result.get("full"):
        whole = "yes" if row["taken_for_whole"] else "no"
        lines.append(f"| a disk that is too small, or fills up: taken for whole | {whole} | no |")
    if row := result.get("training"):
        told = f"packed {row['packed']:,}, in memory {row['in_memory']:,} images/s"
        lines += [
            f"| training, smallest networks, {row['images']:,} images: {told} | ratio {row['ratio_packed']:.3f} "
            "| >= 0.95 |",
            f"| the same on all {row['all_images']:,} packed: {row['all_packed']:,} images/s | ratio "
            f"{row['ratio_all_packed']:.3f} | |",
            "| batches alone, images/s | "
            + ", ".join(f"{name} {speed:,}" for name, speed in row["batches_alone"].items())
            + " | |",
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Make the images, measure, write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--quick", action="store_true", help="few steps, nothing written: does it work?")
    args = parser.parse_args()
    parts = args.only.split(",")
    if "make" in parts:
        make(args.folder, args.images)
    found = measure(args.folder, parts, args.quick)
    if not found:
        return
    path = RESULTS / "packing.json"
    kept = json.loads(path.read_text()) if path.exists() and not args.quick else {}
    images = SHARD * len(list(args.folder.glob("train-*.tar")))
    about = {"command": f"python benchmarks/packing.py --folder FOLDER --images {images}", "images": images}
    result = {**kept, **about, "date": time.strftime("%Y-%m-%d"), "environment": environment(), **found}
    sys.stdout.write(markdown(result))
    if not args.quick:
        path.write_text(json.dumps(result, indent=2) + "\n")
        path.with_suffix(".md").write_text(markdown(result))


if __name__ == "__main__":
    main()
