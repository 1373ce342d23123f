from __future__ import annotations

import gc
import io
import os
import tarfile
import threading
import time
from concurrent.futures import wait
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from streams import pictures, png, write_array, write_files, write_shards, write_tables, write_tar

from aimgan.data import Stream
from aimgan.data.decode import UndecodableError
from aimgan.data.image_set import as_float
from aimgan.data.images import load_images
from aimgan.data.streaming import feed as feeding
from aimgan.data.streaming import index, tars
from aimgan.data.streaming.feed import AHEAD, BrokenImage
from aimgan.data.streaming.tables import local_tables
from aimgan.errors import AimganError

N = 100
WRITERS = {"tar": write_shards, "parquet": write_tables, "folder": write_files, "npy": write_array}


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path):
    monkeypatch.setenv("AIMGAN_CACHE", str(tmp_path / "cache"))


def stream(path: Path, **settings) -> Stream:
    return Stream(str(path), size=8, channels=1, **{"buffer": 30, **settings})


def epoch(data, size: int = 10, seed: int = 0, number: int = 0) -> torch.Tensor:
    steps = data.epoch_size // size
    return torch.cat([data.batch(seed, number * steps + k, size) for k in range(steps)])


def firsts(x: torch.Tensor) -> list[int]:
    """Which of `pictures` these are."""
    return (x[:, 0, 0, 0] * 255).round().int().tolist()


# --- sources ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_gives_the_pixels_of_the_in_memory_loader(kind, tmp_path):
    images = pictures(N)
    path = WRITERS[kind](tmp_path / "data", images)
    data = stream(path).load()
    assert data.epoch_size + len(data.images.test) == len(data) == N
    x = epoch(data, 1)
    assert torch.equal(x[np.argsort(firsts(x))], as_float(torch.from_numpy(images[sorted(firsts(x))])[:, None]))
    assert sorted(firsts(x) + firsts(data.test())) == list(range(N))
    assert firsts(x) != sorted(firsts(x))
    train = data.images.train
    assert sorted(train.pixels[:, 0, 0, 0].tolist()) == sorted(firsts(x))
    if kind in ("tar", "parquet"):
        assert train.labels.tolist() == [value % 10 for value in train.pixels[:, 0, 0, 0].tolist()]
    if kind != "tar":  # which the in-memory loader does not read
        memory = load_images(path, 8, 1)
        assert sorted(firsts(as_float(memory.test.pixels))) == sorted(firsts(data.test()))


@pytest.mark.parametrize("write", [write_shards, write_tables])
def test_the_sources_own_splits_are_kept_and_the_resident_sample_is_bounded(write, tmp_path):
    images = pictures(N)
    write(tmp_path / "data", images[:70])
    write(tmp_path / "data", images[70:], name="test")
    data = stream(tmp_path / "data", sample=12).load()
    assert data.epoch_size == 70
    assert len(data.images.train) == len(data.images.test) == 12
    assert set(firsts(data.test())) <= set(range(70, 100))
    assert sorted(firsts(epoch(data))) == list(range(70))
    assert len(torch.cat([*data.chunks("train")])) == 12


