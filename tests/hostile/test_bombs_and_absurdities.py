"""What is small and becomes large, never ends, or is no file at all: refused in one line, before memory is taken."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import time
from io import StringIO
from pathlib import Path

import files
import numpy as np
import pytest
import torch
from properties import bounded
from rich.console import Console

import aimgan
from aimgan import checked
from aimgan.cli import inputs
from aimgan.cli import model_verbs as verbs
from aimgan.cli.info import tell
from aimgan.data.arrays import read_arrays
from aimgan.data.decode import UndecodableError, decode
from aimgan.data.images import load_images
from aimgan.data.sources import find
from aimgan.errors import AimganError, plain
from aimgan.figures import curves
from aimgan.recipes.recipe import from_dict, with_settings
from aimgan.recipes.resolving import recorded
from aimgan.sharing.hub import load
from aimgan.training.run_dir import RunDir


@pytest.fixture(autouse=True)
def _light_and_quick():
    """Nothing here may take 300 MiB or a minute (of a busy machine)."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with bounded():
        yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024


@pytest.fixture
def saved(tmp_path) -> Path:
    files.model().save(tmp_path / "model")
    return tmp_path / "model"


def refused(what: str, call, *given: object) -> None:
    with pytest.raises(AimganError, match=what or None) as error:
        call(*given)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 2_500


def rewrite(folder: Path, **changes: object) -> None:
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | changes))


# --- models ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arguments": {"width": 10**9}}, "networks.width is 1000000000; expected at most 1,048,576"),
        ({"arguments": {"width": 2**20, "shape": [1, 8, 8], "dim": 2}}, "size mismatch for G.0.weight"),
        ({"arguments": {"depth": 10**9}}, "networks.depth is 1000000000; expected at most 256"),
        ({"arguments": {"width": 10**400}}, "expected an integer of 64 bits"),
        ({"arguments": {"width": -4}}, "expected at least 1"),
        ({"arguments": {"width": True}}, "width is True; expected an integer"),
        ({"arguments": {"shape": [2**20] * 3}}, "at most 268,435,456 numbers"),
        ({"arguments": {"shape": [1, "8", 8]}}, "expected integers"),
        ({"arguments": {"scale": float("nan")}}, "scale is nan; expected a finite number"),
        ({"networks": "residual", "arguments": {"blocks": 10**9}}, "at most 256"),
        ({"networks": "__import__('os')"}, "unknown network family"),
        ({"networks": ["mlp"]}, "networks is"),
        ({"posterior": "\x1b[31mred"}, r"unknown posterior '\\x1b\[31mred'"),
        ({"about": 3}, "about is 3; expected named values"),
        ({"reads_features": "yes"}, "reads_features is 'yes'; expected true or false"),
        ({"about": json.loads("[" * 60 + "]" * 60)}, "nested more than 50 levels"),
    ],
)
def test_absurd_configs(saved, changes, message):
    rewrite(saved, **changes)
    refused(message, aimgan.load, saved)


def test_json_that_is_deep_huge_or_no_file(saved):
    config = saved / "config.json"
    for text, message in (
        (files.DEEP, "nested more than 50 levels"),
        (f'{{"format": {files.HUGE}}}', "is not a complete model"),
        (" " * 9_000_000, "over 8,388,608 bytes"),
    ):
        config.write_text(text)
        refused(message, aimgan.load, saved)
    config.unlink()
    os.mkfifo(config)
    refused("not a regular file", aimgan.load, saved)


def tensor_of(shape: list[int]) -> dict[str, object]:
    return {"dtype": "F32", "shape": shape, "data_offsets": [0, 8]}


ONE = b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
HEADERS = {
    "length 2^63": files.safetensors({}, length=2**63),
    "length past the end": files.safetensors({}, length=1_000),
    "no JSON": files.safetensors(b"[" * 200_000),
    "overlapping": files.safetensors({"a": tensor_of([2]), "b": tensor_of([2])}, bytes(8)),
    "another shape": files.safetensors({"a": tensor_of([10**9, 10**9])}, bytes(8)),
    "twice the key": files.safetensors(b"{" + ONE + ONE[:-1] + b"}", bytes(4)),
}


