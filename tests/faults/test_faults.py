"""A seeded sample of benchmarks/faults.py: real runs, killed, damaged and refused in forked processes of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import injection
import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "faults.py"


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> dict:
    if reason := injection.missing():
        pytest.skip(reason)
    output = tmp_path_factory.mktemp("faults") / "faults.json"
    done = subprocess.run(
        [sys.executable, BENCHMARK, "--sample", f"--output={output}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads(output.read_text())


def test_every_harmed_run_ends_in_the_same_bytes_or_one_line(result):
    assert {trial["verdict"] for trial in result["trials"]} <= {"same", "one line"}
    kinds = {trial["kind"] for trial in result["trials"]}
    assert kinds >= {"kill", "corruption", "disk full", "EIO", "EROFS", "short writes", "SIGTERM twice", "two at once"}
    assert any(" checkpoints" in trial["met"] for trial in result["trials"] if trial["kind"] == "kill")


def test_a_full_disk_is_one_line_with_what_is_lacking(result):
    met = [trial["met"] for trial in result["trials"] if trial["kind"] in ("disk full", "EIO", "EROFS")]
    said = [line.split("aimgan: ")[1] for line in met if "aimgan: " in line]
    assert said
    assert all("cannot " in line and ("MiB free there" in line or "cannot create" in line) for line in said)


def test_a_writer_that_writes_in_place_fails(result):
    assert any(trial["verdict"].startswith(("lost", "differs")) for trial in result["in_place"])
