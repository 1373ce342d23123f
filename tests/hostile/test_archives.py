"""Tars, zips, tables and pictures that are small and would become large, or are read without end."""

from __future__ import annotations

import io
import json
import os
import struct
import tarfile
import zipfile
from contextlib import ExitStack
from pathlib import Path

import files
import numpy as np
import pytest
from PIL import Image
from properties import light, sound

from aimgan.data import decoding
from aimgan.data.arrays import read_arrays
from aimgan.data.decode import UndecodableError, decode, quiet
from aimgan.data.images import load_images
from aimgan.data.sources import find
from aimgan.errors import AimganError

PICTURE = files.picture()
END = bytes(1024)


def refused(message: str, path: Path, mib: int = 64, seconds: int = 20) -> None:
    with light(mib, seconds), pytest.raises(AimganError, match=message) as error:
        load_images(path, 8, 1)
    assert str(error.value).isprintable()


def names_in(path: Path) -> list[str]:
    with ExitStack() as stack:
        return list(find(str(path), stack).names)


# --- tar --------------------------------------------------------------------------------------------------------------


def after(size: int, kind: bytes = b"0") -> bytes:
    """Return a whole image, and a member whose header says that it has so many bytes."""
    return files.tar_member(b"a.png", PICTURE) + files.tar_member(b"b.png", PICTURE, kind, size) + END


def of_pax(content: bytes, kind: bytes = b"x") -> bytes:
    return files.tar_member(b"pax", content, kind) + files.tar_member(b"a.png", PICTURE) + END


def record(keyword: bytes, value: bytes) -> bytes:
    size = next(n for n in range(4, 2**22) if n == len(str(n)) + len(keyword) + len(value) + 3)
    return b"%d %s=%s\n" % (size, keyword, value)


