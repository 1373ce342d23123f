from __future__ import annotations

import errno
import json
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from aimgan.errors import AimganError
from aimgan.training import checkpoint, run_dir
from aimgan.training import environment as here
from aimgan.training.environment import changes_of, environment
from aimgan.training.run_dir import RunDir

SETTINGS = {
    "recipe": {"name": "grid/aim", "lr": 0.1, "steps": 10, "networks": {"kind": "mlp", "width": 8}},
    "steps": 10,
}


def changed(**flat: object) -> dict:
    """SETTINGS with other values, by dotted name (dots written as two underscores)."""
    settings = json.loads(json.dumps(SETTINGS))
    for name, value in flat.items():
        *parents, leaf = name.split("__")
        part = settings
        for parent in parents:
            part = part[parent]
        part[leaf] = value
    return settings


@pytest.fixture
def run(tmp_path) -> RunDir:
    run = RunDir(tmp_path / "runs" / "one")
    assert run.begin(SETTINGS) == []
    return run


def test_a_run_is_begun_once_and_found_again(run):
    written = run.record.read_text()
    record = json.loads(written)
    assert record["settings"] == SETTINGS
    assert record["environment"] == environment()
    assert {"torch", "python", "processor", "threads", "aimgan"} <= record["environment"].keys()
    assert {"git", "command", "started"} <= record.keys()
    assert RunDir(run.path).begin(SETTINGS) == []
    assert run.record.read_text() == written


def test_an_empty_folder_and_a_torn_first_write_are_places_to_begin(tmp_path):
    assert RunDir(tmp_path).begin(SETTINGS) == []
    (tmp_path / "run.json").rename(tmp_path / ".run.json.0123456789abcdef.new")  # killed before the rename
    assert RunDir(tmp_path).begin(SETTINGS) == []
    assert RunDir(tmp_path).read()["settings"] == SETTINGS
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            changed(recipe__lr=0.2),
            r"recipe\.lr = 0\.1, but 0\.2 was asked for: use that run's settings, or choose another",
        ),
        (changed(recipe__networks__width=9), r"recipe\.networks\.width = 8, but 9 was asked for"),
        (changed(recipe__name="grid/gan", recipe__lr=1), r"recipe\.name = grid/aim, but grid/gan was asked for"),
        (changed(recipe__new=1), r"recipe\.new = None, but 1 was asked for"),
        (changed(steps=20, recipe__steps=20), r"steps = 10, but 20 was asked for: pass --extend to go on"),
        (changed(steps=5, recipe__steps=5), r"steps = 10, but 5 was asked for: use that run's settings"),
    ],
)
def test_other_settings_are_refused_by_name_with_both_values(run, other, message):
    with pytest.raises(AimganError, match=message):
        run.begin(other)
    assert run.read()["settings"] == SETTINGS


def test_extend_takes_more_steps_and_nothing_else(run):
    assert run.begin(changed(steps=20, recipe__steps=20), extend=True) == []
    assert run.read()["settings"]["steps"] == 20
    assert run.begin(changed(steps=20, recipe__steps=20)) == []
    with pytest.raises(AimganError, match="steps = 20, but 10 was asked for: use that run's settings"):
        run.begin(SETTINGS, extend=True)
    with pytest.raises(AimganError, match=r"recipe\.lr"):
        run.begin(changed(steps=30, recipe__lr=0.2), extend=True)


def test_the_same_length_said_in_another_way_is_the_same_run(run):
    assert run.begin(changed(recipe__steps=None, recipe__epochs=0.5)) == []


def test_a_folder_or_file_of_something_else_is_refused_and_kept(tmp_path):
    (tmp_path / "photo.jpg").write_text("x")
    for path in (tmp_path, tmp_path / "photo.jpg"):
        with pytest.raises(AimganError, match="exists and is not a run folder: choose another --output"):
            RunDir(path).begin(SETTINGS)
    with pytest.raises(AimganError, match=r"cannot create .*photo.jpg.deeper .*choose another --output"):
        RunDir(tmp_path / "photo.jpg" / "deeper").begin(SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]
    with pytest.raises(AimganError, match=r"cannot create /proc/nowhere"):
        RunDir("/proc/nowhere").begin(SETTINGS)


@pytest.mark.parametrize("text", ["{", "[]", "null", '{"settings": 1}', "{}", "\x00"])
def test_a_run_json_that_is_none_is_refused(run, text):
    run.record.write_text(text)
    with pytest.raises(AimganError, match=r"run\.json cannot be read .*choose another --output"):
        run.begin(SETTINGS)


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_text("{")], ids=["removed", "torn"])
def test_a_lost_run_json_comes_back_from_the_newest_checkpoint(run, harm):
    written = run.record.read_text()
    checkpoint.save(run.checkpoints, 3, {"a": torch.zeros(1)}, run.records())
    harm(run.record)
    with pytest.warns(RuntimeWarning, match=r"run\.json .*its copy in checkpoint 3 is used"):
        assert run.begin(SETTINGS) == []
    assert run.record.read_text() == written


