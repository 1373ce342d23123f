from __future__ import annotations

import builtins
import io
import os
import threading
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from nasty import shapes, write_nasty_folder
from PIL import Image, ImageFile

from aimgan.data import sources
from aimgan.data.arrays import array_pixels
from aimgan.data.decode import decode
from aimgan.data.images import ImageData, load_images
from aimgan.errors import AimganError

MNIST = Path(__file__).parents[3] / "shared/data/mnist"
RNG = np.random.default_rng(0)


def save(path: Path, value: int = 0, size: int = 4) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (size, size), value).save(path)
    return path


def values(pixels: torch.Tensor) -> list[int]:
    """The one grey value of each image that `save` made."""
    return pixels[:, 0, 0, 0].tolist()


def png(value: int, mode: str = "L", size: int = 4) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (size, size), value).save(buffer, "PNG")
    return buffer.getvalue()


def one(image: Image.Image, kind: str = "PNG", size: int | None = None, channels: int | None = None, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    buffer.seek(0)
    return decode(lambda: buffer, size, channels)


# --- decoding: each mode against values computed by other means ---------------------------------------------------


def test_grey_and_colour_keep_their_values():
    grey = RNG.integers(0, 256, (5, 7), np.uint8)
    colour = RNG.integers(0, 256, (5, 7, 3), np.uint8)
    assert np.array_equal(one(Image.fromarray(grey)), grey[None])
    assert np.array_equal(one(Image.fromarray(colour)), colour.transpose(2, 0, 1))
    assert np.array_equal(one(Image.fromarray(grey), channels=3), np.stack([grey] * 3))
    luma = colour @ [0.299, 0.587, 0.114]  # ITU-R 601-2
    assert np.abs(one(Image.fromarray(colour), channels=1)[0] - luma).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparency_shows_white(kind):
    rgba = RNG.integers(0, 256, (6, 6, 4), np.uint8)
    alpha = rgba[..., 3:] / 255
    expected = rgba[..., :3] * alpha + 255 * (1 - alpha)
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    assert np.abs(one(Image.fromarray(rgba), kind, **options) - expected.transpose(2, 0, 1)).max() <= 1


def test_grey_transparency_shows_white_and_stays_grey():
    grey, alpha = RNG.integers(0, 256, (2, 6, 6), np.uint8)
    image = Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)])
    expected = grey * (alpha / 255) + 255 - alpha
    assert np.abs(one(image) - expected).max() <= 1
    assert one(Image.fromarray(grey), transparency=int(grey[0, 0]))[0, 0, 0] == 255


def test_palette_and_its_transparent_entry():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    assert one(image)[:, 0].tolist() == [[10, 40], [20, 50], [30, 60]]
    for kind in ("PNG", "GIF"):
        assert one(image, kind, transparency=1)[:, 0].tolist() == [[10, 255], [20, 255], [30, 255]]
    assert one(image, transparency=b"\xff\x00")[:, 0].tolist() == [[10, 255], [20, 255], [30, 255]]


def test_one_bit_is_black_and_white():
    bits = RNG.random((5, 9)) < 0.5
    assert np.array_equal(one(Image.fromarray(bits))[0], bits * 255)


def test_cmyk_becomes_rgb():
    inks = RNG.integers(0, 256, (6, 6, 4), np.uint8)
    image = Image.merge("CMYK", [Image.fromarray(np.ascontiguousarray(ink)) for ink in inks.transpose(2, 0, 1)])
    expected = (255.0 - inks[..., :3]) * (1 - inks[..., 3:] / 255)
    assert np.abs(one(image, "TIFF") - expected.transpose(2, 0, 1)).max() <= 2
    flat = Image.new("CMYK", (16, 16), (0, 128, 255, 0))
    assert np.abs(one(flat, "JPEG", quality=100)[:, 8, 8] - [255, 127.0, 0]).max() <= 3


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_not_clipped(kind):
    deep = np.array([[0, 257, 1000, 32896, 65535]], np.uint16)
    assert one(Image.fromarray(deep), kind)[0, 0].tolist() == [0, 1, 4, 128, 255]


