from __future__ import annotations

import json
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from torch import Tensor

from aimgan.errors import AimganError
from aimgan.files import recover, replacing_folder, save_tensors, unwritable, write_json
from aimgan.training import checkpoint
from aimgan.training.checkpoint import META, TENSORS, TornCheckpointWarning


class Killed(BaseException):
    """What happens to a process; nothing that it would do afterwards is done."""


@pytest.fixture
def kill_at(monkeypatch):
    """Die at the k-th operation on the disk, and let nothing be done after that."""

    def arm(k: int) -> None:
        calls = iter(range(10_000))

        def mortal(operation):
            def call(*args, **kwargs):
                if next(calls) >= k:
                    raise Killed
                return operation(*args, **kwargs)

            return call

        monkeypatch.setattr(os, "fsync", mortal(os.fsync))
        monkeypatch.setattr(shutil, "rmtree", mortal(shutil.rmtree))
        monkeypatch.setattr(checkpoint, "save_tensors", mortal(checkpoint.save_tensors))
        for name in ("mkdir", "rename", "replace", "write_text", "unlink"):
            monkeypatch.setattr(Path, name, mortal(getattr(Path, name)))

    yield arm
    monkeypatch.undo()


def state(value: float) -> dict[str, Tensor]:
    return {"G.weight": torch.full((3, 2), value), "log.loss/D": torch.arange(4.0), "step": torch.tensor(value)}


def steps(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in folder.iterdir())


def test_the_files_of_a_checkpoint_may_be_read_as_others_may(tmp_path):
    record = tmp_path / "run.json"
    record.write_text("{}")
    before = os.umask(0o027)
    try:
        path = checkpoint.save(tmp_path / "checkpoints", 3, state(1.0), [record])
    finally:
        os.umask(before)
    modes = {file.name: file.stat().st_mode & 0o777 for file in path.iterdir()}
    assert modes == {TENSORS: 0o640, META: 0o640, "run.json": 0o640}


KILLS = range(15)  # there are fewer operations: the last of these saves is not killed


@pytest.mark.parametrize("k", KILLS)
def test_a_killed_save_leaves_the_last_checkpoint_or_the_new_one(tmp_path, monkeypatch, kill_at, k):
    checkpoint.save(tmp_path, 1, state(1))
    kill_at(k)
    died = False
    try:
        checkpoint.save(tmp_path, 2, state(2))
    except Killed:
        died = True
    monkeypatch.undo()
    found = checkpoint.newest(tmp_path)
    assert found is not None
    assert found.step in ((1, 2) if died else (2,))
    for name, tensor in state(found.step).items():
        assert torch.equal(found.tensors[name], tensor)
    assert not (died and k == KILLS[-1]), "raise KILLS: they must cover all operations"
    checkpoint.save(tmp_path, 3, state(3))
    assert steps(tmp_path) == [found.step, 3]  # steps() fails for what a kill left behind


@pytest.mark.parametrize("k", KILLS)
def test_a_killed_replacement_leaves_one_whole_folder(tmp_path, monkeypatch, kill_at, k):
    target = tmp_path / "model"

    def write(text: str) -> None:
        with replacing_folder(target) as fresh:
            for name in "ab":
                (fresh / name).write_text(text)

    write("old")
    kill_at(k)
    with suppress(Killed):
        write("new")
    monkeypatch.undo()
    recover(target)
    assert [path.name for path in sorted(target.iterdir())] == ["a", "b"]
    assert len({path.read_text() for path in target.iterdir()}) == 1
    write("newest")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]
    assert (target / "a").read_text() == "newest"


def test_an_error_while_writing_keeps_the_old_folder_and_no_other(tmp_path):
    with replacing_folder(tmp_path / "model") as fresh:
        (fresh / "a").write_text("old")
    with pytest.raises(RuntimeError), replacing_folder(tmp_path / "model") as fresh:  # noqa: PT012
        (fresh / "a").write_text("half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model" / "a").read_text() == "old"


