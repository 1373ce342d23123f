"""What is read without end, or grows in memory where the checks of its size were believed: seconds, and little memory.

Each is done in SECONDS on an idle machine (docs/security.md); the limit here is that of a busy one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path

import files
import numpy as np
import pytest
import torch
from PIL import Image
from properties import light
from safetensors.torch import load_file, save_file
from short_ends import only_the_model

import aimgan
from aimgan.cli import inputs
from aimgan.data import decode as decoding
from aimgan.data.images import load_images
from aimgan.errors import AimganError
from aimgan.files import sha256_of
from aimgan.search import build, cluster, open_index
from aimgan.training import checkpoint
from aimgan.training.run_dir import RunDir

SECONDS = 30


def sparse(path: Path, begin: bytes, size: int = 2**36) -> Path:
    """Write a file of 64 GiB that takes no room."""
    with path.open("wb") as file:
        file.write(begin)
        file.truncate(size)
    return path


# --- images -----------------------------------------------------------------------------------------------------------

BEGINNINGS = {
    "jpg": files.picture("JPEG")[:300],
    "jpeg": b"\xff\xd8\xff\xff",
    "gif": files.picture("GIF")[:20],
    "ppm": b"P6\n8 8\n255\n",
    "pgm": b"P5\n#",
    "webp": b"RIFF\xff\xff\xff\x7fWEBPVP8 ",
}


@pytest.mark.parametrize("size", [2**36, 200 * 2**20])
@pytest.mark.parametrize("suffix", BEGINNINGS)
def test_sparse_files_that_begin_as_images(tmp_path, suffix, size):
    """Pillow looks for the next mark of a JPEG or GIF, or the end of a comment, one byte at a time."""
    path = sparse(tmp_path / f"x.{suffix}", BEGINNINGS[suffix], size)
    with light(450, SECONDS):
        if suffix == "ppm" and size < 2**30:
            assert inputs.read([str(path)], (1, 8, 8)).x.shape == (1, 1, 8, 8)  # what follows the pixels is not read
            return
        with pytest.raises(AimganError, match="is no image that can be read"):
            inputs.read([str(path)], (1, 8, 8))


def test_a_png_with_the_same_metadata_many_times(tmp_path):
    """Pillow 12 takes a time that is quadratic in their number."""
    whole = files.picture()
    at = whole.find(b"IDAT") - 4
    exif = Image.Exif()
    exif[0x0112] = 1
    content = exif.tobytes()[6:]
    chunk = struct.pack(">I", len(content)) + b"eXIf" + content + struct.pack(">I", zlib.crc32(b"eXIf" + content))
    (tmp_path / "x.png").write_bytes(whole[:at] + chunk * 500_000 + whole[at:])
    with light(64, SECONDS), pytest.raises(AimganError, match="too small or too many: over 200,000 reads"):
        inputs.read([str(tmp_path / "x.png")], (1, 8, 8))


def test_large_images_are_decoded_one_at_a_time(tmp_path, monkeypatch):
    """On eight threads they take the memory of one."""
    monkeypatch.setattr("aimgan.data.decoding.workers", lambda: 8)
    monkeypatch.setattr("aimgan.data.decoding.CHUNK", 1)
    Image.new("RGB", (4_000, 4_000)).save(tmp_path / "0.png")
    for k in range(1, 8):
        os.link(tmp_path / "0.png", tmp_path / f"{k}.png")
    with light(350):
        assert len(load_images(tmp_path, 8, 1, test_fraction=0).train) == 8


def test_links_out_of_a_folder_are_not_followed(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    (inside / "a").mkdir(parents=True)
    outside.mkdir()
    for folder in (inside / "a", outside):
        (folder / "x.png").write_bytes(files.picture())
    (inside / "root").symlink_to("/")
    (inside / "up").symlink_to("..")
    (inside / "other").symlink_to(outside)
    (inside / "y.png").symlink_to(outside / "x.png")
    (inside / "b.png").symlink_to("a/x.png")
    data = load_images(inside, 8, 1, test_fraction=0)
    assert data.train.names == ["a/x.png", "b.png"]
    assert {item.name: item.reason for item in data.skipped} == dict.fromkeys(
        ("root", "up", "other", "y.png"), "a link out of the folder"
    )


def test_links_of_a_snapshot_of_the_hub_lead_to_its_blobs_only(tmp_path):
    """huggingface_hub keeps each file once, as a blob, and a commit's files as links to them."""
    repository = tmp_path / "datasets--me--photos"
    snapshot, blobs = repository / "snapshots" / ("0" * 40), repository / "blobs"
    (snapshot / "data").mkdir(parents=True)
    blobs.mkdir()
    for place in (blobs / "ab", tmp_path / "mine.png"):
        place.write_bytes(files.picture())
    (snapshot / "data" / "a.png").symlink_to("../../../blobs/ab")
    (snapshot / "b.png").symlink_to("../../blobs/ab")
    (snapshot / "c.png").symlink_to("../../../mine.png")
    data = load_images(snapshot, 8, 1, test_fraction=0)
    assert data.train.names == ["b.png", "data/a.png"]
    assert [(item.name, item.reason) for item in data.skipped] == [("c.png", "a link out of the folder")]
    assert load_images(snapshot / "data", 8, 1, test_fraction=0).train.names == ["a.png"]
    blobs.rename(tmp_path / "blobs")
    blobs.symlink_to(tmp_path / "blobs")
    with pytest.raises(AimganError, match=r"no images in .* \(3 left out: 'b\.png', a link out of the folder\)"):
        load_images(snapshot, 8, 1)


