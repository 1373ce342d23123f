"""Every code block of the pages: run, or where its page says why it cannot be, read as it would be.

`pytest -rs tests/docs` lists what is not run, with the reasons.
"""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pages import PAGES, Block, blocks, commands
from parsing import parse
from running import PRELOAD, furnish, run_page

BLOCKS = {page: blocks(page) for page in PAGES}
RUN = [page for page, found in BLOCKS.items() if any(block.runs for block in found)]
NOT_RUN = [block for found in BLOCKS.values() for block in found if block.reason]
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(PRELOAD)


def carried_out(act: Callable[..., None], *arguments: object, output: Path) -> None:
    """Run it in a fork of the server. Raises an AssertionError with the end of what it printed."""
    process = SERVER.Process(target=act, args=(*arguments, output))
    process.start()
    process.join(300)
    if process.is_alive():
        process.kill()
    said = output.read_text(encoding="utf-8", errors="replace") if output.exists() else ""
    assert process.exitcode == 0, said[-3000:]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("readers")
    carried_out(furnish, folder, output=folder.with_suffix(".txt"))
    return folder


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_a_page_runs(page, home, tmp_path):
    folder = tmp_path / "reader"
    shutil.copytree(home, folder, symlinks=True)
    carried_out(run_page, BLOCKS[page], folder, output=tmp_path / "output.txt")


@pytest.mark.parametrize("block", NOT_RUN, ids=lambda block: block.place)
def test_a_block_that_is_not_run_is_read(block: Block):
    if block.language == "sh":
        for line, words in commands(block):
            if block.is_only_parsed(line):
                parse(words)
    else:
        compile(block.code, block.place, "exec")
    lines = f" (lines with {', '.join(block.words)})" if block.words else ""
    pytest.skip(f"{block.place}{lines}: {block.reason}")


PAGE = """<!-- not run [torchrun]: needs two machines -->
```sh
OMP_NUM_THREADS=1 torchrun -m aimgan train x \\
  --nosuch 1
```
"""


def test_the_readers_of_pages_can_fail(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    (block,) = blocks(page)
    ((line, words),) = commands(block)
    assert (block.line, words[:2], block.is_only_parsed(line)) == (3, ["torchrun", "-m"], True)
    with pytest.raises(Exception, match="No such option"):
        parse(words)
    for wrong in (["nosuch"], ["python", "benchmarks/nosuch.py"], ["pip", "install", "aimgan[nosuch]"]):
        with pytest.raises(AssertionError):
            parse(wrong)
