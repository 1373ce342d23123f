"""Small JPEGs are decoded by simplejpeg where it is installed, to the pixels that Pillow gives, or by Pillow."""

from __future__ import annotations

from io import BytesIO
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from aimgan.data import decode as decoding
from aimgan.data.decode import UndecodableError, decode, quiet

pytest.importorskip("simplejpeg")


def picture(w: int, h: int, mode: str = "RGB", **options) -> bytes:
    """A JPEG of coarse colours, so that what is between its blocks matters."""
    coarse = np.random.default_rng(w + 1000 * h).integers(0, 256, (h // 8 + 1, w // 8 + 1, 3), np.uint8)
    pixels = np.kron(coarse, np.ones((8, 8, 1), np.uint8))[:h, :w]
    file = BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


def by_pillow(content: bytes, size: int | None, channels: int | None) -> np.ndarray:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "simplejpeg", None)
        return decode(lambda: BytesIO(content), size, channels)


def is_plain(content: bytes, size: int | None = None) -> bool:
    return decoding._plain_jpeg(BytesIO(content), size) is not None


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("w", [1, 7, 64, 178, 777])
def test_pixels_are_those_of_pillow(w, mode):
    for h, subsampling, progressive in product((1, 9, 64, 500), (0, 1, 2), (False, True)):
        quality = (30, 95)[(h + subsampling + progressive) % 2]
        content = picture(w, h, mode, subsampling=subsampling, progressive=progressive, quality=quality)
        for size, channels in product((None, 8, 32, 64), (None, 1, 3)):
            assert is_plain(content, size)
            found = decode(lambda content=content: BytesIO(content), size, channels)
            assert np.array_equal(found, by_pillow(content, size, channels))


def test_what_is_not_plain_is_left_to_pillow(tmp_path, monkeypatch):
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation
    assert not is_plain(picture(64, 32, exif=turned))
    assert decode(lambda: BytesIO(picture(64, 32, exif=turned))).shape == (3, 64, 32)
    assert not is_plain(picture(64, 32, "CMYK"))
    assert not is_plain(picture(64, 32)[:-200])
    with pytest.raises(UndecodableError, match="truncated"):
        decode(lambda: BytesIO(picture(64, 32)[:-200]))
    path = tmp_path / "x.jpg"
    path.write_bytes(picture(64, 32) + bytes(decoding.MOST_JPEG))
    assert not is_plain(path.read_bytes())
    assert decode(lambda: path).shape == (3, 32, 64)
    monkeypatch.setattr(decoding, "MAX_PIXELS", 64 * 32 - 1)
    assert not is_plain(picture(64, 32))
    with pytest.raises(UndecodableError, match="megapixels"):
        decode(lambda: BytesIO(picture(64, 32)))


def test_the_callers_file_stays_open():
    file = BytesIO(picture(9, 9))
    assert np.array_equal(decode(lambda: file), decode(lambda: file))


GOOD = picture(24, 16), picture(24, 16, "L"), picture(40, 40, progressive=True), picture(64, 48, quality=30)


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(
    st.sampled_from(GOOD),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=3)), max_size=4),
    st.sampled_from([(None, None), (8, 3), (24, 1)]),
)
def test_damage_gives_what_pillow_gives(content, changes, form):
    for place, put in changes:
        at = int(place * len(content))
        content = content[:at] + put + content[at + len(put) :]
    with quiet():
        if not is_plain(content, form[0]):
            return
        assert np.array_equal(decode(lambda: BytesIO(content), *form), by_pillow(content, *form))
