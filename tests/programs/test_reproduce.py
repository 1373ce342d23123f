"""`aimgan reproduce`, tiny: what it writes, that it goes on where it was, and what a run that fails comes to."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from aimgan.paper import methods, parallel
from aimgan.paper.methods import Method
from aimgan.paper.reproduce import TARGETS, Request, resolved
from aimgan.paper.table2 import page as page_of
from aimgan.paper.training_run import Attempt, Outcome, TrainingRun, outcome

STEPS = 20


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _poll_often(monkeypatch):
    monkeypatch.setattr(parallel, "POLL", 0.02)


def train_here(aimgan, run: TrainingRun, folder: str) -> None:
    """Train a run in this process: it counts as done, however it was made."""
    words = [*run.command[1:], f"--output={folder}/{run.name}"]
    assert aimgan(*words).code == 0


def test_table_2_and_figure_3(aimgan, monkeypatch):
    """A method that works, one that diverges, one whose folder is taken, and one that is done already."""
    monkeypatch.setitem(methods.METHODS, "wild", Method("wild", "Wild & 100 %", "gan", {"lr": 1e30}))
    monkeypatch.setitem(methods.METHODS, "taken", Method("taken", "Taken", "gan", {"lr": 0.5}))
    aim = TrainingRun("grid/aim", {}, 0, STEPS)
    train_here(aimgan, aim, "out/cells")
    obstacle = Path("out/cells", TrainingRun("grid/gan", {"lr": 0.5}, 0, STEPS).name)
    obstacle.mkdir()
    (obstacle / "mine.txt").write_text("not a run")

    words = ("reproduce", "table2", "--methods", "gan,wild,taken,aim-weighted", "--seeds", 1, "--steps", STEPS)
    words = (*words, "--output", "out", "--workers", 3, "--device", "cpu")
    done = aimgan(*words)
    assert done.code == 1
    assert done.error.startswith("aimgan: 1 of 4 runs failed (logs in out/cells); the first: ")
    assert "exists and is not a run folder: choose another --output" in done.error
    assert (obstacle.parent / f"{obstacle.name}.log").is_file()
    assert "1 of 4 runs are done already" in done.out
    assert "grid-gan-lr=1e+30-steps=20-seed0: stopped: GAN: " in done.out

    words = [word.replace("taken,", "") if isinstance(word, str) else word for word in words]
    done = aimgan(*words)
    assert (done.code, done.error) == (0, "")
    assert "3 of 3 runs are done already" in done.out  # the one that diverged is a result
    results = json.loads(Path("out/table2.json").read_text())
    check_results(results)
    page = Path("out/table2.md").read_text(encoding="utf-8")
    assert page == page_of(results).markdown()
    assert "| Wild & 100 % | - | - | - |" in page
    assert "- wild, seed 0: stopped: GAN: loss/" in page
    assert "PacGAN4" in page
    assert Path("out/table2.tex").read_text(encoding="utf-8") == page_of(results).latex()
    assert "Wild" not in page_of(results).latex()  # it has no finished run

    done = aimgan("reproduce", "figure3", "--methods", "aim-weighted,gan,wild", "--steps", STEPS, "--output", "out",
                  "--device", "cpu")  # fmt: skip
    assert (done.code, done.error) == (0, "")
    assert "Wild & 100 % is left out: stopped" in done.out
    with Image.open("out/figure3.png") as picture:
        assert 1.5 < picture.width / picture.height < 2.5  # two rows of four


def check_results(results) -> None:
    assert results["command"] == (
        f"aimgan reproduce table2 --methods gan,wild,aim-weighted --seeds 1 --steps {STEPS} --data grid --device cpu"
    )
    by_method = {cell["method"]: cell for cell in results["cells"]}
    assert [cell["state"] for cell in by_method.values()] == ["finished", "stopped", "finished"]
    gan, wild = by_method["gan"], by_method["wild"]
    assert gan["command"] == f"aimgan train grid/gan --seed=0 --steps={STEPS} --device=cpu"
    assert gan["scores"]["modes"] in range(26)
    assert "mode_counts" not in gan["scores"]
    assert gan["environment"]["threads"] == 1
    assert gan["seconds"] > 0.5
    assert wild["scores"] is None
    assert "nan" in wild["error"] or "inf" in wild["error"]
    about = {method["method"]: method for method in results["methods"]}
    assert about["gan"]["parameters"] < about["aim-weighted"]["parameters"]
    assert about["gan"]["paper"] == {"modes": 3.3, "high_quality": 0.5}
    assert about["wild"]["lr"] == 1e30
    assert results["real"][0]["modes"] == 25
    assert {"VEEGAN", "ALI", "PacGAN4"} <= {method["label"] for method in results["references"]}


def test_settings_are_of_every_run():
    """Both in a table, beside a method's own and in the command that the page shows, and in figure 4."""
    settings = {"weighting": "generator", "lr": "1e-3"}
    request = Request("table2", ["aim", "aim-weighted"], seeds=1, device="cpu", settings=settings)
    experiment = resolved(request, TARGETS["table2"])
    for run in experiment.runs:
        assert run.settings == settings
        assert {"--set=weighting=generator", "--set=lr=1e-3"} <= set(run.command)
    assert experiment.command.endswith("--device cpu --set weighting=generator --set lr=1e-3")
    (drawn,) = resolved(Request("figure4", settings={"lr": "1e-3"}), TARGETS["figure4"]).methods
    assert drawn.settings == {"lr": "1e-3", "networks.dim": 2}


