"""Training from shards that are larger than memory: how much memory, how many images a second, what it costs.

    python benchmarks/streaming.py --folder FOLDER [--only make,memory,loader,throughput] [--images N] [--quick]

`make` writes a million 64 x 64 JPEGs in WebDataset-style tar shards into FOLDER (2.5 GB; goes on where it was stopped).
`memory` trains stream/aim with the smallest network over several windows, in a process of its own: its peak RSS is
taken, and with the processes that decode for it the sum of their PSS, ten times a second. `loader` decodes batches and
trains nothing. `throughput` trains the same networks on 100,000 images from the shards and from memory, in
turns; only the ratio should be compared, since machines are shared and noisy. Adds what was measured to
benchmarks/results/streaming.json and .md. All but `make` takes under seven minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import sys
import tarfile
import tempfile
import time
from concurrent.futures import wait
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from PIL import Image

from aimgan.data import ImageSet, Stream
from aimgan.data.streaming import feed as feeding
from aimgan.experiments.assemble import assemble, fit_networks
from aimgan.experiments.recipes import RECIPES
from aimgan.experiments.training import engine_of
from aimgan.model import to_range
from aimgan.networks import Table4
from aimgan.train.run_dir import environment

RESULTS = Path(__file__).parent / "results"
PARTS = ("make", "memory", "loader", "throughput")
SHARD, SIDE, BATCH = 10_000, 64, 100
WINDOWS = 3  # that the run of `memory` crosses
NETWORKS = {
    "smallest at 64 x 64": Table4(width=64),
    "the cpu preset's, 32 x 32": Table4(shape=(3, 32, 32), width=256),
}


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


def memory(folder: Path, quick: bool) -> dict[str, Any]:
    """Train with the smallest network in a process of its own, as the command line does, and take its peaks."""
    steps = 20 if quick else WINDOWS * Stream().buffer // BATCH + 30
    with tempfile.TemporaryDirectory() as output:
        command = ["train", "stream/aim", "--data", str(folder), "--output", output, "--steps", str(steps)]
        settings = {"networks.width": 64, "features": "off", "evaluate_every": 0, "batch_size": BATCH}
        words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        begun = time.perf_counter()
        pid = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, "-m", "aimgan", *command, *words])
        most, ended = {"pss": 0, "processes": 0}, 0
        while not ended:
            time.sleep(0.1)
            sizes = [size for process in family(pid) if (size := pss(process))]
            most = {"pss": max(most["pss"], sum(sizes)), "processes": max(most["processes"], len(sizes))}
            ended, status, usage = os.wait4(pid, os.WNOHANG)
        assert status == 0, "the run failed: see above"
        row = json.loads((Path(output) / "run.json").read_text())["settings"]["recipe"]
        assert row["networks"]["width"] == 64
    return {
        "steps": steps,
        "batch_size": BATCH,
        "peak_rss_mib": usage.ru_maxrss // 1024,
        "processes": most["processes"],
        "peak_pss_of_all_mib": most["pss"] // 1024,
        "seconds": round(time.perf_counter() - begun, 1),
    }


def family(pid: int) -> list[int]:
    """Return a process and those that it started, and they."""
    found = [pid]
    for process in found:
        with suppress(OSError):
            for task in Path(f"/proc/{process}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def pss(pid: int) -> int:
    """Return the KiB of memory that a process takes, its part of what it shares; 0 of one that has ended."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return 0


def loader(folder: Path, workers: int, quick: bool) -> dict[str, Any]:
    """Decode batches as fast as so many processes can."""
    feeding.MOST_WORKERS, most = workers, feeding.MOST_WORKERS
    data = Stream(str(folder), sample=1).load()
    feeding.MOST_WORKERS = most
    return {"workers": data._feed.workers, "images_per_second": round(images_a_second(data, 10 if quick else 150))}


def images_a_second(data: ImageSet, steps: int) -> float:
    """Return how many images a second are decoded, after the first batches."""
    for step in range(5):
        data.batch(0, step, BATCH)
    begun = time.perf_counter()
    for step in range(5, 5 + steps):
        data.batch(0, step, BATCH)
    return steps * BATCH / (time.perf_counter() - begun)


