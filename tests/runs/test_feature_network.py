"""When a run makes the network that its images are scored by."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils.data import TensorDataset

import aimgan
from aimgan.runs import job
from aimgan.training.run_dir import RunDir

SHORT = {"steps": 2, "device": "cpu", "settings": {"networks.width": 16, "batch_size": 8, "samples": 100}}


def digits(classes: int) -> TensorDataset:
    return TensorDataset(torch.rand(40, 1, 28, 28), torch.arange(40) % classes)


def test_a_classifier_is_trained_after_the_last_step_at_the_earliest(tmp_path: Path, monkeypatch):
    steps_before: list[int] = []

    def no_network(*_: object) -> None:
        steps_before.append(RunDir(tmp_path / "run").rows()[-1]["step"])

    monkeypatch.setattr(job, "network_for", no_network)
    aimgan.train("mnist/aim", tmp_path / "run", data=digits(10), **SHORT)
    assert steps_before == [2]  # once, although the last evaluation in training and the final one want it


def test_what_is_no_digit_is_refused_before_the_folder(tmp_path: Path):
    with pytest.raises(aimgan.AimganError, match="'digits' got images of"):
        aimgan.train("mnist/aim", tmp_path / "run", data=digits(20), **SHORT)
    assert not (tmp_path / "run").exists()
