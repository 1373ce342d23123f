from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from nasty import shapes, write_nasty_folder
from PIL import Image, ImageFile
from trees import firsts, png, write_folder

from aimgan.data import files
from aimgan.data.decode import UndecodableError, decode, decode_with_pages, quiet
from aimgan.data.decoding import CHUNK, Decoding, Form
from aimgan.data.images import Reader, load_images
from aimgan.errors import AimganError

MNIST = Path(__file__).parents[3] / "shared/data/mnist"
RNG = np.random.default_rng(0)


def save(path: Path, value: int = 0, size: int = 4) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (size, size), value).save(path)
    return path


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


def test_a_large_jpeg_drafted_is_the_large_jpeg_resized():
    image = shapes(np.random.default_rng(3), 1600, 1200)
    full = image.crop((200, 0, 1400, 1200)).resize((32, 32), Image.Resampling.LANCZOS)
    drafted = one(image, "JPEG", size=32, quality=95).astype(float)
    assert np.abs(drafted - np.asarray(full).transpose(2, 0, 1)).mean() < 1


def phone(w: int, h: int, **options) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (w, h), 100).save(buffer, "JPEG", quality=30, **options)
    return buffer.getvalue()


def test_a_jpeg_of_108_megapixels_is_read_at_a_fraction_of_its_size():
    content = phone(12_000, 9_000)
    with quiet():  # Pillow warns of 89 and more
        assert np.abs(decode(lambda: io.BytesIO(content), 64, 3) - 100.0).max() <= 1
        with pytest.raises(UndecodableError, match="12000x9000 is over 64 megapixels"):
            decode(lambda: io.BytesIO(content), None, 3)
        with pytest.raises(UndecodableError, match="12000x9000 is over 64 megapixels"):  # 6000 x 4500 would fit
            decode(lambda: io.BytesIO(content), 5_000, 3)


def test_a_progressive_jpeg_has_to_fit_in_memory_whole():
    content = phone(9_000, 8_000, progressive=True)
    with pytest.raises(UndecodableError, match="9000x8000 is over 64 megapixels"):
        decode(lambda: io.BytesIO(content), 64, 3)


def test_it_is_known_whether_more_pages_or_frames_follow():
    frames = [Image.fromarray(RNG.integers(0, 256, (8, 8, 3), np.uint8)) for _ in range(4)]
    for kind in ("TIFF", "GIF", "WEBP", "PNG"):
        buffer = io.BytesIO()
        frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
        assert decode_with_pages(lambda buffer=buffer: buffer, 4, 3, None).has_more
        buffer = io.BytesIO()
        frames[0].save(buffer, kind)
        assert not decode_with_pages(lambda buffer=buffer: buffer, 4, 3, None).has_more


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


def test_mixed_sizes_need_a_size(nasty, tmp_path):
    with pytest.raises(AimganError, match=r"images of \d+x\d+ and \d+x\d+; expected one square size: pass --size"):
        load_images(nasty[0])
    save(tmp_path / "a.png", size=8)
    save(tmp_path / "b.png", size=9)
    with pytest.raises(AimganError, match=r"8x8 and 9x9"):
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
    assert sorted(firsts(data.train) + firsts(data.test)) == list(range(5))


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
    train, test = set(firsts(before.train)), set(firsts(before.test))
    assert train | test == set(range(200))
    assert len(before.train) + len(before.test) == 200
    assert [*before.test.names] == [f"{value}.png" for value in firsts(before.test)]
    assert 20 <= len(test) <= 60
    assert test <= set(firsts(after.test))
    assert train <= set(firsts(after.train))


@pytest.mark.parametrize("test_fraction", [1e-9, 0.999999])
def test_each_split_has_an_image(tmp_path, test_fraction):
    save(tmp_path / "a.png")
    alone = load_images(tmp_path, test_fraction=test_fraction)
    assert (len(alone.train), len(alone.test)) == (1, 0)
    for name in "bcd":
        save(tmp_path / f"{name}.png")
    data = load_images(tmp_path, test_fraction=test_fraction)
    assert sorted((len(data.train), len(data.test))) == [1, 3]


def test_links_are_followed_once_and_pipes_and_dead_links_skipped(tmp_path):
    save(tmp_path / "a" / "x.png", 1)
    save(tmp_path / "b" / "y.png", 2)
    os.symlink(tmp_path, tmp_path / "a" / "loop")
    os.symlink(tmp_path / "b", tmp_path / "c")
    os.symlink(tmp_path / "nowhere", tmp_path / "dead.png")
    os.mkfifo(tmp_path / "pipe.png")
    data = load_images(tmp_path)
    assert sorted(firsts(data.train) + firsts(data.test)) == [1, 2]
    assert [skipped.name for skipped in data.skipped] == ["dead.png", "pipe.png"]


def test_over_64_megapixels_is_skipped_before_it_is_decoded(tmp_path):
    save(tmp_path / "a.png")
    Image.new("1", (8001, 8001)).save(tmp_path / "b.png")
    data = load_images(tmp_path, size=4)
    assert [(skipped.name, skipped.reason) for skipped in data.skipped] == [
        ("b.png", "8001x8001 is over 64 megapixels")
    ]