DAMAGED = {
    "a negative size": after(-512),  # the next header would be this one, again and again
    "a more negative size": after(-1024),
    "a size of -1": after(-1),
    "a size of 2^80": after(2**80),
    "a size beyond the file": after(10**9),
    "a size of 2^63 - 1": after(2**63 - 1),
    "an unknown kind of 2^62 bytes": after(2**62, b"Z"),
    "a long name of 2^40 bytes": after(2**40, b"L"),
    "a long name of -512 bytes": after(-512, b"L"),
    "an extended header of 2^62 bytes": after(2**62, b"x"),
    "an extended header of -512 bytes": after(-512, b"x"),
    "a sparse file without end": after(0, b"S")[:-1024] + (bytes(504) + b"\1" + bytes(7)) * 3,
    "a size of -512 in an extended header": of_pax(record(b"size", b"-512")),
    "a size of 10^4000 in an extended header": of_pax(record(b"size", b"1" + b"0" * 4_000)),
    "a size of 10^5000 in an extended header": of_pax(record(b"size", b"1" + b"0" * 5_000)),
    "a size that is none": of_pax(record(b"size", b"x")),
    "a record beyond its header": of_pax(b"999 path=x\n"),
    "a record of no bytes": of_pax(b"0 path=x\n"),
    "a record of -5 bytes": of_pax(b"-5 path=x\n"),
    "a record without a value": of_pax(b"5 aa\n"),
    "a record without an end": of_pax(b"8 path=x"),
    "a number of 5000 digits": of_pax(b"9" * 5_000),
    "no checksum": files.tar_member(b"a.png", PICTURE) + b"?" * 512 + END,
    "no end": files.tar_member(b"a.png", PICTURE),
    "half an end": files.tar_member(b"a.png", PICTURE) + bytes(100),
    "half an image": files.tar_member(b"a.png", bytes(600))[:700],
    "half a header": files.tar_member(b"a.png", PICTURE) + files.tar_member(b"b.png")[:90],
    "an extended header of two megabytes": of_pax(bytes(2**21)),
    "text": b"not a tar" * 100,
    "gzip": b"\x1f\x8b" + files.tar_member(b"a.png", PICTURE) + END,
    "nothing": b"",
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_tars_that_lie(tmp_path, kind):
    (tmp_path / "x.tar").write_bytes(DAMAGED[kind])
    (tmp_path / "good.tar").write_bytes(files.tar_member(b"a.png", PICTURE) + END)
    message = r"cannot read '.*x\.tar' as a tar: it is damaged or cut off at byte [\d,]+ of [\d,]+; copy it again"
    for source in (tmp_path / "x.tar", tmp_path):  # alone, and among other shards
        refused(message, source)


# In tarfile before 3.11.10 and 3.12.6 a megabyte of these took hours, or hundreds of gigabytes (CVE-2024-6232).
SLOW = {
    "digits": b"1" * 1_000_000,
    "twos": b"2 " * 500_000 + b"=",
    "fives": b"5 a=\n" * 200_000,
    "digits in a value": record(b"comment", b"1" * 1_000_000),
    "keywords": b"".join(record(b"%d" % k, b"") for k in range(100_000)),
    "sparse": record(b"GNU.sparse.map", b"1," * 400_000 + b"1"),
    "a path": record(b"path", b"a/" * 400_000 + b".png"),
    "zeros": bytes(1_000_000),
}


@pytest.mark.parametrize("kind", [b"x", b"g", b"X", b"L"])
@pytest.mark.parametrize("what", SLOW)
def test_large_extended_headers_are_read_at_once(tmp_path, what, kind):
    (tmp_path / "x.tar").write_bytes(of_pax(SLOW[what], kind))
    told = "nothing"
    with light(64, 20):
        try:
            assert len(names_in(tmp_path / "x.tar")) <= 1
        except AimganError as error:
            told = str(error)
    assert told == "nothing" or "it is damaged or cut off at byte 0 of" in told


def test_extended_headers_are_of_a_megabyte_a_member_at_most(tmp_path):
    many = b"".join(files.tar_member(b"x", record(b"comment", b"x" * 200_000), b"x") for _ in range(5))
    for count, message in ((1, None), (2, "damaged")):
        (tmp_path / "x.tar").write_bytes(many * count + files.tar_member(b"a.png", PICTURE) + END)
        if message:
            refused(message, tmp_path / "x.tar")
        else:
            assert names_in(tmp_path / "x.tar") == ["a.png"]
    # A chain of 100,000 headers: tarfile would call itself for each.
    (tmp_path / "x.tar").write_bytes(files.tar_member(b"x", b"", b"x") * 100_000)
    refused("damaged", tmp_path / "x.tar")


def test_what_an_extended_header_says_is_taken(tmp_path):
    """Names and sizes as tarfile takes them; those that are after it, in its own words."""
    long = "a/" + "é" * 90 + ".png"
    content = of_pax(record(b"path", long.encode()) + record(b"size", b"%d" % len(PICTURE)))
    members = [content[:-1024], files.tar_member(b"n", f"b/{long}".encode() + b"\0", b"L")]
    members += [
        files.tar_member(b"short", PICTURE),
        files.tar_member(b"a/", b"", b"5"),
        files.tar_member(b"b.png", b"", b"2"),
    ]
    members += [files.tar_member(b"g", record(b"comment", b"no"), b"g"), files.tar_member(b"b.png", b"", b"1", 10**6)]
    (tmp_path / "x.tar").write_bytes(b"".join(members) + files.tar_member(b"\xff.png", PICTURE) + END)
    with tarfile.open(tmp_path / "x.tar") as archive:
        by_tarfile = [member.name for member in archive if member.isreg() and member.size]
    assert names_in(tmp_path / "x.tar") == sorted([long, f"b/{long}", "\udcff.png"])
    assert sorted(by_tarfile) == names_in(tmp_path / "x.tar")


def test_sparse_members_are_named_and_the_last_of_a_name_counts(tmp_path):
    sparse = files.tar_member(b"x", record(b"GNU.sparse.size", b"%d" % 2**62), b"x") + files.tar_member(
        b"s.png", PICTURE
    )
    old = bytearray(files.tar_member(b"o.png", b"", b"S"))
    old[482] = 1
    old[148:156] = b" " * 8
    old[148:156] = b"%06o\0 " % sum(old[:512])
    twice = files.tar_member(b"a.png", b"?") + files.tar_member(b"b.png", PICTURE) + files.tar_member(b"a.png", PICTURE)
    (tmp_path / "x.tar").write_bytes(sparse + bytes(old) + bytes(512) + twice + END)
    with light(64):
        data = load_images(tmp_path / "x.tar", 8, 1)
    sound(data)
    assert sorted([*data.train.names, *data.test.names]) == ["a.png", "b.png"]
    assert [(item.name, item.reason) for item in data.skipped] == [
        (name, "a sparse member of a tar") for name in ("s.png", "o.png")
    ]


def test_names_of_a_hundred_thousand_folders(tmp_path):
    names = [f"{'d/' * 100_000}{k}.png".encode() for k in range(4)]
    members = b"".join(
        files.tar_member(b"x", record(b"path", name), b"x") + files.tar_member(b"x", PICTURE) for name in names
    )
    shallow = b"".join(files.tar_member(b"%d.png" % k, PICTURE) for k in range(2_000))
    (tmp_path / "x.tar").write_bytes(members + shallow + END)
    with light(128, 20):
        assert len(names_in(tmp_path / "x.tar")) == 2_004


@pytest.mark.parametrize("pattern", ["*.tar", "link.*", "pipe.*", "pipe.tar", "", "[lp]*", "*\0", "\0/*", "**/*.tar"])
def test_patterns_of_pipes_and_of_links_to_nowhere(tmp_path, pattern):
    os.mkfifo(tmp_path / "pipe.tar")
    (tmp_path / "link.tar").symlink_to("nowhere")
    refused("expected", tmp_path / pattern)


# --- zip --------------------------------------------------------------------------------------------------------------


def lying(members: dict[str, bytes], size: int, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip that says of its members that they are of this size."""
    content = bytearray(files.zipped(members, compression))
    at = content.find(b"PK\x01\x02")
    while at >= 0:
        content[at + 24 : at + 28] = struct.pack("<I", size)
        at = content.find(b"PK\x01\x02", at + 4)
    return bytes(content)


@pytest.mark.parametrize(
    ("compression", "size"),
    [(zipfile.ZIP_DEFLATED, 1_000), (zipfile.ZIP_DEFLATED, 2**26), (zipfile.ZIP_DEFLATED, 2**32 - 2),
     (zipfile.ZIP_BZIP2, 1_000), (zipfile.ZIP_LZMA, 1_000)],
)  # fmt: skip
def test_a_zip_that_says_another_size_than_it_unpacks_to(tmp_path, compression, size):
    zeros = bytes(200 * 2**20)
    (tmp_path / "x.zip").write_bytes(lying({"a.png": zeros, "b.png": PICTURE}, size, compression))
    refused(r"the first.*, 'a\.png'", tmp_path / "x.zip", 160)
    (tmp_path / "x.npz").write_bytes(lying({"images.npy": zeros}, size, compression))
    with light(160), pytest.raises(AimganError):
        read_arrays(tmp_path / "x.npz")


def test_a_zip_of_zips_and_of_what_is_none(tmp_path):
    inner = files.zipped({f"{k}.zip": bytes(2**20) for k in range(10)})
    (tmp_path / "x.zip").write_bytes(files.zipped({"a.zip": inner, "b.tar": inner, "c.npy": inner}))
    refused(r"no images in .* \(there are 1 \.npy, 1 \.tar, 1 \.zip\)", tmp_path / "x.zip")
    encrypted = bytearray(files.zipped({"a.png": PICTURE, "a.cls": b"1", "b.png": PICTURE, "b.cls": b"1"}))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = encrypted.find(mark)
        encrypted[at + place] |= 1
    (tmp_path / "x.zip").write_bytes(encrypted)
    data = load_images(tmp_path / "x.zip", 8, 1, test_fraction=0)
    assert [(item.name, "encrypted" in item.reason) for item in data.skipped] == [("a.png", True)]


# --- labels beside images ---------------------------------------------------------------------------------------------

NAMES = ["0.png", "1.png", "2.png"]
TABLES = {
    "zeros": lambda: bytes(200 * 2**20),
    "lines": lambda: b"file_name,label\n" + b"\n" * (100 * 2**20),
    "rows": lambda: b"file_name,label\n" + b"a,1\n" * (20 * 2**20),
    "other names": lambda: b"file_name,label\n" + b"".join(b"%d.jpg,1\n" % k for k in range(2 * 10**6)),
    "commas": lambda: b"file_name,label\n" + b"," * (100 * 2**20),
    "quotes": lambda: b"file_name,label\n" + b'"' * (100 * 2**20),
    "a row of many lines": lambda: b"file_name,label\n" + b'"\nabcdefgh",' * (6 * 2**20),
    "columns": lambda: b",".join(b"c%d" % k for k in range(10**6)) + b"\n1\n",
    "a field": lambda: b"file_name,label\n0.png," + b"x" * (50 * 2**20),
    "brackets": lambda: b"[" * (50 * 2**20),
    "objects": lambda: b'{"file_name": "0.png", "label": ' + b"[[]," * 200_000 + b"1" + b"]" * 200_000 + b"}\n",
    "digits": lambda: b'{"file_name": "0.png", "label": ' + b"9" * 10**6 + b"}\n",
    "no text": lambda: b"\xff\xfe" * 10**6,
}


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
@pytest.mark.parametrize("what", TABLES)
def test_tables_that_unpack_to_hundreds_of_megabytes(tmp_path, what, name, monkeypatch):
    """The bytes themselves, of the zip and of the member, are in memory; what is made of them is not."""
    table = TABLES[what]()
    (tmp_path / "x.zip").write_bytes(files.zipped({name: table, **dict.fromkeys(NAMES, PICTURE)}))
    if what in ("lines", "rows", "other names"):
        monkeypatch.setattr("aimgan.data.labels.MIN_LINE", 2**9)  # half a million lines: here each is checked
    with light(600, 60):
        data = load_images(tmp_path / "x.zip", 8, 1)
    sound(data)
    assert len(data.train) + len(data.test) == 3
    assert data.train.labels is None
    (tmp_path / "tree").mkdir()
    for member in NAMES:
        (tmp_path / "tree" / member).write_bytes(PICTURE)
    (tmp_path / "tree" / name).write_bytes(table)
    with light(160, 60):
        assert load_images(tmp_path / "tree", 8, 1).train.labels is None


def test_tables_that_are_odd_and_right(tmp_path):
    """Rows of other images, of no image and of no text; labels of any kind; breaks of lines inside of texts."""
    for name in NAMES:
        (tmp_path / name).write_bytes(PICTURE)
    rows = [{"file_name": "0.png", "text": "a\u2028b", "label": 1}, {"file_name": "1.png", "label": 10**30}]
    rows += [{"file_name": "2.png", "label": 1}, {"file_name": 3, "label": 1}, {"file_name": "gone.png", "label": [1]}]
    text = "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (tmp_path / "metadata.jsonl").write_text(text, encoding="utf-8")
    data = load_images(tmp_path, 8, 1, test_fraction=0)
    assert data.train.labels is not None
    assert data.classes == ("1", f"1{'0' * 30}")
    for label in ([1], {"a": 1}, 1.5, None, True, float("nan")):
        (tmp_path / "metadata.jsonl").write_text("\n".join(json.dumps(row | {"label": label}) for row in rows))
        sound(load_images(tmp_path, 8, 1))


# --- arrays and tables ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2**20, 64, 64), (4, 2**15, 2**15), (1, 2**16, 2**16), (1, 3, 2**15, 2**15)])
@pytest.mark.parametrize("descr", ["|u1", "<f4", "<f8"])
def test_arrays_that_are_a_hole_on_the_disk(tmp_path, shape, descr):
    """A file of gigabytes that takes no room: nothing of it is in memory that is not looked at."""
    header = files.npy_header(shape, descr)
    with (tmp_path / "x.npy").open("wb") as file:
        file.write(header)
        file.truncate(len(header) + int(np.prod(shape)) * np.dtype(descr).itemsize)
    with light(200, 60), ExitStack() as stack:
        if shape[-1] > 64:
            with pytest.raises(AimganError, match="expected images of 64,000,000 pixels at most"):
                find(str(tmp_path / "x.npy"), stack)
        elif descr == "|u1":
            assert len(find(str(tmp_path / "x.npy"), stack)) == 2**20


def test_parquet_whose_rows_are_one_image_many_times(tmp_path):
    """A dictionary and a number a row: 20 GB of images in a file of one megabyte, and labels alike."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    image = PICTURE + np.random.default_rng(0).bytes(10**6)
    rows = pa.array(np.zeros(20_000, np.int32))
    columns = {
        "image": pa.DictionaryArray.from_arrays(rows, pa.array([image])),
        "label": pa.DictionaryArray.from_arrays(rows, pa.array(["x" * 10**6])),
    }
    pq.write_table(pa.table(columns), tmp_path / "x.parquet", store_schema=False)  # which would say how it is stored
    assert (tmp_path / "x.parquet").stat().st_size < 2**21
    with light(200), ExitStack() as stack:
        listing = find(str(tmp_path / "x.parquet"), stack)
        assert [len(listing.open(k).getvalue()) for k in (0, 19_999)] == [len(image)] * 2
        assert listing.classes == ("x" * 10**6,)


def test_parquet_of_a_billion_rows_of_nothing(tmp_path, monkeypatch):
    import pyarrow as pa
    import pyarrow.parquet as pq

    monkeypatch.setattr("aimgan.checked.memory", lambda: 2**28)
    table = pa.table({"image": pa.nulls(10**6, pa.binary())})
    with pq.ParquetWriter(tmp_path / "x.parquet", table.schema) as file:
        for _ in range(10):
            file.write_table(table)
    refused(
        "a list of 1,000,000 rows would take 477 MiB; expected at most 128 MiB, half the memory", tmp_path / "x.parquet"
    )


def test_parquet_with_a_row_group_too_large(tmp_path, monkeypatch):
    path = tmp_path / "x.parquet"
    path.write_bytes(files.parquet(image=[np.random.default_rng(k).bytes(10**6) for k in range(3)]))
    monkeypatch.setattr("aimgan.checked.memory", lambda: 2**22)
    refused(r"2 row groups of '.*x\.parquet' would take 6 MiB; expected at most 2 MiB.*: write smaller ones", path)


def varint(value: int, length: int = 0) -> bytes:
    """Return an integer as Thrift's compact protocol writes it, or longer than that."""
    value, digits = 2 * value, []
    while value or len(digits) < length:
        digits.append(value & 127 | 128)
        value >>= 7
    return bytes((*digits[:-1], digits[-1] & 127))


def understated(path: Path) -> None:
    """Let the footer of a parquet file say that each of its row groups and columns is of a thousand bytes."""
    import pyarrow.parquet as pq

    content, groups = path.read_bytes(), pq.read_metadata(path)
    at = len(content) - 8 - struct.unpack("<I", content[-8:-4])[0]
    footer = content[at:]
    for group in map(groups.row_group, range(groups.num_row_groups)):
        sizes = [group.column(k).total_uncompressed_size for k in range(group.num_columns)]
        for true in filter(lambda size: size > 10**6, (group.total_byte_size, *sizes)):
            footer = footer.replace(varint(true), varint(1_000, len(varint(true))))
    path.write_bytes(content[:at] + footer)
    assert pq.read_metadata(path).row_group(0).total_byte_size < 3_000


@pytest.mark.parametrize("what", ["images", "labels", "names"])
@pytest.mark.parametrize("is_large", [False, True])
def test_parquet_whose_footer_understates_it(tmp_path, monkeypatch, what, is_large):
    """What comes out is counted: half a gigabyte of different values, of 50 kB on the disk."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    monkeypatch.setattr("aimgan.checked.memory", lambda: 2**27)
    monkeypatch.setattr("aimgan.data.tables.PART", 4)
    kinds = {"images": (pa.binary(), pa.large_binary())}.get(what, (pa.string(), pa.large_string()))
    many = pa.array([b"%07d" % k + b"x" * 2**21 for k in range(256)], kinds[is_large])
    few = pa.array([PICTURE] * 256)
    columns = {"images": {"image": many}, "labels": {"image": few, "label": many}}
    names = pa.StructArray.from_arrays([few, many], ["bytes", "path"])
    table = pa.table(columns.get(what, {"image": names}))
    del many, names
    how = {"use_dictionary": False, "compression": "zstd", "write_statistics": False}
    pq.write_table(
        table, tmp_path / "x.parquet", write_batch_size=1, **how
    )  # a value a page: Arrow unpacks whole pages
    del table
    understated(tmp_path / "x.parquet")
    assert (tmp_path / "x.parquet").stat().st_size < 2**20
    held = "2 row groups with what is stored in them" if what == "images" else "the texts in"
    refused(f"({held}|2 row groups with).* would take .*; expected at most 64 MiB", tmp_path / "x.parquet", 200)


def test_damage_of_a_row_group_is_not_that_of_its_images(tmp_path):
    """Not an image less, but the error of all: what cannot be read now may be read later."""
    path = tmp_path / "x.parquet"
    content = bytearray(files.parquet(image=[np.random.default_rng(k).bytes(10**4) for k in range(9)]))
    content[4:40] = b"\xff" * 36  # the header of the first page
    path.write_bytes(content)
    refused(r"cannot read '.*x\.parquet' as parquet: .*; put it back as it was and run the command again", path)


# --- pictures ---------------------------------------------------------------------------------------------------------


def jpeg(progressive: bool, side: int = 64) -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").resize((side, side)).convert("RGB").save(out, "JPEG", progressive=progressive)
    return out.getvalue()


def claiming(content: bytes, width: int, height: int) -> bytes:
    """Return a JPEG whose header says another size."""
    at = next(at for mark in (b"\xff\xc0", b"\xff\xc2") if (at := content.find(mark)) > 0)
    return content[: at + 5] + struct.pack(">HH", height, width) + content[at + 9 :]


@pytest.mark.parametrize("size", [8, None])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("side", [60_000, 65_500, 30_000])
def test_a_jpeg_that_says_it_is_huge(size, progressive, side):
    content = claiming(jpeg(progressive), side, side)
    with light(64, 20), quiet(), pytest.raises(UndecodableError, match="over 64 megapixels"):
        decode(lambda: io.BytesIO(content), size, 3)


@pytest.mark.parametrize("size", [8, None])
def test_a_jpeg_of_thirteen_thousand_pixels_to_a_side(size):
    """Pillow opens it: its coefficients take a gigabyte where there are scans of them, and nothing else does."""
    scans = jpeg(True)
    baseline = jpeg(False)
    at = baseline.find(b"\xff\xda")
    one = baseline[at : at + 2] + bytes((0, 8, 1, 1, 0, 0, 63, 0)) + baseline[at + 14 : -2]
    for content in (claiming(scans, 13_000, 13_000), claiming(baseline[:at] + one * 3 + b"\xff\xd9", 13_000, 13_000)):
        with light(64, 20), quiet(), pytest.raises(UndecodableError, match="13000x13000 is over 64 megapixels"):
            decode(lambda content=content: io.BytesIO(content), size, 3)


def test_a_jpeg_of_many_scans_is_refused():
    """Each is of a few bytes and passes over the whole image: a megabyte of them took minutes."""
    content = jpeg(True, 512)
    end = content.rfind(b"\xff\xda")
    last = content[end:-2]
    for padding in (b"", b"x" * 2**20):  # small ones are read by another reader
        evil = content[:-2] + last * 1_000 + b"\xff\xfe\xff\xff" + bytes(65_533) + b"\xff\xd9" + padding
        with light(64, 20), quiet(), pytest.raises(UndecodableError, match=r"1,\d\d\d scans, over 200"):
            decode(lambda evil=evil: io.BytesIO(evil), 8, 3)
    thumbnail = Image.Exif()
    out = io.BytesIO()
    thumbnail[0x010E] = "\xff\xda".encode("latin1").decode("latin1") * 300
    Image.new("RGB", (64, 64)).save(out, "JPEG", exif=thumbnail)
    assert decode(lambda: io.BytesIO(out.getvalue() + b"\xff\xda" * 500), 8, 3).shape == (3, 8, 8)  # after its end


def pages(count: int, last: int = 0) -> bytes:
    """Return a .tif of one small picture whose directory is followed by so many of nothing, and then one at `last`."""
    out = io.BytesIO()
    Image.linear_gradient("L").resize((8, 8)).save(out, "TIFF")
    content = bytearray(out.getvalue())
    (first,) = struct.unpack_from("<I", content, 4)
    (tags,) = struct.unpack_from("<H", content, first)
    link = first + 2 + 12 * tags
    for _ in range(count):
        struct.pack_into("<I", content, link, len(content))
        link = len(content) + 2
        content += bytes(6)
    struct.pack_into("<I", content, link, last or 0)
    return bytes(content)


@pytest.mark.parametrize("last", [0, 8, 2**32 - 1])
@pytest.mark.parametrize("count", [0, 1, 200_000])
def test_tiffs_of_absurdly_many_pages(tmp_path, count, last):
    """In a line, in a circle, or beyond the file: only the first is looked at, and that there are more is said."""
    (tmp_path / "a.tif").write_bytes(pages(count, last))
    (tmp_path / "b.png").write_bytes(PICTURE)
    with light(64, 20):
        data = load_images(tmp_path, 8, 1, test_fraction=0)
    assert len(data.train) == 2
    assert any("more pages" in note for note in data.notes) == (count > 0 or last > 8)


@pytest.mark.parametrize("mode", ["I;16", "F", "RGBA", "LA", "P"])
def test_the_largest_pictures_take_less_than_a_gigabyte(mode):
    """Of 64 megapixels, in files of a megabyte; by themselves they are a quarter of one."""
    out = io.BytesIO()
    kind = {"format": "TIFF", "compression": "tiff_deflate"} if mode == "F" else {"format": "PNG"}
    if mode in ("I;16", "F"):
        Image.fromarray(np.zeros((8_000, 8_000), np.uint16 if mode == "I;16" else np.float32)).save(out, **kind)
    else:
        Image.new(mode, (8_000, 8_000)).save(out, **kind, **({"transparency": 0} if mode == "P" else {}))
    with light(1024), quiet():
        assert decode(lambda: io.BytesIO(out.getvalue()), 8, 3).shape == (3, 8, 8)


def test_a_scale_that_is_not_found_is_looked_for_once(tmp_path, monkeypatch):
    """And not by each thread in turn: of a folder as large as may be it takes as long as all else."""
    looked = []
    own = decoding.scale_of
    monkeypatch.setattr(decoding, "CHUNK", 1)
    monkeypatch.setattr(decoding, "workers", lambda: 8)
    monkeypatch.setattr(decoding, "scale_of", lambda *given: (looked.append(1), own(*given))[1])
    for k in range(40):
        Image.fromarray(np.full((8, 8), k * 10_000, np.float32)).save(tmp_path / f"{k:02d}.tif")
    refused("say what is black and white", tmp_path)
    assert looked == [1]
