"""Networks of one's own: trained, resumed, saved, loaded with the networks, exported, and refused in one line."""

from __future__ import annotations

import importlib
import json
import sys
import textwrap

import numpy as np
import pytest
import torch
from torch import nn

import aimgan
from aimgan.errors import AimganError
from aimgan.explorer.serve import _subject
from aimgan.extensions import IMPORTED, import_modules
from aimgan.networks import NETWORKS, OWN, Discriminator, GaussianHead
from aimgan.objectives import OBJECTIVES
from aimgan.sharing.export import export

X = np.random.default_rng(0).random((40, 4, 4))


def make_G() -> nn.Module:
    layers = nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 16), nn.Sigmoid(), nn.Unflatten(1, (1, 4, 4))
    return nn.Sequential(*layers)


def make_D(slope: float = 0.2) -> nn.Module:
    return Discriminator(nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.LeakyReLU(slope)), nn.Linear(8, 1))


def make_E() -> nn.Module:
    return GaussianHead(nn.Linear(8, 3), nn.Linear(8, 3))


NETS = {"G": make_G, "D": make_D, "E": make_E}
SHORT = {"steps": 3, "device": "cpu", "settings": {"samples": 100, "batch_size": 8}}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit") / "run"
    aimgan.fit(**NETS, objective="aim", data=X, output=folder, **SHORT)
    return folder


def test_a_run_has_everything_and_its_model_is_saved_loaded_and_exported(run, tmp_path):
    model = aimgan.fit(**NETS, objective="aim", data=X, output=run, **SHORT)  # complete: it is loaded
    assert {path.name for path in run.iterdir()} >= {
        "checkpoints",
        "evaluation.json",
        "report.html",
        "figures",
        "model",
    }
    assert (model.shape, model.dim) == ((1, 4, 4), 3)
    assert "networks=..." in (run / "report.md").read_text()
    assert "own/vae" not in (run / "report.md").read_text()
    model.save(tmp_path / "saved")
    again = aimgan.load(tmp_path / "saved", networks={name: make() for name, make in NETS.items()})
    x = model.generate(5)
    assert torch.equal(again.encode(x).mean, model.encode(x).mean)
    assert torch.equal(again.reconstruct(x), model.reconstruct(x))
    assert _subject(again, None, "cpu").encodes  # the explorer's page opens it
    files = export(again, tmp_path / "onnx").files
    assert [path.name for path in files.values()] == ["generator.onnx", "encoder.onnx", "reconstruction.onnx"]


def test_it_goes_on_with_the_same_bits_and_refuses_other_networks(run, tmp_path):
    one = {**SHORT, "settings": {**SHORT["settings"], "schedule": "inverse-sqrt-epoch"}}  # the same at any length
    parts = [aimgan.fit(**NETS, data=X, output=tmp_path / "p", extend=True, **{**one, "steps": k}) for k in (2, 3)]
    at_once = aimgan.fit(**NETS, data=X, output=tmp_path / "w", **one)
    assert all(torch.equal(a, b) for a, b in zip(parts[1].parameters(), at_once.parameters(), strict=True))
    with pytest.raises(AimganError, match=r"holds a run with recipe\.networks\.printed = G="):
        aimgan.fit(**{**NETS, "D": lambda: make_D(0.1)}, data=X, output=run, **SHORT)


