from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import picture, tiny, write

from aimgan.data.image_set import as_float
from aimgan.data.images import load_images
from aimgan.errors import AimganError
from aimgan.search import build, open_index, query
from aimgan.search.images import named
from aimgan.search.index import CODES, RECORD, ROWS, require_model

GOOD = [k for k in range(40) if k not in (7, 30)]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def code(model, seed):
    return model.encode(as_float(torch.from_numpy(picture(seed))[None, None])).mean[0]


def one_line(message, call):
    with pytest.raises(AimganError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_an_index_holds_the_codes_of_the_good_images(model, photos, tmp_path):
    calls = []
    index = build(model, photos, tmp_path / "index", lambda *call: calls.append(call))
    assert index.names == [f"{k:02d}.png" for k in GOOD]
    torch.testing.assert_close(torch.from_numpy(np.array(index.codes)), torch.stack([code(model, k) for k in GOOD]))
    assert [item.name for item in index.record.skipped] == ["07.png", "30.png"]
    assert (index.record.images, index.record.skipped_images) == (38, 2)
    assert calls[-1] == (40, 40)
    assert sorted(contents(index.folder)) == ["codes.npy", "index.json", "rows.jsonl"]
    hit = query(index, code(model, 12), 3)[0]
    assert hit[:1] + hit[2:] == ("12.png", 11)
    assert hit.distance < 1e-5
    assert len(query(index, torch.zeros(3), 1_000)) == 38


def packaged(kind: str, photos: Path, target: Path) -> Path:
    """Return the photos as a zip, or the good ones as a table."""
    path = target / f"photos.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for photo in sorted(photos.iterdir()):
                archive.write(photo, photo.name)
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        good = [{"bytes": (photos / f"{k:02d}.png").read_bytes()} for k in GOOD]
        pq.write_table(pa.table({"image": good, "label": [k % 3 for k in GOOD]}), path, row_group_size=10)
    return path


@pytest.mark.parametrize(("kind", "name"), [("zip", "12.png"), ("parquet", "row 11")])
def test_other_sources_have_the_same_codes(kind, name, model, photos, tmp_path, encoded):
    source = packaged(kind, photos, tmp_path)
    plain = build(model, photos, tmp_path / "plain")
    index = build(model, source, tmp_path / "index")
    torch.testing.assert_close(torch.from_numpy(np.array(index.codes)), torch.from_numpy(np.array(plain.codes)))
    assert query(index, code(model, 12), 1)[0].name == name
    assert (named(str(source), {name})[name] == picture(12)).all()
    before = contents(index.folder)
    encoded.clear()
    assert contents(build(model, source, index.folder).folder) == before
    assert encoded == []


@pytest.mark.parametrize("garbage", [b"", b'{"rows": {"cod', b'{"rows": {"codes": 1}, "names": ["x"], "keys": []}\n'])
def test_a_build_that_was_stopped_goes_on_to_the_same_bytes(garbage, model, photos, tmp_path, monkeypatch, encoded):
    folder = tmp_path / "index"
    whole = contents(build(model, photos, tmp_path / "whole").folder)

    def stop(done, total):
        if done >= 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(model, photos, folder, stop)
    one_line("not finished: repeat the command", lambda: open_index(folder))
    with (folder / f"{CODES}.npy").open("ab") as codes, (folder / ROWS).open("ab") as rows:
        codes.write(b"torn" * 4)
        rows.write(garbage)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})  # on another number of cores
    encoded.clear()
    assert contents(build(model, photos, folder).folder) == whole
    assert sorted(encoded) == [7, 8, 8]  # of 40: two chunks are kept, and 30.png is broken


def test_only_what_is_new_or_changed_is_encoded(model, photos, tmp_path, encoded):
    folder = build(model, photos, tmp_path / "index").folder
    before = contents(folder)
    encoded.clear()
    stamp = (folder / RECORD).stat().st_mtime_ns
    build(model, photos, folder)
    assert encoded == []
    assert (contents(folder), (folder / RECORD).stat().st_mtime_ns) == (before, stamp)
    write(photos / "05b.png", 100)
    write(photos / "20.png", 101)
    (photos / "33.png").unlink()
    index = build(model, photos, folder)
    assert sum(encoded) == 2
    fresh = build(model, photos, tmp_path / "fresh")
    assert index.names == fresh.names
    assert index.record == fresh.record
    np.testing.assert_allclose(index.codes, fresh.codes, atol=1e-6)
    assert query(index, code(model, 101), 1)[0].name == "20.png"


@pytest.mark.parametrize("inside", [True, False])
def test_images_that_were_moved_keep_their_index(inside, model, photos, tmp_path, encoded):
    folder = (photos if inside else tmp_path) / ".aimgan-index"
    build(model, photos, folder)
    moved = photos.rename(tmp_path / "elsewhere")
    folder = moved / ".aimgan-index" if inside else folder
    encoded.clear()
    index = build(model, moved, folder)
    assert (len(index), encoded) == (38, [])
    assert index.record.source == str(moved)
    assert query(open_index(folder), code(model, 12), 1)[0].name == "12.png"
    encoded.clear()
    write(moved / "new.png", 77)
    assert len(build(model, moved, folder)) == 39
    assert encoded == [1]


