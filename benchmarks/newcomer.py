"""A newcomer's first hour: every command and every Python block of README and start.md as they stand, each timed.

    python benchmarks/newcomer.py --images FOLDER [--minutes 10]

Clones the repository into an empty folder and runs the blocks there, in their order, in the environment that they make
themselves; `photos` is a copy of FOLDER, whose first two images are also cat.jpg and dog.jpg. Left out are lines that
the pages mark as not run, and README's test command, which CI times. `--minutes` replaces the ten minutes of the pages'
trainings, for trying this script. Writes benchmarks/results/newcomer.json and .md.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import common
from pages import Block, blocks, commands

RESULT = common.RESULTS / "newcomer.json"
LEFT_OUT = ("make.py test",)
PAGES = ("docs/start.md", "README.md")  # in this order: README's commands use the run of start.md


def photos(images: Path, folder: Path) -> None:
    """Copy the images, the first two also as cat.jpg and dog.jpg."""
    shutil.copytree(images, folder)
    for name, image in zip(("cat.jpg", "dog.jpg"), sorted(images.iterdir()), strict=False):
        shutil.copy(image, folder / name)


def steps(block: Block) -> Iterator[tuple[str, list[str]]]:
    """Yield what is shown of each step of a block, and the command that does it."""
    if block.language == "python":
        if block.runs:
            yield f"{len(block.code.splitlines())} lines of Python", ["python", "-c", block.code]
        return
    for line, _ in commands(block):
        if not block.is_only_parsed(line) and not any(word in line for word in LEFT_OUT):
            yield f"`{line.partition('  #')[0]}`", ["bash", "-c", line]


def walk(folder: Path, images: Path, minutes: float | None) -> Iterator[dict[str, Any]]:
    """Take each step in a clone, and yield what came of it."""
    clone = folder / "aimgan"
    path = f"{clone / '.venv' / 'bin'}:{os.environ['PATH']}"
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {"PATH": path, "HOME": str(folder), "AIMGAN_CACHE": str(folder / "cache")}

    def take(place: str, shown: str, command: list[str]) -> dict[str, Any]:
        begin = time.perf_counter()
        where = clone if clone.exists() else folder
        done = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, check=False)
        last = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()][-1:]
        print(f"{place}  {shown}  {done.returncode}  {time.perf_counter() - begin:.0f} s  {last}", flush=True)
        return {"place": place, "step": shown, "code": done.returncode, "seconds": time.perf_counter() - begin}

    yield take("-", "a clone", ["git", "clone", "--quiet", str(common.ROOT), str(clone)])
    photos(images, clone / "photos")
    for page in PAGES:
        for block in blocks(common.ROOT / page):
            for shown, command in steps(block):
                if minutes is not None:
                    command = [word.replace("minutes=10", f"minutes={minutes}") for word in command]
                    command = [f"{word} --minutes {minutes}" if "train folder" in word else word for word in command]
                yield take(block.place, shown, command)


def page(result: dict[str, Any]) -> str:
    rows = [(one["place"], one["step"], one["code"], f"{one['seconds']:.0f}") for one in result["rows"]]
    total = sum(one["seconds"] for one in result["rows"])
    failed = sum(one["code"] != 0 for one in result["rows"])
    return (
        f"{common.origin(result)}; {result['cores']} cores, load {result['load']:.1f} before. {result['images']:,} "
        f"images. {len(rows)} steps in {total / 60:.0f} minutes, of which {failed} failed.\n\n"
    ) + common.table(("where it is written", "step", "exit code", "seconds"), rows)


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--minutes", type=float)
    given = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        rows = list(walk(Path(folder), given.images, given.minutes))
    short = "" if given.minutes is None else f" --minutes {given.minutes:g}"
    about = common.about(f"python benchmarks/newcomer.py --images FOLDER{short}")
    count = len(list(given.images.iterdir()))
    result = {**about, "cores": os.cpu_count(), "load": load, "images": count, "rows": rows}
    common.write(RESULT, result, page(result))


if __name__ == "__main__":
    main()
