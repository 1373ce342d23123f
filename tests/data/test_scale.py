"""Floats and 32-bit integers have one scale in a data set: the same value is the same grey in every file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from trees import png, write_folder, write_tar, write_zip

from aimgan.data import Images
from aimgan.data.decode import UndecodableError, UnscaledError, decode, decode_with_pages
from aimgan.data.decoding import Form
from aimgan.data.images import ImageData, Reader, load_images
from aimgan.data.scale import scale_of
from aimgan.errors import AimganError


def tiff(values: object, dtype: type = np.float32) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.array(values, dtype)).save(buffer, "TIFF")
    return buffer.getvalue()


def flat(value: float, dtype: type = np.float32, **others: float) -> bytes:
    """4 x 4 of one value, and others at the begin of the first row."""
    pixels = np.full((4, 4), value, dtype)
    pixels[0, : len(others)] = list(others.values())
    return tiff(pixels, dtype)


def load(folder: Path, **held: bytes) -> ImageData:
    return load_images(
        write_folder(folder, {f"{name}.tif": content for name, content in held.items()}), test_fraction=0
    )


def greys(data: ImageData) -> dict[str, int]:
    """The grey in the last corner of each image, by its name."""
    return {
        name.rpartition(".")[0]: int(image[0, -1, -1])
        for name, image in zip(data.train.names, data.train.pixels, strict=True)
    }


def test_the_same_value_is_the_same_grey_in_every_file(tmp_path):
    data = load(tmp_path, a=flat(0.9), b=flat(100), c=flat(100, low=0, high=255), d=flat(200, low=3))
    assert greys(data) == {"a": 1, "b": 100, "c": 100, "d": 200}
    assert data.scale == (0.0, 255.0)
    assert data.notes == ("images of floats or 32-bit integers: 0 is black, 255 is white",)


@pytest.mark.parametrize(
    ("dtype", "values", "scale", "expected"),
    [
        (np.float32, (0, 0.5, 1), (0, 1), (0, 128, 255)),
        (np.float32, (0.2, 0.4), (0, 1), (51, 102)),
        (np.float32, (0, 0, 0), (0, 1), (0, 0, 0)),
        (np.float32, (0, 1.001), (0, 255), (0, 1)),
        (np.float32, (0, 100, 255), (0, 255), (0, 100, 255)),
        (np.float32, (0, 257, 65535), (0, 65535), (0, 1, 255)),
        (np.int32, (0, 1), (0, 1), (0, 255)),
        (np.int32, (0, 100, 255), (0, 255), (0, 100, 255)),
        (np.int32, (256, 65535), (0, 65535), (1, 255)),
    ],
)
def test_the_first_usual_scale_that_all_fit_in_is_taken(tmp_path, dtype, values, scale, expected):
    data = load(tmp_path, **{f"v{k}": flat(value, dtype) for k, value in enumerate(values)})
    assert data.scale == scale
    assert [*greys(data).values()] == [*expected]


@pytest.mark.parametrize(("low", "high"), [(-1, 1), (-1000, 3000), (0, 65536), (-0.001, 255)])
def test_what_fits_in_none_is_refused_and_can_be_given(tmp_path, low, high):
    black_white = rf"--set data\.black={low:g} --set data\.white={high:g}"
    with pytest.raises(AimganError, match=rf"values from {low:g} to {high:g}; expected a usual scale .*{black_white}"):
        load(tmp_path, a=flat(low), b=flat(high), c=flat((low + high) / 2))
    data = Images(str(tmp_path), test_fraction=0, black=low, white=high).load().images
    grey = greys(data)
    assert (grey["a"], grey["b"]) == (0, 255)
    assert grey["c"] in (127, 128)
    assert data.notes == (f"images of floats or 32-bit integers: {low:g} is black, {high:g} is white",)


def test_what_is_beyond_a_given_scale_is_clipped(tmp_path):
    write_folder(tmp_path, {f"{value}.tif": flat(value) for value in (-50, 0, 50, 100, 5000)})
    data = Images(str(tmp_path), test_fraction=0, black=0, white=100).load().images
    assert greys(data) == {"-50": 0, "0": 0, "50": 128, "100": 255, "5000": 255}


@pytest.mark.parametrize(("black", "white"), [(1, None), (None, 1), (1.0, 1.0), (2, 1)])
def test_half_a_scale_and_one_upside_down_are_refused(tmp_path, black, white):
    write_folder(tmp_path, {"a.png": png(1)})
    with pytest.raises(AimganError, match=r"got black .* white"):
        Images(str(tmp_path), black=black, white=white).load()


def test_other_images_beside_them_keep_their_own_scale(tmp_path):
    sixteen = io.BytesIO()
    Image.fromarray(np.full((4, 4), 25700, np.uint16)).save(sixteen, "PNG")
    write_folder(tmp_path, {"bytes.png": png(100), "deep.png": sixteen.getvalue(), "float.tif": flat(0.5)})
    data = load_images(tmp_path, test_fraction=0)
    assert greys(data) == {"bytes": 100, "deep": 100, "float": 128}
    assert data.scale == (0.0, 1.0)


def test_without_floats_there_is_no_scale(tmp_path):
    data = load_images(write_folder(tmp_path, {"a.png": png(100), "b.png": png(3)}), test_fraction=0)
    assert (data.scale, data.notes) == (None, ())


def test_pixels_that_are_no_numbers_are_named_and_do_not_count(tmp_path):
    data = load(tmp_path, a=flat(0.5), b=flat(1, worst=np.nan), c=flat(0.25), d=flat(-np.inf))
    assert greys(data) == {"a": 128, "c": 64}
    assert [(item.name, item.reason) for item in data.skipped] == [
        ("b.tif", "NaN or infinite pixels"), ("d.tif", "NaN or infinite pixels")]  # fmt: skip


def test_broken_files_do_not_hinder_the_search_for_a_scale(tmp_path):
    data = load(tmp_path, a=b"no picture", b=flat(0.5), c=flat(0.25)[:60], d=b"")
    assert greys(data) == {"b": 128}
    assert [item.name for item in data.skipped] == ["a.tif", "c.tif", "d.tif"]


def test_archives_have_the_scale_of_the_folder(tmp_path):
    held = {f"{k}.tif": flat(k / 10) for k in range(11)}
    for source in (
        write_folder(tmp_path / "x", held),
        write_zip(tmp_path / "x.zip", held),
        write_tar(tmp_path / "x.tar", held),
    ):
        assert [*greys(load_images(source, test_fraction=0)).values()] == [
            round(k * 25.5) for k in (0, 1, 10, 2, 3, 4, 5, 6, 7, 8, 9)
        ]


def test_a_pack_has_the_scale_and_keeps_it_where_it_is_made_in_parts(tmp_path, monkeypatch):
    monkeypatch.setenv("AIMGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("aimgan.data.decoding.CHUNK", 4)
    folder = write_folder(tmp_path / "x", {f"{k:02d}.tif": flat(k) for k in range(40)})
    memory = Reader(str(folder), Form(4, 1)).read()
    pack = Reader(str(folder), Form(4, 1), packed=True).read()
    assert pack.scale == memory.scale == (0.0, 255.0)
    assert torch.equal(pack.train.pixels, memory.train.pixels)
    assert pack.notes == memory.notes
    given = Reader(str(folder), Form(4, 1, (0, 39)), packed=True).read()
    assert given.packed != pack.packed
    assert int(given.train.pixels.max()) == 255


def test_one_image_alone_needs_a_scale_or_is_of_bytes():
    assert decode(lambda: io.BytesIO(flat(100)))[0, 0, 0] == 100
    assert decode(lambda: io.BytesIO(flat(0.5)), scale=(0, 1))[0, 0, 0] == 128
    with pytest.raises(UnscaledError):
        decode_with_pages(lambda: io.BytesIO(flat(0.5)), None, None, None)
    with pytest.raises(UndecodableError, match="NaN"):
        decode(lambda: io.BytesIO(flat(np.nan)))


def test_arrays_have_their_own_range_and_no_scale(tmp_path):
    np.save(tmp_path / "x.npy", np.full((5, 4, 4), 0.5))
    data = load_images(tmp_path / "x.npy")
    assert (data.scale, data.train.pixels.unique().tolist()) == (None, [128])
    assert scale_of("x", [lambda: np.zeros((1, 2, 2), np.uint8), lambda: io.BytesIO(flat(7))]) == (0.0, 255.0)