@pytest.mark.parametrize("header", HEADERS)
def test_absurd_safetensors(saved, header):
    (saved / "model.safetensors").write_bytes(HEADERS[header])
    refused("is not a complete model", aimgan.load, saved)


@pytest.mark.parametrize(
    ("value", "message"), [(float("nan"), "NaN"), (float("inf"), "NaN or infinite"), (3, "type I64")]
)
def test_weights_that_are_no_numbers(saved, value, message):
    from safetensors.torch import load_file, save_file

    tensors = load_file(saved / "model.safetensors")
    full = torch.full_like(tensors["G.0.weight"], value)
    save_file(tensors | {"G.0.weight": full.long() if value == 3 else full}, saved / "model.safetensors")
    refused(message, aimgan.load, saved)


def test_huge_but_finite_weights_give_what_cannot_be_drawn(saved, tmp_path):
    model = aimgan.load(saved)
    torch.nn.init.constant_(model.G[0].weight, 1e38)
    model.save(saved)
    assert verbs.generate(verbs.Command(str(saved), "cpu", Console()), tmp_path / "x.npz", 2, 0).exists()
    loaded = aimgan.load(saved)
    loaded.G[-2] = torch.nn.Identity()  # no sigmoid: infinite pixels
    refused("cannot be drawn", verbs.write, tmp_path / "x.png", {}, loaded.generate(2) * float("inf"), 2)


def test_text_of_a_model_reaches_a_terminal_escaped(saved):
    rewrite(saved, about={"recipe\n": "\x1b]0;title\x07" + "x" * 9_999})
    tell(str(saved), Console(file=(told := StringIO())))
    assert "recipe\\n: \\x1b]0;title\\x07xxx" in told.getvalue()
    assert "\x1b" not in told.getvalue()
    assert len(told.getvalue()) < 24_000
    assert plain("é 画 \u202e\udc80") == "é 画 \\u202e\\udc80"


# --- calls ----------------------------------------------------------------------------------------------------------


def test_counts_and_inputs_that_a_call_cannot_take():
    model, x = files.model(), torch.rand(2, 1, 8, 8)
    big = x[:1].expand(10**12, 1, 8, 8)
    for call, message in (
        (lambda: model.generate(10**12), r"1,000,000,000,000 samples of \(1, 8, 8\) would take .* fewer at a time"),
        (lambda: model.generate(10**400), "would take 2\\^"),
        (lambda: model.generate(2.5), "n is 2.5; expected an integer"),
        (lambda: model.generate(True), "n is True; expected an integer"),
        (lambda: model.generate(2, generator=3), "generator is 3; expected a torch.Generator"),
        (lambda: model.neighbours(x, 10**12), "take fewer"),
        (lambda: model.neighbours(x, None), "m is None; expected an integer"),
        (lambda: model.interpolate(x, x, 10**12), "take fewer"),
        (lambda: model.interpolate(x, 3, 2), "x is int; expected a float tensor"),
        (lambda: model.encode(big), "take fewer"),
        (lambda: model.encode(x * float("nan")), "x has NaN or infinite values"),
        (lambda: model.encode(x.to_sparse()), "expected a float tensor"),
        (lambda: model.encode(x.to("meta")), "expected a float tensor"),
        (lambda: model.encode(x.to(torch.complex64)), "complex64"),
        (lambda: model.decode(torch.full((1, 2), float("inf"))), "z has NaN or infinite values"),
        (lambda: model.encode(x).sample(10**12), "take fewer"),
        (lambda: model.encode(x).sample(0), "m is 0"),
    ):
        refused(message, call)
    none = x[:0]
    assert model.reconstruct(none).shape == (0, 1, 8, 8)
    assert model.neighbours(none, 3).shape == (0, 3, 1, 8, 8)
    assert model.interpolate(none, none, 3).shape == (0, 3, 1, 8, 8)