def test_float_and_integer_tiffs_are_scaled_by_the_range_they_fit_in():
    def tiff(row, dtype):
        return one(Image.fromarray(np.array([row], dtype)), "TIFF")[0, 0].tolist()

    assert tiff([0, 0.5, 1], np.float32) == [0, 128, 255]
    assert tiff([0, 100, 255], np.float32) == [0, 100, 255]
    assert tiff([-1, 0, 1], np.float32) == [0, 128, 255]
    assert tiff([0, 257, 65535], np.int32) == [0, 1, 255]
    assert tiff([-5, -5], np.int32) == [0, 0]
    with pytest.raises(Exception, match="NaN or infinite"):
        tiff([0, np.nan], np.float32)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_counts(kind):
    first, second = Image.new("RGB", (8, 8), (200, 40, 0)), Image.new("RGB", (8, 8), (0, 0, 250))
    pixels = one(first, kind, save_all=True, append_images=[second])
    assert np.abs(pixels[:, 4, 4] - [200.0, 40, 0]).max() <= 4


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_exif_orientation_is_undone(orientation, kind):
    upright = RNG.integers(0, 256, (3, 5), np.uint8)
    stored = {  # what EXIF 2.3 says of row 0 and column 0
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.T, 6: upright.T[::-1], 7: upright.T[::-1, ::-1], 8: upright.T[:, ::-1],
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(one(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif)[0], upright)


def test_the_shorter_side_is_resized_and_the_centre_cropped():
    ramp = np.tile(np.arange(0, 200, dtype=np.uint8), (100, 1))
    pixels = one(Image.fromarray(ramp), size=10)[0]
    assert pixels.shape == (10, 10)
    assert np.abs(pixels - (54.5 + 10 * np.arange(10.0))).max() <= 1  # means of ten columns, from the 50th on
    tall = one(Image.fromarray(np.ascontiguousarray(ramp.T)), size=10)[0]
    assert np.array_equal(tall, pixels.T)
    assert np.array_equal(one(Image.fromarray(ramp), size=100)[0], ramp[:, 50:150])
    assert one(Image.new("RGB", (1, 1), (1, 2, 3)), size=5)[:, 4, 4].tolist() == [1, 2, 3]


def test_a_shrunk_checkerboard_is_grey():
    board = np.indices((128, 128)).sum(0) % 2 * 255
    assert np.abs(one(Image.fromarray(board.astype(np.uint8)), size=16)[0] - 127.5).max() <= 1


def test_a_large_jpeg_drafted_is_the_large_jpeg_resized():
    image = shapes(np.random.default_rng(3), 1600, 1200)
    full = image.crop((200, 0, 1400, 1200)).resize((32, 32), Image.Resampling.LANCZOS)
    drafted = one(image, "JPEG", size=32, quality=95).astype(float)
    assert np.abs(drafted - np.asarray(full).transpose(2, 0, 1)).mean() < 1


# --- folders ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nasty(tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("nasty")
    return folder, write_nasty_folder(folder, count=60)


def test_a_nasty_folder_loads_without_a_word(nasty, capfd):
    folder, written = nasty
    calls = []
    data = load_images(folder, size=16, progress=lambda done, total: calls.append((done, total)))
    assert len(data.train) + len(data.test) == written["good"]
    assert {skipped.name for skipped in data.skipped} == set(written["broken"])
    assert all(skipped.reason for skipped in data.skipped)
    named = {*data.train.names, *data.test.names}
    assert len(named) == written["good"]
    assert all((folder / name).is_file() for name in named - set(written["broken"]))
    assert data.shape == (3, 16, 16)
    assert data.train.labels is data.test.labels is None
    assert data.source == str(folder)
    assert capfd.readouterr() == ("", "")
    assert calls[0] == (0, 60)
    assert calls[-1] == (60, 60)
    assert calls == sorted(calls)
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_loading_is_deterministic(nasty):
    first, second = load_images(nasty[0], 8), load_images(nasty[0], 8)
    assert torch.equal(first.train.pixels, second.train.pixels)
    assert torch.equal(first.test.pixels, second.test.pixels)
    assert first.skipped == second.skipped


def test_mixed_sizes_need_a_size(nasty, tmp_path):
    with pytest.raises(AimganError, match=r"images of .*900x700.*pass --size"):
        load_images(nasty[0])
    save(tmp_path / "a.png", size=8)
    save(tmp_path / "b.png", size=9)
    with pytest.raises(AimganError, match=r"8x8, 9x9"):
        load_images(tmp_path)
    Image.new("L", (8, 6)).save(tmp_path / "b.png")
    with pytest.raises(AimganError, match="8x6"):
        load_images(tmp_path)


def test_equal_squares_keep_their_size_even_beside_broken_files(tmp_path):
    (tmp_path / "0.png").write_bytes(b"nothing")
    for i in range(5):
        save(tmp_path / f"{i + 1}.png", i, size=6)
    data = load_images(tmp_path)
    assert data.shape == (1, 6, 6)
    assert [skipped.name for skipped in data.skipped] == ["0.png"]
    assert sorted(values(data.train.pixels) + values(data.test.pixels)) == list(range(5))


def test_channels_are_one_until_a_colour_image_comes(tmp_path):
    for i in range(300):
        save(tmp_path / f"{i:03d}.png", i % 256)
    assert load_images(tmp_path).shape == (1, 4, 4)
    Image.new("RGB", (4, 4), (1, 2, 3)).save(tmp_path / "299z.png")
    data = load_images(tmp_path, test_fraction=0.0)
    assert data.shape == (3, 4, 4)
    assert data.train.pixels[-1, :, 0, 0].tolist() == [1, 2, 3]
    assert data.train.pixels[:-1, 2, 3, 3].tolist() == [i % 256 for i in range(300)]
    assert load_images(tmp_path, channels=1).shape == (1, 4, 4)


def test_the_split_is_disjoint_stable_and_near_its_fraction(tmp_path):
    for i in range(200):
        save(tmp_path / f"{i}.png", i)
    before = load_images(tmp_path, test_fraction=0.2)
    for i in range(200, 250):
        save(tmp_path / "more" / f"{i}.png", i)
    after = load_images(tmp_path, test_fraction=0.2)
    train, test = set(values(before.train.pixels)), set(values(before.test.pixels))
    assert train | test == set(range(200))
    assert len(before.train) + len(before.test) == 200
    assert before.test.names == tuple(f"{value}.png" for value in values(before.test.pixels))
    assert 20 <= len(test) <= 60
    assert test <= set(values(after.test.pixels))
    assert train <= set(values(after.train.pixels))


@pytest.mark.parametrize("test_fraction", [1e-9, 0.999999])
def test_each_split_has_an_image(tmp_path, test_fraction):
    save(tmp_path / "a.png")
    alone = load_images(tmp_path, test_fraction=test_fraction)
    assert (len(alone.train), len(alone.test)) == (1, 0)
    for name in "bcd":
        save(tmp_path / f"{name}.png")
    data = load_images(tmp_path, test_fraction=test_fraction)
    assert sorted((len(data.train), len(data.test))) == [1, 3]


def test_folders_name_splits_and_classes(tmp_path):
    for split in ("Train", "test"):
        for value, name in enumerate(("cat", "dog", "yak")):
            save(tmp_path / split / name / "deep" / "x.png", value + 10 * (split == "test"))
    save(tmp_path / "extra" / "y.png")
    data = load_images(tmp_path)
    assert values(data.train.pixels) == [0, 1, 2]
    assert values(data.test.pixels) == [10, 11, 12]
    assert data.train.labels.tolist() == data.test.labels.tolist() == [0, 1, 2]
    assert [(skipped.name, skipped.reason) for skipped in data.skipped] == [("extra", "1 images in neither split")]


def test_validation_stands_in_for_test(tmp_path):
    save(tmp_path / "train" / "a.png", 1)
    save(tmp_path / "val" / "a.png", 2)
    data = load_images(tmp_path)
    assert (values(data.train.pixels), values(data.test.pixels)) == ([1], [2])
    assert data.train.labels is None


def test_a_split_that_is_all_broken_is_an_error(tmp_path):
    save(tmp_path / "train" / "a.png", 1)
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "a.png").write_bytes(b"no")
    with pytest.raises(AimganError, match=r"one split .*test/a\.png"):
        load_images(tmp_path)