def test_folders_that_may_not_be_read_and_those_too_deep_are_named(tmp_path, monkeypatch):
    for name in ("0.png", "a/1.png", "locked/2.png", "deep/b/c/d/3.png"):
        save(tmp_path / name, int(name[-5]))
    real = os.scandir

    def scandir(path):  # to root, who runs these tests at times, no folder is closed
        if os.path.basename(path) == "locked":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(files, "MAX_NESTED", 3)
    data = load_images(tmp_path, test_fraction=0.0)
    assert firsts(data.train) == [0, 1]
    assert [(item.name, item.reason) for item in data.skipped] == [
        ("deep/b/c", "folders are nested too deep"),
        ("locked", "Permission denied"),
    ]


def test_names_that_are_no_text_are_names(tmp_path):
    for name, value in ((b"\xff\xfe.png", 1), (b"new\nline.png", 2), (b"a.png", 3)):
        (tmp_path / os.fsdecode(name)).write_bytes(png(value))
    data = load_images(tmp_path, test_fraction=0.0)
    assert firsts(data.train) == [3, 2, 1]
    assert os.fsencode(data.train.names[2]) == b"\xff\xfe.png"


def test_sources_that_are_missing_empty_or_broken(tmp_path):
    with pytest.raises(AimganError, match=r"no images in .*expected"):
        load_images(tmp_path)
    for i in range(3):
        (tmp_path / f"{i}.jpg").write_bytes(b"text")
    with pytest.raises(AimganError, match=r"all 3 images in .* are broken: the first, '0\.jpg': not an image"):
        load_images(tmp_path)
    for missing in ("absent", "x" * 5000, "nul\0.tar"):
        with pytest.raises(AimganError, match="there is no file or folder"):
            load_images(tmp_path / missing)
    (tmp_path / "x.rar").write_bytes(b"")
    with pytest.raises(AimganError, match="not a source of images: expected"):
        load_images(tmp_path / "x.rar")


@pytest.mark.parametrize("wrong", [{"size": 0}, {"channels": 2}, {"test_fraction": 1.0}, {"test_fraction": -0.1}])
def test_wrong_options_are_named(tmp_path, wrong):
    save(tmp_path / "a.png")
    with pytest.raises(AimganError, match=r"got .* expected"):
        load_images(tmp_path, **wrong)


# --- threads ------------------------------------------------------------------------------------------------------


def test_few_images_are_ahead_and_no_thread_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr("aimgan.data.decoding.workers", lambda: 3)
    monkeypatch.setattr("aimgan.data.decoding.AHEAD", 1)
    write_folder(tmp_path, {f"{k:03d}.png": png(k) for k in range(8 * 10)})
    monkeypatch.setattr("aimgan.data.decoding.CHUNK", 8)
    begun, real = [], Decoding._attempt
    monkeypatch.setattr(Decoding, "_attempt", lambda self, k: (begun.append(k), real(self, k))[1])
    seen, threads = 0, threading.active_count()

    def progress(done: int, total: int) -> None:
        nonlocal seen
        seen = max(seen, len(begun) - done)

    data = load_images(tmp_path, 4, 1, test_fraction=0.0, progress=progress)
    assert firsts(data.train) == [*range(80)]
    assert seen <= 8 * 4
    assert threading.active_count() == threads


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_any_number_of_threads_gives_the_same(nasty, monkeypatch, threads):
    expected = load_images(nasty[0], 8)
    monkeypatch.setattr("aimgan.data.decoding.workers", lambda: threads)
    monkeypatch.setattr("aimgan.data.decoding.CHUNK", 3)
    found = load_images(nasty[0], 8)
    assert torch.equal(found.train.pixels, expected.train.pixels)
    assert found.skipped == expected.skipped


def test_what_stops_a_progress_bar_stops_the_threads(tmp_path):
    write_folder(tmp_path, {f"{k:03d}.png": png(k % 256) for k in range(3 * CHUNK)})

    def stop(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        load_images(tmp_path, 4, 1, progress=stop)
    assert threading.active_count() == threads


def test_an_error_that_is_of_no_image_ends_the_reading(tmp_path, monkeypatch):
    write_folder(tmp_path, {f"{k}.png": png(k) for k in range(9)})

    def gone(path: Path) -> Path:
        raise AimganError("the disk has gone")

    monkeypatch.setattr(files, "regular_file", gone)
    with pytest.raises(AimganError, match="the disk has gone"):
        load_images(tmp_path, 4, 1)


def test_memory_is_looked_for_before_it_is_taken(tmp_path, monkeypatch):
    write_folder(tmp_path, {f"{k}.png": png(k) for k in range(9)})
    monkeypatch.setattr("aimgan.checked.memory", lambda: 200)
    told = r"images of \(1, 4, 4\) would take .*: pass a smaller --size, or --set data.packed=true"
    with pytest.raises(AimganError, match=told):
        Reader(str(tmp_path), Form(4), packed=False).read()


@pytest.mark.slow
@pytest.mark.skipif(not MNIST.is_dir(), reason=f"no MNIST in {MNIST}")
def test_mnist():
    threads = threading.active_count()
    data = load_images(MNIST)
    assert (len(data.train), len(data.test), data.shape) == (60_000, 10_000, (1, 28, 28))
    assert data.train.pixels.numpy().mean(dtype=np.float64) == pytest.approx(33.3184, abs=1e-4)
    assert data.test.pixels.numpy().mean(dtype=np.float64) == pytest.approx(33.7912, abs=1e-4)
    assert data.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert data.train.labels.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert data.skipped == ()
    assert threading.active_count() == threads
