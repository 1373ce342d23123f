"""What a stranger gets: files that need no aimgan, and answer as the model does."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from aimgan import AimganError
from aimgan.model import LatentVariableModel, ModelConfig
from aimgan.networks import StandardNormal, StochasticGenerator
from aimgan.sharing import export as exporting
from aimgan.sharing.export import BATCHES, TOLERANCE, export, graphs_of

ALL = {"generator", "encoder", "reconstruction"}
SMALL = {"shape": [3, 16, 16], "dim": 5, "width": 32}
CONFIGS = {
    "points": ModelConfig("mlp", {"width": 16}, "aim-minus", "unit", True),
    "table 3": ModelConfig("table3", {"width": 64, "dim": 6}, "aim", "gaussian", True),
    "table 4": ModelConfig("table4", SMALL, "age", "sphere", False, {}, "both", "both"),
    "residual": ModelConfig("residual", SMALL, "avb", "implicit", False),
    "half": ModelConfig("mlp", {"shape": [1, 8, 8], "dim": 3, "width": 16}, "infogan", "partial", False),
    "gan": ModelConfig("mlp", {"width": 16}, "gan", None, False),
}

FRESH = """
import sys, numpy, onnxruntime
folder, name = sys.argv[1:]
given = numpy.load(f"{folder}/{name}.npz")
session = onnxruntime.InferenceSession(f"{folder}/files/{name}.onnx")
for n in (1, 7, 64):
    outputs = session.run(None, {session.get_inputs()[0].name: given[f"in{n}"]})
    print(max(abs(got - given[f"out{n}_{k}"]).max() for k, got in enumerate(outputs)))