@pytest.mark.parametrize("stray", ["loose.png", None])
def test_classes_need_every_image_in_a_folder_and_two_folders(tmp_path, stray):
    save(tmp_path / "cat" / "x.png")
    save(tmp_path / (stray or "cat/y.png"))
    assert load_images(tmp_path).train.labels is None


def test_links_are_followed_once_and_pipes_and_dead_links_skipped(tmp_path):
    save(tmp_path / "a" / "x.png", 1)
    save(tmp_path / "b" / "y.png", 2)
    os.symlink(tmp_path, tmp_path / "a" / "loop")
    os.symlink(tmp_path / "b", tmp_path / "c")
    os.symlink(tmp_path / "nowhere", tmp_path / "dead.png")
    os.mkfifo(tmp_path / "pipe.png")
    data = load_images(tmp_path)
    assert sorted(values(data.train.pixels) + values(data.test.pixels)) == [1, 2]
    assert [skipped.name for skipped in data.skipped] == ["dead.png", "pipe.png"]


def test_over_64_megapixels_is_skipped_before_it_is_decoded(tmp_path):
    save(tmp_path / "a.png")
    Image.new("1", (8001, 8001)).save(tmp_path / "b.png")
    data = load_images(tmp_path, size=4)
    assert [(skipped.name, skipped.reason) for skipped in data.skipped] == [
        ("b.png", "8001x8001 is over 64 megapixels")
    ]