def test_a_run_is_held_by_one_at_a_time(run):
    with run.held():
        with pytest.raises(AimganError, match=r"another process is training in .*: wait until it ends"), run.held():
            pass
        assert [path.name for path in run.path.iterdir()] == ["run.json"]  # the lock leaves nothing
    with run.held(), pytest.raises(ZeroDivisionError):
        raise ZeroDivisionError
    with run.held():
        pass


def test_what_the_disk_refuses_is_one_line_and_what_fails_elsewhere_is_itself(run, tmp_path):
    for path, kind in ((run.metrics, AimganError), ("bare", AimganError), (tmp_path / "elsewhere", OSError)):
        with pytest.raises(kind) as refused, run.held():
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        assert type(refused.value) is kind
    with pytest.raises(BrokenPipeError), run.held():
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def test_a_folder_that_is_removed_while_it_is_held_is_one_line(run):
    def train() -> None:
        with run.held():
            shutil.rmtree(run.path)
            run.append({"step": 1})

    with pytest.raises(AimganError, match=r"cannot write .*metrics\.jsonl .No such file.*put its folder back"):
        train()
    assert not run.path.exists()


def test_rows_come_back_from_a_checkpoint_as_they_were(run):
    run.append({"step": 1, "loss": 0.5})
    checkpoint.save(run.checkpoints, 1, {"a": torch.zeros(1)}, run.records())
    run.metrics.write_text('{"step": 1, "loss": 0.7}\n{"step": 2}\n')
    run.rewind(1, checkpoint.newest(run.checkpoints).files)
    assert run.rows() == [{"step": 1, "loss": 0.5}]


def test_another_machine_is_a_warning_that_names_what_changed(run, monkeypatch):
    here = environment()
    monkeypatch.setattr(run_dir, "environment", lambda device: here | {"threads": 96, "torch": "9.9"})
    (warning,) = run.begin(SETTINGS)
    assert "may not be bit-identical" in warning
    assert f"threads: {here['threads']} then, 96 now" in warning
    assert f"torch: {here['torch']} then, 9.9 now" in warning
    assert "python" not in warning


def test_another_device_is_another_warning_and_its_gpu_is_recorded(run, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H200")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    on_gpu = environment("cuda")
    assert [on_gpu[name] for name in ("device", "gpu", "cuda", "cudnn")] == ["cuda", "NVIDIA H200", "13.0", 91002]
    changed, noise = run.begin(SETTINGS, device="cuda")
    assert "device: cpu then, cuda now" in changed
    assert noise.startswith("another device draws other noise and rounds differently")
    earlier = {name: value for name, value in environment().items() if name != "device"}
    assert changes_of(earlier, environment()) == []  # aimgan 0.1 recorded no device


def test_rows_are_rewound_to_a_step_and_torn_lines_dropped(run):
    run.rewind(0)  # nothing there yet
    for step in (5, 5, 10, 15):
        run.append({"step": step, "loss": 0.1 * step})
    with run.metrics.open("ab") as file:
        file.write(b'{"step": 10, "lo\xff')
    run.rewind(10)
    assert [row["step"] for row in run.rows()] == [5, 5, 10]
    run.append({"step": 11})
    assert [row["step"] for row in run.rows()] == [5, 5, 10, 11]
    run.rewind(0)
    assert run.rows() == []


def test_the_processor_is_text(monkeypatch):
    assert environment()["processor"]
    monkeypatch.setattr(Path, "read_text", lambda *args, **kwargs: "no such line")
    assert here._processor() is not None


def test_the_commit_is_that_of_a_tracked_file_in_a_checkout_of_aimgan(monkeypatch, tmp_path):
    """An aimgan that is installed inside another repository does not record that one's commit."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    inside = [
        tmp_path / "src" / "aimgan" / "training" / "environment.py",
        tmp_path / ".venv" / "a" / "b" / "c" / "d.py",
    ]
    for file in inside:
        file.parent.mkdir(parents=True)
        file.write_text("")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "another"\n')
    (tmp_path / ".venv" / "pyproject.toml").write_text('[project]\nname = "aimgan"\n')
    for command in (["init", "-q"], ["add", "pyproject.toml"], ["commit", "-q", "-m", "private"]):
        subprocess.run([*git, *command], check=True)
    assert [here.git_commit(file) for file in inside] == [None, None]
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "aimgan"\n')
    assert here.git_commit(inside[0]) is None  # not tracked
    subprocess.run([*git, "add", "src"], check=True)
    assert len(here.git_commit(inside[0])) == 40
    assert here.git_commit(inside[1]) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert here.git_commit(inside[0]) is None
