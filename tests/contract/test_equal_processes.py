"""Real processes over gloo, by torchrun: 2 and 4 equal 1; stops, losses of a process, and other numbers of them."""

from __future__ import annotations

from pathlib import Path

import launched
import pytest
import torch
from contract_players import OF_A_WHOLE_BATCH, WITH_A_POOL
from safetensors.torch import load_file
from torch import Tensor

from aimgan.objectives import OBJECTIVES
from aimgan.training import checkpoint

pytestmark = pytest.mark.slow
FLOAT32 = 1e-4  # of losses about 1, averaged over processes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all launches leave behind."""
    folder = tmp_path_factory.mktemp("processes")
    launched.everything(folder, "float64")
    return folder


@pytest.fixture(scope="module")
def one() -> dict[str, Tensor]:
    return launched.states()


@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name not in {*OF_A_WHOLE_BATCH, WITH_A_POOL[0]}])
def test_processes_equal_one(folder: Path, one: dict[str, Tensor], name: str, world: int) -> None:
    several = load_file(folder / f"float64-{world}.safetensors")
    mine, theirs = ({k: v for k, v in state.items() if k.startswith(f"{name}/")} for state in (one, several))
    assert mine
    assert mine.keys() == theirs.keys()
    for key, value in mine.items():
        torch.testing.assert_close(theirs[key], value, rtol=1e-9, atol=1e-9)


def model(folder: Path, name: str) -> dict[str, Tensor]:
    return load_file(folder / name / "model" / "model.safetensors")


def test_a_run_of_two_processes_is_that_of_one(folder: Path) -> None:
    one, two = (launched.losses(folder / name) for name in ("one", "whole"))
    assert len(one) == 24
    assert two == pytest.approx(one, abs=FLOAT32)
    for rank in range(2):  # every process has the model, also where there is no folder
        returned = load_file(folder / f"returned-{rank}.safetensors")
        assert all(value.equal(returned[key]) for key, value in model(folder, "whole").items())


def test_a_killed_process_and_a_stopped_launch_change_no_byte(folder: Path) -> None:
    """At once after the kill the job was restarted; SIGTERM to torchrun then stopped it with its state saved."""
    errors = (folder / "command.txt").read_text()
    assert "Signal 9 (SIGKILL)" in errors or "exitcode: -9" in errors
    assert "another process of this launch has ended" in errors
    step = int((folder / "step.txt").read_text())
    assert launched.TOLD <= step < launched.STEPS
    assert errors.count(f"aimgan: stopped after step {step} of 120; run the same command again to go on") == 1
    paths = [folder / name / "model" / "model.safetensors" for name in ("killed", "whole")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_signal_to_one_process_stops_all_after_the_same_step(folder: Path) -> None:
    told = {(folder / f"stopped-{rank}.txt").read_text() for rank in range(2)}
    assert told == {f"Interrupted: stopped after step {launched.BY_TWO + 1} of 120"}


def test_a_run_begun_by_two_goes_on_with_one_and_with_four(folder: Path) -> None:
    assert (folder / "elastic-0.txt").read_text() == "Interrupted: stopped after step 12 of 120"
    assert launched.losses(folder / "elastic") == pytest.approx(launched.losses(folder / "one"), abs=FLOAT32)


def test_a_process_that_has_come_apart_is_found_before_the_state_is_saved(folder: Path) -> None:
    for rank in range(2):
        told = (folder / f"differing-{rank}.txt").read_text()
        assert told.startswith("AimganError: 2 processes have different E.")
        assert "after step 120; expected equal bits" in told
    assert checkpoint.newest(folder / "differing" / "checkpoints") is None


def test_a_batch_that_cannot_be_shared_is_refused(folder: Path) -> None:
    for rank in range(2):
        told = (folder / f"shared-{rank}.txt").read_text()
        assert told.startswith("AimganError: batch_size is 255, but 2 processes share it; expected a multiple, with at")
    assert not (folder / "shared").exists()


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("seeds", "seed: 0 in process 0, 1 in process 1;"),
        ("pixels", "the images' fingerprint: "),
        ("counts", "the number of training images and 1 more: 180 in process 0, 135 in process 1;"),
    ],
)
def test_processes_with_other_settings_or_data_are_refused_before_the_first_step(folder: Path, name: str, what: str):
    for rank in range(2):
        told = (folder / f"{name}-{rank}.txt").read_text()
        assert told.startswith(f"AimganError: processes of this launch differ in {what}")
    assert not (folder / name).exists()


def test_a_fresh_encoder_is_the_same_in_every_process(folder: Path) -> None:
    saved = model(folder, "refit")
    assert any(name.startswith("E.") for name in saved)
    for rank in range(2):
        returned = load_file(folder / f"refitted-{rank}.safetensors")
        assert returned.keys() == saved.keys()
        assert all(value.equal(returned[key]) for key, value in saved.items())
    assert launched.RunDir(folder / "refit" / "refit-20").rows()[-1]["step"] == 10


def test_a_signal_while_a_run_is_finished_stops_the_first_and_frees_the_others(folder: Path) -> None:
    assert (folder / "finishing-0.txt").read_text().startswith("Interrupted: stopped after step 120 of 120, before")
