"""Images that are stored as arrays: every layout and type is the same pixels; what is doubtful is refused."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from nasty import shapes
from trees import firsts, pictures

from aimgan.data import arrays as reader
from aimgan.data.arrays import array_pixels
from aimgan.data.images import ImageData, load_images
from aimgan.errors import AimganError

RNG = np.random.default_rng(0)


def both(data: ImageData) -> torch.Tensor:
    return torch.cat([data.train.pixels, data.test.pixels])


def stored(array: np.ndarray) -> np.ndarray:
    """Images as the reader keeps them, made bytes."""
    return np.stack([reader.as_bytes(image) for image in array_pixels(array, "x")])


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(4, 6), st.integers(4, 6))), st.sampled_from([1, 3]))
@settings(max_examples=25, deadline=None)
def test_every_layout_and_type_of_array_is_the_same_images(grey, c):
    expected = np.repeat(grey[:, None], c, axis=1)
    for dtype in (np.uint8, np.float16, np.float32, np.float64):
        array = expected if dtype == np.uint8 else (expected / 255).astype(dtype)
        assert np.array_equal(stored(array.transpose(0, 2, 3, 1)), expected)
        assert np.array_equal(stored(array), expected)
        if len(array) != 3:
            assert np.array_equal(stored(array[:, 0]), expected[:, :1])


@pytest.mark.parametrize(
    ("shape", "is_read"),
    [
        ((9, 1, 1, 1), True),
        ((1, 28, 28), True),
        ((2, 28, 28), True),
        ((4, 28, 28), True),
        ((3, 28, 28, 1), True),
        ((1, 32, 32, 3), True),
        ((3, 3, 28, 28), True),
        ((3, 28, 28), False),  # one image in colour, or three in grey
        ((32, 32, 3), False),
        ((60, 28, 1), False),
        ((9, 3, 28, 3), False),  # channels in the second or in the last place
        ((9, 1, 28, 1), False),
        ((2, 28, 28, 2), False),
        ((2, 5, 5, 4), False),
        ((2, 3), False),
        ((2, 3, 4, 5, 6), False),
        ((0, 4, 4), False),
        ((4, 0, 4), False),
        ((), False),
    ],
)
def test_axes_are_read_in_one_way_or_refused(shape, is_read):
    array = np.zeros(shape, np.uint8)
    if is_read:
        n, c, h, w = array_pixels(array, "x").shape
        assert (n, c in (1, 3), n * c * h * w) == (shape[0], True, array.size)
        return
    with pytest.raises(AimganError, match=r"x: got an array \(.*expected images .* c is 1 or 3 .*take array\[None\]"):
        array_pixels(array, "x")


@given(st.integers(1, 40).filter(lambda n: n != 3), st.floats(0.01, 0.99))
@settings(max_examples=15, deadline=None)
def test_arrays_are_divided_without_loss(tmp_path_factory, n, test_fraction):
    file = tmp_path_factory.mktemp("arrays") / "x.npy"
    np.save(file, np.arange(n, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8))
    data = load_images(file, test_fraction=test_fraction)
    train, test = firsts(data.train), firsts(data.test)
    assert sorted(train + test) == list(range(n))
    assert (train, test) == (sorted(train), sorted(test))
    assert [*data.train.names] == [f"image {value}" for value in train]
    assert [*data.test.names] == [f"image {value}" for value in test]
    assert min(len(train), len(test)) >= (n > 1)


def test_npz_with_images_and_labels(tmp_path):
    images = RNG.integers(0, 256, (50, 6, 6, 3), np.uint8)
    np.savez(tmp_path / "x.npz", images=images, labels=np.arange(50)[:, None])
    data = load_images(tmp_path / "x.npz")
    order = torch.cat([data.train.labels, data.test.labels])
    assert torch.equal(both(data), torch.from_numpy(images.transpose(0, 3, 1, 2).copy())[order])
    assert order.dtype == torch.int64


def test_npz_with_one_array_of_any_name(tmp_path):
    images = pictures(9, 5)
    for number, held in enumerate(({"arr_0": images}, {"faces": images, "y": np.arange(9)})):
        np.savez(tmp_path / f"{number}.npz", **held)
        assert sorted(both(load_images(tmp_path / f"{number}.npz"))[:, 0, 0, 0].tolist()) == list(range(9))


def test_a_folder_of_two_files_of_arrays(tmp_path):
    images, y = pictures(9, 5), np.arange(9)
    np.savez(tmp_path / "train.npz", images=images[:5], labels=y[:5])
    np.savez(tmp_path / "test.npz", images=images[5:], labels=y[5:])
    (tmp_path / "README.md").write_text("two arrays")
    data = load_images(tmp_path)
    assert (firsts(data.train), firsts(data.test)) == ([*range(5)], [*range(5, 9)])
    assert (data.test.labels.tolist(), data.by, data.not_read) == ([5, 6, 7, 8], "file", {".md": 1})
    assert sorted([*data.train.names, *data.test.names]) == [f"image {k}" for k in range(9)]
    np.save(tmp_path / "train.npy", images)
    os.remove(tmp_path / "train.npz")
    assert len(load_images(tmp_path).train) == 9


def test_arrays_are_resized_as_files_are(tmp_path):
    image = shapes(np.random.default_rng(0), 40, 30)
    (tmp_path / "files").mkdir()
    image.save(tmp_path / "files" / "x.png")
    np.save(tmp_path / "x.npy", np.asarray(image)[None])
    np.save(tmp_path / "f.npy", np.asarray(image)[None] / 255)
    for channels in (None, 1):
        from_file = both(load_images(tmp_path / "files", 16, channels))
        for name in ("x.npy", "f.npy"):
            assert torch.equal(both(load_images(tmp_path / name, 16, channels)), from_file)
    with pytest.raises(AimganError, match=r"40x30.*pass --size"):
        load_images(tmp_path / "x.npy")


def test_a_npy_stays_on_the_disk(tmp_path):
    images = pictures(40)
    for order in (np.ascontiguousarray, np.asfortranarray):
        np.save(tmp_path / "x.npy", order(images))
        assert isinstance(reader.read_arrays(tmp_path / "x.npy")["images"], np.memmap)
        assert firsts(load_images(tmp_path / "x.npy", test_fraction=0.0).train) == [*range(40)]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((2, 4, 4), 1.5), r"values from 1\.5 to 1\.5, expected uint8, or floats in \[0, 1\]"),
        (np.full((2, 4, 4), -0.01), r"values from -0\.01 to -0\.01, expected uint8, or floats"),
        (np.array([[[0, np.nan]]]), "values from nan to nan, expected"),
        (np.full((1, 2, 2), -np.inf, np.float32), "values from -inf to -inf, expected"),
        (np.zeros((2, 4, 4), np.int64), "int64 images, expected uint8"),
        (np.zeros((2, 4, 4), np.uint16), "uint16 images, expected uint8"),
        (np.zeros((2, 4, 4), bool), "bool images, expected uint8"),
        (np.array([[[None]]], object), "pickled ones are refused"),
    ],
)
def test_wrong_arrays_are_refused(tmp_path, array, message):
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(AimganError, match=message):
        load_images(tmp_path / "x.npy")


def test_a_wrong_value_far_behind_is_found(tmp_path):
    images = np.zeros((2500, 2, 2), np.float32)
    images[2400, 1, 0] = 255
    np.save(tmp_path / "x.npy", images)
    with pytest.raises(AimganError, match="from 0 to 255"):
        load_images(tmp_path / "x.npy")


def test_wrong_npz_are_refused(tmp_path):
    file = tmp_path / "x.npz"
    images = np.zeros((4, 2, 2), np.uint8)
    for held, message in (
        ({"a": images, "b": images}, "holds a, b; expected `images`"),
        ({"labels": np.zeros(3, int)}, "holds labels; expected `images`"),
        ({}, "cannot read"),
        ({"images": images, "labels": np.zeros(3, int)}, "expected one integer for each of 4"),
        ({"images": images, "labels": np.zeros(4)}, "float64 labels"),
        ({"images": images, "labels": np.zeros((4, 10), int)}, r"labels \(4, 10\)"),
        ({"images": images, "labels": np.array([None] * 4)}, "pickled ones are refused"),
    ):
        np.savez(file, **held)
        with pytest.raises(AimganError, match=message):
            load_images(file)
    file.write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(AimganError, match="cannot read"):
        load_images(file)