assert not any(name in sys.modules for name in ("torch", "aimgan"))
"""


def model(name: str) -> LatentVariableModel:
    made = LatentVariableModel.build(CONFIGS[name])
    for buffer in made.buffers():  # statistics of their own, as after training
        if buffer.is_floating_point() and buffer.numel() != made.dim:
            buffer.uniform_(0.5, 1.5)
    return made


def test_onnx_files_answer_in_a_process_without_torch(tmp_path, capfd):
    table3 = model("table 3")
    done = export(table3, tmp_path / "files")
    assert capfd.readouterr() == ("", "")
    assert {path.name for path in (tmp_path / "files").iterdir()} == {f"{name}.onnx" for name in ALL} | {"README.md"}
    assert done.files == {name: tmp_path / "files" / f"{name}.onnx" for name in ALL}
    assert max(done.differences.values()) <= TOLERANCE
    assert done.lines()[0].startswith(f"wrote {tmp_path}/files/generator.onnx: differs from PyTorch by ")
    for name, graph in graphs_of(table3).items():
        arrays = {f"in{n}": graph.example(n).numpy() for n in BATCHES}
        arrays |= {f"out{n}_{k}": x.numpy() for n in BATCHES for k, x in enumerate(graph.answer(graph.example(n)))}
        np.savez(tmp_path / f"{name}.npz", **arrays)
        told = subprocess.check_output([sys.executable, "-c", FRESH, tmp_path, name], text=True)
        differences = [float(line) for line in told.split()]
        assert len(differences) == 3
        assert max(differences) <= TOLERANCE
    assert str(Path(__file__).parents[2]).encode() not in (tmp_path / "files" / "encoder.onnx").read_bytes()


@pytest.mark.parametrize("name", ["gan", "table 4", "residual"])
def test_the_other_families_as_onnx(name, tmp_path, monkeypatch):
    graphs = graphs_of(model(name))
    last = "reconstruction" if "reconstruction" in graphs else "generator"  # the one that holds all networks
    monkeypatch.setattr(exporting, "graphs_of", lambda model: {last: graphs[last]})
    assert export(model(name), tmp_path / "files").differences[last] <= TOLERANCE


@pytest.mark.parametrize("name", ["points", "table 4", "half", "gan"])
def test_torch_programs_of_every_kind(name, tmp_path):
    done = export(model(name), tmp_path / "files", "torch")
    expected = {"gan": {"generator"}, "table 4": ALL | {"decoder"}}  # its G has statistics of its own for codes of data
    assert set(done.differences) == expected.get(name, ALL)
    assert max(done.differences.values()) <= TOLERANCE
    program = torch.export.load(done.files["generator"]).module()
    assert program(torch.zeros(5, model(name).dim))[0].shape == (5, *model(name).shape)
    with zipfile.ZipFile(done.files["generator"]) as archive:  # weights as bytes: only the traced example is pickled
        assert sum(archive.read(member)[:2] in (b"PK", b"\x80\x02") for member in archive.namelist()) == 1
        assert not any(str(Path.home()).encode() in archive.read(member) for member in archive.namelist())
    rows = [line for line in (tmp_path / "files" / "README.md").read_text().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [path.name for path in done.files.values()]


def test_the_decoder_rebuilds_what_the_encoder_infers(tmp_path):
    made = model("table 4")
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.3)
    files = export(made, tmp_path / "files", "torch").files
    x = made.generate(4, torch.Generator().manual_seed(0))
    encoder, decoder, generator = (torch.export.load(files[f]).module() for f in ("encoder", "decoder", "generator"))
    (z,) = encoder(x)
    torch.testing.assert_close(decoder(z)[0], made.reconstruct(x), rtol=0, atol=TOLERANCE)
    assert (generator(z)[0] - made.reconstruct(x)).abs().max() > 100 * TOLERANCE
    assert "a code that the encoder inferred" in (tmp_path / "files" / "README.md").read_text()


def test_a_point_has_no_variance_to_export():
    outputs = {name: graphs_of(model(name))["encoder"].outputs for name in ("table 4", "half")}
    assert outputs == {"table 4": ("mean",), "half": ("mean", "log_variance")}


def test_the_example_in_the_readme_runs(tmp_path):
    export(model("gan"), tmp_path / "files", "torch")
    code = (tmp_path / "files" / "README.md").read_text().split("```")[1].removeprefix("python")
    told = subprocess.check_output([sys.executable, "-c", code], cwd=tmp_path / "files", text=True)
    assert told == "torch.Size([16, 2])\n"


class Dice(nn.Module):
    def forward(self, z):
        return z + torch.rand_like(z)


def test_what_is_refused_leaves_nothing(tmp_path, monkeypatch):
    gan = model("gan")
    folder = tmp_path / "files"
    with pytest.raises(AimganError, match="unknown format 'onx'; did you mean 'onnx'"):
        export(gan, folder, "onx")
    with pytest.raises(AimganError, match=r"generator\.pt2 differs from the model by .* expected at most 0\.0001"):
        export(LatentVariableModel(Dice(), None, StandardNormal(2), CONFIGS["gan"]), folder, "torch")
    noisy = StochasticGenerator(nn.Linear(3, 2), 1)
    with pytest.raises(AimganError, match="draws noise of its own"):
        export(LatentVariableModel(noisy, None, StandardNormal(2), CONFIGS["gan"]), folder, "torch")
    monkeypatch.setattr(exporting, "find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(AimganError, match=r"needs onnxscript: pip install 'aimgan\[export\]'"):
        export(gan, folder)
    assert list(tmp_path.iterdir()) == []
    folder.mkdir()
    (folder / "thesis.tex").touch()
    with pytest.raises(AimganError, match=r"contains thesis\.tex, which is not a file of an export"):
        export(gan, folder, "torch")
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


def test_an_export_is_replaced_and_the_model_left_alone(tmp_path):
    gan = model("gan").train()
    before = {name: value.clone() for name, value in gan.state_dict().items()}
    export(gan, tmp_path, "torch")
    nn.init.zeros_(gan.G[0].weight)
    export(gan, tmp_path, "torch")
    assert gan.training
    assert all(parameter.requires_grad for parameter in gan.parameters())
    assert sum(not torch.equal(before[name], value) for name, value in gan.state_dict().items()) == 1
