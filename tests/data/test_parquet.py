"""Parquet in the Hub's layout, on this machine: splits by the files' names, rows that are broken, files that are."""

from __future__ import annotations

import builtins
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from trees import IMAGE, firsts, labelled, pictures, png, tree, write_folder, write_table, write_tables

from aimgan.data import tables
from aimgan.data.images import load_images
from aimgan.data.sources import find
from aimgan.errors import AimganError


def table(file, grey: range, column: str = "image", label: bool = True) -> None:
    files = {str(value): png(value) for value in grey}
    write_table(file, files, image=column, **({"label": [*grey]} if label else {}))


@pytest.mark.parametrize("layout", ["{}-00000-of-00001.parquet", "data/{}-00000.parquet", "default/{}/0000.parquet",
                                    "{}.parquet", "my_{}_set.parquet"])  # fmt: skip
@pytest.mark.parametrize("test", ["test", "validation", "dev"])
def test_files_name_their_splits(tmp_path, layout, test):
    table(tmp_path / layout.format("train"), range(20))
    table(tmp_path / layout.format(test), range(20, 25))
    data = load_images(tmp_path)
    assert firsts(data.train) == data.train.labels.tolist() == list(range(20))
    assert firsts(data.test) == data.test.labels.tolist() == list(range(20, 25))
    assert data.by == "file"


def test_rows_have_the_names_of_their_images_where_those_are_different(tmp_path):
    table(tmp_path / "train.parquet", range(9))
    table(tmp_path / "test.parquet", range(20, 25))
    assert [*load_images(tmp_path).test.names] == ["20", "21", "22", "23", "24"]
    table(tmp_path / "test.parquet", range(5))
    data = load_images(tmp_path)
    assert [*data.train.names] == [f"train row {row}" for row in range(9)]
    assert [*data.test.names] == [f"test row {row}" for row in range(5)]


def test_without_a_test_file_rows_are_parted(tmp_path):
    table(tmp_path / "data" / "train-00000-of-00002.parquet", range(60), "img", label=False)
    table(tmp_path / "data" / "train-00001-of-00002.parquet", range(60, 90), "img", label=False)
    data = load_images(tmp_path, test_fraction=0.2)
    assert sorted(firsts(data.train) + firsts(data.test)) == list(range(90))
    assert 5 <= len(data.test) <= 35
    assert (data.train.labels, data.by) == (None, "hash")


def test_classes_have_the_names_that_datasets_wrote(tmp_path):
    path = write_table(tmp_path / "x.parquet", {str(k): png(k) for k in range(6)}, label=[k % 3 for k in range(6)])
    features = {"label": {"names": ["cat", "dog", "yak"], "_type": "ClassLabel"}, "image": {"_type": "Image"}}
    told = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(pq.read_table(path).replace_schema_metadata(told), path)
    data = load_images(path, test_fraction=0.0)
    assert labelled(data.train, data.classes) == {k: ("cat", "dog", "yak")[k % 3] for k in range(6)}
    for wrong in ("", "[]", "{}", '{"info": {"features": {"label": {"names": 3}}}}', '{"info": 1}'):
        pq.write_table(pq.read_table(path).replace_schema_metadata({"huggingface": wrong}), path)
        assert load_images(path).classes == ()


def test_rows_that_are_broken_are_named(tmp_path):
    good = {"bytes": png(1), "path": "a"}
    rows = [
        good,
        {"bytes": b"no", "path": None},
        None,
        {"bytes": b"", "path": "x"},
        {"bytes": None, "path": "/d/x.png"},
    ]
    pq.write_table(pa.table({"image": pa.array([*rows, good], IMAGE)}), tmp_path / "all.parquet")
    data = load_images(tmp_path, test_fraction=0.0)
    assert firsts(data.train) == [1, 1]
    assert [(item.name, item.reason) for item in data.skipped] == [
        ("row 1", "not an image, or its header is damaged"),
        ("row 2", "the row holds nothing, expected the bytes of an image file"),
        ("row 3", "empty file"),
        ("row 4", "the row holds a path without the image's bytes"),
    ]
    assert firsts(load_images(tmp_path / "all.parquet", test_fraction=0.0).train) == [1, 1]


@pytest.mark.parametrize(
    ("column", "told"),
    [
        (["/d/a.png"], "the row holds text"),
        (pa.array([{"path": "a.png"}]), "the row holds a path without the image's bytes"),
        (pa.array([{"bytes": "x"}]), "the row holds text"),
    ],
)
def test_columns_of_anything_else_say_what_their_rows_hold(tmp_path, column, told):
    pq.write_table(pa.table({"image": column, "label": pa.array([2**64 - 1], pa.uint64())}), tmp_path / "x.parquet")
    with pytest.raises(AimganError, match=rf"all 1 images in .* are broken: the first, '.*': {told}"):
        load_images(tmp_path)