@pytest.mark.parametrize("source", ["loop", "x" * 5_000, "a\0b", "~nobody-at-all/x", "../nothing", 3, None])
def test_paths_that_lead_nowhere(tmp_path, monkeypatch, source):
    from contextlib import ExitStack

    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    refused("", load, source)
    if isinstance(source, str):
        refused("", find, source, ExitStack())
        refused("", inputs.read, [source], (1, 8, 8))
        refused("", inputs.read, [source], (2,))
        refused("cannot write", files.model().save, Path(source) / "\0")


def test_devices(saved):
    for device in ("cuda:99", "gpu", None, 3.5):
        refused(f"cannot put a model on device {device!r} .*: expected cpu, or cuda$", load, saved, device)


# --- data -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.png", "x.npy", "x.npz", "x.zip", "x.parquet"])
def test_pipes_and_devices_are_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    (tmp_path / f"zero{Path(name).suffix}").symlink_to("/dev/zero")
    for path in (tmp_path / name, tmp_path / f"zero{Path(name).suffix}", tmp_path):
        refused("", load_images, path, 8)
        refused("", inputs.read, [str(path)], (1, 8, 8))
        refused("", inputs.read, [str(path)], (2,))


@pytest.mark.parametrize("shape", ["(10**12,)", (10**12,), (2**62, 8, 8), (-1,), (0, 10**12), ("a",), (3.5,)])
@pytest.mark.parametrize("descr", ["|u1", "<f8", "|V0", "|O", "(((" * 200])
def test_headers_of_npy(tmp_path, shape, descr):
    for name, content in (
        ("x.npy", files.npy_header(shape, descr)),
        ("x.npz", files.zipped({"images.npy": files.npy_header(shape, descr)})),
    ):
        (tmp_path / name).write_bytes(content)
        refused("", load_images, tmp_path / name, 8)
        refused("", inputs.read, [str(tmp_path / name)], (2,))


def test_zip_bombs(tmp_path, monkeypatch):
    monkeypatch.setattr(checked, "memory", lambda: 2**26)
    zeros = files.zipped({"images.npy": files.npy(np.zeros((2**22, 4, 4), np.uint8))})
    assert len(zeros) < 2**17
    (tmp_path / "x.npz").write_bytes(zeros)
    expected = "would take 128 MiB; expected at most 32 MiB, half the memory: store images as files"
    refused(expected, read_arrays, tmp_path / "x.npz")
    many = files.zipped({f"{k}.png": files.png_of(4_000, 4_000) for k in range(4)} | {"a.png": files.bomb(4_000)})
    (tmp_path / "x.zip").write_bytes(many)
    refused("pass a smaller --size", load_images, tmp_path / "x.zip")


def test_an_archive_that_is_encrypted_or_of_an_unknown_kind(tmp_path):
    whole = files.zipped({"images.npy": files.ARRAYS[0], "a.png": files.picture()})
    for place, value in ((6, 1), (8, 99)):  # flags: encrypted; method: none there is
        content = bytearray(whole)
        for mark, shift in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 2)):
            at = content.find(mark)
            while at >= 0:
                content[at + place + shift] = value
                at = content.find(mark, at + 1)
        for name in ("x.npz", "x.zip"):
            (tmp_path / name).write_bytes(content)
            refused("", load_images, tmp_path / name, 8)
    (tmp_path / "y.npz").write_bytes(files.ARCHIVES[3])  # a member that is no array
    assert list(read_arrays(tmp_path / "y.npz")) == ["a"]


def test_images_of_any_size():
    from io import BytesIO

    assert decode(lambda: BytesIO(files.bomb(1)), 8, 1).shape == (1, 8, 8)
    assert decode(lambda: BytesIO(files.bomb(1)), None, 3).shape == (3, 1, 1)
    for side in (20_000, 60_000, 2**31 - 1):
        with pytest.raises(UndecodableError):
            decode(lambda side=side: BytesIO(files.png_of(side, side)), 8)
    refused("expected 1 to 8,192", load_images, "x.zip", 10**9)


