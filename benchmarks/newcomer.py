"""From an empty folder to an explored model, by the pages' own commands, as a new user would type them.

    python benchmarks/newcomer.py --images FOLDER [--count 2000] [--steps N] [--output FOLDER]

A copy of the repository, as it is staged, gets a fresh environment; then every command and Python block of
docs/start.md and docs/your-images.md is carried out in order, on `count` of FOLDER's images: the demo and the first
training as long as their page says, the others, which show choices, short (SHORTER). With N all are short, and the demo
is not trained twice (make.py demo). A headless Chromium uses the explorer and opens the pages that were made.

Writes benchmarks/results/newcomer.json and .md: each command with its exit code, its seconds and its last lines, and
screenshots in OUTPUT/shots. They show FOLDER's images, so they stay out of the repository.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import common
from pages import Block, blocks, commands
from playwright.sync_api import Browser, Page, sync_playwright

PAGES = ("start.md", "your-images.md")
SHORTER = (
    ("--set epochs=30 --output runs/photos-32", "--steps 100 --output runs/photos-32"),
    ('settings={"epochs": 30, "lr": 8e-4}', 'steps=100, settings={"lr": 8e-4}'),
)
PRETRAINED = """python <<'END'
import aimgan
model = aimgan.load("pretrained/mnist-aim")
print(model.reconstruct(model.generate(64)).shape)
END"""
AFTER = (PRETRAINED, "aimgan info pretrained/mnist-aim", "aimgan doctor")
PORT, WAIT, KEPT = 7860, 60_000, 14  # the explorer's own; milliseconds; lines of a command's output
PARENT = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "OMP_NUM_THREADS")  # variables that a new user does not have
HERE = ("file:", "data:", "blob:", f"http://127.0.0.1:{PORT}")  # addresses of this machine
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync")
SETTLED = """() => !document.body.innerText.includes('processing |')
    && [...document.images].filter(image => image.offsetParent).every(image => image.complete && image.naturalWidth)"""


class Visitor:
    """A new user: a folder, an environment of its own, a browser, and what was done so far."""

    def __init__(self, output: Path, browser: Browser, steps: int | None) -> None:
        self.home, self.shots, self.browser, self.length = output / "aimgan", output / "shots", browser, steps
        self.done: list[dict[str, Any]] = []  # each step: where it is written, as it was run, and what came of it
        self.shots.mkdir(parents=True)
        path = f"{output / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
        self.environment = {k: v for k, v in os.environ.items() if k not in PARENT} | {"PATH": path}

    def run(self, page: str, command: str, cwd: Path | None = None) -> None:
        """Run a command of the shell, and note what came of it."""
        began = time.monotonic()
        process = self.start(command, cwd or self.home)
        said, _ = process.communicate()
        self.note(page, command, process.returncode, began, said)

    def start(self, command: str, cwd: Path) -> subprocess.Popen[str]:
        """Start a command of the shell."""
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(command, shell=True, cwd=cwd, env=self.environment, text=True, **streams)

    def note(self, page: str, command: str, code: int, began: float, said: str) -> None:
        """Add a step, with the last lines of what it said: of a bar that is drawn over itself, the last one."""
        lines = [line.rpartition("\r")[2].rstrip() for line in said.splitlines()]
        seconds, output = round(time.monotonic() - began, 1), [line for line in lines if line][-KEPT:]
        self.done.append({"page": page, "command": command, "code": code, "seconds": seconds, "output": output})
        print(f"[{code}] {seconds:6.1f} s  {command}", flush=True)

    @contextmanager
    def opened(self, address: str) -> Iterator[Page]:
        """Open a page, and note what it asks other machines for, and its errors, as something that went wrong."""
        page = self.browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(WAIT)
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith(HERE) else wrong.append(asked.url))
        page.goto(address)
        yield page
        page.close()
        assert not wrong, f"{address}: {wrong}"

    def shoot(self, page: Page, name: str) -> None:
        """Keep a screenshot once every picture has arrived."""
        page.wait_for_timeout(500)
        page.wait_for_function(SETTLED)
        page.screenshot(path=self.shots / f"{name}.png", full_page=True)

    def look(self, file: str) -> None:
        """Open a page that was made, and keep a screenshot."""
        began, path = time.monotonic(), self.home / file
        with self.opened(path.as_uri()) as page:
            self.shoot(page, file.replace("/", "-"))
        self.note("the browser", f"open {file}", 0, began, f"{path.stat().st_size:,} bytes")

    def explore(self, page: str, command: str, visits: tuple[Callable[[Visitor, Page], str], ...]) -> None:
        """Serve the explorer, do in it what the visits do, and stop it as a user does."""
        began = time.monotonic()
        server = self.start(f"exec {command}", self.home)  # exec: it gets the signals, not the shell
        said = ""
        while "exploring" not in said and server.poll() is None:
            said += server.stdout.readline()
        self.note(page, f"{command} &", server.poll() or 0, began, said)
        with self.opened(f"http://127.0.0.1:{PORT}") as shown:
            for visit in visits:
                began = time.monotonic()
                self.note("the browser", visit.__doc__ or "", 0, began, visit(self, shown))
        began = time.monotonic()
        server.send_signal(signal.SIGINT)
        rest = server.communicate(timeout=60)[0]
        self.note(page, "Ctrl+C", server.returncode, began, rest)


def changed(page: Page, part: str, act: Callable[[], object]) -> float:
    """Do something, and return the seconds until a picture shows something else."""
    shown = page.locator(f"#{part} img").first
    shown.wait_for()
    before, began = shown.get_attribute("src"), time.monotonic()
    act()
    page.wait_for_function(
        "([part, before]) => document.querySelector(`#${part} img`)?.getAttribute('src') !== before", arg=[part, before]
    )
    return time.monotonic() - began


def saved(page: Page, label: str) -> str:
    """Press a download button that can be seen, and return what came."""
    with page.expect_download() as waiting:
        page.get_by_text(label, exact=True).locator("visible=true").click()
    return f"{waiting.value.suggested_filename}, {Path(waiting.value.path()).stat().st_size:,} bytes"


def tried(user: Visitor, page: Page, tab: str, part: str, act: Callable[[], object]) -> str:
    """Open a tab, do something in it, and return how long its picture took to change."""
    page.get_by_role("tab", name=tab).click()
    seconds = changed(page, part, act)
    user.shoot(page, f"explorer-{tab.lower()}")
    return f"shown after {seconds:.1f} s"


def infer(user: Visitor, page: Page) -> str:
    """Infer: upload photos/dog.jpg; download its codes"""
    page.locator("#numbers").get_by_text("error").wait_for()
    file = page.locator("input[type=file]").first
    said = tried(user, page, "Infer", "neighbours", lambda: file.set_input_files(user.home / "photos" / "dog.jpg"))
    return f"{said}\n{page.locator('#numbers').inner_text()}\n{saved(page, 'Codes (.npz)')}"


def latent_map(user: Visitor, page: Page) -> str:
    """Map: click a point"""
    page.get_by_role("tab", name="Map").click()
    shown = page.locator("#map img").first
    shown.wait_for()
    box = shown.bounding_box()
    point = {"x": 0.7 * box["width"], "y": 0.3 * box["height"]}
    said = tried(user, page, "Map", "there", lambda: shown.click(position=point))
    return f"{said}\n{page.locator('#point').inner_text()}"


def traverse(user: Visitor, page: Page) -> str:
    """Traverse: move the first slider to its end"""
    page.get_by_role("tab", name="Traverse").click()
    first = page.get_by_role("slider", name="range slider for z 1", exact=True)
    first.wait_for()
    page.wait_for_timeout(1_000)
    return tried(user, page, "Traverse", "traversed", lambda: first.press("End"))


def interpolate(user: Visitor, page: Page) -> str:
    """Interpolate: from the chosen image to a random code; download the animation"""
    said = tried(user, page, "Interpolate", "strip", page.get_by_role("button", name="A: the chosen image").click)
    return f"{said}\n{saved(page, 'Animation (.gif)')}"


def sample(user: Visitor, page: Page) -> str:
    """Sample: draw others"""
    again = page.get_by_role("button", name="Draw others").locator("visible=true")
    return tried(user, page, "Sample", "samples", again.click)


def compared(user: Visitor, page: Page) -> str:
    """Compare: two models on the same image"""
    page.get_by_role("tab", name="Compare").click()
    page.wait_for_timeout(2_000)
    user.shoot(page, "explorer-compare")
    return ""


VISITS = (infer, latent_map, traverse, interpolate, sample)


def carry_out(user: Visitor, block: Block) -> None:
    """Do what a block of a page says."""
    if block.language == "python":
        user.run(block.page, f"python <<'END'\n{shorter(block.code, user.length)}END")
        return
    for line, words in commands(block):
        if words[:2] == ["aimgan", "explore"]:
            user.explore(block.page, line, VISITS if "--compare" not in words else (compared,))
        elif words[0] != "python3" or user.length is None:
            user.run(block.page, shorter(line, user.length))


def shorter(text: str, steps: int | None) -> str:
    """Return a command as it is run: trainings that only show a choice are cut, and all of them where N is given."""
    for long, short in SHORTER:
        text = text.replace(long, short)
    if steps and text.startswith("aimgan train") and "--steps" not in text:
        return f"{text.replace(' --set epochs=30', '')} --steps {steps}"
    return text


def arrive(user: Visitor, images: Path, count: int) -> None:
    """Copy the repository and the images, and make an environment: what comes before the page's first line."""
    began = time.monotonic()
    subprocess.run(["git", "checkout-index", "--all", f"--prefix={user.home}/"], cwd=common.ROOT, check=True)
    user.note("-", "a clean copy of the repository (git checkout-index)", 0, began, "")
    (user.home / "photos").mkdir()
    pictures = [path for path in sorted(images.iterdir()) if path.is_file()][:count]
    names = ["cat.jpg", "dog.jpg", *(path.name for path in pictures[2:])]
    for name, path in zip(names, pictures, strict=True):
        shutil.copy2(path, user.home / "photos" / name)
    user.run("-", f"python3 -m venv {user.home.parent / 'venv'}")