def test_sources_that_are_missing_empty_or_broken(tmp_path):
    with pytest.raises(AimganError, match=r"no images in .*expected"):
        load_images(tmp_path)
    for i in range(3):
        (tmp_path / f"{i}.jpg").write_bytes(b"text")
    with pytest.raises(AimganError, match=r"all 3 images in .* are broken: the first, '0\.jpg': not an image"):
        load_images(tmp_path)
    with pytest.raises(AimganError, match="there is no file or folder"):
        load_images(tmp_path / "absent")
    (tmp_path / "x.tar").write_bytes(b"")
    with pytest.raises(AimganError, match="not a source of images: expected"):
        load_images(tmp_path / "x.tar")


@pytest.mark.parametrize("wrong", [{"size": 0}, {"channels": 2}, {"test_fraction": 1.0}, {"test_fraction": -0.1}])
def test_wrong_options_are_named(tmp_path, wrong):
    save(tmp_path / "a.png")
    with pytest.raises(AimganError, match=r"got .* expected"):
        load_images(tmp_path, **wrong)


# --- zip ----------------------------------------------------------------------------------------------------------


def packed(folder: Path, target: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, prefix + file.relative_to(folder).as_posix())
    return target


@pytest.mark.parametrize("prefix", ["", "photos/"])
def test_a_zip_is_its_folder(nasty, tmp_path, prefix):
    folder, written = nasty
    from_folder = load_images(folder, 8)
    from_zip = load_images(packed(folder, tmp_path / "photos.ZIP", prefix), 8)
    assert torch.equal(from_folder.train.pixels, from_zip.train.pixels)
    assert torch.equal(from_folder.test.pixels, from_zip.test.pixels)
    assert {skipped.name for skipped in from_zip.skipped} == set(written["broken"])