# --- runs -------------------------------------------------------------------------------------------------------------


def test_metrics_that_are_a_hole_on_the_disk(tmp_path):
    sparse(tmp_path / "metrics.jsonl", b'{"step": 1}\n', 2**31)
    with light(16), pytest.raises(AimganError, match=r"the rows of .*metrics\.jsonl would take 60\.0 GiB"):
        RunDir(tmp_path).rows()


@pytest.mark.parametrize("kind", ["pipe", "hole"])
def test_a_record_that_never_ends(tmp_path, kind):
    """The copy in the checkpoint is taken, and what is in its place is not read to see whether it is the same."""
    run, settings = RunDir(tmp_path / "run"), {"recipe": {}, "steps": 2}
    with run.held():
        run.begin(settings)
        checkpoint.save(run.checkpoints, 1, {"w": torch.zeros(2)}, run.records())
    run.record.unlink()
    if kind == "pipe":
        os.mkfifo(run.record)
    else:
        sparse(run.record, b"{")
    with light(16, SECONDS), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "pipe":
            with pytest.raises(OSError, match=r"run\.json is not a regular file"), run.held():
                run.begin(settings)
        else:
            with run.held():
                run.begin(settings)
            assert json.loads(run.record.read_text())["settings"] == settings


def saved_checkpoint(folder: Path, **tensors: torch.Tensor) -> Path:
    folder.mkdir()
    return checkpoint.save(folder, 3, {"w": torch.zeros(2), **tensors})


@pytest.mark.parametrize("name", [checkpoint.META, checkpoint.TENSORS])
@pytest.mark.parametrize("kind", ["pipe", "zero"])
def test_checkpoints_whose_parts_never_end(tmp_path, name, kind):
    part = saved_checkpoint(tmp_path / "c") / name
    part.unlink()
    if kind == "pipe":
        os.mkfifo(part)
    else:
        part.symlink_to("/dev/zero")
    with light(16), pytest.raises(AimganError, match=r"cannot read checkpoint .* \(not a regular file\)"):
        checkpoint.newest(tmp_path / "c")


def test_links_among_checkpoints_are_left_alone(tmp_path):
    own = saved_checkpoint(tmp_path / "c")
    shutil.copytree(own, tmp_path / "theirs")
    for name in ("000000009", ".x.new", ".x.old"):
        (tmp_path / "c" / name).symlink_to(tmp_path / "theirs")
    assert checkpoint.newest(tmp_path / "c").step == 3
    checkpoint.prune(tmp_path / "c", 3)
    assert (tmp_path / "theirs" / checkpoint.META).exists()


def train(folder: Path, **flags: object) -> None:
    aimgan.train("digits/gan", folder, settings={"samples": 100}, track=["off"], device="cpu", **flags)