def follow(user: Visitor) -> None:
    """Do what the pages say, and look at the pages that were made."""
    for name in PAGES:
        for block in blocks(common.ROOT / "docs" / name):
            carry_out(user, block)
    for file in ("near.html", "groups/clusters.html", "runs/photos/report.html", "compare.html"):
        user.look(file)
    elsewhere = user.home.parent / "elsewhere"
    elsewhere.mkdir()
    for command in AFTER:
        user.run("README.md", command, elsewhere)


def markdown(record: dict[str, Any]) -> str:
    """Return the transcript: a table of what took how long, then what each command said."""
    steps, (before, after) = record["steps"], record["load"]
    minutes, wrong = sum(step["seconds"] for step in steps) / 60, sum(step["code"] != 0 for step in steps)
    rows, transcripts = [], []
    for step in steps:
        first, *block = step["command"].splitlines()
        text = f"{len(block) - 1} lines of Python" if block else f"`{first}`"
        if step["page"] in ("-", "the browser"):
            text = first
        rows.append((step["page"], text, step["code"], f"{step['seconds']:.1f}"))
        lines = [f"$ {step['command'].strip()}", *step["output"]]
        transcripts.append("```text\n" + "\n".join(lines) + "\n```\n")
    return (
        f"{common.origin(record)}, {os.cpu_count()} cores, load {before:.1f} before and {after:.1f} after; "
        f"{record['images']:,} images of 64 x 64. {len(steps)} steps, {minutes:.0f} minutes; exit codes other than 0: "
        f"{wrong}.\n\n{common.table(('where it is written', 'step', 'exit code', 's'), rows)}\n"
        "The last lines that each of them printed:\n\n" + "\n".join(transcripts)
    )


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="a folder of pictures")
    parser.add_argument("--count", type=int, default=2_000, help="how many of them")
    parser.add_argument("--steps", type=int, help="of the trainings; as the pages say, if not given")
    parser.add_argument("--output", type=Path, default=Path("/tmp/newcomer/visit"), help="is made anew")
    parser.add_argument("--results", type=Path, default=common.RESULTS)
    given = parser.parse_args()
    shutil.rmtree(given.output, ignore_errors=True)
    load = os.getloadavg()[0]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        user = Visitor(given.output.absolute(), browser, given.steps)
        try:
            arrive(user, given.images, given.count)
            follow(user)
        finally:
            loads = [load, os.getloadavg()[0]]
            record = {**common.about(), "images": given.count, "load": loads, "steps": user.done}
            # The folder in which it was done is left out.
            record = json.loads(json.dumps(record).replace(str(given.output.absolute()), "~"))
            common.write(given.results / "newcomer.json", record, markdown(record))
    if any(step["code"] for step in user.done):
        sys.exit("some steps failed: see newcomer.md")


if __name__ == "__main__":
    main()