def test_folders_without_end(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "a" / "b\n\x1b.png").write_bytes(files.picture())
    (tmp_path / "a" / os.fsdecode(b"\xff.png")).write_bytes(files.picture())
    data = load_images(".", 8)
    assert len(data.train) + len(data.test) == 2
    deep, home = tmp_path / "deep", os.open(tmp_path, os.O_RDONLY)
    deep.mkdir()
    monkeypatch.chdir(deep)
    for _ in range(1_200):  # deeper than Python calls itself
        os.mkdir("d")
        os.chdir("d")
    os.fchdir(home)
    os.close(home)
    refused("no images", load_images, deep, 8)
    subprocess.run(["rm", "-rf", deep], check=True)


def test_parquet_that_lies(tmp_path):
    import pyarrow as pa

    images = [{"bytes": files.picture(), "path": None}] * 3
    path = tmp_path / "x.parquet"
    path.write_bytes(files.parquet(image=images, label=pa.array([2**64 - 1, 0, 1], pa.uint64())))
    assert load_images(path, 8).train.labels is None
    for images in ([{"path": "/etc/passwd"}], [3], ["x"]):
        content = files.parquet(image=images)
        path.write_bytes(content)
        refused("", load_images, path, 8)


# --- runs and settings ----------------------------------------------------------------------------------------------


RUNS = """[] | 3 | {} | {"settings": 3} | {"settings": {"steps": "x"}} | {"settings": {}, "environment": [1]} |
{"settings": {"recipe": [], "seed": 0}} | {"settings": {"recipe": {"objective": ["aim"]}, "seed": 0}} | \0"""


@pytest.mark.parametrize("text", [files.DEEP, files.HUGE, *RUNS.split(" |")])
def test_hostile_run_json(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    refused("", recorded, RunDir(tmp_path))
    (tmp_path / "evaluation.json").write_text(text)
    refused("", tell, str(tmp_path), Console(file=StringIO()))


def test_hostile_metrics(tmp_path):
    rows = ["{", files.DEEP, files.HUGE, "[1]", '{"step": "x"}', '{"step": 1, "$\\\\frac{$": 2, "loss": 1}']
    rows.append('{"step": 2, "loss": "x"}')
    (tmp_path / "metrics.jsonl").write_bytes("\n".join(rows).encode() + b"\n\xff")
    run = RunDir(tmp_path)
    assert [row["step"] for row in run.rows()] == [1, 2]
    curves(run.rows(), "x").savefig(tmp_path / "x.png")
    run.rewind(1)
    assert [row["step"] for row in run.rows()] == [1]


SETTINGS = files.words(
    "lr=1e999 lr=1e200 networks.width=1000000 networks.depth=100000 networks.shape=1,-8,8 options=1 data=1 \0=1 "
    "networks.shape=1,99999999,99999999 batch_size=1e3 networks.scale=nan"
)
LONG = ["steps=" + "9" * 400, "steps=" + files.HUGE, "weight=" + files.DEEP, "x" * 100_000 + "=1"]


@pytest.mark.parametrize("setting", SETTINGS + LONG)
def test_hostile_settings(setting):
    name, _, value = setting.partition("=")
    refused("", with_settings, aimgan.RECIPES["digits/aim"], {name: value})


@pytest.mark.parametrize("setting", [
    {"data.side": 10**9}, {"data.side": 10**400}, {"data.std": 1e200}, {"data.spacing": "inf"}, {"data.std": "nan"},
    {3: 4}, {"lr": json.loads("[" * 500 + "]" * 500)},
])  # fmt: skip
def test_hostile_mixtures(setting):
    refused("", lambda: with_settings(aimgan.RECIPES["grid/aim"], setting).data.load())
    refused("", lambda: with_settings(aimgan.RECIPES["unbalanced/aim"], {"data.angle": "inf"}))


def test_every_recipe_survives_being_written_and_read():
    from aimgan.recipes.recipe import to_dict

    begun = time.perf_counter()
    for recipe in aimgan.RECIPES.values():
        assert from_dict(json.loads(json.dumps(to_dict(recipe)))) == recipe
    assert time.perf_counter() - begun < 10
