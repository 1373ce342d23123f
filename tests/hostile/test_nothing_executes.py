"""No pickle is read, and nothing in a file is run: looked for in the source, and tried."""

from __future__ import annotations

import ast
import io
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import files
import numpy as np
import pytest
import torch
from folders import tree

import aimgan
from aimgan.cli import inputs
from aimgan.data.images import load_images
from aimgan.errors import AimganError
from aimgan.evaluation.feature_networks import torchscript
from aimgan.files import write_json
from aimgan.recipes.recipe import with_settings
from aimgan.recipes.resolving import settings_of
from aimgan.runs import evaluate as evaluation
from aimgan.runs.evaluate import Options, evaluate_run
from aimgan.search import build
from aimgan.search.images import require_own
from aimgan.training import checkpoint
from aimgan.training.run_dir import RunDir

SOURCE = Path(__file__).parents[2] / "src" / "aimgan"
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml", "code", "runpy", "imp"}
CALLS = {
    *files.words("eval exec compile __import__ execfile torch.load torch.save os.system os.popen subprocess.getoutput"),
    *files.words("torch.hub.load torch.jit.load torch.package.PackageImporter importlib.import_module"),
}
RISKY = {("allow_pickle", "True"), ("weights_only", "False"), ("shell", "True"), ("trust_remote_code", "True")}
# What is allowed, and why: docs/security.md.
ALLOWED = {
    ("evaluation/inception_weights.py", "torch.jit.load"),  # a file with a known checksum, or one that the user names
    ("extensions.py", "importlib.import_module"),  # modules that the user names with --import
}


def forbidden(text: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] in MODULES}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            found.add(node.module or "")
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            extracts = name.endswith((".extract", ".extractall"))  # archives are read in memory
            if name in CALLS or extracts or (name == "np.load" and len(node.args) > 2):  # the third is allow_pickle
                found.add(name)
            words = {(word.arg, ast.unparse(word.value)) for word in node.keywords}
            found |= {f"{name}={value}" for name, value in words & RISKY}
    return found


def test_the_package_calls_nothing_that_executes_what_it_reads():
    for bad in (
        "import pickle", "from joblib import load", "import yaml", "eval(x)", "torch.load(p)", "tar.extractall(path)",
        "np.load(f, allow_pickle=True)", "np.load(f, None, True)", "torch.load(p, weights_only=False)",
        "subprocess.run(x, shell=True)",
    ):  # fmt: skip
        assert forbidden(bad), bad
    assert not forbidden("re.compile(x)\nmodel.eval()")
    found = {
        (file.relative_to(SOURCE).as_posix(), what)
        for file in SOURCE.rglob("*.py")
        for what in forbidden(file.read_text(encoding="utf-8"))
    }
    assert found <= ALLOWED


def pickles(path: Path) -> dict[str, bytes]:
    """The same malice in each dress that a pickle comes in."""
    torch_zip, objects = io.BytesIO(), np.array([files.Evil(path)], object)
    torch.save({"weight": files.Evil(path)}, torch_zip)
    archive = io.BytesIO()
    np.savez(archive, images=objects)
    single = io.BytesIO()
    np.save(single, objects, allow_pickle=True)
    return {
        "pickle": pickle.dumps(files.Evil(path)),
        "torch": torch_zip.getvalue(),
        "npz": archive.getvalue(),
        "npy": single.getvalue(),
        "zip": files.zipped({"a.pkl": pickle.dumps(files.Evil(path)), "a.png": b"x"}),
    }