def resumed(folder: Path, change) -> str:
    """Change the checkpoint of a run, give it a right checksum, and return why it is refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        place = folder / "checkpoints" / "000000002"
        tensors = load_file(place / checkpoint.TENSORS)
        meta = json.loads((place / checkpoint.META).read_text())
        change(tensors, place)
        save_file(tensors, place / checkpoint.TENSORS)
        meta["sha256"] = sha256_of(place / checkpoint.TENSORS)
        meta["files"] = {name: sha256_of(place / name) for name in meta["files"]}
        (place / checkpoint.META).write_text(json.dumps(meta))
        with pytest.raises(AimganError) as error:
            train(folder, steps=4, extend=True)
    return str(error.value)


def test_checkpoints_with_right_checksums_and_other_content(tmp_path, monkeypatch):
    monkeypatch.setattr("aimgan.runs.train.finish", only_the_model)
    train(tmp_path / "whole", steps=2)

    def two_counts(tensors, place):
        tensors["processes"] = torch.tensor([1, 2])

    def foreign_losses(tensors, place):
        tensors["log.x"] = torch.zeros(1)

    def integers(tensors, place):
        name = next(name for name in tensors if name.startswith("G."))
        tensors[name] = tensors[name].to(torch.int8)

    def another_seed(tensors, place):
        record = json.loads((place / "run.json").read_text())
        record["settings"]["seed"] = 7
        (place / "run.json").write_text(json.dumps(record))

    def deep(tensors, place):
        (place / "run.json").write_text(files.DEEP)

    for change, message in (
        (two_counts, "damaged in its losses or its number of processes"),
        (foreign_losses, "of a run with other losses"),
        (integers, r"of torch.int8 for G."),
        (another_seed, "of a run with another seed"),
        (deep, "of a run with a damaged run.json"),
    ):
        folder = tmp_path / change.__name__
        shutil.copytree(tmp_path / "whole", folder)
        assert message in resumed(folder, change)


def test_weights_that_are_infinite_as_float32(tmp_path):
    files.model().save(tmp_path / "model")
    path = tmp_path / "model" / "model.safetensors"
    tensors = load_file(path)
    tensors["G.0.weight"] = torch.full_like(tensors["G.0.weight"], 1e300, dtype=torch.float64)
    save_file(tensors, path)
    with pytest.raises(AimganError, match=r"G\.0\.weight holds NaN or infinite values"):
        aimgan.load(tmp_path / "model")


# --- search -----------------------------------------------------------------------------------------------------------


def test_members_of_a_zip_that_cannot_be_read_are_skipped(tmp_path):
    content = bytearray(files.zipped({f"{k}.png": files.picture(side=8 + k) for k in range(5)}))
    records = [found.start() for found in re.finditer(b"PK\x01\x02", content)]
    for k, place, value in ((0, 8, 1), (1, 10, 12), (2, 10, 99)):  # encrypted; bzip2; a method that there is none of
        content[records[k] + place] = value
    content[content.find(b"3.png") + 40] ^= 0xFF  # damaged
    (tmp_path / "x.zip").write_bytes(content)
    index = build(files.model(), tmp_path / "x.zip", tmp_path / "index")
    assert index.names == ["4.png"]
    assert index.record.skipped_images == 4


def test_codes_that_are_cut_while_they_are_used(tmp_path):
    """A file that is mapped into memory would end the process with SIGBUS."""
    (tmp_path / "images").mkdir()
    for k in range(20):
        Image.fromarray(np.full((8, 8), k * 10, np.uint8)).save(tmp_path / "images" / f"{k}.png")
    build(files.model(), tmp_path / "images", tmp_path / "index")
    index = open_index(tmp_path / "index")
    os.truncate(tmp_path / "index" / "codes.npy", 130)
    assert len(cluster(index.codes, 2).labels) == 20
    with pytest.raises(AimganError, match="is damaged"):
        open_index(tmp_path / "index")


def test_a_name_of_many_letters_among_many_names(tmp_path, monkeypatch):
    """An array of names has room for the longest in each row."""
    from rich.console import Console

    from aimgan.cli import model_verbs as verbs
    from aimgan.cli.command import Command

    files.model().save(tmp_path / "model")
    names = ["x" * 60_000 + ".png", *(f"{k}.png" for k in range(2_000))]
    (tmp_path / "x.zip").write_bytes(files.zipped(dict.fromkeys(names, files.picture())))
    monkeypatch.setattr("aimgan.checked.memory", lambda: 2**29)
    command = Command(str(tmp_path / "model"), "cpu", Console(quiet=True))
    with pytest.raises(AimganError, match="names of up to 60,004 characters would take 458 MiB"):
        verbs.encode(command, tmp_path / "x.npz", str(tmp_path / "x.zip"))


def test_the_reader_of_pillow_counts(monkeypatch):
    monkeypatch.setattr("aimgan.checked.MOST_READS", 3)
    with pytest.raises(decoding.UndecodableError, match="over 3 reads"):
        decoding.decode(lambda: BytesIO(files.picture()))
