"""What names and tables say of images: the same splits, classes and labels in every layout."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from trees import (
    Tree,
    content,
    firsts,
    labelled,
    pictures,
    png,
    tree,
    write_folder,
    write_table,
    write_tables,
    write_tar,
    write_zip,
)

from aimgan.data import names
from aimgan.data.files import Files
from aimgan.data.images import ImageData, load_images
from aimgan.data.listing import Listing, listed
from aimgan.errors import AimganError


def parquet(path: Path, files: Tree) -> Path:
    """Write a tree as the Hub does: a file for each split, the class as a column."""
    splits: dict[str, dict[str, bytes]] = {}
    for name, image in files.items():
        split = next((part for part in name.split("/") if part in ("train", "test")), "all")
        splits.setdefault(split, {})[name] = image
    for split, own in splits.items():
        classes = [name.split("/")[-2] for name in own]
        write_table(path / f"{split}-00000-of-00001.parquet", own, **({} if split == "all" else {"label": classes}))
    return path


def shards(path: Path, files: Tree) -> Path:
    for k in range(3):
        write_tar(path / f"{k:04d}.tar", dict([*files.items()][k::3]))
    return path


def zips(path: Path, files: Tree) -> Path:
    for k in range(3):
        write_zip(path / f"part{k}.zip", dict([*files.items()][k::3]))
    return path


LAYOUTS: dict[str, Callable[[Path, Tree], Path]] = {
    "folder": write_folder,
    "zip": lambda path, files: write_zip(path.with_suffix(".zip"), files),
    "zip of Windows": lambda path, files: write_zip(path.with_suffix(".ZIP"), files, "\\"),
    "tar": lambda path, files: write_tar(path.with_suffix(".tar"), files),
    "tar of dots": lambda path, files: write_tar(
        path.with_suffix(".tar"), {f"./{name}": files[name] for name in files}
    ),
    "shards": shards,
    "zips": zips,
    "parquet": parquet,
}


@pytest.mark.parametrize("depth", ["", "photos/", "a/b/c/"])
def test_a_tree_is_the_same_in_every_layout_at_every_depth(tmp_path, depth):
    files = tree(*(f"{depth}{split}/{name}" for split in ("train", "test") for name in ("cat", "dog", "yak")))
    found = {name: load_images(write(tmp_path / name, files)) for name, write in LAYOUTS.items()}
    expected = content(found["folder"])
    assert (len(expected[0]), len(expected[1]), *expected[2:]) == (12, 12, "folder", ("cat", "dog", "yak"))
    assert labelled(found["tar"].test, found["tar"].classes) == {
        12 + k: ("cat", "dog", "yak")[k // 4] for k in range(12)
    }
    for name, data in found.items():
        assert content(data)[:2] == expected[:2], name
        assert content(data)[3] == expected[3], name
        assert data.by == ("file" if name == "parquet" else "folder")
        assert (data.skipped, data.not_read) == ((), {})


@pytest.mark.parametrize("depth", ["", "photos/", "a/b/c/"])
def test_a_tree_without_splits_is_parted_alike_in_every_layout_at_every_depth(tmp_path, depth):
    files = tree(f"{depth}cat", f"{depth}dog", count=30)
    plain = content(load_images(write_folder(tmp_path / "plain", tree("cat", "dog", count=30)), test_fraction=0.3))
    assert min(map(len, plain[:2])) > 9
    assert plain[2:] == ("hash", ("cat", "dog"))
    for name in ("folder", "zip", "zip of Windows", "tar", "tar of dots"):
        assert content(load_images(LAYOUTS[name](tmp_path / name, files), test_fraction=0.3)) == plain
    table = load_images(LAYOUTS["parquet"](tmp_path / "t", tree("cat", "dog", count=30)), test_fraction=0.3)
    assert [[pixels for pixels, _ in part] for part in content(table)[:2]] == [
        [p for p, _ in part] for part in plain[:2]
    ]


def listing(*given: str, **contents: bytes) -> Listing:
    """List files by their names alone; of those that are opened, the contents."""
    texts = {name.replace("__", "."): content for name, content in contents.items()}
    every = [*given, *texts]
    return listed(Files(every, lambda k: io.BytesIO(texts[every[k]])))


def split(found: Listing) -> tuple[list[str], list[str]]:
    """Return the names of the two splits; all are to train on where the names name none."""
    test = np.zeros(len(found), bool) if found.test is None else found.test
    return tuple([name for name, held in zip(found.names, test, strict=True) if held == side] for side in (False, True))


TRAIN = ("train", "training")
HELD_OUT = ("test", "testing", "eval", "evaluation", "val", "valid", "validation", "dev")
AROUND = ("{}/0.png", "{}/cat/0.png", "x/{}/0.png", "{}_0.png", "x/{}-0.png", "cat/{}/0.png", "{}-0000.tar/0.png",
          "{}/0000.tar/0.png", "mnist_{}/0.png", "{}.zip/0.png", "{}2017/0.png", "x/{}.0.png")  # fmt: skip


@pytest.mark.parametrize("place", AROUND)
def test_the_keywords_of_the_hub_name_splits_in_any_case(place):
    for train, held, case in product(TRAIN, HELD_OUT, (str.lower, str.upper, str.capitalize)):
        one, two = place.format(case(train)), place.format(case(held))
        assert split(listing(one, two)) == ([one], [two])


OTHERS = (
    "trainer tester, train latest, training contest, train validated, strain test, train devices, train value, "
    "train extra"
)


@pytest.mark.parametrize("pair", [pair.split() for pair in OTHERS.split(", ")])
@pytest.mark.parametrize("place", ["{}/0.png", "{}-0.png", "{}-0000.tar/0.png"])
def test_other_words_name_none(pair, place):
    found = listing(*(place.format(word) for word in pair))
    assert (found.test, found.by) == (None, "hash")


@pytest.mark.parametrize("file", ["my train.png", "a_test.png", "the-val.jpg"])
def test_of_a_file_the_first_word_counts(file):
    assert listing("train-0.png", "test-0.png", *(f"{k} {file}" for k in range(9))).test is None


@pytest.mark.parametrize("names", [("bullet train", "test tube"), ("bullet_train", "cup", "test_tube"),
                                   ("Eval kit", "cup", "Train set", "fork", "plate")])  # fmt: skip
def test_classes_that_are_called_like_splits_are_classes(names):
    found = listing(*(f"{name}/{k}.png" for name in names for k in range(3)))
    assert (found.test, found.classes) == (None, tuple(sorted(names)))


PAIRS = (
    "train_images/test_images seg_train/seg_test train2014/val2017 training_set/test_set DIV2K_train_HR/DIV2K_valid_HR "
    "train/test1 train-clean/dev-clean Train/Test_images train_cropped/test"
)


@pytest.mark.parametrize("pair", [pair.split("/") for pair in PAIRS.split()])
def test_folders_may_say_more_than_the_split(pair):
    found = listing(*(f"{name}/{c}/{k}.png" for name in pair for c in "ab" for k in range(3)))
    assert (found.test.sum(), found.by, found.classes) == (6, "folder", ("a", "b"))


def test_a_split_is_named_by_what_is_around_most_images():
    few = [f"holidays/{name}/{k}.png" for name in ("train", "test") for k in range(5)]
    assert listing(*few, *(f"holidays/{k}.png" for k in range(10))).test is None
    found = listing(*few, *(f"holidays/{k}.png" for k in range(9)))
    assert split(found) == (sorted(few[:5]), sorted(few[5:]))
    assert [(item.name, item.reason) for item in found.skipped] == [
        (f"{k}.png", "1 images in neither split") for k in range(9)
    ]


def test_the_outermost_split_counts():
    found = listing(*(f"{a}/{b}/{k}.png" for a in ("train", "test") for b in ("train", "val") for k in range(2)))
    assert split(found)[1] == [f"test/{b}/{k}.png" for b in ("train", "val") for k in range(2)]
    assert found.classes == ("train", "val")


def test_what_is_in_neither_split_is_named():
    found = listing(
        "train/0.png", "Test/0.png", "val/0.png", "dev/0.png", "extra/a/0.png", "extra/1.png", "train/1.png"
    )
    assert split(found) == (["train/0.png", "train/1.png"], ["Test/0.png"])
    assert [(item.name, item.reason) for item in found.skipped] == [
        ("extra", "2 images in neither split"),
        ("validation", "2 images in neither split"),
    ]


def test_classes_lie_around_splits_or_in_them():
    for place in (
        "{0}/{1}/{2}.png",
        "{1}/{0}/{2}.png",
        "{0}/x/{1}/{2}.png",
        "{1}/{0}/x/{2}.png",
        "{0}/0.tar/{1}/{2}.png",
    ):
        found = listing(*(place.format(*at) for at in product(("train", "test"), ("cat", "dog"), range(3))))
        assert (len(found), found.test.sum(), found.by, found.classes) == (12, 6, "folder", ("cat", "dog"))
        assert all(("dog" in name) == label for name, label in zip(found.names, found.labels.tolist(), strict=True))


def test_folders_are_classes_where_each_image_is_in_one_and_there_are_two():
    assert listing("cat/0.png", "cat/1.png").labels is None
    assert listing("cat/0.png", "cat/1.png", "dog/0.png", "1.png").labels is None
    found = listing("pets/cat/0.png", "pets/cat/1.png", "pets/dog/deep/0.png", "pets/dog/1.png")
    assert (found.labels.tolist(), found.classes) == ([0, 0, 1, 1], ("cat", "dog"))
    each = listing("cat/0.png", "dog/0.png", "yak/0.png")
    assert (each.labels, each.notes) == (None, ("labels are not used: they are texts that are all different",))


def test_hidden_files_and_folders_are_no_data(tmp_path):
    hidden = {
        name: png(9) for name in (".a.png", ".cache/b.png", "cat/._c.png", "__MACOSX/cat/._000.png", "dog/.d/e.png")
    }
    files = tree("cat", "dog")
    for name in ("folder", "zip", "tar"):
        data = load_images(LAYOUTS[name](tmp_path / name, files | hidden | {".DS_Store": b"x"}), test_fraction=0.0)
        assert (firsts(data.train), data.classes) == ([*range(8)], ("cat", "dog"))
        assert (data.skipped, data.not_read) == ((), {})
    assert not names.is_hidden("../a/./b.png")


@pytest.mark.parametrize("place", ["{}.tar", "more/{}.tar", ".backup/{}.tar"])
def test_a_few_shards_among_images_are_not_taken_for_all_of_them(tmp_path, place):
    write_folder(tmp_path, tree("", count=9))
    for k in range(3):
        write_tar(tmp_path / place.format(k), {f"{k}.png": png(200)})
    data = load_images(tmp_path, test_fraction=0.0)
    assert firsts(data.train) == [*range(9)]
    assert data.not_read == ({} if place.startswith(".") else {".tar": 3})


def test_shards_among_fewer_images_are_read_and_the_images_counted(tmp_path):
    for k in range(3):
        write_tar(tmp_path / f"{k}.tar", {f"{k}.png": png(k), "notes.txt": b"", "notes.json": b""})
    write_folder(tmp_path, {"banner.png": png(200), "LICENSE": b"", "x.tar.gz": b""})
    data = load_images(tmp_path, test_fraction=0.0)
    assert firsts(data.train) == [0, 1, 2]
    assert data.not_read == {".gz": 1, ".json": 3, ".png": 1, ".txt": 3, "no suffix": 1}


def test_the_same_names_in_several_shards_are_several_images(tmp_path):
    images = pictures(60)
    for k in range(3):
        write_tar(tmp_path / f"{k}.tar", {f"{j}.png": png(images[20 * k + j]) for j in range(20)})
    data = load_images(tmp_path, test_fraction=0.3)
    assert sorted(firsts(data.train) + firsts(data.test)) == [*range(60)]
    held = [name.partition("/")[2] for name in data.test.names]
    assert len({*held}) > 10  # by the whole name: not the same few of each shard
    assert {*held} & {name.partition("/")[2] for name in data.train.names}


def test_a_pattern_names_files_of_one_kind(tmp_path):
    for k in range(4):
        write_tar(tmp_path / "a" / f"{k}.tar", {"0.png": png(k)})
    write_table(tmp_path / "t" / "0.parquet", {"x": png(7), "y": png(8)})
    np.save(tmp_path / "x.npy", pictures(5))
    (tmp_path / "a" / "x.png").write_bytes(png(9))
    assert firsts(load_images(tmp_path / "a" / "[0-2].tar", test_fraction=0.0).train) == [0, 1, 2]
    assert firsts(load_images(tmp_path / "*" / "*.parquet", test_fraction=0.0).train) == [7, 8]
    assert firsts(load_images(tmp_path / "?.npy", test_fraction=0.0).train) == [*range(5)]
    for wrong in ("a/*", "**/*.*", "*/*.[np]*"):
        with pytest.raises(AimganError, match=r"names \d+ files.*: expected"):
            load_images(tmp_path / wrong)


def test_files_that_are_no_images_are_counted_by_suffix(tmp_path):
    others = {"a.HEIC": b"x", "b/c.heic": b"x", "d.avif": b"x", "e.jpg_large": b"x", "f.jpg.part": b"x", "README": b"x"}
    for name in ("folder", "zip", "tar"):
        data = load_images(LAYOUTS[name](tmp_path / name, tree("", count=3) | others))
        assert data.not_read == {".avif": 1, ".heic": 2, ".jpg_large": 1, ".part": 1, "no suffix": 1}
    with pytest.raises(AimganError, match=r"no images in .* \(there are 2 \.heic, 1 no suffix\)"):
        load_images(write_folder(tmp_path / "none", {"a.HEIC": b"x", "b.heic": b"", "README": b""}))


SUFFIXES = "jpg JPEG jpe jfif png WebP bmp dib gif tif TIFF ppm pgm pbm pnm pfm"


@pytest.mark.parametrize("suffix", SUFFIXES.split())
def test_each_name_that_ends_like_an_image_is_one(suffix):
    found = listing(f"2023-05-01 12.30.45.{suffix}", f"a.{suffix}", f"a.seg.{suffix}", "a.txt", "png", f"{suffix}.x")
    assert len(found) == 3


# --- labels beside the images -------------------------------------------------------------------------------------


def test_cls_files_are_labels_of_the_image_of_their_name():
    keys = {"a__cls": b"3\n", "b.c__cls": b" 1 ", "d__cls": b"2"}
    found = listing("a.png", "b.c.png", "d.left.png", "d.right.jpg", **keys)
    assert (found.labels.tolist(), found.classes, found.not_read) == ([3, 1, 2, 2], (), {})
    named = listing("a.png", "b.png", "c.png", a__cls=b"dog", b__cls="kätzchen".encode(), c__cls=b"dog")
    assert (named.labels.tolist(), named.classes) == ([0, 1, 0], ("dog", "kätzchen"))


@pytest.mark.parametrize("bad", [b"", b"-1", b"\xff" * 201])
def test_where_one_image_has_no_label_none_are_used_and_that_is_said(bad):
    found = listing("a.png", "b.png", a__cls=b"3", b__cls=bad)
    assert found.labels is None
    assert found.notes == ("labels are not used: 1 of 2 images have none",)
    assert found.not_read == {".cls": 2}


def test_labels_that_are_all_below_zero_are_none():
    found = listing("a.png", "b.png", a__cls=b"-1", b__cls=b"-1")
    assert (found.labels, found.notes) == (None, ())


def test_texts_that_are_all_different_are_captions():
    found = listing("a.png", "b.png", a__cls=b"a red car", b__cls=b"two dogs")
    assert found.labels is None
    assert found.notes == ("labels are not used: they are texts that are all different",)


def test_numbers_and_texts_together_are_names_of_classes():
    found = listing("a.png", "b.png", "c.png", a__cls=b"7", b__cls=b"seven", c__cls=b"7")
    assert (found.labels.tolist(), found.classes) == ([0, 1, 0], ("7", "seven"))


def jsonl(rows: Sequence[dict]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def csv(rows: Sequence[dict]) -> bytes:
    lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    return "\ufeff".encode() + "\r\n".join(lines).encode()


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
@pytest.mark.parametrize("layout", ["folder", "zip", "tar", "tar of dots"])
def test_tables_of_metadata_label_images(tmp_path, name, layout):
    write = jsonl if name.endswith("l") else csv
    rows = [{"file_name": f"{k:03d}.png", "id": k, "label": k % 3} for k in range(9)]
    data = load_images(LAYOUTS[layout](tmp_path / "one", tree("", count=9) | {name: write(rows)}), test_fraction=0.0)
    assert labelled(data.train) == {k: k % 3 for k in range(9)}
    assert (data.not_read, data.notes) == ({}, ())
    words = [{"file_name": f"in\\{k:03d}.png", "class": "ab"[k % 2]} for k in range(9)]
    both = {f"{part}/in/{k:03d}.png": png(k) for part in ("train", "test") for k in range(9)}
    both |= {f"{part}/{name}": write(words) for part in ("train", "test")}
    data = load_images(LAYOUTS[layout](tmp_path / "two", both))
    for part in (data.train, data.test):
        assert labelled(part, data.classes) == {k: "ab"[k % 2] for k in range(9)}


def test_lines_of_json_are_parted_by_newlines_alone():
    rows = [{"file_name": f"{k}.png", "text": "a\u2028b\x85c", "label": k // 2} for k in range(4)]
    found = listing(*(f"{k}.png" for k in range(4)), metadata__jsonl=b"\n" + jsonl(rows).replace(b"\n", b"\r\n\n"))
    assert found.labels.tolist() == [0, 0, 1, 1]


def test_a_column_of_captions_is_no_label():
    found = listing("0.png", "1.png", metadata__csv=csv([{"file_name": f"{k}.png", "text": "x"} for k in range(2)]))
    assert (found.labels, found.notes, found.not_read) == (None, (), {".csv": 1})


@pytest.mark.parametrize("text", [b"{", b"[" * 100_000, b'"file_name label"', b"3", b"null", b"\xff\xfe",
                                  b'{"file_name": "a.png", "label": '])  # fmt: skip
def test_a_damaged_table_is_named_and_the_folders_are_the_classes(text):
    images = [f"{name}/{k}.png" for name in ("cat", "dog") for k in range(2)]
    found = listing(*images, metadata__jsonl=text)
    assert [item.name for item in found.skipped] == ["metadata.jsonl"]
    assert found.skipped[0].reason
    assert found.classes == ("cat", "dog")


def test_labels_that_are_no_numbers_and_no_texts_are_mentioned():
    for label in ([1, 2], {"a": 1}, 0.5):
        found = listing("0.png", metadata__jsonl=jsonl([{"file_name": "0.png", "label": label}]))
        assert found.labels is None
        assert found.notes[0].startswith("labels are not used: ")
    found = listing(
        "0.png", "1.png", metadata__jsonl=jsonl([{"file_name": f"{k}.png", "label": k > 0} for k in range(2)])
    )
    assert found.labels.tolist() == [0, 1]


def test_numbers_beyond_64_bits_are_names():
    rows = [{"file_name": f"{k}.png", "label": 2**64 + k // 2} for k in range(4)]
    found = listing(*(f"{k}.png" for k in range(4)), metadata__jsonl=jsonl(rows))
    assert (found.labels.tolist(), found.classes) == ([0, 0, 1, 1], (str(2**64), str(2**64 + 1)))


def test_labels_beside_images_go_before_folders_and_that_is_said():
    images = [f"{name}/{k}.png" for name in ("cat", "dog") for k in range(2)]
    found = listing(*images, metadata__jsonl=jsonl([{"file_name": name, "label": k} for k, name in enumerate(images)]))
    assert (found.labels.tolist(), found.classes) == ([0, 1, 2, 3], ())
    assert found.notes == ("folders are not used as classes: the labels beside the images are",)


def test_a_table_too_large_is_not_read(tmp_path, monkeypatch):
    from aimgan.data import labels

    monkeypatch.setattr(labels, "MAX_TABLE", 100)
    data = load_images(write_folder(tmp_path, tree("", count=3) | {"metadata.csv": b"file_name,label\n" + b"x" * 100}))
    assert [item.name for item in data.skipped] == ["metadata.csv"]
    assert data.skipped[0].reason.startswith("over 100 characters")


def test_a_pipe_that_is_called_like_a_table_is_not_waited_for(tmp_path):
    write_folder(tmp_path, tree("", count=3))
    os.mkfifo(tmp_path / "metadata.csv")
    os.mkfifo(tmp_path / "000.cls")
    data = load_images(tmp_path)
    assert [item.name for item in data.skipped] == ["metadata.csv"]


# --- labels of tables and arrays ----------------------------------------------------------------------------------


def all_labels(data: ImageData) -> dict[int, int | str]:
    return labelled(data.train, data.classes) | (labelled(data.test, data.classes) if len(data.test) else {})


@pytest.mark.parametrize("name", ["label", "labels", "fine_label", "y", "targets", "target", "class"])
def test_labels_of_tables_and_arrays_have_many_names(tmp_path, name):
    images, y = pictures(20), np.arange(20) % 4
    write_table(tmp_path / "t.parquet", {str(k): png(images[k]) for k in range(20)}, **{name: y})
    np.savez(tmp_path / "a.npz", images=images, **{name: y})
    for source in ("t.parquet", "a.npz"):
        assert all_labels(load_images(tmp_path / source)) == {k: k % 4 for k in range(20)}


def test_text_in_tables_and_arrays_is_classes(tmp_path):
    images, y = pictures(20), [("red", "green", "blue")[k % 3] for k in range(20)]
    write_table(tmp_path / "t.parquet", {str(k): png(images[k]) for k in range(20)}, label=y)
    np.savez(tmp_path / "a.npz", images=images, labels=np.array(y))
    for source in ("t.parquet", "a.npz"):
        data = load_images(tmp_path / source)
        assert data.classes == ("blue", "green", "red")
        assert all_labels(data) == dict(enumerate(y))


def test_columns_of_labels_that_are_not_used_are_mentioned(tmp_path):
    few = {str(k): png(k) for k in range(4)}
    data = load_images(write_table(tmp_path / "a.parquet", few, fine_label=[1, 1, 2, 2], coarse_label=[0] * 4))
    assert data.notes == ("column 'coarse_label' of int64 is not used as the label",)
    data = load_images(write_table(tmp_path / "b.parquet", few, label=[[1]] * 4))
    assert data.notes == ("column 'label' of list<element: int64> is not used as the label",)
    data = load_images(write_table(tmp_path / "c.parquet", few, label=[0.5] * 4, y=[3, 3, 4, 4]))
    assert all_labels(data) == {0: 3, 1: 3, 2: 4, 3: 4}
    np.savez(tmp_path / "a.npz", images=pictures(4), y=np.zeros(4, int), ids=np.arange(4), bbox=np.zeros((4, 4)))
    assert load_images(tmp_path / "a.npz").notes == ("arrays that are not used: ids, bbox",)


@pytest.mark.parametrize("held", [("x_{}", "y_{}"), ("{}_images", "{}_labels")], ids=["keras", "MedMNIST"])
@pytest.mark.parametrize("words", [("train", "test"), ("training", "testing"), ("train", "val")])
def test_arrays_of_two_splits(tmp_path, held, words):
    images, y = pictures(30), np.arange(30) % 10
    parts = {words[0]: slice(0, 20), words[1]: slice(20, 30)}
    arrays = {held[0].format(word): images[part] for word, part in parts.items()}
    y_of = {held[1].format(word): y[part, None] for word, part in parts.items()}
    np.savez(tmp_path / "with.npz", **arrays, **y_of, extra=np.zeros(3))
    np.savez(tmp_path / "without.npz", **arrays)
    for name in ("with", "without"):
        data = load_images(tmp_path / f"{name}.npz")
        assert (firsts(data.train), firsts(data.test), data.by) == ([*range(20)], [*range(20, 30)], "file")
        if name == "with":
            assert all_labels(data) == {k: k % 10 for k in range(30)}
            assert data.notes == ("arrays that are not used: extra",)
        else:
            assert data.train.labels is data.test.labels is None


def test_a_third_split_of_arrays_is_set_aside_by_name(tmp_path):
    images = pictures(30)
    np.savez(tmp_path / "x.npz", train_images=images[:20], val_images=images[20:25], test_images=images[25:])
    data = load_images(tmp_path / "x.npz")
    assert (firsts(data.train), firsts(data.test)) == ([*range(20)], [*range(25, 30)])
    assert [(item.name, item.reason) for item in data.skipped] == [("validation", "5 images in neither split")]


def test_labels_of_one_split_alone_are_not_used(tmp_path):
    images = pictures(30)
    np.savez(tmp_path / "x.npz", x_train=images[:20], x_test=images[20:], y_train=np.arange(20))
    data = load_images(tmp_path / "x.npz")
    assert data.train.labels is data.test.labels is None
    assert data.notes == ("labels are not used: 10 of 30 images have none",)


def test_a_third_split_of_tables_is_set_aside_by_name(tmp_path):
    for name, first in (("train", 0), ("validation", 20), ("test", 40)):
        write_tables(tmp_path, pictures(60)[first : first + 10], name=name)
    data = load_images(tmp_path)
    assert (len(data.train), len(data.test)) == (10, 10)
    assert [(item.name, item.reason) for item in data.skipped] == [("validation", "1 files in neither split")]
