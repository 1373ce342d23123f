"""What was read is said: in a line for people, as a dictionary for programs."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from PIL import Image
from trees import pictures, png, tree, write_folder, write_zip

from aimgan.data.account import account, line
from aimgan.data.images import load_images


def photos(folder):
    """Photos of two classes in two splits, with all that may be among them."""
    files = tree("train/cat", "train/dog", "test/cat", "test/dog", count=5)
    files |= {"train/cat/IMG_1.HEIC": b"x", "train/dog/IMG_2.heic": b"x", "notes.txt": b"x"}
    files |= {"train/cat/broken.jpg": b"no picture", "extra/0.png": png(1)}
    return write_folder(folder, files)


def test_all_that_was_read_and_what_was_not(tmp_path):
    read = account(load_images(photos(tmp_path)))
    assert {**read, "fingerprint": len(read["fingerprint"])} == {
        "images": 20,
        "train": 10,
        "test": 10,
        "hub": False,
        "split_by": "folder",
        "classes": {"cat": 5, "dog": 5},
        "skipped": 2,
        "not_read": {".heic": 2, ".txt": 1},
        "shape": [1, 8, 8],
        "range": [0, 255],
        "fingerprint": 32,
        "notes": [],
    }
    assert json.loads(json.dumps(read)) == read
    assert line(read) == (
        "20 images (10 train, 10 test, by folder); 2 classes: cat, dog; "
        "not read: 2 .heic, 1 .txt, 2 unreadable (named); values 0 to 255 of 255; 1 x 8 x 8"
    )


@pytest.mark.parametrize(("top", "dark"), [(1, True), (16, True), (63, True), (64, False), (255, False)])
def test_a_low_range_is_said(tmp_path, top, dark):
    write_folder(tmp_path, {f"{k}.png": png(value) for k, value in enumerate((0, 0, top))})
    read = account(load_images(tmp_path, test_fraction=0))
    assert read["range"] == [0, top]
    assert f"values 0 to {top} of 255{' (images look dark: ' if dark else ';'}" in line(read)


def test_of_both_splits_the_range_and_of_training_images_the_classes(tmp_path):
    files = {f"train/cat/{k}.png": png(100) for k in range(3)} | {"train/dog/0.png": png(120), "test/cat/0.png": png(7)}
    read = account(load_images(write_folder(tmp_path, files | {"test/dog/0.png": png(250)})))
    assert (read["range"], read["classes"]) == ([7, 250], {"cat": 3, "dog": 1})


def test_classes_without_names_are_their_numbers_and_many_are_cut(tmp_path):
    np.savez(tmp_path / "x.npz", images=pictures(60), y=np.arange(60) % 12 + 100)
    read = account(load_images(tmp_path / "x.npz", test_fraction=0))
    assert read["classes"] == {str(k): 5 for k in range(100, 112)}
    assert "; 12 classes: 100, 101, 102, 103, 104, 105, 106, 107, ...; " in line(read)


def test_pages_beyond_the_first_are_said(tmp_path):
    pages = [Image.fromarray(page) for page in pictures(20)]
    for name in ("stack.tif", "more.tif"):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
        if name == "stack.tif":
            read = account(load_images(tmp_path, test_fraction=0))
            assert read["images"] == 1
            assert read["notes"] == [
                "'stack.tif' has more pages or frames than the first, which is the one that is used"
            ]
    pages[0].convert("RGB").save(tmp_path / "film.gif", save_all=True, append_images=pages[1:])
    read = account(load_images(tmp_path, test_fraction=0))
    assert read["notes"] == ["3 files have more pages or frames than the first, which is the one that is used"]
    assert line(read).endswith(read["notes"][0])


def test_what_a_terminal_would_obey_is_escaped(tmp_path):
    files = {f"{name}/{k}.png": png(k) for name in ("cat", "\x1b[31mdog") for k in range(2)}
    read = account(load_images(write_folder(tmp_path, files), test_fraction=0))
    assert [*read["classes"]] == ["\x1b[31mdog", "cat"]
    assert "\x1b" not in line(read)
    assert r"\x1b[31mdog" in line(read)


def fingerprint(source, **settings) -> str:
    return account(load_images(source, test_fraction=0, **settings))["fingerprint"]


def test_the_fingerprint_changes_with_a_pixel_and_a_label(tmp_path):
    images, y = pictures(10), np.arange(10) % 2
    found = set()

    def keep(images, y):
        np.savez(tmp_path / "x.npz", images=images, **({} if y is None else {"y": y}))
        found.add(fingerprint(tmp_path / "x.npz"))

    keep(images, y)
    keep(images, y)
    assert len(found) == 1
    changed = images.copy()
    changed[9, 7, 7] ^= 1
    keep(changed, y)
    other = y.copy()
    other[9] = 7
    keep(images, other)
    keep(images, None)
    keep(images[:9], y[:9])
    keep(images[::-1], y)
    keep(np.stack([images] * 3, axis=-1), y)
    assert len(found) == 7


def test_the_fingerprint_is_the_same_at_another_time_and_place_and_in_another_layout(tmp_path):
    files = tree("train/cat", "train/dog", "test/cat", "test/dog")
    folder = write_folder(tmp_path / "a", files)
    first = fingerprint(folder)
    for path in folder.rglob("*.png"):
        os.utime(path, (1, 1))
    assert fingerprint(folder) == first
    os.rename(folder, tmp_path / "b")
    assert fingerprint(tmp_path / "b") == first
    (tmp_path / "b" / "notes.txt").write_text("not an image")
    assert fingerprint(tmp_path / "b") == first
    assert fingerprint(write_zip(tmp_path / "x.zip", files)) == first
    assert fingerprint(tmp_path / "b", size=4) != first
