"""Encoding a folder: the wall time of decoding and encoding at once, against half of what both cost alone.

    taskset -c 0,1 nice python benchmarks/encode.py --faces FACES --mnist MNIST --images 20000 --rounds 3

FACES (shared/data/unpack.py faces64 FOLDER) become JPEG files of 178 x 178 pixels, CelebA's size, for Table 4's
networks at 32 x 32; MNIST's digits become PNG files for pretrained/mnist-aim. A round: the CPU seconds of decoding all
in one thread; those of encoding all, torch with one thread; then the seconds that `encoded` takes for both with two
workers. They are compared with half of the CPU seconds that were spent meanwhile (1: no core ever waited), and with
half of the two sums: what it would take if two cores at once were as fast as one alone, and handing over cost nothing.
Two of a virtual machine are not, so a control follows in each round: two processes that share nothing, each of which
decodes and then encodes half of the images. No program could be faster on those cores; the ratio to it is ours.
Writes benchmarks/results/encode.json and .md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import sys
import time
from contextlib import ExitStack
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

import aimgan
from aimgan.data.decode import decode
from aimgan.data.image_set import as_float
from aimgan.data.images import load_images
from aimgan.model import LatentVariableModel, ModelConfig
from aimgan.search.encoding import CHUNK, encoded
from aimgan.search.images import listing
from aimgan.train.run_dir import environment

RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).parents[1]
WORKERS = 2


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


def alone(model: LatentVariableModel, folder: Path, part: int | None = None) -> tuple[float, float]:
    """CPU seconds of decoding images, and of encoding them, each in one thread: of all, or of one part of WORKERS."""
    torch.set_num_threads(1)
    channels, side, _ = model.shape
    decoding = encoding = 0.0
    with ExitStack() as stack:
        openers = [opener for _, opener in listing(str(folder), stack).items]
        openers = openers if part is None else openers[part::WORKERS]
        for start in range(0, len(openers), CHUNK):
            begun = time.thread_time()
            pixels = np.stack([decode(opener, side, channels) for opener in openers[start : start + CHUNK]])
            between = time.thread_time()
            model.encode(as_float(torch.from_numpy(pixels)))
            decoding, encoding = decoding + between - begun, encoding + time.thread_time() - between
    return decoding, encoding


def together(model: LatentVariableModel, folder: Path) -> tuple[float, float]:
    """Seconds of both at once, and the CPU seconds of that, those of the processes that decode among them."""
    begun, cpu = time.perf_counter(), cpu_seconds()
    with ExitStack() as stack:
        for _ in encoded(model, listing(str(folder), stack), workers=WORKERS):
            pass
    return time.perf_counter() - begun, cpu_seconds() - cpu


def cpu_seconds() -> float:
    """CPU seconds of this process, and of those of its children that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def control(model: LatentVariableModel, folder: Path) -> float:
    """Seconds of WORKERS processes that share nothing: each decodes and encodes its part of the images, in turn."""
    context = multiprocessing.get_context("spawn")
    begin, end = context.Barrier(WORKERS + 1), context.Barrier(WORKERS + 1)
    with TemporaryDirectory() as saved:
        model.save(saved)
        arguments = (saved, folder, begin, end)
        processes = [context.Process(target=part, args=(*arguments, k), daemon=True) for k in range(WORKERS)]
        for process in processes:
            process.start()
        begin.wait()
        begun = time.perf_counter()
        end.wait()
        return time.perf_counter() - begun


def part(saved: str, folder: Path, begin: Barrier, end: Barrier, k: int) -> None:
    model = aimgan.load(saved)
    model.generate(1)
    begin.wait()
    alone(model, folder, k)
    end.wait()


def measure(model: LatentVariableModel, folder: Path, rounds: int) -> list[dict]:
    found = []
    for _ in range(rounds):
        decoding, encoding = alone(model, folder)
        wall, cpu = together(model, folder)
        ideal, half = control(model, folder), (decoding + encoding) / 2
        found.append({
            "decode_cpu": decoding, "encode_cpu": encoding, "wall": wall, "cpu": cpu, "control": ideal,
            "ratio": wall / half, "ratio_to_control": wall / ideal, "ratio_to_own": wall / (cpu / 2),
        })  # fmt: skip
        print(found[-1], flush=True)
    return found


def markdown(result: dict) -> str:
    machine, n = result["environment"], result["images"]
    lines = [
        f"`{result['command']}`: {result['date']}, {machine['processor']}, {WORKERS} workers, one torch thread each, "
        f"{os.cpu_count()} virtual cores, torch {machine['torch']}; {n:,} images. Medians "
        f"of {result['rounds']} rounds. Asked for: at most 1.1 times half of the CPU seconds.",
        "",
        "| images | both at once: s | their CPU s | s / half of these | decode CPU s, alone | encode CPU s, alone "
        "| s / half of these | control s | s / control |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    names = ("wall", "cpu", "ratio_to_own", "decode_cpu", "encode_cpu", "ratio", "control", "ratio_to_control")
    for label, rounds in result["found"].items():
        values = [f"{median(row[name] for row in rounds):.2f}" for name in names]
        lines.append(f"| {label} | {' | '.join(values)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces")
    parser.add_argument("--mnist")
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
            folder = arguments.folder / f"{kind}-{arguments.images}"
            write(source, folder, arguments.images, side, kind)
            found[label] = measure(model(), folder, arguments.rounds)
    result = {
        "command": " ".join(["python", "benchmarks/encode.py", *sys.argv[1:]]), "date": time.strftime("%Y-%m-%d"),
        "environment": environment(), "images": arguments.images, "rounds": arguments.rounds, "found": found,
    }  # fmt: skip
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")
    arguments.output.with_suffix(".md").write_text(markdown(result))
    print(markdown(result))


if __name__ == "__main__":
    main()
