from __future__ import annotations

import io
import json
import os
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import picture, tiny, write

from aimgan.data.image_set import as_float
from aimgan.errors import AimganError
from aimgan.search import build, encoding, nearest, open_index, query
from aimgan.search.index import RECORD, require_model
from aimgan.search.rows import CODES, NAMES


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def code(model, seed):
    return model.encode(as_float(torch.from_numpy(picture(seed))[None, None])).mean[0]


def test_an_index_holds_the_codes_of_the_good_images(model, photos, tmp_path):
    calls = []
    index = build(model, photos, tmp_path / "index", lambda *call: calls.append(call))
    good = [k for k in range(40) if k not in (7, 30)]
    assert index.names == [f"{k:02d}.png" for k in good]
    torch.testing.assert_close(torch.from_numpy(np.array(index.codes)), torch.stack([code(model, k) for k in good]))
    assert [item.name for item in index.record.skipped] == ["07.png", "30.png"]
    assert calls[-1] == (40, 40)
    assert index.record.search == {"kind": "flat"}
    hit = query(index, code(model, 12), 3)[0]
    assert hit[:1] + hit[2:] == ("12.png", 11)
    assert hit.distance < 1e-5


@pytest.mark.parametrize("kind", ["zip", "tar", "npy", "parquet"])
def test_every_kind_of_source_has_the_same_codes(kind, model, photos, tmp_path):
    good = [path for path in sorted(photos.iterdir()) if path.name not in ("07.png", "30.png")]
    source = tmp_path / f"photos.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(source, "w") as archive:
            for path in photos.iterdir():
                archive.write(path, path.name)
    elif kind == "tar":
        with tarfile.open(source, "w") as archive:
            for path in sorted(photos.iterdir()):
                archive.add(path, path.name)
            archive.addfile(tarfile.TarInfo("a folder/.hidden.png"), io.BytesIO())
    elif kind == "npy":
        np.save(source, np.stack([picture(int(path.stem)) for path in good]))
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"image": [{"bytes": path.read_bytes()} for path in good]}), source)
    index = build(model, source, tmp_path / "index")
    plain = build(model, photos, tmp_path / "plain")
    names = {"npy": "image 11", "parquet": "row 11"}
    torch.testing.assert_close(torch.from_numpy(np.array(index.codes)), torch.from_numpy(np.array(plain.codes)))
    assert query(index, code(model, 12), 1)[0].name == names.get(kind, "12.png")


@pytest.mark.parametrize("garbage", [b"", b'{"names": ["x'])
def test_a_build_that_was_stopped_goes_on_to_the_same_bytes(garbage, model, photos, tmp_path, monkeypatch):
    folder = tmp_path / "index"
    whole = contents(build(model, photos, tmp_path / "whole").folder)

    def stop(done, total):
        if done >= 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(model, photos, folder, stop)
    with pytest.raises(AimganError, match="not finished: repeat the command"):
        open_index(folder)
    with (folder / CODES).open("ab") as codes, (folder / NAMES).open("ab") as names:
        codes.write(b"torn" * 2)
        names.write(garbage)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})  # on another number of cores
    encoded = batches(monkeypatch)
    assert contents(build(model, photos, folder).folder) == whole
    assert sorted(encoded) == [7, 8, 8]  # of 40: two chunks are kept, and 30.png is broken


def batches(monkeypatch) -> list[int]:
    """Note how many images each call of `encode` has."""
    sizes: list[int] = []
    encode = type(tiny()).encode
    monkeypatch.setattr(type(tiny()), "encode", lambda self, x: (sizes.append(len(x)), encode(self, x))[1])
    return sizes


def test_only_what_is_new_or_changed_is_encoded(model, photos, tmp_path, monkeypatch):
    folder = build(model, photos, tmp_path / "index").folder
    before = contents(folder)
    encoded = batches(monkeypatch)
    stamp = (folder / RECORD).stat().st_mtime_ns
    build(model, photos, folder)
    assert encoded == []
    assert (contents(folder), (folder / RECORD).stat().st_mtime_ns) == (before, stamp)
    write(photos / "05b.png", 100)
    write(photos / "20.png", 101)
    (photos / "33.png").unlink()
    index = build(model, photos, folder)
    assert sum(encoded) == 2
    fresh = build(model, photos, tmp_path / "fresh")
    assert index.names == fresh.names
    np.testing.assert_allclose(index.codes, fresh.codes, atol=1e-6)
    assert query(index, code(model, 101), 1)[0].name == "20.png"


def test_readers_do_not_see_rows_that_are_being_added(model, photos, tmp_path):
    folder = build(model, photos, tmp_path / "index").folder
    for k in range(50, 60):
        write(photos / f"{k}.png", k)

    def stop(done, total):
        assert len(open_index(folder)) == 38
        with pytest.raises(AimganError, match="another process is building"):
            build(model, photos, folder)
        if done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(model, photos, folder, stop)
    assert len(open_index(folder)) == 38
    assert len(build(model, photos, folder)) == 48


def test_names_of_any_bytes_survive(model, tmp_path):
    names = ["a\nb.png", '"<b>.png', "ü 名.png", "\u202egnp.png"]
    for k, name in enumerate(names):
        write(tmp_path / "odd" / name, k)
    os.rename(write(tmp_path / "odd" / "x.png", 9), os.fsencode(tmp_path / "odd") + b"/\xff.png")
    index = build(model, tmp_path / "odd", tmp_path / "index")
    assert sorted(index.names) == sorted([*names, "\udcff.png"])
    assert query(index, code(model, 9), 1)[0].name == "\udcff.png"