@pytest.mark.parametrize("dress", ["pickle", "torch", "npz", "npy", "zip"])
def test_a_malicious_pickle_runs_nowhere(tmp_path, dress, monkeypatch):
    ran = tmp_path / "ran"
    content = pickles(ran)[dress]
    for suffix in (".pt", ".npz", ".npy", ".zip", ".parquet", ".png"):
        path = tmp_path / f"data{suffix}"
        path.write_bytes(content)
        for read in (lambda path=path: load_images(path, size=8), lambda path=path: inputs.read([str(path)], (2,))):
            with pytest.raises(AimganError):
                read()
    with pytest.raises(AimganError, match="expected TorchScript"):
        torchscript(tmp_path / "data.pt")
    folder = tmp_path / "model"
    files.model().save(folder)
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(AimganError, match="is not a complete model"):
        aimgan.load(folder)
    (tmp_path / "checkpoints" / "000000001").mkdir(parents=True)
    (tmp_path / "checkpoints" / "000000001" / checkpoint.TENSORS).write_bytes(content)
    with pytest.warns(checkpoint.TornCheckpointWarning):
        assert checkpoint.newest(tmp_path / "checkpoints") is None
    assert not ran.exists()


def test_the_pickles_above_do_run_where_they_are_read(tmp_path):
    pickle.loads(pickles(tmp_path / "ran")["pickle"])
    assert (tmp_path / "ran").exists()


def test_a_run_cannot_name_code_that_its_evaluation_would_load(tmp_path):
    """TorchScript is code: only who evaluates may name it, never the run.json of a stranger."""
    recipe = aimgan.RECIPES["digits/aim"]
    settings = settings_of(recipe, 0, 3)
    settings["recipe"]["features"] = str(tmp_path / "theirs.pt")
    files.model().save(tmp_path / "run" / "model")
    write_json(tmp_path / "run" / "run.json", {"settings": settings})
    from rich.console import Console

    with pytest.raises(AimganError, match=r"theirs\.pt, which is code: pass --features, if you trust it"):
        evaluate_run(tmp_path / "run", Options(device="cpu"), Console(quiet=True))


def test_a_run_or_an_index_of_a_stranger_does_not_say_what_is_read(tmp_path, monkeypatch):
    """Its images may be any folder here, or private data on the Hub: who uses it names them, or agrees."""
    from rich.console import Console

    monkeypatch.setenv("AIMGAN_CACHE", str(tmp_path / "cache"))
    quiet, run = Console(quiet=True), RunDir(tmp_path / "run")
    recipe = with_settings(aimgan.RECIPES["folder/aim"], {"data.path": "me/private"})
    files.model().save(run.model)
    settings = settings_of(recipe, 0, 3)
    write_json(run.record, {"settings": settings, "data_signature": "0" * 64})
    asked = []
    monkeypatch.setattr(evaluation, "loaded", lambda source, console: asked.append(source.path) or 1 / 0)
    refused = r"was not trained by you here, .*'me/private': pass --data me/private, if you trust it"
    with pytest.raises(AimganError, match=refused):
        evaluate_run(run.path, Options(device="cpu"), quiet)
    assert asked == []
    with pytest.raises(ZeroDivisionError):
        evaluate_run(run.path, Options(data="me/private", device="cpu"), quiet)
    run.begin(settings)  # by the command that trains it further, which names the data
    with pytest.raises(ZeroDivisionError):
        evaluate_run(run.path, Options(device="cpu"), quiet)

    index = build(files.model(), tree(), tmp_path / "index")
    assert index.is_own
    theirs = replace(index, record=replace(index.record, source=str(tmp_path / "mine")))
    with pytest.raises(AimganError, match=r"was not built by you here, .*: pass --images .* to `aimgan search`"):
        require_own(theirs, quiet)
    terminal = Console(force_terminal=True, file=io.StringIO())
    monkeypatch.setattr("sys.stdin", io.StringIO("y\nn\n"))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    require_own(theirs, terminal)
    with pytest.raises(AimganError, match="was not built by you here"):
        require_own(theirs, terminal)


def test_members_of_a_zip_are_written_nowhere(tmp_path, monkeypatch):
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    Path("x.zip").write_bytes(files.ZIPS[1])
    data = load_images("x.zip", size=8)
    assert len(data.train) + len(data.test) == 3
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "x.zip"]
    assert zipfile.ZipFile("x.zip").namelist()[0] == "../../up.png"
