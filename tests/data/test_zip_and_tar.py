"""Zips and tars: read where they lie, never written out; damaged ones are told in one line."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from nasty import write_nasty_folder
from trees import firsts, pictures, png, tree, write_folder, write_shards, write_tar, write_zip

from aimgan.data.files import archive
from aimgan.data.images import load_images
from aimgan.errors import AimganError


@pytest.fixture(scope="module")
def nasty(tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("nasty")
    return folder, write_nasty_folder(folder, count=40)


def contents(folder: Path, prefix: str = "") -> dict[str, bytes]:
    return {
        prefix + path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("prefix", ["", "photos/"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_is_its_folder(nasty, tmp_path, kind, prefix):
    folder, written = nasty
    held = contents(folder, prefix)
    packed = (
        write_zip(tmp_path / "x.ZIP", held)
        if kind == "zip"
        else write_tar(tmp_path / "x.tar", held, tarfile.PAX_FORMAT)
    )
    before, after = load_images(folder, 8), load_images(packed, 8)
    assert torch.equal(before.train.pixels, after.train.pixels)
    assert torch.equal(before.test.pixels, after.test.pixels)
    assert [prefix + name for name in before.train.names] == [*after.train.names]
    assert {item.name for item in after.skipped} == {prefix + name for name in written["broken"]}
    assert before.not_read == after.not_read == {".txt": 1}


def test_nothing_is_written_out_and_members_have_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("aimgan.data.decode.MAX_FILE", 1000)
    held = {
        "../../evil.png": png(1),
        "/absolute.png": png(2),
        "big.png": bytes(1001),
        "__MACOSX/._big.png": b"resource",
    }
    for source in (write_zip(tmp_path / "x.zip", held), write_tar(tmp_path / "x.tar", held)):
        data = load_images(source, test_fraction=0.0)
        assert firsts(data.train) == [1, 2]
        assert [(item.name, item.reason) for item in data.skipped] == [("big.png", "1,001 bytes, over 1,000")]
    assert sorted(os.listdir(tmp_path)) == ["x.tar", "x.zip"]
    assert not (tmp_path.parents[1] / "evil.png").exists()


def test_damaged_members_are_skipped(tmp_path):
    held = {f"{k}.png": png(k) for k in range(6)} | {"empty.png": b""}
    for source in (write_zip(tmp_path / "x.zip", held), write_tar(tmp_path / "x.tar", held)):
        content = source.read_bytes()
        source.write_bytes(content.replace(png(3), png(3)[:20] + bytes(len(png(3)) - 20)))
        data = load_images(source, test_fraction=0.0)
        assert firsts(data.train) == [0, 1, 2, 4, 5]
        assert [item.name for item in data.skipped] == ["3.png", "empty.png"]
        assert "CRC" in data.skipped[0].reason or source.suffix == ".tar"
        assert data.skipped[1].reason == "empty file"


def test_of_two_members_of_one_name_a_zip_has_the_last(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.png", png(1))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.png", png(2))
    assert firsts(load_images(tmp_path / "x.zip").train) == [2]


def test_a_zip_with_a_password_is_named(tmp_path):
    path = write_zip(tmp_path / "x.zip", {"a.png": png(1), "b.png": png(2)})
    content = bytearray(path.read_bytes())
    for begin, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(begin) + flags] |= 1
    path.write_bytes(content)
    data = load_images(path, test_fraction=0.0)
    assert firsts(data.train) == [2]
    assert "encrypted" in data.skipped[0].reason


@pytest.mark.parametrize("cut", [50, 200, -30])
def test_a_cut_zip_is_one_line(tmp_path, cut):
    path = write_zip(tmp_path / "x.zip", tree("", count=4))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(AimganError, match=r"cannot read .*x\.zip' as a zip: .*; copy it again"):
        load_images(path)


@pytest.mark.parametrize("suffix", ["tar.gz", "tgz", "tar.bz2", "tar.xz", "tar.zst"])
def test_a_compressed_tar_is_to_be_unpacked_first(tmp_path, suffix):
    (tmp_path / f"x.{suffix}").write_bytes(b"\x1f\x8b")
    with pytest.raises(AimganError, match=r"is not a source of images: unpack it first"):
        load_images(tmp_path / f"x.{suffix}")


@pytest.mark.parametrize("kind", ["tar", "zip", "npz", "parquet"])
def test_a_pipe_of_any_kind_is_not_waited_for(tmp_path, kind):
    os.mkfifo(tmp_path / f"train.{kind}")
    with pytest.raises(AimganError, match="is not a regular file"):
        load_images(tmp_path / f"train.{kind}")
    with pytest.raises(AimganError, match=r"no images in|regular file"):
        load_images(tmp_path)


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_found_where_tarfile_finds_them(kind, tmp_path):
    long = "d" * 90 + "/" + "é" * 40 if kind != tarfile.USTAR_FORMAT else "folder/" + "n" * 90
    held = {f"{long}.png": png(1), "b.json": b"{}", "b.PNG": png(2), "d/2023-05-01 12.30.45.png": png(3)}
    path = write_tar(tmp_path / "a.tar", held, kind)
    others = {tarfile.DIRTYPE: "e.png", tarfile.SYMTYPE: "f.png", tarfile.LNKTYPE: "g.png", tarfile.FIFOTYPE: "h.png"}
    with tarfile.open(path, "a", format=kind) as tar:
        for own, name in others.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = own, "l" * (120 if kind != tarfile.USTAR_FORMAT else 9)
            tar.addfile(member)
        last = tarfile.TarInfo("last.webp")
        last.size = 3
        tar.addfile(last, io.BytesIO(b"RIF"))
    with ExitStack() as stack:
        found = archive(path, stack)
        assert [*found.names] == [*held, "last.webp"]
        assert [found.open(k).read() for k in range(5)] == [*held.values(), b"RIF"]


def test_a_sparse_member_is_named(tmp_path):
    import subprocess

    write_folder(tmp_path / "in", {"a.png": png(1)})
    with (tmp_path / "in" / "hole.png").open("wb") as file:
        file.truncate(2**20)
        file.seek(2**20)
        file.write(png(2))
    command = ["tar", "--sparse", "-C", str(tmp_path / "in"), "-cf", str(tmp_path / "x.tar"), "a.png", "hole.png"]
    subprocess.run(command, check=True)
    data = load_images(tmp_path / "x.tar")
    assert firsts(data.train) == [1]
    assert [(item.name, item.reason) for item in data.skipped] == [("hole.png", "a sparse member of a tar")]


def test_archives_are_closed_and_what_is_read_of_them_has_gone(tmp_path):
    folder = write_shards(tmp_path, pictures(60))
    before = len(os.listdir("/proc/self/fd"))
    data = load_images(folder, 8, 1)
    assert len(os.listdir("/proc/self/fd")) == before
    assert len(data.train) + len(data.test) == 60
