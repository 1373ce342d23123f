"""What `aimgan doctor` says of this machine, and of broken ones."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from aimgan import AimganError
from aimgan.cli import doctor as module
from aimgan.cli.doctor import NOTE, OK, PROBLEM, Finding, doctor


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIMGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path


def by_name(check) -> dict[str, Finding]:
    return {finding.name: finding for finding in check()}


def report(*given, **options) -> tuple[int, str]:
    out = io.StringIO()
    return doctor(Console(file=out, width=80), *given, **options), out.getvalue()


def test_this_machine_has_no_problem(home):
    (home / "cache" / "deeper").mkdir(parents=True)
    (home / "cache" / "deeper" / "x").write_bytes(bytes(3 * 2**20))
    code, out = report(output=home / "new" / "doctor.json")
    assert code == 0, out
    lines = out.splitlines()
    assert lines[-1].startswith("0 problems, ")
    assert "\x1b" not in out
    written = json.loads((home / "new" / "doctor.json").read_text())
    assert written["problems"] == 0
    found = {finding["name"]: finding["found"] for finding in written["findings"]}
    assert len(written["findings"]) == len(lines) - 1
    assert found.keys() > {"python", "torch", "huggingface-hub", "torchvision", "cpu", "cache's size", "terminal"}
    assert "hub" not in found
    assert found["cache's size"].startswith("3.0 MiB")
    assert "PyTorch version: " in found["accelerate env"]
    with pytest.raises(AimganError, match="cannot write /proc/x"):
        report(output=Path("/proc/x.json"))


def test_packages_that_are_missing_or_too_old_are_problems_and_extras_are_notes(monkeypatch):
    wanted = ["torch>=99", "no-such-package>=2", "numpy", 'also-missing>=1; extra == "search"', 'rich; extra == "data"']
    extras = SimpleNamespace(get_all=lambda key: ["search", "data"])
    monkeypatch.setattr(module.metadata, "requires", lambda name: wanted)
    monkeypatch.setattr(module.metadata, "metadata", lambda name: extras)
    found = by_name(module._packages)
    assert {name: finding.state for name, finding in found.items()} == {
        "torch": PROBLEM, "no-such-package": PROBLEM, "numpy": OK, "extra search": NOTE, "extra data": OK,
    }  # fmt: skip
    assert found["torch"].fix == "pip install 'torch>=99'"
    assert "; expected >=99" in found["torch"].found
    assert found["extra search"].fix == "pip install 'aimgan[search]'"


BROKEN = 'raise RuntimeError("operator torchvision::nms does not exist")'


@pytest.mark.parametrize(("source", "state", "expected"), [
    (BROKEN, NOTE, "cannot be imported (RuntimeError: operator torchvision::nms does not exist)"),
    ("", OK, "not used here"),
    ("import os; os._exit(3)", NOTE, "cannot be imported (exit code 3)"),
])  # fmt: skip
def test_a_broken_torchvision_is_a_note(home, monkeypatch, source, state, expected):
    (home / "torchvision").mkdir()
    (home / "torchvision" / "__init__.py").write_text(source)
    monkeypatch.syspath_prepend(home)
    monkeypatch.setenv("PYTHONPATH", str(home))
    found = by_name(module._torchvision)["torchvision"]
    assert found.state == state
    assert expected in found.found
    assert "torchvision" not in sys.modules


def test_a_full_disk_and_what_cannot_be_written(monkeypatch):
    def with_free(size: int) -> dict[str, Finding]:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=size))
        return by_name(module._disk)

    assert [with_free(size)["this folder"].state for size in (2**40, 2**30, 2**20)] == [OK, NOTE, PROBLEM]
    monkeypatch.setenv("AIMGAN_CACHE", "/proc/cache")
    found = with_free(2**40)["cache"]
    assert found.state == PROBLEM
    assert "/proc/cache, 1,024.0 GiB free; cannot be written" in found.found
    assert found.fix.startswith("set AIMGAN_CACHE")


def test_a_check_that_fails_is_a_problem_and_the_others_go_on(monkeypatch):
    def broken():
        raise OSError("libcudart.so.12:\ncannot open")

    monkeypatch.setattr(module, "CHECKS", {"cpu": broken, "python": module._python})
    code, out = report()
    assert code == 1
    cpu, python, last = out.splitlines()
    assert cpu.split(maxsplit=2) == ["problem", "cpu", f"OSError: libcudart.so.12: cannot open. {module.REINSTALL}"]
    assert python.startswith("ok")
    assert last == "1 problems, 0 notes"


def test_a_torch_that_cannot_be_imported_is_no_traceback(home):
    (home / "torch").mkdir()
    (home / "torch" / "__init__.py").write_text("raise OSError('libtorch.so: invalid ELF header')")
    code = "from rich.console import Console; from aimgan.cli.doctor import doctor; raise SystemExit(doctor(Console()))"
    source = str(Path(module.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={"PYTHONPATH": f"{home}:{source}", "HOME": str(home), "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 1, done
    assert done.stderr == ""
    assert done.stdout.count(f"OSError: libtorch.so: invalid ELF header. {module.REINSTALL}") == 3


def test_a_gpu_that_torch_does_not_see(home, monkeypatch):
    (home / "gpus" / "0").mkdir(parents=True)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert by_name(module._gpu)["cuda"].state == OK
    monkeypatch.setattr(module, "GPUS", home / "gpus")
    assert by_name(module._gpu)["cuda"].state == NOTE


def test_more_threads_than_cores(monkeypatch):
    monkeypatch.setattr("torch.get_num_threads", lambda: 10_000)
    found = by_name(module._processor)["cpu"]
    assert found.state == NOTE
    assert "export OMP_NUM_THREADS=" in found.fix