def test_another_model_source_or_folder_is_refused(model, photos, tmp_path):
    index = build(model, photos, tmp_path / "index")
    write(tmp_path / "others" / "1.png", 1)
    for call, message in (
        (lambda: build(tiny(1), photos, index.folder), r"of another model \(weights \w{12}, this one's \w{12}"),
        (lambda: require_model(index, tiny(1)), "another model"),
        (lambda: build(model, tmp_path / "others", index.folder), "others': choose another folder"),
        (lambda: build(model, photos, photos), "holds '00.png', which is no part of an index"),
        (lambda: build(tiny(posterior=None), photos, tmp_path / "gan"), "has no encoder"),
        (lambda: build(model, tmp_path / "none", tmp_path / "new"), "there is no file or folder"),
        (lambda: open_index(tmp_path), "holds no index"),
        (lambda: query(index, torch.zeros(4)), r"a code of \(4,\), expected 3 finite numbers"),
        (lambda: query(index, torch.full((3,), torch.nan)), "finite"),
        (lambda: query(index, torch.zeros(3), 0), "k is 0; expected at least 1"),
    ):  # fmt: skip
        with pytest.raises(AimganError, match=message):
            call()
    assert not (tmp_path / "gan").exists()
    assert len(query(index, torch.zeros(3), 1_000)) == 38


def test_a_source_without_a_good_image_leaves_the_folder_free(model, photos, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "1.png").write_bytes(b"?")
    with pytest.raises(AimganError, match=r"no image that can be used: '1\.png', not an image"):
        build(model, tmp_path / "bad", tmp_path / "index")
    assert len(build(model, photos, tmp_path / "index")) == 38


@pytest.mark.parametrize("file", [RECORD, CODES, NAMES, nearest.FILE])
def test_damage_is_said(file, model, photos, tmp_path):
    folder = build(model, photos, tmp_path / "index").folder
    (folder / file).write_bytes((folder / file).read_bytes()[:50])
    with pytest.raises(AimganError, match=r"damaged|cannot be read"):
        open_index(folder)
    if file == RECORD:
        (folder / file).write_text(json.dumps({"format": 1}))
        with pytest.raises(AimganError, match="cannot be read"):
            open_index(folder)


def test_faiss_and_comparing_all_agree(monkeypatch, tmp_path):
    codes = np.random.default_rng(0).normal(size=(3_000, 16)).astype(np.float32)
    codes[100:110] = codes[:10]  # equal ones come in the order of their rows
    z = np.concatenate([codes[:5], np.random.default_rng(1).normal(size=(30, 16)).astype(np.float32)])
    true = np.linalg.norm(codes[None].astype(np.float64) - z[:, None], axis=2)
    monkeypatch.setattr(nearest, "BLOCK", 700)
    assert nearest.write(tmp_path, codes) == {"kind": "flat"}
    by_faiss = nearest.searcher(tmp_path, codes)(z, 12)
    monkeypatch.setitem(sys.modules, "faiss", None)
    by_all = nearest.searcher(tmp_path, codes)(z, 12)
    for distances, rows in (by_faiss, by_all):
        assert (rows == np.argsort(true, axis=1, kind="stable")[:, :12]).all()
        np.testing.assert_allclose(distances, np.sort(true, axis=1)[:, :12], atol=1e-6)
    assert nearest.write(tmp_path, codes) == {"kind": "exact"}
    monkeypatch.setattr(nearest, "FLAT", 2_999)
    with pytest.raises(AimganError, match=r"3,000 codes; expected at most 2,999 without faiss: pip install"):
        nearest.searcher(tmp_path, codes)


def test_an_inverted_file_finds_what_it_says(monkeypatch, tmp_path):
    codes = np.random.default_rng(0).normal(size=(4_000, 8)).astype(np.float32)
    monkeypatch.setattr(nearest, "FLAT", 1_000)
    about = nearest.write(tmp_path, codes)
    assert about["kind"] == "inverted file"
    assert 1 < about["lists_read"] < about["lists"]
    find, z = nearest.searcher(tmp_path, codes), codes[1_000:1_200] + np.float32(0.01)
    found, true = find(z, 10)[1], nearest.exact(codes, z, 10)[1]
    recall = np.mean([len({*a} & {*b}) / 10 for a, b in zip(found.tolist(), true.tolist(), strict=True)])
    assert min(recall, about["recall_at_10"]) >= 0.97
    first = (tmp_path / nearest.FILE).read_bytes()
    nearest.write(tmp_path, codes)
    assert (tmp_path / nearest.FILE).read_bytes() == first


def test_faiss_that_is_installed_later_is_used(model, photos, tmp_path, monkeypatch):
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "faiss", None)
        index = build(model, photos, tmp_path / "index")
        assert index.record.search == {"kind": "exact"}
        hits = query(index, torch.zeros(3), 5)
    index = build(model, photos, tmp_path / "index")
    assert index.record.search == {"kind": "flat"}
    assert query(index, torch.zeros(3), 5) == hits


def test_torchs_threads_are_left_as_they_were(model, photos, tmp_path):
    torch.set_num_threads(2)
    try:
        build(model, photos, tmp_path / "index")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_only_a_few_chunks_are_ahead_of_the_one_that_is_taken(model):
    started: list[int] = []

    def items():
        for k in range(1_000):
            started.append(k)
            yield encoding.Tag(str(k)), lambda k=k: encoding.BytesIO(b"P5 8 8 255\n" + picture(k).tobytes())

    images = encoding.Listing(1_000, items())
    parts = encoding.encoded(model, images, workers=2)
    assert next(parts).names[0] == "0"
    assert len(started) <= (2 * encoding.AHEAD + 1) * encoding.CHUNK
    parts.close()