def test_a_folder_can_be_named_by_a_dot_or_a_link(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with replacing_folder(tmp_path / "link") as fresh:
        (fresh / "a").write_text("through the link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "a").read_text() == "through the link"
    monkeypatch.chdir(tmp_path / "real")
    recover(Path())


def test_write_json_is_whole_or_not_at_all(tmp_path, monkeypatch, kill_at):
    target = tmp_path / "run.json"
    write_json(target, {"a": 1})
    for k in range(4):
        kill_at(k)
        try:
            write_json(target, {"a": 2})
        except Killed:
            assert json.loads(target.read_text())["a"] == (1 if k < 3 else 2)
        monkeypatch.undo()
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(target, {"a": float("nan")})
    assert json.loads(target.read_text()) == {"a": 2}


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "a bit of a tensor": lambda path: flip(path / TENSORS, -1),
    "a bit of the header": lambda path: flip(path / TENSORS, 12),
    "truncated tensors": lambda path: (path / TENSORS).write_bytes((path / TENSORS).read_bytes()[:-5]),
    "no tensors": lambda path: (path / TENSORS).unlink(),
    "empty tensors": lambda path: (path / TENSORS).write_bytes(b""),
    "truncated json": lambda path: (path / META).write_text((path / META).read_text()[:20]),
    "json that is no text": lambda path: (path / META).write_bytes(b"\xff\xfe\x00"),
    "json of another kind": lambda path: (path / META).write_text("[1]"),
    "another step in the json": lambda path: (path / META).write_text((path / META).read_text().replace("2,", "3,")),
    "json without a checksum": lambda path: (path / META).write_text('{"step": 2}'),
    "no json": lambda path: (path / META).unlink(),
    "an empty folder": lambda path: [file.unlink() for file in path.iterdir()],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_torn_checkpoint_is_passed_over_with_a_warning(tmp_path, damage):
    for step in (1, 2):
        checkpoint.save(tmp_path, step, state(step))
    DAMAGE[damage](tmp_path / "000000002")
    with pytest.warns(TornCheckpointWarning, match="000000002 is damaged and is ignored"):
        found = checkpoint.newest(tmp_path)
    assert found.step == 1
    assert torch.equal(found.tensors["G.weight"], state(1)["G.weight"])


def test_all_torn_is_none_and_so_is_no_folder(tmp_path):
    assert checkpoint.newest(tmp_path / "none") is None
    checkpoint.save(tmp_path, 1, state(1))
    flip(tmp_path / "000000001" / TENSORS, -1)
    with pytest.warns(TornCheckpointWarning) as told:
        assert checkpoint.newest(tmp_path) is None
    assert "000000001 is damaged" in str(told[0].message)
    assert "all checkpoints in" in str(told[1].message)


def test_one_that_cannot_be_read_is_not_passed_over(tmp_path, monkeypatch):
    """A disk that answers with an error today may answer with the checkpoint tomorrow: it must not be removed."""
    checkpoint.save(tmp_path, 1, state(1))

    def refuse(path: Path) -> str:
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr(checkpoint, "sha256_of", refuse)
    with pytest.raises(AimganError, match=r"cannot read checkpoint .*1 .Input/output error.: make it readable"):
        checkpoint.newest(tmp_path)


def test_files_are_kept_as_they_were_under_a_checksum(tmp_path):
    texts = {"run.json": '{"ü": 1}\n', "metrics.jsonl": ""}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    checkpoint.save(tmp_path / "kept", 1, state(1))
    checkpoint.save(tmp_path / "kept", 2, state(2), [tmp_path / name for name in texts])
    (tmp_path / "run.json").write_text("another")
    found = checkpoint.newest(tmp_path / "kept")
    assert {name: path.read_text() for name, path in found.files.items()} == texts
    assert found.step == 2
    found.files["run.json"].write_text("damaged")
    with pytest.warns(TornCheckpointWarning, match="its checksum differs"):
        assert checkpoint.newest(tmp_path / "kept").step == 1


def test_a_refused_write_is_an_os_error_of_its_kind_and_one_line(tmp_path):
    with pytest.raises(FileNotFoundError) as refused:
        save_tensors(tmp_path / "none" / "x.safetensors", state(1))
    line = str(unwritable(tmp_path / "none" / "x", refused.value))
    assert re.fullmatch(r"cannot write .*/x \(No such file or directory; [\d,.]+ MiB free there\): put its.*", line)
    with pytest.raises(FileNotFoundError):  # a run whose folder was removed is not begun anew by its next checkpoint
        checkpoint.save(tmp_path / "gone" / "checkpoints", 1, state(1))


def test_the_newest_two_are_kept_by_number_not_by_name(tmp_path):
    for step in (9, 10, 999_999_999, 1_000_000_000):
        checkpoint.save(tmp_path, step, state(step))
    assert steps(tmp_path) == [999_999_999, 1_000_000_000]
    assert checkpoint.newest(tmp_path).step == 1_000_000_000


def test_torn_ones_past_the_resumed_step_do_not_count_among_the_two(tmp_path):
    for step in (10, 20):
        checkpoint.save(tmp_path, step, state(step))
    flip(tmp_path / "000000020" / TENSORS, -1)
    checkpoint.save(tmp_path, 15, state(15))
    assert steps(tmp_path) == [10, 15]


def test_views_of_one_memory_and_devices_own_layouts_are_saved_by_value(tmp_path):
    whole = torch.arange(6.0).view(2, 3)
    tensors = {"a": whole[:, 0], "b": whole[:, 1], "c": whole[:1, 2], "d": whole[:1, 0]}
    checkpoint.save(tmp_path, 1, tensors)
    found = checkpoint.newest(tmp_path).tensors
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