def test_a_zip_is_never_written_out_and_its_members_have_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_MEMBER", 1000)
    target = tmp_path / "x.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../evil.png", png(1))
        archive.writestr("/absolute.png", png(2))
        archive.writestr("big.png", bytes(1001))
        archive.writestr("__MACOSX/._big.png", b"resource")
    data = load_images(target)
    assert sorted(values(data.train.pixels) + values(data.test.pixels)) == [1, 2]
    assert [(skipped.name, skipped.reason) for skipped in data.skipped] == [("big.png", "1,001 bytes, over 1,000")]
    assert os.listdir(tmp_path) == ["x.zip"]
    assert not (tmp_path.parents[1] / "evil.png").exists()


def test_a_damaged_zip_member_is_skipped_and_a_damaged_zip_an_error(tmp_path):
    target = tmp_path / "x.zip"
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("a.png", png(7))
        archive.writestr("b.png", png(8))
    content = target.read_bytes()
    target.write_bytes(content.replace(png(7), png(7)[:-20] + bytes(20)))
    data = load_images(target)
    assert values(data.train.pixels) == [8]
    assert "CRC" in data.skipped[0].reason
    target.write_bytes(content[:50])
    with pytest.raises(AimganError, match="as a zip"):
        load_images(target)


# --- arrays -------------------------------------------------------------------------------------------------------


def both(data: ImageData) -> torch.Tensor:
    return torch.cat([data.train.pixels, data.test.pixels])


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(2, 6), st.integers(2, 6))), st.sampled_from([1, 3]))
@settings(max_examples=25, deadline=None)
def test_every_layout_and_type_of_array_is_the_same_images(grey, c):
    expected = np.repeat(grey[:, None], c, axis=1)
    for dtype in (np.uint8, np.float16, np.float32, np.float64):
        stored = expected if dtype == np.uint8 else (expected / 255).astype(dtype)
        assert np.array_equal(array_pixels(stored.transpose(0, 2, 3, 1), "x"), expected)
        if expected.shape[3] not in (1, 3):
            assert np.array_equal(array_pixels(stored, "x"), expected)
        assert np.array_equal(array_pixels(stored[:, 0], "x"), expected[:, :1])


@given(st.integers(1, 40), st.floats(0.01, 0.99))
@settings(max_examples=15, deadline=None)
def test_arrays_are_divided_without_loss(tmp_path_factory, n, test_fraction):
    file = tmp_path_factory.mktemp("arrays") / "x.npy"
    np.save(file, np.arange(n, dtype=np.uint8)[:, None, None] * np.ones((1, 3, 3), np.uint8))
    data = load_images(file, test_fraction=test_fraction)
    train, test = values(data.train.pixels), values(data.test.pixels)
    assert sorted(train + test) == list(range(n))
    assert train == sorted(train)
    assert test == sorted(test)
    assert data.train.names == tuple(f"image {value}" for value in train)
    assert data.test.names == tuple(f"image {value}" for value in test)
    assert min(len(train), len(test)) >= (n > 1)


def test_npz_with_images_and_labels(tmp_path):
    images = RNG.integers(0, 256, (50, 6, 6, 3), np.uint8)
    np.savez(tmp_path / "x.npz", images=images, labels=np.arange(50)[:, None], other=np.zeros(3))
    data = load_images(tmp_path / "x.npz")
    order = torch.cat([data.train.labels, data.test.labels])
    assert torch.equal(both(data), torch.from_numpy(images.transpose(0, 3, 1, 2).copy())[order])
    assert order.dtype == torch.int64