def settle(data: ImageSet) -> None:
    """Wait for the batches that are being decoded."""
    if isinstance(data._feed, feeding.Feed):
        wait([task for begun in data._feed._pending.values() for task in begun.tasks])


def throughput(folder: Path, label: str, rounds: int, steps: int, count: int) -> dict[str, Any]:
    """Train on the same images from shards and from memory, in turns, and compare."""
    networks = NETWORKS[label]
    source = Stream(str(folder / "train-0000*.tar"), networks.shape[1], test_fraction=0.0, sample=count)
    streamed = source.load()
    data = {"streamed": streamed, "in memory": ImageSet(streamed.images)}
    recipe = fit_networks(replace(RECIPES["stream/aim"], networks=networks), streamed.shape)
    engine = engine_of(recipe, assemble(recipe, 0), Accelerator(cpu=True), 0)
    done, speeds = 0, {name: [] for name in data}
    for turn in range(rounds + 1):
        for name, batches in data.items():
            begun = time.perf_counter()
            for step in range(turn * steps, (turn + 1) * steps):
                engine.step(to_range(batches.batch(0, step, BATCH), networks.value_range), done, 1e-4)
                done += 1
            settle(batches)  # what is decoded ahead is this turn's work, not the other's
            speeds[name].append(steps * BATCH / (time.perf_counter() - begun))
    times = {name: speed[1:] for name, speed in speeds.items()}  # the first turn warms up
    ratios = [a / b for a, b in zip(times["streamed"], times["in memory"], strict=True)]
    return {
        "networks": label,
        "images": count,
        "rounds": rounds,
        "steps": steps,
        "streamed": round(statistics.median(times["streamed"]), 1),
        "in_memory": round(statistics.median(times["in memory"]), 1),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
    }


def measure(folder: Path, parts: list[str], quick: bool) -> dict[str, Any]:
    """Return what was asked for, by name."""
    found: dict[str, Any] = {}
    if "memory" in parts:
        found["memory"] = memory(folder, quick)
    if "loader" in parts:
        found["loader"] = [loader(folder, workers, quick) for workers in (1, 2)]
    if "throughput" in parts:
        plans = {"smallest at 64 x 64": (7, 20), "the cpu preset's, 32 x 32": (5, 5)}
        count = 2_000 if quick else 100_000
        found["throughput"] = [
            throughput(folder, label, *((1, 2) if quick else plan), count) for label, plan in plans.items()
        ]
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
    if peak := result.get("memory"):
        told = f"peak RSS, {peak['steps']} steps of {peak['batch_size']} and the evaluation"
        lines.append(f"| {told}: the process that trains | {peak['peak_rss_mib']:,} MiB | |")
        every = f"all {peak['processes']} processes, peak of the sum of PSS"
        lines.append(f"| the same, {every} | {peak['peak_pss_of_all_mib']:,} MiB | < 2,048 |")
    for row in result.get("loader", []):
        lines.append(f"| loader alone, {row['workers']} process(es) | {row['images_per_second']:,} images/s | |")
    for row in result.get("throughput", []):
        told = f"streamed {row['streamed']:,}, in memory {row['in_memory']:,} images/s"
        lines.append(f"| training, {row['networks']}: {told} | ratio {row['ratio']:.3f} | >= 0.9 |")
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
    path = RESULTS / "streaming.json"
    kept = json.loads(path.read_text()) if path.exists() and not args.quick else {}
    images = SHARD * len(list(args.folder.glob("train-*.tar")))
    about = {"command": f"python benchmarks/streaming.py --folder FOLDER --images {images}", "images": images}
    result = {**kept, **about, "date": time.strftime("%Y-%m-%d"), "environment": environment(), **found}
    sys.stdout.write(markdown(result))
    if not args.quick:
        path.write_text(json.dumps(result, indent=2) + "\n")
        path.with_suffix(".md").write_text(markdown(result))


if __name__ == "__main__":
    main()