def test_a_stop_saves_what_runs_and_says_so(aimgan):
    run, folder = TrainingRun("grid/gan", {}, 0, 1_500), Path("out/cells")

    def stop_when_it_trains() -> None:
        log = folder / run.name / "metrics.jsonl"
        while not log.exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    words = ("reproduce", "table2", "--methods", "gan", "--seeds", 2, "--steps", 1_500, "--output", "out",
             "--workers", 1, "--device", "cpu")  # fmt: skip
    threading.Thread(target=stop_when_it_trains, daemon=True).start()
    done = aimgan(*words)
    assert done.code == 130
    assert done.error == "aimgan: stopped with 0 of 2 runs done; run the same command again to go on\n"
    assert "stopping: the runs in progress save their state" in done.out
    saved = [path for path in (folder / run.name / "checkpoints").iterdir() if path.name.isdecimal()]
    assert 0 < int(max(path.name for path in saved)) < 1_500
    assert not (folder / TrainingRun("grid/gan", {}, 1, 1_500).name).exists()
    assert "0/2, 2 missing" in Path("out/table2.md").read_text(encoding="utf-8")
    record = json.loads((folder / f"{run.name}.json").read_text())
    assert (record["attempts"], record["stopped"]) == (1, None)
    assert outcome(run, folder) == Outcome("missing", seconds=record["seconds"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("table3", "unknown target 'table3'; did you mean 'table2'?"),
        ("table2 --methods gna", "unknown method 'gna'; did you mean 'gan'?"),
        ("table2 --methods ,", "--methods names nothing"),
        ("table2 --data rign", "unknown data set 'rign'; did you mean 'ring'?"),
        ("table2 --seeds 0", "--seeds is 0; expected how many, at least 1"),
        ("table2 --seed 1", "table2 has several seeds: pass --seeds N (how many) instead of --seed 1"),
        ("figure3 --seeds 2", "figure3 has one seed: pass --seed N instead of --seeds 2"),
        ("table2 --set compil=true", "unknown setting of grid/gan 'compil'; did you mean 'compile'?"),
        ("table2 --workers 0", "--workers is 0; expected at least 1"),
        ("table2 --methods gan --output file", "cannot write in file"),
    ],
)
def test_mistakes(aimgan, words, message):
    Path("file").write_text("")
    done = aimgan("reproduce", *words.split())
    assert (done.code, done.out) == (1, "")
    assert done.error.startswith("aimgan: ")
    assert done.error.count("\n") == 1
    assert message in done.error
    assert [path.name for path in Path().iterdir()] == ["file"]


def test_a_run_that_is_killed_says_so_and_keeps_its_log(tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho step 1\nkill -9 $$\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    run = TrainingRun("grid/gan")
    found = Attempt(run, tmp_path).outcome()
    assert found == Outcome("failed", error="the process ended with code -9; it may have been killed")
    assert (tmp_path / f"{run.name}.log").read_text() == "step 1\n"


def test_an_objective_can_be_asked_for_by_its_own_name():
    found = methods.chosen(["aim-minus", "vae", "aim", "vae"], "ring")
    assert [method.recipe("ring") for method in found] == ["ring/aim-minus", "ring/vae", "ring/aim"]
    assert found[2].settings == {"weighting": "none"}
    assert [method.key for method in methods.chosen(None, "grid")] == list(methods.METHODS)


def test_names_of_runs_are_unique_and_readable():
    ways = (
        ("grid/aim",), ("grid/aim-minus",), ("grid/aim", {"weight": 0.5}), ("grid/aim", {}, 1), ("grid/aim", {}, 0, 10),
        ("grid/aim", {}, 0, None, "cuda"), ("ring/aim",), ("grid/aim", {"networks.generator_norm": True}),
        ("grid/aim", {"value": "a/b"}),
    )  # fmt: skip
    runs = [TrainingRun(*way) for way in ways]
    names = [run.name for run in runs]
    assert names[:3] == ["grid-aim-seed0", "grid-aim-minus-seed0", "grid-aim-weight=0.5-seed0"]
    assert len(set(names)) == len(names)
    assert not any("/" in name for name in names)
    assert "--set=networks.generator_norm=true" in runs[7].command