def test_a_glob_names_shards_and_what_cannot_be_streamed_says_so(tmp_path):
    write_shards(tmp_path / "data", pictures(40))
    assert len(stream(tmp_path / "data" / "train-0000[0].tar").load()) == 20
    (tmp_path / "empty").mkdir()
    (tmp_path / "pipes").mkdir()
    os.mkfifo(tmp_path / "pipes" / "a.tar")
    (tmp_path / "x.tar.gz").write_bytes(b"\x1f\x8b")
    np.save(tmp_path / "f.npy", np.asfortranarray(pictures(5)))
    np.save(tmp_path / "o.npy", np.array([{}], object))
    np.save(tmp_path / "p.npy", np.zeros((5, 2)))
    for name, told in {
        "empty": "no images in",
        "x.tar.gz": "cannot be streamed: expected a folder",
        "f.npy": "ascontiguousarray",
        "o.npy": "pickled ones are refused",
        "p.npy": r"got an array \(1, 2\)",
        "no/such/place": "is not there",
        "x" * 5000: "is not there",
        "nul\0.tar": "is not there",
        "pipes": "no images in",
    }.items():
        with pytest.raises(AimganError, match=told):
            stream(tmp_path / name).load()
    for settings, told in ({"size": 0}, "data.size is 0"), ({"channels": 2}, "got 2 channels"), ({"buffer": 0}, "buf"):
        with pytest.raises(AimganError, match=told):
            replace(stream(tmp_path / "data"), **settings).load()


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar_headers_are_read_as_tarfile_reads_them(kind, tmp_path):
    long = "d" * 90 + "/" + "é" * 40 if kind != tarfile.USTAR_FORMAT else "folder/" + "n" * 90
    one, two = pictures(2)
    files = {f"{long}.png": png(one), f"{long}.cls": b"7\n", "._x.png": b"?", "b.json": b"{}", "b.PNG": png(two)}
    path = write_tar(tmp_path / "a.tar", {**files, "b.seg.png": png(one), "c.cls": b"3", "d/e.txt": b"no"}, kind)
    others = {tarfile.DIRTYPE: "e.d", tarfile.SYMTYPE: "e.png", tarfile.LNKTYPE: "f.png"}
    with tarfile.open(path, "a", format=kind) as tar:
        for own, name in others.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = (
                own,
                "l" * 120 if own == tarfile.SYMTYPE and "é" in long else "l",
                0,
            )
            tar.addfile(member)
        last = tarfile.TarInfo("last.webp")
        last.size = 3
        tar.addfile(last, io.BytesIO(b"RIF"))
    with tarfile.open(path) as tar:
        found = {member.name: (member.offset_data, member.size) for member in tar}
    data = tars.tars([path], lambda done, total: None)
    wanted = (f"{long}.png", "b.PNG", "last.webp")
    assert data.offsets.tolist() == [found[name][0] for name in wanted]
    assert data.lengths.tolist() == [found[name][1] for name in wanted]
    assert [data.label(0), data.label(1)] == [7, None]


def damage(content: bytes, offset: int, value: bytes) -> bytes:
    return content[:offset] + value + content[offset + len(value) :]


def header(length: str, kind: bytes = b"0") -> bytes:
    member = tarfile.TarInfo("x.png")
    raw = bytearray(member.tobuf())
    raw[124:136], raw[156:157], raw[148:156] = length.encode("latin-1").ljust(12, b"\0"), kind, b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw)
    return bytes(raw)


