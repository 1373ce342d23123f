"""Nothing of a user's is lost: a link at every place that aimgan writes, and files of the user's own beside ours."""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path

import files
import numpy as np
import pytest
import torch
from folders import tree
from PIL import Image
from properties import RUN
from rich.console import Console

from aimgan.cli.cluster_verb import cluster
from aimgan.cli.command import Command
from aimgan.cli.output import write_arrays
from aimgan.errors import AimganError
from aimgan.figures import save
from aimgan.files import appending, save_array, write_json
from aimgan.pages.compare import compare
from aimgan.paper.experiment import make_folder
from aimgan.search import build
from aimgan.sharing.export import export
from aimgan.sharing.hub import write_page
from aimgan.training import checkpoint
from aimgan.training.run_dir import RunDir

DEAR = b"what is dear to me"


@pytest.fixture
def trained(tmp_path) -> Path:
    """A run that is compared and published."""
    run = tmp_path / "trained"
    files.model().save(run / "model")
    (run / "run.json").write_text(json.dumps(RUN))
    save(Image.new("L", (4, 4)), _made(run / "figures") / "samples.png")
    return run


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _run(folder: Path, trained: Path) -> None:
    run = RunDir(folder)
    with run.held():
        run.begin({"recipe": {}, "steps": 2})
        run.append({"step": 1})
        checkpoint.save(run.checkpoints, 1, {"a": torch.zeros(1)}, run.records())
        files.model().save(run.model)
        save(Image.new("L", (4, 4)), _made(run.figures) / "samples.png")
        save_array(run.errors, np.zeros(3))
        write_json(run.evaluation, {"steps": 2})


def _clusters(folder: Path, trained: Path) -> None:
    console = Console(file=io.StringIO())
    cluster(Command(str(trained), "cpu", console), str(tree()), _made(folder), 2, "kmeans", 0)


def _comparison(folder: Path, trained: Path) -> None:
    other = shutil.copytree(trained, trained.with_name("other"), dirs_exist_ok=True)
    compare([trained, other], folder / "a.html", Console(file=io.StringIO()))


def _results(folder: Path, trained: Path) -> None:
    make_folder(folder)
    write_json(folder / "a.json", {})


WRITERS = {
    "arrays": lambda folder, trained: write_arrays(folder / "a.npz", {"a": torch.zeros(2)}),
    "picture": lambda folder, trained: save(Image.new("L", (4, 4)), folder / "a.png"),
    "model": lambda folder, trained: files.model().save(folder),
    "index": lambda folder, trained: build(files.model(), tree(), folder),
    "run": _run,
    "clusters": _clusters,
    "comparison": _comparison,
    "results": _results,
    "page": lambda folder, trained: write_page(trained, "me/photos", folder),
}
REFUSED = ("index", "run", "results")  # folders of ours, in which no link is tolerated


@pytest.mark.parametrize("kind", WRITERS)
def test_a_link_anywhere(tmp_path, trained, kind):
    """A stranger's folder may have a link to any file of the user at any place that is written, and before it."""
    write = WRITERS[kind]
    pristine, folder, mine = _made(tmp_path / "pristine"), tmp_path / "theirs", _made(tmp_path / "mine")
    write(pristine, trained)
    places = sorted(path.relative_to(pristine) for path in pristine.rglob("*"))
    assert places
    for place in places:
        for target in (place, place.with_name(f".{place.name}.new")):
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(pristine, folder)
            names = [path.name for path in (pristine / place).rglob("*")] or [place.name]
            for name in names:
                (mine / name).write_bytes(DEAR)
            if target == place:
                shutil.rmtree(folder / place) if (folder / place).is_dir() else (folder / place).unlink()
            (folder / target).symlink_to(mine if (pristine / place).is_dir() else mine / place.name)
            told = ""
            try:
                write(folder, trained)
            except (AimganError, OSError) as refused:
                told = str(refused)
            assert "is a link" in told or kind not in REFUSED, target
            for path in mine.iterdir():
                assert path.read_bytes() == DEAR, target
                path.unlink()


@pytest.mark.parametrize("kind", ["model", "index", "run", "clusters", "comparison", "results", "page"])
def test_a_folder_that_the_user_names_may_be_a_link(tmp_path, trained, kind):
    """To a larger disk, for example; it stays a link."""
    real, named = _made(tmp_path / "disk" / "real"), tmp_path / "named"
    named.symlink_to(real)
    for _ in range(2):
        WRITERS[kind](named, trained)
    assert named.is_symlink()
    assert list(real.iterdir())


@pytest.mark.parametrize("kind", WRITERS)
def test_a_copy_of_hard_links_and_its_original(tmp_path, trained, kind):
    """`cp -al` gives the files of a folder other names in another one: what is written there must not show here."""
    folder, original = _made(tmp_path / "folder"), tmp_path / "original"
    WRITERS[kind](folder, trained)
    shutil.copytree(folder, original, copy_function=os.link)
    before = {path: path.read_bytes() for path in original.rglob("*") if path.is_file()}
    WRITERS[kind](folder, trained)
    assert {path: path.read_bytes() for path in before} == before


def test_a_file_with_other_names_is_appended_to_under_one(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    os.link(tmp_path / "a", tmp_path / "b")
    with appending(tmp_path / "b") as file:
        file.write(b"2")
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes()) == (b"1", b"12")


def test_files_of_the_user_are_not_replaced_and_ours_are(tmp_path, trained):
    """README.md and figures/ beside our names, a model of another program, tables beside a page."""
    model, export_to = files.model(), tmp_path / "export"
    calls = {
        "README.md": (model.save, lambda folder: write_page(trained, "me/photos", folder)),
        "config.json": (model.save, lambda folder: write_page(trained, "me/photos", folder)),
        "model.safetensors": (model.save, lambda folder: write_page(trained, "me/photos", folder)),
        "figures/samples.png": (lambda folder: write_page(trained, "me/photos", folder),),
        "labels.csv": (lambda folder: _clusters(folder, trained),),
        "a.md": (lambda folder: _comparison(folder, trained),),
        "a.json": (lambda folder: _comparison(folder, trained),),
        "generator.pt2": (lambda folder: export(model, folder, "torch"),),
    }
    for place, writers in calls.items():
        for k, write in enumerate(writers):
            folder = tmp_path / f"{k}-{place.replace('/', '-')}"
            _made((folder / place).parent)
            (folder / place).write_bytes(DEAR)
            with pytest.raises(AimganError, match="choose another"):
                write(folder)
            assert [path.read_bytes() for path in folder.rglob("*") if path.is_file()] == [DEAR]
    for write in (
        lambda folder: write_page(trained, "me/photos", folder),
        lambda folder: export(model, folder, "torch"),
    ):
        shutil.rmtree(export_to, ignore_errors=True)
        write(export_to)
        write(export_to)
        (export_to / "README.md").write_bytes(DEAR)
        with pytest.raises(AimganError, match=r"README\.md was not written by aimgan: move it elsewhere"):
            write(export_to)
        assert (export_to / "README.md").read_bytes() == DEAR
    page = tmp_path / "page"
    write_page(trained, "me/photos", page)
    (page / "figures" / "mine.png").write_bytes(DEAR)
    with pytest.raises(AimganError, match=r"contains figures/mine\.png, which is not a file of a dry run"):
        write_page(trained, "me/photos", page)