@pytest.mark.parametrize("change", ["another", "gone", "written anew", "renamed", "copied"])
def test_other_images_elsewhere_are_not_the_moved_ones(change, model, photos, tmp_path):
    folder = build(model, photos, tmp_path / "index").folder
    before = contents(folder)
    if change == "copied":
        shutil.copytree(photos, tmp_path / "other", copy_function=shutil.copyfile)  # without their times
    else:
        photos.rename(tmp_path / "other")
    if change == "another":
        write(tmp_path / "other" / "new.png", 77)
    elif change == "gone":
        (tmp_path / "other" / "12.png").unlink()
    elif change == "written anew":
        write(tmp_path / "other" / "12.png", 12)
    elif change == "renamed":
        (tmp_path / "other" / "12.png").rename(tmp_path / "other" / "12b.png")
    message = r"index was built from '.*photos', not '.*other': choose another folder"
    one_line(message, lambda: build(model, tmp_path / "other", folder))
    assert contents(folder) == before


def test_readers_do_not_see_rows_that_are_being_added(model, photos, tmp_path):
    folder = build(model, photos, tmp_path / "index").folder
    for k in range(50, 60):
        write(photos / f"{k}.png", k)

    def stop(done, total):
        assert len(open_index(folder)) == 38
        one_line("another process is building", lambda: build(model, photos, folder))
        if done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(model, photos, folder, stop)
    assert len(open_index(folder)) == 38
    assert len(build(model, photos, folder)) == 48


def test_names_of_any_bytes_survive(model, tmp_path):
    names = ["a\nb.png", '"<b>.png', "ü 名.png", "\u202egnp.png"]
    for k, name in enumerate(names):
        write(tmp_path / "odd" / name, k)
    os.rename(write(tmp_path / "odd" / "x.png", 9), os.fsencode(tmp_path / "odd") + b"/\xff.png")
    index = build(model, tmp_path / "odd", tmp_path / "index")
    assert sorted(index.names) == sorted([*names, "\udcff.png"])
    assert query(index, code(model, 9), 1)[0].name == "\udcff.png"


def test_another_model_source_or_folder_is_refused(model, photos, tmp_path):
    index = build(model, photos, tmp_path / "index")
    write(tmp_path / "others" / "1.png", 1)
    for call, message in (
        (lambda: build(tiny(1), photos, index.folder), r"of another model \(weights \w{12}, this one's \w{12}"),
        (lambda: require_model(index, tiny(1)), "another model"),
        (lambda: build(model, tmp_path / "others", index.folder), "others': choose another folder"),
        (lambda: build(model, photos, photos), "contains '00.png', which is not part of an index"),
        (lambda: build(tiny(posterior=None), photos, tmp_path / "gan"), "has no encoder"),
        (lambda: build(model, tmp_path / "none", tmp_path / "new"), "there is no file or folder"),
        (lambda: open_index(tmp_path), "is not an index"),
        (lambda: query(index, torch.zeros(4)), r"a code of \(4,\), expected 3 finite numbers"),
        (lambda: query(index, torch.full((3,), torch.nan)), "finite"),
        (lambda: query(index, torch.zeros(3), 0), "k is 0; expected at least 1"),
    ):  # fmt: skip
        one_line(message, call)
    assert not (tmp_path / "gan").exists()


def test_a_source_without_a_good_image_leaves_the_folder_free(model, photos, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "1.png").write_bytes(b"?")
    message = r"no usable image: '1\.png', not an image"
    one_line(message, lambda: build(model, tmp_path / "bad", tmp_path / "index"))
    assert len(build(model, photos, tmp_path / "index")) == 38


@pytest.mark.parametrize("file", [f"{CODES}.npy", ROWS])
@pytest.mark.parametrize("keep", [0, 50, 400, -1])
def test_damaged_codes_and_rows_are_made_anew(file, keep, model, photos, tmp_path):
    folder = build(model, photos, tmp_path / "index").folder
    whole = contents(folder)
    (folder / file).write_bytes(whole[file][:keep])
    assert contents(build(model, photos, folder).folder) == whole


def test_floats_have_the_scale_in_an_index_that_they_have_in_training(model, tmp_path):
    """One for the whole folder: the first of these is nearly black beside the last, and would be white by itself."""
    for k, most in enumerate((3, 200, 60_000)):
        values = (np.random.default_rng(k).random((8, 8)) * most).astype(np.float32)
        (tmp_path / "floats").mkdir(exist_ok=True)
        Image.fromarray(values).save(tmp_path / "floats" / f"{k}.tif")
    data = load_images(tmp_path / "floats", test_fraction=0)
    pixels = data.train.pixels
    assert pixels.amax(dim=(1, 2, 3)).tolist() == [0, 1, 227]
    index = build(model, tmp_path / "floats", tmp_path / "index")
    assert index.names == data.train.names
    torch.testing.assert_close(torch.from_numpy(np.array(index.codes)), model.encode(as_float(pixels)).mean)
    small = named(str(tmp_path / "floats"), {"2.tif"})
    assert (small["2.tif"] == pixels[2].numpy()).all()