def test_a_file_names_nothing_that_is_imported(run, monkeypatch):
    monkeypatch.setattr(importlib, "import_module", None)
    with pytest.raises(AimganError, match=r"of test_fit: give E and the others, as aimgan\.load\(folder, networks="):
        aimgan.load(run)
    assert json.loads((run / "model" / "config.json").read_text())["arguments"]["module"] == "test_fit"
    assert aimgan.load(run, networks=type("namespace", (), NETS)).dim == 3
    with pytest.raises(AimganError, match=r"not a complete model \(ValueError: size mismatch for E\.1\.mean\.weight"):
        aimgan.load(run, networks={**NETS, "E": lambda: GaussianHead(nn.Linear(8, 2), nn.Linear(8, 2))})
    with pytest.warns(UserWarning, match="D is not printed as the D that was trained"):
        aimgan.load(run, networks={**NETS, "D": make_D(0.1)})
    with pytest.raises(AimganError, match="networks has no G"):
        aimgan.load(run, networks={})
    with pytest.raises(AimganError, match="the family table3: leave networks= out"):
        aimgan.load("pretrained/mnist-aim", networks=NETS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"D": None}, "aim has the networks G, E, D: D must be given, too"),
        ({"objective": "gan"}, "gan has no network E; expected G, D: leave E out"),
        ({"objective": "aime"}, "unknown objective 'aime'; did you mean 'aim'"),
        ({"stesp": 3}, "unknown argument 'stesp'; did you mean 'steps'"),
        ({"G": 3}, "G is a int; expected a torch.nn.Module"),
        ({"G": dict}, "G made a dict; expected a function that returns a torch.nn.Module"),
        ({"E": nn.Linear(8, 3)}, r"E returns a Tensor; expected aimgan.networks.Posterior\(mean, log_variance\)"),
        ({"E": nn.Linear(7, 3)}, r"E cannot take \(2, 8\) \(RuntimeError: mat1 and mat2"),
        ({"D": nn.Sequential(nn.Flatten(), nn.Linear(16, 1), nn.Flatten(0))}, "E reads D's features, and D has no"),
        ({"objective": "aim-minus"}, r"E has a variance of its own, .*: end E in GaussianHead\(mean, 0.0\)"),
        ({"pixels": (1, -1)}, r"pixels is \(1, -1\); expected the values of black and white"),
        ({"dim": 4}, r"G cannot take \(2, 4\)"),
        ({"data": X * 2}, "data: got float64 images with values from"),
    ],
)
def test_what_does_not_fit_is_said_before_the_first_step(change, message, tmp_path, unchecked_shapes):
    with pytest.raises(AimganError, match=message):
        aimgan.fit(**{**NETS, "data": X, "output": tmp_path / "run", **SHORT, **change})
    assert not (tmp_path / "run").exists()


def test_other_objectives_points_and_modules_that_are_copied(tmp_path):
    G = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))
    before = G[0].weight.clone()
    E = nn.Sequential(nn.Linear(2, 8), GaussianHead(nn.Linear(8, 2), nn.Linear(8, 2)))
    model = aimgan.fit(G=G, E=E, objective="vae", data=torch.randn(40, 2), output=tmp_path, **SHORT)
    assert (model.shape, model.value_range) == ((2,), None)
    assert torch.equal(G[0].weight, before)
    assert not torch.equal(model.G[0].weight, before)


MODULE = """
    from dataclasses import dataclass
    from torch import nn
    from aimgan.networks import MLP, NETWORKS
    from aimgan.objectives import OBJECTIVES
    from aimgan.objectives.vae import VAE

    @dataclass(eq=False)
    class Mine(VAE):
        pass

    OBJECTIVES["mine"] = Mine
    NETWORKS["mlp2"] = dataclass(frozen=True)(type("MLP2", (MLP,), {}))

    def G():
        return nn.Linear(2, 2)
"""


def test_a_module_that_is_imported_registers_what_it_has(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "registers.py").write_text(textwrap.dedent(MODULE))
    (tmp_path / "fails.py").write_text("import json\n\n1 / 0\n")
    with pytest.raises(AimganError, match=r"unknown recipe 'digits/mine'.*--import MODULE"):
        aimgan.train("digits/mine")
    try:
        import_modules(["registers"])
        settings = {"networks": "mlp2", "networks.width": 8, "samples": 100, "batch_size": 8}
        model = aimgan.train("digits/mine", tmp_path / "run", steps=1, settings=settings, device="cpu")
        assert (model.config.objective, model.config.networks, model.dim) == ("mine", "mlp2", 8)
        assert OWN["G"]().weight.shape == (2, 2)
    finally:
        del OBJECTIVES["mine"], NETWORKS["mlp2"]
        OWN.clear()
        IMPORTED.clear()
    with pytest.raises(AimganError, match=r"cannot import 'fails' \(ZeroDivisionError in .*fails.py, line 3: division"):
        import_modules(["fails"])
    with pytest.raises(AimganError, match=r"cannot import 'nosuch' \(ModuleNotFoundError: No module named 'nosuch'\)"):
        import_modules(["nosuch"])
