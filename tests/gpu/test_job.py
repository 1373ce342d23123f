"""What a job on a borrowed GPU brings back (benchmarks/gpu.py), and that the next one can go on from it."""

from __future__ import annotations

import gpu
import pytest
import torch

from aimgan.training import checkpoint
from aimgan.training.run_dir import RunDir


@pytest.mark.parametrize(("piece", "moments"), [(10_000, 1.0), (1_500, 0.0)])
def test_weights_come_back_and_moments_where_there_is_room(tmp_path, monkeypatch, piece, moments):
    monkeypatch.setattr(gpu, "PIECE", piece)
    run, out = RunDir(tmp_path / "run"), tmp_path / "out"
    run.begin({"steps": 9})
    weights = {"G.w": torch.rand(50, 50)}
    kept = {f"moment.G.w.{name}": torch.ones(50, 50) for name in ("exp_avg", "exp_avg_sq")}
    checkpoint.save(run.checkpoints, 7, {**weights, **kept, "moment.G.w.step": torch.tensor(7.0)}, run.records())
    out.mkdir()
    gpu.collect(run, out)
    assert len([*out.iterdir()]) <= gpu.FILES
    assert all(path.stat().st_size <= piece for path in out.glob("state-*"))
    later = RunDir(tmp_path / "later")
    assert gpu.unpacked(out, later)
    found = checkpoint.newest(later.checkpoints)
    assert (found.step, later.read()) == (7, run.read())
    assert torch.allclose(found.tensors["G.w"], weights["G.w"], atol=1e-3)
    assert {float(found.tensors[name].mean()) for name in kept} == {moments}
    assert float(found.tensors["moment.G.w.step"]) == 7 * moments