def test_npz_with_one_array_keras_layout_and_a_folder_of_two(tmp_path):
    images = RNG.integers(0, 256, (9, 5, 5), np.uint8)
    np.savez(tmp_path / "one.npz", images)
    assert both(load_images(tmp_path / "one.npz")).shape == (9, 1, 5, 5)
    y = np.arange(9, dtype=np.uint8)
    np.savez(tmp_path / "keras.npz", x_train=images[:6], x_test=images[6:], y_train=y[:6], y_test=y[6:])
    np.savez(tmp_path / "train.npz", images=images[:6], labels=y[:6])
    np.savez(tmp_path / "test.npz", images=images[6:], labels=y[6:])
    for source in (tmp_path / "keras.npz", tmp_path):
        data = load_images(source)
        assert torch.equal(data.train.pixels[:, 0], torch.from_numpy(images[:6]))
        assert torch.equal(data.test.pixels[:, 0], torch.from_numpy(images[6:]))
        assert data.test.labels.tolist() == [6, 7, 8]
        assert data.test.names == ("image 6", "image 7", "image 8")


def test_arrays_are_resized_as_files_are(tmp_path):
    image = shapes(np.random.default_rng(0), 40, 30)
    image.save(tmp_path / "x.png")
    np.save(tmp_path / "x.npy", np.asarray(image)[None])
    (tmp_path / "files").mkdir()
    os.rename(tmp_path / "x.png", tmp_path / "files" / "x.png")
    for channels in (None, 1):
        from_array = load_images(tmp_path / "x.npy", 16, channels)
        assert torch.equal(both(from_array), both(load_images(tmp_path / "files", 16, channels)))
    with pytest.raises(AimganError, match=r"40x30.*pass --size"):
        load_images(tmp_path / "x.npy")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((2, 3, 3), 1.5), r"values from 1\.5 to 1\.5, expected \[0, 1\]"),
        (np.array([[[0, np.nan]]]), r"NaN or infinite values \(the others from 0 to 0\)"),
        (np.full((1, 2, 2), -np.inf, np.float32), "NaN or infinite"),
        (np.zeros((2, 3, 3), np.int64), "int64 images, expected uint8"),
        (np.zeros((2, 3), np.uint8), r"\(2, 3\), expected images"),
        (np.zeros((0, 3, 3), np.uint8), r"\(0, 3, 3\), expected images"),
        (np.zeros((2, 5, 5, 4), np.uint8), "expected 1 or 3 channels"),
        (np.array([[[None]]], object), "pickled ones are refused"),
    ],
)
def test_wrong_arrays_are_refused(tmp_path, array, message):
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(AimganError, match=message):
        load_images(tmp_path / "x.npy")


def test_wrong_npz_are_refused(tmp_path):
    file = tmp_path / "x.npz"
    images = np.zeros((4, 2, 2), np.uint8)
    for held, message in (
        ({"a": images, "b": images}, "holds a, b; expected `images`"),
        ({"images": images, "labels": np.zeros(3, int)}, "expected one integer for each of 4"),
        ({"images": images, "labels": np.zeros(4)}, "float64 labels"),
        ({"images": images, "labels": np.array([None] * 4)}, "pickled ones are refused"),
    ):
        np.savez(file, **held)
        with pytest.raises(AimganError, match=message):
            load_images(file)
    file.write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(AimganError, match="cannot read"):
        load_images(file)


# --- parquet and the Hub ------------------------------------------------------------------------------------------


def table(file: Path, grey: range, column: str = "image", label: bool = True) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    columns: dict[str, list] = {column: [{"bytes": png(value), "path": None} for value in grey]}
    if label:
        columns["label"] = list(grey)
    pq.write_table(pa.table(columns), file, row_group_size=7)


@pytest.mark.parametrize("layout", ["{}-00000-of-00001.parquet", "data/{}-00000.parquet", "default/{}/0000.parquet"])
@pytest.mark.parametrize("test", ["test", "validation"])
def test_parquet_files_name_their_splits(tmp_path, layout, test):
    table(tmp_path / layout.format("train"), range(20))
    table(tmp_path / layout.format(test), range(20, 25))
    data = load_images(tmp_path)
    assert values(data.train.pixels) == data.train.labels.tolist() == list(range(20))
    assert values(data.test.pixels) == data.test.labels.tolist() == list(range(20, 25))
    assert data.test.names == tuple(f"{test} row {row}" for row in range(5))


