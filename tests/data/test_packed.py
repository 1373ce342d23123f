"""Images that are packed on the disk once: the same bits as in memory, whatever happens while they are packed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from disks import largest_file
from nasty import write_nasty_folder
from PIL import Image
from trees import pictures, png, tree, write_folder, write_shards, write_table, write_tables, write_tar, write_zip

import aimgan
from aimgan.data import Images, ImageSet, Stream
from aimgan.data.account import account, line
from aimgan.data.decoding import Decoding, Form, workers
from aimgan.data.images import ImageData, Reader
from aimgan.data.packed import packs, remove
from aimgan.errors import AimganError
from aimgan.recipes import RECIPES
from aimgan.recipes.images import DIGITS
from aimgan.recipes.recipe import with_settings
from aimgan.runs import train as training

FORM = Form(8, 1)


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("AIMGAN_CACHE", str(tmp_path / "cache"))

    monkeypatch.setattr("aimgan.data.decoding.CHUNK", 16)


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_folder(tmp_path / "photos", tree("cat", "dog", count=60))


def pack(source: Path, form: Form = FORM, said: list[str] | None = None, **settings) -> ImageData:
    return Reader(str(source), form, packed=True, say=(said if said is not None else []).append, **settings).read()


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def require_same(one: ImageData, other: ImageData) -> None:
    for a, b in ((one.train, other.train), (one.test, other.test)):
        assert torch.equal(a.pixels, b.pixels)
        assert (a.labels is None) == (b.labels is None)
        assert a.labels is None or torch.equal(a.labels, b.labels)
        assert [*a.names] == [*b.names]
    for name in ("skipped", "by", "classes", "notes", "scale", "shape"):
        assert getattr(one, name) == getattr(other, name), name
    assert account(one) == account(other)
    assert line(account(one)) == line(account(other))


def npz(path: Path) -> Path:
    np.savez(path.with_suffix(".npz"), images=pictures(50), y=np.arange(50) % 4)
    return path.with_suffix(".npz")


SOURCES: dict[str, Callable[[Path], Path]] = {
    "folder": lambda path: write_folder(path, tree("train/a", "train/b", "test/a", "test/b", count=20)),
    "zip": lambda path: write_zip(
        path.with_suffix(".zip"), tree("a", "b", count=40) | {"notes.txt": b"", "a/x.png": b"x"}
    ),
    "tar": lambda path: write_tar(path.with_suffix(".tar"), tree("", count=70)),
    "shards": lambda path: write_shards(path, pictures(70)),
    "parquet": lambda path: write_tables(write_tables(path, pictures(70)), pictures(20), name="test"),
    "arrays": npz,
    "text": lambda path: write_table(path / "x.parquet", {str(k): png(k) for k in range(40)}, label=["x", "y"] * 20),
}


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("form", [Form(8, 1), Form(5, 3)], ids=["as they are", "resized"])
def test_a_pack_is_what_is_in_memory_bit_for_bit(tmp_path, kind, form):
    source = SOURCES[kind](tmp_path / "source")
    memory = Reader(str(source), form).read()
    first, again = pack(source, form, said := []), pack(source, form, said)
    require_same(first, memory)
    require_same(again, memory)
    assert memory.packed is None
    assert first.packed == again.packed
    assert len(said) == 1  # nothing was packed again


def test_broken_and_odd_images_are_packed_as_they_are_read(tmp_path):
    write_nasty_folder(tmp_path / "nasty", 60)
    frames = [Image.fromarray(page) for page in pictures(3)]
    frames[0].save(tmp_path / "nasty" / "stack.tif", save_all=True, append_images=frames[1:])
    memory, found = Reader(str(tmp_path / "nasty"), Form(16, 3)).read(), pack(tmp_path / "nasty", Form(16, 3))
    require_same(found, memory)
    assert len(found.skipped) == 6
    assert "5 files have more pages or frames" in found.notes[0]


def test_a_pack_is_found_again_without_an_image_being_opened(folder, monkeypatch):
    first = pack(folder)
    monkeypatch.setattr("aimgan.data.images.find", lambda *a: pytest.fail("opened"))
    require_same(pack(folder), first)
    os.rename(folder, folder.with_name("moved"))
    require_same(pack(folder.with_name("moved")), first)


CHANGES: dict[str, Callable[[Path], object]] = {
    "added": lambda folder: (folder / "cat" / "new.png").write_bytes(png(7)),
    "removed": lambda folder: (folder / "cat" / "000.png").unlink(),
    "renamed": lambda folder: (folder / "cat" / "000.png").rename(folder / "cat" / "0.png"),
    "to another class": lambda folder: (folder / "cat" / "000.png").rename(folder / "dog" / "0.png"),
    "written anew": lambda folder: (folder / "cat" / "000.png").write_bytes(png(7)),
    "touched": lambda folder: os.utime(folder / "cat" / "000.png", (1, 1)),
    "labelled": lambda folder: (folder / "metadata.csv").write_text(
        "file_name,label\n" + "".join(f"{c}/{k:03d}.png,{k % 5}\n" for c in ("cat", "dog") for k in range(60))
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_images_are_another_pack(folder, change):
    before = pack(folder)
    CHANGES[change](folder)
    after = pack(folder)
    assert after.packed != before.packed
    require_same(after, Reader(str(folder), FORM).read())
    assert len(packs()) == 2


def test_another_form_or_split_is_another_pack(folder):
    found = [pack(folder), pack(folder, Form(4, 1)), pack(folder, Form(8, 3)), pack(folder, Form(8, 1, (0, 1)))]
    found += [pack(folder, test_fraction=0.5), pack(folder, test_fraction=0.0)]
    assert len({data.packed for data in found}) == len(found)
    assert {data.train.pixels.shape[1:] for data in found} == {(1, 8, 8), (1, 4, 4), (3, 8, 8)}


def test_what_a_pattern_names_is_another_pack_where_it_is_another_split(tmp_path):
    for split in ("train", "test", "val"):
        write_tar(tmp_path / split / "0.tar", tree("", count=20))
        os.utime(tmp_path / split / "0.tar", (1, 1))
    (tmp_path / "val").rename(tmp_path / "aside")
    before = pack(tmp_path / "*" / "0.tar")
    assert (len(before.train), len(before.test), len(before.skipped)) == (20, 20, 1)
    (tmp_path / "test").rename(tmp_path / "gone")
    after = pack(tmp_path / "*" / "0.tar")
    assert (after.by, after.packed != before.packed) == ("hash", True)
    (tmp_path / "gone").rename(tmp_path / "test")
    assert pack(tmp_path / "*" / "0.tar").packed == before.packed


def test_what_is_no_image_may_change(folder):
    before = pack(folder)
    (folder / "notes.txt").write_text("not an image")
    assert pack(folder).packed == before.packed


def test_where_images_fit_in_memory_they_stay_there(folder, monkeypatch):
    taken = 120 * 64
    for free, there in ((2 * taken, False), (2 * taken - 2, True)):
        monkeypatch.setattr("aimgan.data.images.free_memory", lambda free=free: free)
        assert (Reader(str(folder), FORM).read().packed is not None) == there
        assert Reader(str(folder), FORM, packed=False).read().packed is None
    monkeypatch.setattr("aimgan.data.images.free_memory", lambda: 2 * taken)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # each process would hold them
    assert Reader(str(folder), FORM).read().packed is not None


def test_packing_needs_a_size(folder):
    for form in (Form(), Form(None, 1)):
        with pytest.raises(AimganError, match="packing needs a size: pass --size"):
            pack(folder, form)


def test_a_pack_has_the_channels_that_images_in_memory_have(folder, tmp_path):
    grey = tmp_path / "grey"
    grey.mkdir()
    for k in range(9):
        Image.fromarray(np.full((8, 8), 20 * k, np.uint8)).save(grey / f"{k}.png")
    (grey / "broken.png").write_bytes(b"not an image")
    for source, shape in ((grey, (1, 8, 8)), (folder, Reader(str(folder), Form(8), packed=False).read().shape)):
        found = pack(source, Form(8))
        assert found.shape == shape
        again = pack(source, Form(8))
        assert again.packed == found.packed
    Image.fromarray(np.full((8, 8, 3), 200, np.uint8)).save(grey / "z.png")
    assert pack(grey, Form(8)).shape == (3, 8, 8)


def test_the_cores_of_a_machine_are_shared_by_its_processes(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(12)))
    assert workers() == 12
    for world, share in (("4", 3), ("24", 1)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", world)
        assert workers() == share


# --- kills --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> tuple[Path, Path]:
    """A folder of good and broken images, and the caches in which its packs were killed."""
    folder, caches = tmp_path_factory.mktemp("photos"), tmp_path_factory.mktemp("caches")
    write_folder(folder, {f"{k:03d}.png": png(k) if k % 17 else b"broken" for k in range(160)})
    command = [sys.executable, str(Path(__file__).with_name("kills.py")), str(folder), str(caches)]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return folder, caches


def packed_alone(folder: Path, cache: Path, monkeypatch) -> dict[str, bytes]:
    """Pack in one go, somewhere else."""
    with monkeypatch.context() as patch:
        patch.setenv("AIMGAN_CACHE", str(cache))
        found = pack(folder).packed
        assert found is not None
        return files(found.parent)


@pytest.mark.parametrize("when", ["appends", "moments"])
def test_wherever_it_was_killed_a_pack_ends_as_the_same_bytes(killed, tmp_path, monkeypatch, when):
    folder, caches = killed
    whole = packed_alone(folder, tmp_path, monkeypatch)
    monkeypatch.setenv("AIMGAN_CACHE", str(caches / when))
    if when == "appends":
        assert [left.record for left in packs()] == [None]
    pack(folder, said=(said := []))
    assert when == "moments" or said[0].endswith(", going on after 112")
    assert files(caches / when / "packed") == whole
    assert [found.record["train"] + found.record["test"] for found in packs()] == [150]


def test_of_processes_at_once_one_packs_and_the_others_wait(killed, tmp_path, monkeypatch):
    folder, caches = killed
    told = [json.loads((caches / "at once" / f"{k}.json").read_text()) for k in range(3)]
    assert len({fingerprint for fingerprint, _ in told}) == 1
    said = sorted(text for _, lines in told for text in lines)
    assert said[:2] == ["another process is packing these images: waiting for it"] * 2
    assert len(said) == 3
    assert said[2].startswith("packing 160 images")
    assert files(caches / "at once" / "packed") == packed_alone(folder, tmp_path, monkeypatch)


def test_an_interrupt_leaves_what_is_packed(folder):
    def stop(done: int, total: int) -> None:
        if done >= 60:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(folder, progress=stop)
    calls: list[tuple[int, int]] = []
    pack(folder, said=(said := []), progress=lambda done, total: calls.append((done, total)))
    assert said[0].endswith(", going on after 64")
    assert (calls[0], calls[-1]) == ((64, 120), (120, 120))


# --- damage -------------------------------------------------------------------------------------------------------


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def last_line(path: Path) -> bytes:
    return path.read_bytes().splitlines(keepends=True)[-1]


def replace_in(path: Path, old: bytes, new: bytes) -> None:
    path.write_bytes(path.read_bytes().replace(old, new, 1))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "pixels cut": lambda at: cut(at / "train.npy", -1),
    "pixels cut to a header": lambda at: cut(at / "train.npy", 128),
    "pixels cut in the header": lambda at: cut(at / "train.npy", 60),
    "no pixels": lambda at: (at / "test.npy").unlink(),
    "other pixels": lambda at: np.save(at / "test.npy", np.zeros((300, 3, 8, 8), np.uint8)),
    "contents cut": lambda at: cut(at / "contents.jsonl", 100),
    "contents cut between lines": lambda at: cut(at / "contents.jsonl", -len(last_line(at / "contents.jsonl"))),
    "no contents": lambda at: (at / "contents.jsonl").unlink(),
    "other labels": lambda at: replace_in(at / "contents.jsonl", b", 1]", b', "x"]'),
    "a label less": lambda at: replace_in(at / "contents.jsonl", b", 1]", b", null]"),
    "record cut": lambda at: cut(at / "pack.json", 40),
    "no record": lambda at: (at / "pack.json").unlink(),
    "another record": lambda at: (at / "pack.json").write_text("[]"),
    "a later record": lambda at: (at / "pack.json").write_text('{"format": 99}'),
    "journal torn": lambda at: (cut(at / "journal.jsonl", -20), cut(at / "train.npy", -900)),
    "no journal": lambda at: ((at / "journal.jsonl").unlink(), (at / "pack.json").unlink()),
    "half a line": lambda at: (cut(at / "journal.jsonl", -9), (at / "pack.json").unlink()),
    "a line of text": lambda at: ((at / "journal.jsonl").write_text("text\n"), (at / "pack.json").unlink()),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_pack_is_mended_and_never_taken_for_whole(folder, damage):
    found = pack(folder)
    whole = files(found.packed)
    DAMAGE[damage](found.packed)
    require_same(pack(folder), Reader(str(folder), FORM).read())
    assert files(found.packed) == whole


# --- full disks ---------------------------------------------------------------------------------------------------


def test_room_is_looked_for_before_anything_is_packed(folder, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=120 * 64 - 1))
    monkeypatch.setattr(Decoding, "parts", lambda *a: pytest.fail("began to pack"))
    told = (
        r"120 images are packed on the disk, which takes 0 MiB, but 0 MiB are free in .*AIMGAN_CACHE.*: make room there"
    )
    with pytest.raises(AimganError, match=told):
        pack(folder)
    assert [found.record for found in packs()] == [None]
    monkeypatch.undo()


def test_of_a_pack_that_is_half_there_the_other_half_needs_room(folder, monkeypatch):
    def stop(done: int, total: int) -> None:
        if done >= 60:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(folder, progress=stop)
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=(120 - 64) * 64))
    assert len(pack(folder).train) > 90


@pytest.mark.parametrize("size", [0, 100, 128, 500, 1_500, 3_000, 6_000])
def test_a_write_that_the_disk_refuses_is_one_line_and_the_pack_goes_on_later(folder, tmp_path, monkeypatch, size):
    whole = packed_alone(folder, tmp_path / "other", monkeypatch)
    with largest_file(size), pytest.raises(AimganError, match=r"cannot write .*File too large.* again") as caught:
        pack(folder)
    assert "\n" not in str(caught.value)
    assert [found.record for found in packs()] == [None]
    pack(folder)
    assert files(tmp_path / "cache" / "packed") == whole


@pytest.mark.parametrize("what", ["AppendOnlyArrays.append", "AppendOnlyArrays.finish", "write_text", "write_json"])
def test_a_disk_that_is_full_at_any_time_leaves_nothing_that_is_taken_for_whole(folder, tmp_path, monkeypatch, what):
    whole = packed_alone(folder, tmp_path / "other", monkeypatch)

    def full(*arguments: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(f"aimgan.data.packed.{what}", full)
        with pytest.raises(AimganError, match=r"No space left on device.*: make room there"):
            pack(folder)
    assert [found.record for found in packs()] == [None]
    pack(folder)
    assert files(tmp_path / "cache" / "packed") == whole


def test_a_cache_that_cannot_be_written_is_one_line(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AIMGAN_CACHE", str(tmp_path / "file"))
    with pytest.raises(AimganError, match=r"cannot write .*packed.* choose another folder"):
        pack(folder)


def test_all_broken_images_are_an_error_in_a_pack_too(tmp_path):
    write_folder(tmp_path / "x", {f"{k}.png": b"no picture" for k in range(40)})
    with pytest.raises(AimganError, match=r"all 40 images in .* are broken: the first, '0\.png'"):
        pack(tmp_path / "x")
    write_folder(tmp_path / "y", {f"train/{k}.png": png(k) for k in range(20)} | {"test/0.png": b"no"})
    with pytest.raises(
        AimganError, match=r"the test split of .* has no usable image \(the first broken one, 'test/0\.png'"
    ):
        pack(tmp_path / "y")


# --- what is done with packs --------------------------------------------------------------------------------------


def test_packs_are_listed_and_removed(folder):
    assert packs() == []
    with pytest.raises(AimganError, match="no pack is called 'all'; expected all, or one of: there are none"):
        remove("all")
    one, other = pack(folder), pack(folder, Form(4, 1))
    found = {item.folder: item for item in packs()}
    assert {*found} == {one.packed, other.packed}
    assert found[one.packed].size == sum(map(len, files(one.packed).values()))
    assert found[one.packed].record["source"] == str(folder)
    with pytest.raises(AimganError, match=f"no pack is called 'x'; expected all, or one of: .*{one.packed.name}"):
        remove("x")
    assert [item.folder for item in remove(one.packed.name)] == [one.packed]
    assert int(one.train.pixels.sum()) > 0  # what is mapped stays readable
    assert [item.folder for item in remove("all")] == [other.packed]
    assert packs() == []


def test_batches_over_a_pack_are_those_of_memory(folder):
    memory, mapped = Images(str(folder), 8, 1).load(), Images(str(folder), 8, 1, packed=True).load()
    for data in (memory, mapped):
        data.to(torch.device("cpu"))
    assert len(memory) == len(mapped) == 120
    for step in (0, 3, 40):
        whole = memory.batch(5, step, 12)
        assert torch.equal(mapped.batch(5, step, 12), whole)
        assert torch.equal(torch.cat([mapped.batch(5, step, 12, rank, 3) for rank in range(3)]), whole)
    assert torch.equal(mapped.test(5), memory.test(5))
    for split in ("train", "test"):
        both = [torch.cat([*data.chunks(split, size=7)]) for data in (memory, mapped)]
        assert torch.equal(*both)


def test_of_a_large_pack_scores_see_a_fixed_sample_of_what_is_held_out(folder, monkeypatch):
    monkeypatch.setattr("aimgan.data.image_set.EVALUATED", 10)
    settings = {"size": 8, "channels": 1, "test_fraction": 0.5}
    memory, mapped = Images(str(folder), **settings).load(), Images(str(folder), packed=True, **settings).load()
    assert len(mapped.images.test) > 40
    chosen = mapped.places("test")
    assert (len(chosen), len(chosen.unique()), int(chosen.max()) > 30) == (10, 10, True)
    assert len(torch.cat([*mapped.chunks("test")])) == 10
    assert len(memory.places("test")) == len(memory.images.test)
    assert len(mapped.places("train")) == mapped.epoch_size


def test_a_recipe_is_told_where_and_how_on_the_command_line():
    given = {"data.packed": "true", "data.black": "-1", "data.white": 1, "data.test_fraction": np.float32(0.5)}
    data = with_settings(RECIPES["folder/aim"], given).data
    assert (data.packed, data.black, data.white, data.test_fraction) == (True, -1, 1, 0.5)
    assert with_settings(RECIPES["folder/aim"], {"data.packed": "none"}).data.packed is None


def test_stream_is_images_by_its_earlier_name(folder):
    old = Stream(str(folder), 8, 1, buffer=30, sample=10).load()
    assert torch.equal(old.batch(0, 0, 10), Images(str(folder), 8, 1).load().batch(0, 0, 10))
    assert (Stream().size, Stream().channels) == (64, 3)


@pytest.fixture
def recipe(folder, monkeypatch):
    monkeypatch.setattr(training, "finish", lambda model, data, run, *rest: model.save(run.model))  # scores take longer
    data = Images(str(folder), size=8, channels=1, packed=True)
    return replace(DIGITS, name="folder/aim", data=data, steps=12, batch_size=20, checkpoint_seconds=0.0)


def weights(run: Path) -> bytes:
    return (run / "model" / "model.safetensors").read_bytes()


def test_a_run_on_a_pack_is_the_run_in_memory_and_resumes_to_it(recipe, tmp_path, monkeypatch):
    in_memory = replace(recipe, data=replace(recipe.data, packed=False))
    aimgan.train(in_memory, tmp_path / "memory", device="cpu")
    whole = ImageSet.batch
    for stop in (4, 9):
        with monkeypatch.context() as patch:
            killed = {"at": stop}

            def batch(self, seed: int, step: int, *rest: int, killed=killed) -> torch.Tensor:
                if step == killed["at"]:
                    raise RuntimeError("killed")
                return whole(self, seed, step, *rest)

            patch.setattr(ImageSet, "batch", batch)
            with pytest.raises(RuntimeError, match="killed"):
                aimgan.train(recipe, tmp_path / "packed", device="cpu")
    aimgan.train(recipe, tmp_path / "packed", device="cpu")
    assert weights(tmp_path / "packed") == weights(tmp_path / "memory")
    records = [json.loads((tmp_path / name / "run.json").read_text())["data"] for name in ("packed", "memory")]
    assert records[0] == records[1]
    assert records[0]["images"] == 120