HOSTILE = {
    "text": (lambda good: b"not a tar" * 100, "no tar header at byte 0"),
    "empty": (lambda good: b"", "it is no tar, or an empty one"),
    "short": (lambda good: b"x" * 100, "it is no tar"),
    "zeros": (lambda good: bytes(2048), "it is no tar, or an empty one"),
    "gzip": (lambda good: b"\x1f\x8b" + good, "must be unpacked first"),
    "checksum": (lambda good: damage(good, 1024, b"?"), "no tar header at byte 1,024"),
    "cut in a file": (lambda good: good[:900], "it is cut off at 900"),
    "cut in a header": (lambda good: good[:1100], "it is cut off at 1,100"),
    "negative": (lambda good: header("-0000000001"), "no tar header"),
    "negative binary": (lambda good: header("\xff" * 12), "no tar header"),
    "cut in an image": (lambda good: good[:600], "it ends at 600, before a file that begins at 512 does"),
    "huge": (lambda good: header("\x80" + "\x7f" * 11), "before a file that begins at 512"),
    "huge pax": (lambda good: header("77777777777", b"x"), "extended header"),
    "nonsense pax": (lambda good: header("00000001000", b"x") + b"99 path=" + b"9" * 504, "it is cut off at 1,024"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_shard_is_one_line(name, tmp_path):
    good = write_tar(tmp_path / "good.tar", {"a.png": png(pictures(1)[0]), "b.png": b"x"}).read_bytes()
    make, told = HOSTILE[name]
    (tmp_path / "bad.tar").write_bytes(make(good))
    with pytest.raises(AimganError, match=told) as caught:
        stream(tmp_path / "bad.tar").load()
    assert "\n" not in str(caught.value)


def test_a_damaged_table_is_one_line(tmp_path):
    write_tables(tmp_path / "data", pictures(30))
    file = next((tmp_path / "data").glob("*.parquet"))
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(AimganError, match=r"cannot read '.*00000.parquet' as parquet"):
        stream(tmp_path / "data").load()


def test_an_index_is_kept_used_again_and_made_anew_when_it_is_damaged(tmp_path, monkeypatch):
    folder = write_shards(tmp_path / "data", pictures(40))
    first = epoch(stream(folder).load())
    [kept] = (tmp_path / "cache" / "streams").iterdir()
    made = []
    monkeypatch.setattr(tars, "_index", lambda *a, real=tars._index: made.append(1) or real(*a))
    assert torch.equal(epoch(stream(folder).load()), first)
    assert not made
    whole = kept.read_bytes()
    other = io.BytesIO()
    np.savez(other, counts=np.zeros(3))
    for bad in (b"", whole[:-20], damage(whole, 200, b"????"), b"PK\x03\x04", other.getvalue(), b"\x93NUMPY"):
        kept.write_bytes(bad)
        assert torch.equal(epoch(stream(folder).load()), first)
        assert kept.read_bytes() == whole
    assert len(made) == 6
    assert index._read(kept) is not None
    write_shards(folder, pictures(20), name="extra")
    assert len(stream(folder).load()) == 60
    assert len(made) == 7


def test_an_index_that_cannot_be_kept_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AIMGAN_CACHE", str(tmp_path / "file"))
    assert len(stream(write_shards(tmp_path / "data", pictures(20))).load()) == 20


# --- the feed -----------------------------------------------------------------------------------------------------


def test_any_step_can_be_the_first_and_ranks_share_the_global_batch(tmp_path):
    folder = write_shards(tmp_path / "data", pictures(N))
    data = stream(folder, test_fraction=0.0).load()
    walked = [data.batch(3, step, 12) for step in range(20)]
    fresh = stream(folder, test_fraction=0.0).load()
    for step in (17, 2, 19, 3):
        assert torch.equal(fresh.batch(3, step, 12), walked[step])
        for world in (2, 4):
            shares = [fresh.batch(3, step, 12, rank, world) for rank in range(world)]
            assert torch.equal(torch.cat(shares), walked[step])


def test_what_is_decoded_ahead_is_bounded_and_nothing_is_left_behind(tmp_path):
    folder = write_shards(tmp_path / "data", pictures(N))

    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    gc.collect()
    files, threads = open_files(), threading.active_count()
    data = stream(folder).load()
    for step in (*range(30), 5, 900, 17):
        data.batch(0, step, 10)
        assert len(data._feed._pending) <= AHEAD
        wait([task for begun in data._feed._pending.values() for task in begun.tasks])
        assert files < open_files() <= files + 2 * data._feed.workers  # the ends of two pipes to each process
    assert len(data._feed._groups) <= N
    del data
    gc.collect()
    deadline = time.monotonic() + 5
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.01)
    assert open_files() == files
    assert threading.active_count() <= threads


def test_row_groups_are_let_go_of(tmp_path, monkeypatch):
    folder = write_tables(tmp_path / "data", pictures(N), rows=5)
    monkeypatch.setattr(feeding, "IN_MEMORY", 4_000)  # bytes: fewer rows than the buffer's thirty
    data = stream(folder, test_fraction=0.0).load()
    most = 0
    for step in range(50):
        data.batch(0, step, 2)
        most = max(most, sum(len(future.result().images) for future in data._feed._groups.values()))
    windows = [len(part.window.images) for part in data._feed._order.parts(0, 0, N)]
    assert max(windows) < 30
    assert 10 <= most <= 3 * max(windows)
    assert sorted(firsts(epoch(data, 4))) == list(range(N))


def test_broken_images_are_replaced_and_the_others_keep_their_places(tmp_path):
    images = pictures(60)
    whole = stream(write_shards(tmp_path / "good", images), test_fraction=0.0).load()
    write_shards(tmp_path / "bad", images)
    path = tmp_path / "bad" / "train-00001.tar"
    with tarfile.open(path) as tar:
        places = {int(m.name[:6]): m.offset_data for m in tar if m.name.endswith(".png")}
    content, broken = path.read_bytes(), (21, 22, 30)
    for k in broken:
        content = damage(content, places[k], b"????")
    path.write_bytes(content)
    data = stream(tmp_path / "bad", test_fraction=0.0).load()
    assert len(data.images.skipped) == 3
    with pytest.warns(BrokenImage) as told:
        first = firsts(epoch(data))
    named = [str(warning.message).split(": ")[0] for warning in told]
    assert sorted(named) == sorted(f"train-00001.tar at byte {places[k]:,}" for k in broken)
    expected = firsts(epoch(whole))
    assert all(a == b or b in broken for a, b in zip(first, expected, strict=True))
    assert not set(first) & set(broken)
    shares = torch.cat([data.batch(0, 1, 12, rank, 3) for rank in range(3)])
    fresh = stream(tmp_path / "bad", test_fraction=0.0).load()
    with pytest.warns(BrokenImage):
        again = firsts(epoch(fresh))
    assert again == first
    assert torch.equal(fresh.batch(0, 1, 12), shares)


def test_a_source_of_broken_images_is_one_line(tmp_path):
    write_tar(tmp_path / "a.tar", {f"{k}.png": b"no picture" for k in range(9)})
    with pytest.raises(AimganError, match=r"to train on can be used: the first, 'a\.tar at byte"):
        stream(tmp_path / "a.tar").load()
    images = np.full((40, 8, 8), 0.5, np.float32)
    images[1:] = np.nan
    np.save(tmp_path / "nan.npy", images)
    data = stream(tmp_path / "nan.npy", test_fraction=0.0, buffer=8).load()  # a group is a window
    with pytest.warns(BrokenImage, match="NaN"):
        assert data.batch(0, 0, 4).eq(128 / 255).all()


@pytest.mark.parametrize("kind", ["tar", "parquet", "folder", "npy"])
@pytest.mark.parametrize("change", ["removed", "changed"])
def test_data_that_go_away_while_training_are_one_line(kind, change, tmp_path):
    if (kind, change) in {("folder", "changed"), ("parquet", "changed")}:
        return  # a changed picture is a picture; a changed table is found where it can no longer be read
    path = WRITERS[kind](tmp_path / "data", pictures(N))
    data = stream(path, buffer=7).load()
    data.batch(0, 0, 10)
    for file in [path] if path.is_file() else path.iterdir():
        file.unlink() if change == "removed" else file.write_bytes(file.read_bytes() + bytes(512))
    told = r"cannot read '.*' any more \(.*\): put it back as it was and run the same command again"
    with pytest.raises(AimganError, match=told) as caught:
        epoch(data, 1)
    assert "\n" not in str(caught.value)


def test_a_table_without_bytes_or_with_unsigned_labels_is_read_as_in_memory(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    labels = pa.array([2**64 - 1, 1], pa.uint64())
    pq.write_table(pa.table({"image": [{"path": "a"}, {"path": "b"}], "label": labels}), tmp_path / "x.parquet")
    group = local_tables(tmp_path, [tmp_path / "x.parquet"], lambda done, total: None).group(0)
    assert group.label(0) is None
    with pytest.raises(UndecodableError, match="empty file"):
        group.content(0)