def test_parquet_without_a_test_file_is_split_by_row(tmp_path):
    table(tmp_path / "data" / "train-00000-of-00002.parquet", range(60), "img", label=False)
    table(tmp_path / "data" / "train-00001-of-00002.parquet", range(60, 90), "img", label=False)
    data = load_images(tmp_path, test_fraction=0.2)
    assert sorted(values(data.train.pixels) + values(data.test.pixels)) == list(range(90))
    assert 5 <= len(data.test) <= 35
    assert data.train.labels is None


def test_parquet_rows_that_are_broken_are_named(tmp_path):
    rows = [{"bytes": png(1), "path": None}, {"bytes": b"no", "path": None}, None, {"bytes": png(2), "path": None}]
    pq.write_table(pa.table({"image": rows, "label": ["a", "b", "c", "d"]}), tmp_path / "all.parquet")
    data = load_images(tmp_path)
    assert sorted(values(both(data))) == [1, 2]
    assert [skipped.name for skipped in data.skipped] == ["row 1", "row 2"]
    assert data.train.labels is None
    assert sorted(values(both(load_images(tmp_path / "all.parquet")))) == [1, 2]


def test_wrong_parquet_is_refused(tmp_path):
    table(tmp_path / "a" / "train.parquet", range(2))
    table(tmp_path / "b" / "train.parquet", range(2))
    with pytest.raises(AimganError, match="several data sets"):
        load_images(tmp_path)
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "a" / "train.parquet")
    with pytest.raises(AimganError, match="has columns text; expected `image` or `img`"):
        load_images(tmp_path / "a")
    (tmp_path / "a" / "train.parquet").write_bytes(b"PAR1")
    with pytest.raises(AimganError, match="cannot read the parquet"):
        load_images(tmp_path / "a")


def test_annotations_in_parquet_do_not_hide_a_folder_of_images(tmp_path):
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "captions.parquet")
    save(tmp_path / "a.png", 3)
    assert values(load_images(tmp_path).train.pixels) == [3]


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


def test_a_hub_id_is_fetched_as_parquet(tmp_path, monkeypatch):
    table(tmp_path / "data" / "train-0.parquet", range(4))
    table(tmp_path / "data" / "test-0.parquet", range(4, 6))
    asked = []

    def snapshot_download(*args, **options):
        asked.append((args, options))
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    data = load_images("owner/name")
    assert asked == [(("owner/name",), {"repo_type": "dataset", "allow_patterns": ["*.parquet"]})]
    assert (len(data.train), len(data.test), data.source) == (4, 2, "owner/name")


def test_an_unreachable_hub_is_told_in_one_line(monkeypatch):
    def offline(*args, **options):
        raise ConnectionError("name not known\nand more")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(AimganError) as caught:
        load_images("owner/name")
    message = str(caught.value)
    assert "no file or folder 'owner/name'" in message
    assert "Hub could not be reached" in message
    assert "\n" not in message


@pytest.mark.slow
@pytest.mark.skipif(not MNIST.is_dir(), reason=f"no MNIST in {MNIST}")
def test_mnist():
    data = load_images(MNIST)
    assert (len(data.train), len(data.test), data.shape) == (60_000, 10_000, (1, 28, 28))
    assert data.train.pixels.numpy().mean(dtype=np.float64) == pytest.approx(33.3184, abs=1e-4)
    assert data.test.pixels.numpy().mean(dtype=np.float64) == pytest.approx(33.7912, abs=1e-4)
    assert data.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert data.train.labels.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert data.skipped == ()
    assert threading.active_count() == 1
