"""Arrays that grow on the disk: what a kill left of them counts up to the last whole line of the journal."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from disks import largest_file
from hypothesis import given, settings
from hypothesis import strategies as st

from aimgan.errors import AimganError
from aimgan.growing import AppendOnlyArrays, RowType, open_array

KINDS = {"codes": RowType("<f4", (3,)), "keys": RowType("<i8", ())}
JOURNAL = "journal.jsonl"


def rows(first: int, count: int) -> dict[str, np.ndarray]:
    keys = np.arange(first, first + count)
    return {"codes": (keys[:, None] * [1, 10, 100]).astype(np.float32), "keys": keys}


def grow(folder: Path, *counts: int, finish: bool = False) -> None:
    """Append so many rows, a line for each number."""
    with AppendOnlyArrays(folder, KINDS, JOURNAL) as growing:
        for count in counts:
            growing.append(rows(growing.counts["keys"], count), names=["\udcff\n"] * count)
        if finish:
            growing.finish()


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_rows_and_lines_come_back(tmp_path):
    grow(tmp_path, 4, 0, 1)
    with AppendOnlyArrays(tmp_path, KINDS, JOURNAL) as growing:
        assert growing.counts == {"codes": 5, "keys": 5}
        assert [len(line["names"]) for line in growing.lines] == [4, 0, 1]
        assert growing.lines[0]["names"][0] == "\udcff\n"
        assert np.array_equal(growing.array("codes"), rows(0, 5)["codes"])
        assert np.array_equal(np.concatenate([*growing.parts("keys", 2)]), np.arange(5))
        assert [len(part) for part in growing.parts("keys", 2)] == [2, 2, 1]


def test_nothing_yet_is_empty(tmp_path):
    with AppendOnlyArrays(tmp_path, KINDS, JOURNAL) as growing:
        assert (growing.counts, growing.lines) == ({"codes": 0, "keys": 0}, [])
        assert growing.array("codes").shape == (0, 3)
        assert [*growing.parts("codes", 9)] == []
        growing.append({"keys": np.array([7])})  # some arrays grow without the others
        assert growing.counts == {"codes": 0, "keys": 1}
        growing.finish()
    assert open_array(tmp_path / "codes.npy", KINDS["codes"], 0).shape == (0, 3)


def test_finished_arrays_are_plain_npy_files_and_may_grow_on(tmp_path):
    grow(tmp_path, 4, finish=True)
    assert np.array_equal(np.load(tmp_path / "keys.npy"), np.arange(4))
    grow(tmp_path, 100_000)
    assert len(np.load(tmp_path / "keys.npy")) == 4  # until they are finished again
    grow(tmp_path, finish=True)
    assert np.array_equal(np.load(tmp_path / "keys.npy"), np.arange(100_004))
    assert (tmp_path / "keys.npy").stat().st_size % 64 == (100_004 * 8) % 64


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_wherever_files_are_cut_the_same_bytes_come_of_them(tmp_path_factory, data):
    """A kill leaves any part of what was written last: rows without a line, half a line, half a header."""
    folder = tmp_path_factory.mktemp("growing")
    grow(folder, 3, 2)
    kept = files(folder)
    grow(folder, 4, finish=True)
    whole = files(folder)
    for name, content in whole.items():
        least = len(kept[name]) if data.draw(st.booleans()) else 0
        (folder / name).write_bytes(content[: data.draw(st.integers(least, len(content)))])
    with AppendOnlyArrays(folder, KINDS, JOURNAL) as growing:
        count = growing.counts["keys"]
        assert count in (0, 3, 5, 9)
        assert growing.counts["codes"] == count
        assert np.array_equal(growing.array("keys"), np.arange(count))
        assert np.array_equal(growing.array("codes"), rows(0, count)["codes"])
    grow(folder, *{0: (3, 2, 4), 3: (2, 4), 5: (4,), 9: ()}[count], finish=True)
    assert files(folder) == whole


TORN = [b'{"rows": {"codes": 1, "keys"', b'{"rows": {"codes": 1, "keys": 1}}', b"\x00" * 40 + b"\n", b"[1]\n",
        b"null\n", b'{"rows": {"codes": -1, "keys": 0}}\n', b'{"rows": {"codes": 1.0, "keys": 1}}\n',
        b'{"rows": {"codes": 1}}\n',
        b'{"rows": {"codes": true, "keys": 1}}\n', b"[" * 100_000 + b"\n", b'{"rows": {"codes": 9, "keys": 9}}\n',
        b"\xff\xfe\n"]  # fmt: skip


@pytest.mark.parametrize("torn", TORN)
def test_a_torn_line_is_cut_off_with_all_after_it(tmp_path, torn):
    grow(tmp_path, 3, 2)
    whole = files(tmp_path)
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(torn)
        file.write(b'{"rows": {"codes": 0, "keys": 0}}\n' if torn.endswith(b"\n") else b"")
    for name in ("codes", "keys"):
        with (tmp_path / f"{name}.npy").open("ab") as file:
            file.write(bytes(36 * 2))
    with AppendOnlyArrays(tmp_path, KINDS, JOURNAL) as growing:
        assert len(growing.lines) == 2
    assert files(tmp_path) == whole


def test_arrays_of_another_kind_are_begun_anew(tmp_path):
    grow(tmp_path, 3)
    with AppendOnlyArrays(tmp_path, {**KINDS, "codes": RowType("<f4", (4,))}, JOURNAL) as growing:
        assert growing.counts == {"codes": 0, "keys": 0}


def test_another_one_is_told_or_waits(tmp_path):
    """A lock is of an open file, so a thread waits as a process does."""

    def count() -> int:
        with AppendOnlyArrays(tmp_path, KINDS, JOURNAL, wait=True) as growing:
            return growing.counts["keys"]

    with ThreadPoolExecutor(1) as pool:
        with AppendOnlyArrays(tmp_path, KINDS, JOURNAL) as growing:
            with pytest.raises(AimganError, match=r"another process is building .*: wait for it"):
                AppendOnlyArrays(tmp_path, KINDS, JOURNAL)
            waiting = pool.submit(count)
            growing.append(rows(0, 5), names=[])
            with pytest.raises(TimeoutError):
                waiting.result(0.2)
        assert waiting.result(20) == 5


@pytest.mark.parametrize("size", [0, 100, 128, 200, 1_000, 3_000, 20_000])
def test_a_write_that_the_disk_refuses_leaves_what_was_whole(tmp_path, size):
    grow(tmp_path, 3, 2)
    whole = files(tmp_path)
    with largest_file(size), pytest.raises(OSError, match="File too large"):
        grow(tmp_path, *[100] * 40)
    with AppendOnlyArrays(tmp_path, KINDS, JOURNAL) as growing:
        count = growing.counts["keys"]
        assert np.array_equal(growing.array("keys"), np.arange(count))
    assert count == 5 or size > 1_000
    if count == 5:
        assert files(tmp_path) == whole


def test_after_a_refused_write_the_files_are_closed_and_the_first_error_is_told(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    growing = AppendOnlyArrays(tmp_path, KINDS, JOURNAL)
    with largest_file(1_000):
        with pytest.raises(OSError, match="File too large"):
            growing.append(rows(0, 1_000), names=[])
        growing.close()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    "wrong", ["missing", "short", "objects", "other kind", "other count", "folder", "pipe", "text"]
)
def test_what_is_no_finished_array_is_not_opened(tmp_path, wrong):
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((5, 3), np.float32))
    if wrong == "short":
        path.write_bytes(path.read_bytes()[:-1])
    elif wrong == "objects":
        np.save(path, np.array([[None] * 3] * 5), allow_pickle=True)
    elif wrong == "other kind":
        np.save(path, np.zeros((5, 3)))
    elif wrong == "text":
        path.write_text(json.dumps([1, 2, 3]))
    elif wrong != "other count":
        path.unlink()
        {"folder": os.mkdir, "pipe": os.mkfifo}.get(wrong, lambda path: None)(path)
    with pytest.raises((OSError, ValueError)):
        open_array(path, KINDS["codes"], 6 if wrong == "other count" else 5)


def test_what_is_written_to_an_opened_array_stays_here(tmp_path):
    grow(tmp_path, 3, finish=True)
    array = open_array(tmp_path / "keys.npy", KINDS["keys"], 3)
    array[0] = 7
    assert open_array(tmp_path / "keys.npy", KINDS["keys"])[0] == 0