@pytest.mark.parametrize(
    ("column", "told"),
    [
        ([[1, 2]], "list<element: int64>"),
        ([[{"bytes": b"x", "path": None}]], "list<element: struct"),
        ([7], "int64"),
        (pa.array([b"xy"], pa.binary(2)), r"fixed_size_binary\[2\]"),
        (pa.array([{"path": ["a", "b"], "bytes": b"x"}]), "list<element"),
        (pa.array([{"bytes": b"x", "more": 7}]), "int64"),
    ],
)
def test_columns_whose_values_memory_holds_once_a_row_are_refused(tmp_path, column, told):
    pq.write_table(pa.table({"image": column}), tmp_path / "x.parquet")
    with pytest.raises(AimganError, match=rf"of {told}.* in 'image'; expected the bytes of image files"):
        load_images(tmp_path)


def test_a_column_of_plain_bytes_is_images(tmp_path):
    pq.write_table(pa.table({"img": [png(k) for k in range(5)]}), tmp_path / "x.parquet")
    assert firsts(load_images(tmp_path, test_fraction=0.0).train) == [*range(5)]


def test_wrong_parquet_is_refused(tmp_path):
    table(tmp_path / "a" / "train.parquet", range(2))
    table(tmp_path / "b" / "train.parquet", range(2))
    with pytest.raises(AimganError, match=r"several data sets; name the folder of one: .*/a, .*/b"):
        load_images(tmp_path)
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "a" / "train.parquet")
    with pytest.raises(AimganError, match="has columns text; expected `image` or `img`"):
        load_images(tmp_path / "a")


@pytest.mark.parametrize(
    "damage", [lambda c: b"PAR1", lambda c: b"", lambda c: c[:-30], lambda c: c[30:], lambda c: c[: len(c) // 2]]
)
def test_a_damaged_table_is_one_line(tmp_path, damage):
    folder = write_tables(tmp_path, pictures(60))
    file = folder / "train-00001.parquet"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(
        AimganError, match=r"cannot read '.*00001.parquet' as parquet: .*run the command again"
    ) as caught:
        load_images(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", ["removed", "cut"])
def test_a_table_that_goes_away_while_it_is_read_is_one_line(tmp_path, change):
    folder = write_tables(tmp_path, pictures(60))
    with ExitStack() as stack:
        listing = find(str(folder), stack)
        file = folder / "train-00001.parquet"
        file.unlink() if change == "removed" else file.write_bytes(file.read_bytes()[:100])
        listing.open(3)
        with pytest.raises(
            AimganError, match=r"cannot read '.*00001.parquet' as parquet.*: put it back|cannot read '.*00001"
        ):
            listing.open(40)


def test_few_row_groups_are_in_memory_and_each_is_read_once(tmp_path, monkeypatch):
    folder = write_tables(tmp_path, pictures(90), rows=10)
    read, most, lock = [], [], threading.Lock()
    real = tables._Rows._read

    def counted(self, table, number):
        with lock:
            read.append((table.path, number))
            most.append(len(self._kept))
        return real(self, table, number)

    monkeypatch.setattr(tables._Rows, "_read", counted)
    data = load_images(folder, 8, 1, test_fraction=0.0)
    assert firsts(data.train) == [*range(90)]
    assert len(read) == len({*read}) == 9
    assert max(most) <= tables.KEPT


def test_threads_may_read_in_any_order(tmp_path):
    folder = write_tables(tmp_path, pictures(90), rows=10)
    order = np.random.default_rng(0).permutation(90).tolist()
    with ExitStack() as stack, ThreadPoolExecutor(4) as pool:
        listing = find(str(folder), stack)
        found = dict(zip(order, pool.map(lambda k: listing.open(k).read(), order), strict=True))
    images = pictures(90)
    assert all(found[k] == png(images[k]) for k in range(90))


def test_tables_are_read_beside_a_few_images_and_not_beside_many(tmp_path):
    write_folder(tmp_path / "a", tree("", count=3))
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "a" / "captions.parquet")
    data = load_images(tmp_path / "a", test_fraction=0.0)
    assert (firsts(data.train), data.not_read) == ([0, 1, 2], {".parquet": 1})
    table(tmp_path / "b" / "train-0.parquet", range(50, 60))
    write_folder(tmp_path / "b", tree("", count=3) | {"README.md": b"a data set"})
    data = load_images(tmp_path / "b", test_fraction=0.0)
    assert (firsts(data.train), data.not_read) == ([*range(50, 60)], {".md": 1, ".png": 3})


def test_without_pyarrow_the_error_says_what_to_install(tmp_path, monkeypatch):
    table(tmp_path / "train.parquet", range(2))
    real = builtins.__import__

    def refuse(name, *rest):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(AimganError, match=r"pip install 'aimgan\[data\]'"):
        load_images(tmp_path)
