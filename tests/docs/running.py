"""A page's blocks, run in order in one process that begins in a folder of what its readers have.

The process is a fork of a server that has imported torch and the like, not aimgan. Python blocks share one namespace.
A command is a fork again.
Every training is cut to a few steps of a few small samples through narrow networks, its evaluation to few samples.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from pages import ROOT, Block, arguments_of_aimgan, commands
from parsing import parse
from short_ends import score_few

STEPS, BATCH, WIDTH, SIZE = 4, 8, 32, 16
PRELOAD = ["torch", "torch._refs", "torch._meta_registrations", "torch._dynamo"]  # the last three by the meta device
PRELOAD += ["accelerate", "numpy", "sklearn", "matplotlib.pyplot", "PIL.Image", "typer", "rich.console"]
REAL = ("cmp",)  # programs of the shell that are run as they stand


def run_page(blocks: list[Block], folder: Path, output: Path) -> None:
    """Run a page's blocks in `folder`, with what they print in `output`. The process ends with 1 at the first error."""
    _begin(folder, output)
    shrink()
    main = sys.modules["__main__"] = ModuleType("__main__")
    sys.path.insert(0, str(folder))
    for block in blocks:
        _say(f"--- {block.place}")
        if block.language == "sh":
            for line, words in commands(block):
                _command(line, words, block)
        elif block.file:
            (folder / block.file).write_text(block.code, encoding="utf-8")
        else:
            code = compile("\n" * (block.line - 1) + block.code, block.page, "exec")
            if not block.is_only_parsed(block.code):
                exec(code, main.__dict__)  # the pages of this repository
    _say("the end")


def furnish(folder: Path, output: Path) -> None:
    """Make what the readers of the pages have: pictures, runs, the shipped model and one of its kind."""
    _begin(folder, output)
    shrink()
    import numpy as np
    from PIL import Image

    import aimgan
    from aimgan.model import LatentVariableModel, ModelConfig

    (folder / "pretrained").symlink_to(ROOT / "pretrained")
    (folder / "photos").mkdir()
    draw = np.random.default_rng(0)
    names = [f"photos/{name}.jpg" for name in ("cat", "dog", *range(14))]
    for name in [*names, "cat.jpg", "a.png", "b.png", *(f"{digit}.png" for digit in range(10))]:
        small = Image.fromarray(draw.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        small.resize((32, 32), Image.Resampling.BILINEAR).save(name)
    for recipe in ("grid/aim", "digits/vae"):
        aimgan.train(recipe, device="cpu")
    aimgan.train("folder/aim", "runs/photos-aim", data="photos", size=32, device="cpu")
    for name, what in {"RUN": "runs/photos-aim", "SHARDS": "photos", "shards": "photos"}.items():
        (folder / name).symlink_to(folder / what)
    family = {"shape": [1, 28, 28], "dim": 8, "width": 64}
    LatentVariableModel.build(ModelConfig("table3", family, "aim", "gaussian", True)).save("runs/mnist-aim")


def _begin(folder: Path, output: Path) -> None:
    import torch

    torch.set_num_threads(1)
    os.chdir(folder)
    with output.open("ab") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())


def _say(line: str) -> None:
    sys.stdout.write(f"[{sum(os.times()[:4]):5.1f} s of CPU] {line}\n")
    sys.stdout.flush()


def _command(line: str, words: list[str], block: Block) -> None:
    _say(f"$ {line}")
    own = arguments_of_aimgan(words)
    if block.is_only_parsed(line):
        parse(words)
    elif own is not None and words[0] in ("aimgan", "python"):
        _forked(lambda: _aimgan(own))
    elif words[0] in REAL:
        subprocess.run(words, check=True)
    else:
        assert words[0] in ("pip", "python3"), f"{block.place}: {line} cannot run here; say why before the block"
        parse(words)  # would install: checked only


def _forked(act: Callable[[], None]) -> None:
    """Do it in a process of its own. Raises an AssertionError where that ends with anything but 0."""
    if (child := os.fork()) == 0:
        code = 1
        try:
            act()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0, f"exit code {status}"


def _aimgan(words: list[str]) -> None:
    from aimgan import cli

    sys.argv = ["aimgan", *words]
    cli.main()


def shrink() -> None:
    """Cut every training and evaluation from here on."""
    from aimgan.model import LatentVariableModel
    from aimgan.recipes import resolving
    from aimgan.recipes.recipe import Recipe, with_settings
    from aimgan.runs import finish, train
    from aimgan.sklearn import AIMEncoder

    prepared = resolving.prepared

    def few(*args: object, **settings: object) -> Recipe:
        recipe: Recipe = prepared(*args, **settings)  # type: ignore[arg-type]
        narrow = {"batch_size": BATCH, "samples": 100, "evaluate_every": 0}
        small = {}
        if hasattr(recipe.networks, "width"):  # networks of a page's own stay as they are
            narrow["networks.width"] = WIDTH
            small = {"data.size": SIZE} if hasattr(recipe.data, "size") else {}
        return replace(with_settings(recipe, narrow | small), steps=STEPS)

    AIMEncoder.__init__.__kwdefaults__["steps"] = STEPS
    resolving.prepared = few
    train.with_length = lambda job: job  # minutes would be measured
    LatentVariableModel.reestimate_batch_norm.__defaults__ = (0, 2, BATCH, None)  # seed, batches, batch_size, data
    # The curves and figure 3 take matplotlib a second each.
    finish.draw = lambda model, data, run, plan: [
        finish.save(picture, run.figures / f"{name}.png")
        for name, picture in finish.pictures(model, data, plan.seed).items()
    ]
    score_few(500, 100, 500)
