"""Data of one's own: any object that is Batches trains and finishes; what it lacks is said before the first step."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, replace

import pytest
import torch
from rich.console import Console
from torch import Tensor

import aimgan
from aimgan.data import DATA, Batches
from aimgan.errors import AimganError
from aimgan.recipes import RECIPES

SHORT = {"steps": 2, "device": "cpu", "settings": {"networks.width": 8, "batch_size": 8, "samples": 100}}


class Stripes:
    """Images of stripes, drawn anew in each step."""

    shape = (1, 4, 4)
    epoch_size = 64
    highest = 1.0

    def batch(self, seed: int, step: int, batch_size: int, rank: int = 0, world: int = 1) -> Tensor:
        draw = torch.Generator().manual_seed(1_000 * seed + step)
        rows = torch.rand(batch_size, 1, 4, 1, generator=draw).expand(-1, -1, -1, 4)
        return self.highest * rows[rank::world]


class WithHeldOut(Stripes):
    def chunks(self):
        yield self.batch(1, 0, 20)
        yield self.batch(1, 1, 20)


@dataclass(frozen=True)
class Source:
    count: int = 64

    def load(self, progress=None, say=None) -> Batches:
        return WithHeldOut()


def printed(recipe, folder, **more) -> str:
    text = io.StringIO()
    aimgan.train(recipe, folder, console=Console(file=text, width=200), **SHORT, **more)
    return text.getvalue()


def test_batches_alone_train_and_finish_and_say_first_what_they_lack(tmp_path):
    assert isinstance(Stripes(), Batches)
    text = printed("digits/vae", tmp_path, data=Stripes())
    assert text.index("no chunks() of held-out samples") < text.index("step ")
    assert "There are no held-out samples, so nothing can be said" in (tmp_path / "report.md").read_text()
    assert {path.stem for path in (tmp_path / "figures").glob("*.png")} == {"curves", "samples"}
    assert "64 samples" in text


def test_with_held_out_samples_reconstructions_are_scored_drawn_and_judged(tmp_path):
    printed("digits/aim", tmp_path, data=WithHeldOut())
    scores = json.loads((tmp_path / "evaluation.json").read_text())
    assert {"reconstruction_mse", "mean_image_mse", "calibration_error", "prior_mmd"} <= set(scores)
    assert "mean image" in scores["verdict"]
    assert (tmp_path / "figures" / "reconstructions.png").exists()
    assert "complete" in printed("digits/aim", tmp_path, data=WithHeldOut())

    class Others(WithHeldOut):
        highest = 0.5

    with pytest.raises(AimganError, match="has other data"):
        printed("digits/aim", tmp_path, data=Others())


def test_a_source_has_a_name_in_run_json(tmp_path, monkeypatch):
    recipe = replace(RECIPES["digits/vae"], data=Source())
    with pytest.raises(AimganError, match=r'a recipe has Source, and .*: register it, as DATA\["a name"\] = Source'):
        aimgan.train(recipe, tmp_path / "run", **SHORT)
    monkeypatch.setitem(DATA, "stripes", Source)
    settings = {**SHORT["settings"], "data": "stripes", "data.count": 32}
    for start in (recipe, "digits/vae"):
        aimgan.train(start, tmp_path / str(start)[:6], **{**SHORT, "settings": settings})
    record = json.loads((tmp_path / "digits" / "run.json").read_text())
    assert record["settings"]["recipe"]["data"] == {"kind": "stripes", "count": 32}


def without(name: str) -> type:
    members = {key: getattr(Stripes, key) for key in ("shape", "epoch_size", "batch", "highest") if key != name}
    return type("Partial", (), members)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            type("Bright", (Stripes,), {"highest": 255.0}),
            r"batch\(0, 0, n\) gives values from .* \(n, 1, 4, 4\) in \[0, 1\]",
        ),
        (
            type("Other", (Stripes,), {"shape": (3, 4, 4)}),
            r"gives torch.float32 \(64, 1, 4, 4\); expected a float tensor",
        ),
        (type("Few", (Stripes,), {"epoch_size": 1}), "there is 1 image to train on"),
    ],
)
def test_what_does_not_fit_is_named(data, message, tmp_path):
    with pytest.raises(AimganError, match=message):
        aimgan.train("digits/vae", tmp_path / "run", data=data(), **SHORT)
    assert not (tmp_path / "run").exists()


def test_a_source_that_loads_something_else_is_told_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(DATA, "stripes", Source)
    monkeypatch.setattr(Source, "load", lambda self, progress=None, say=None: without("batch")())
    with pytest.raises(AimganError, match="the data are a Partial without batch; expected shape, epoch_size and"):
        aimgan.train(replace(RECIPES["digits/vae"], data=Source()), tmp_path, **SHORT)
