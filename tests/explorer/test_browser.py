"""The page in a real browser: Debian's Chromium, driven by Playwright. Screenshots are kept in AIMGAN_SCREENSHOTS."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import made
import numpy as np
import pytest
from PIL import Image

import aimgan
from aimgan.explorer.uploads import read_upload

ROOT = Path(__file__).parents[2]
PRETRAINED = ROOT / "pretrained" / "mnist-aim"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
SERVE = "import json, sys; from aimgan.explorer import explore; explore(**json.loads(sys.argv[1]))"
WAIT = 30_000  # milliseconds
WHOLE = """() => !document.body.innerText.includes('processing |')
    && [...document.images].filter(image => image.offsetParent).every(image => image.complete && image.naturalWidth)"""

pytest.importorskip("gradio", reason="the explorer needs gradio: pip install 'aimgan[explorer]'")
sync = pytest.importorskip("playwright.sync_api", reason="the browser is driven by playwright: pip install playwright")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
]


@contextmanager
def serving(**arguments: object) -> Iterator[str]:
    """Run the explorer in a process of its own, on a free port, and give its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-u", "-c", SERVE, json.dumps({**arguments, "port": port})]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        try:
            assert "exploring" in server.stdout.readline()
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def shots(tmp_path_factory) -> Path:
    folder = Path(os.environ.get("AIMGAN_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """Digits to upload and to search in, and small models beside the shipped one."""
    folder = tmp_path_factory.mktemp("explorer")
    made.digits(folder / "digits", 200)
    made.model((1, 28, 28), dim=6).save(folder / "small")
    made.model((2,), dim=2).save(folder / "grid")
    made.model((1, 28, 28), dim=10, posterior=None).save(folder / "gan")
    (folder / "note.png").write_bytes(b"not an image")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[sync.Browser]:
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Visit:
    """A page that has been opened, and what it asked other machines for, and its errors."""

    def __init__(self, browser: sync.Browser, address: str, dark: bool = False, width: int = 1400) -> None:
        scheme = "dark" if dark else "light"
        self.page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 1000})
        self.strangers: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda asked: self._note(asked.url, address))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.set_default_timeout(WAIT)
        self.page.goto(address)

    def _note(self, url: str, address: str) -> None:
        if not url.startswith((address, "data:", "blob:")):
            self.strangers.append(url)

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name).click()

    def error(self) -> str:
        """Return the mean squared error that is shown."""
        return re.search(r"error ([\d.]+)", self.page.locator("#numbers").inner_text())[1]

    def source(self, part: str) -> str | None:
        """Return what a picture shows, once it shows anything."""
        return self.page.locator(f"#{part} img").first.get_attribute("src")

    def shoot(self, path: Path) -> None:
        """Keep a screenshot, once nothing is being made and every picture has arrived."""
        self.page.wait_for_timeout(500)
        self.page.wait_for_function(WHOLE)
        self.page.screenshot(path=path, full_page=True)

    def changes(self, part: str, old: str | None) -> None:
        """Wait until a picture shows something else."""
        shown = self.page.locator(f"#{part} img").first
        sync.expect(shown).not_to_have_attribute("src", old or "", timeout=WAIT)

    def saved(self, label: str, folder: Path) -> Path:
        """Press a download button that can be seen, and return the file."""
        with self.page.expect_download() as waiting:
            self.page.get_by_text(label, exact=True).locator("visible=true").click()
        path = folder / waiting.value.suggested_filename
        waiting.value.save_as(path)
        return path


@pytest.fixture(scope="module")
def digits(browser, work) -> Iterator[Visit]:
    index, compare = str(work / "digits"), str(work / "small")
    with serving(run=str(PRETRAINED), index=index, compare=compare) as address:
        visit = Visit(browser, address)
        sync.expect(visit.page.locator("#numbers")).to_contain_text("Mean squared error", timeout=WAIT)
        yield visit
        assert visit.errors == []
        assert visit.strangers == []


def test_an_image_is_uploaded_and_what_is_inferred_is_the_models(digits, work, shots):
    page, file = digits.page, next((work / "digits").glob("digit-3-*.png"))
    chosen, error = digits.source("chosen"), digits.error()
    page.locator("input[type=file]").first.set_input_files(file)
    digits.changes("chosen", chosen)
    sync.expect(page.locator("#numbers")).not_to_contain_text(error, timeout=WAIT)
    digits.shoot(shots / "infer.png")
    codes = np.load(digits.saved("Codes (.npz)", work))
    mean = aimgan.load(PRETRAINED).encode(read_upload(file, (1, 28, 28))[None]).mean
    np.testing.assert_allclose(codes["mean"], mean, atol=1e-4)
    assert page.get_by_text(f"0.00 · {file.name}").count() == 1


def test_a_click_on_the_map_generates_what_is_there(digits, shots):
    page = digits.page
    digits.tab("Map")
    shown, before = page.locator("#map img").first, digits.source("there")
    shown.wait_for()
    box = shown.bounding_box()
    shown.click(position={"x": 0.75 * box["width"], "y": 0.25 * box["height"]})
    digits.changes("there", before)
    point = re.search(r"\((\+\d\.\d+), (\+\d\.\d+)\)", page.locator("#point").inner_text())
    assert point is not None
    assert [float(part) for part in point.groups()] == pytest.approx([1.8, 1.7], abs=0.3)
    digits.shoot(shots / "map.png")
    before = digits.source("map")
    page.get_by_label("images").check()
    digits.changes("map", before)
    digits.shoot(shots / "map-images.png")


def test_a_slider_moves_one_dimension(digits, work, shots):
    page = digits.page
    digits.tab("Traverse")
    first = page.get_by_role("slider", name="range slider for z 1", exact=True)
    first.wait_for()
    page.wait_for_timeout(1_000)
    start, before = np.load(digits.saved("Code (.npz)", work))["z"], digits.source("traversed")
    first.press("End")
    digits.changes("traversed", before)
    digits.shoot(shots / "traverse.png")
    z = np.load(digits.saved("Code (.npz)", work))["z"]
    assert z[0] == 4
    np.testing.assert_allclose(z[1:], start[1:], atol=0.006)  # the sliders' two decimals


def test_an_interpolation_is_a_strip_and_a_gif(digits, work, shots):
    digits.tab("Interpolate")
    before = digits.source("strip")
    digits.page.get_by_role("button", name="A: the chosen image").click()
    digits.changes("strip", before)
    digits.shoot(shots / "interpolate.png")
    with Image.open(digits.saved("Animation (.gif)", work)) as moving:
        assert moving.n_frames == 14


def test_samples_follow_the_temperature(digits, work, shots):
    digits.tab("Sample")
    before = digits.source("samples")
    digits.page.get_by_role("button", name="Draw others").locator("visible=true").click()
    digits.changes("samples", before)
    digits.shoot(shots / "sample.png")
    z = np.load(digits.saved("Codes (.npz)", work))["z"]
    assert z.shape == (32, 32)
    assert z.std() == pytest.approx(1, abs=0.1)


def test_two_models_stand_side_by_side(digits, shots):
    digits.tab("Compare")
    for name in ("mnist-aim", "small"):
        sync.expect(digits.page.get_by_role("heading", name=re.compile(re.escape(name)))).not_to_have_count(0)
    digits.shoot(shots / "compare.png")


def test_a_file_that_is_no_image_is_refused_in_one_line(digits, work, shots):
    digits.tab("Infer")
    before = digits.source("chosen")
    digits.page.locator("input[type=file]").first.set_input_files(work / "note.png")
    told = digits.page.get_by_text("note.png cannot be read as an image: not an image")
    sync.expect(told).to_have_count(1, timeout=WAIT)
    digits.shoot(shots / "refused.png")
    assert digits.source("chosen") == before


def test_the_page_is_dark_where_the_reader_has_it_and_fits_a_telephone(digits, browser, shots):
    address = digits.page.url
    for name, dark, width in (("dark", True, 1400), ("narrow", False, 420)):
        visit = Visit(browser, address, dark, width)
        sync.expect(visit.page.locator("#numbers")).to_contain_text("Mean squared error", timeout=WAIT)
        visit.shoot(shots / f"{name}.png")
        wide = visit.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width
        visit.page.close()


def test_one_model_fits_a_small_telephone(browser, shots):
    with serving(run=str(PRETRAINED)) as address:
        visit = Visit(browser, address, False, 360)
        sync.expect(visit.page.locator("#numbers")).to_contain_text("Mean squared error", timeout=WAIT)
        visit.shoot(shots / "telephone.png")
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 360
        visit.page.close()


def test_points_are_chosen_on_a_plane(browser, work, shots):
    with serving(run=str(work / "grid")) as address:
        visit = Visit(browser, address)
        numbers = visit.page.locator("#numbers")
        sync.expect(numbers).to_contain_text("Mean squared error", timeout=WAIT)
        error, shown = visit.error(), visit.page.locator("#chosen img").first
        shown.click(position={"x": 200, "y": 60})
        sync.expect(numbers).not_to_contain_text(error, timeout=WAIT)
        for name in ("Infer", "Map", "Interpolate"):
            visit.tab(name)
            visit.shoot(shots / f"points-{name.lower()}.png")
        assert visit.errors == visit.strangers == []


def test_without_an_encoder_there_is_only_what_generates(browser, work, shots):
    with serving(run=str(work / "gan")) as address:
        visit = Visit(browser, address)
        sync.expect(visit.page.get_by_text("no encoder")).not_to_have_count(0, timeout=WAIT)
        tabs = visit.page.get_by_role("tab").locator("visible=true")
        sync.expect(tabs).to_have_text(["Map", "Traverse", "Interpolate", "Sample"], timeout=WAIT)
        visit.page.locator("#there img").first.wait_for()
        visit.shoot(shots / "no-encoder.png")
        assert visit.errors == visit.strangers == []
