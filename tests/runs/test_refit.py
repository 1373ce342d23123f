"""The last phase of a run: a fresh encoder on a generator that no longer moves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from short_ends import only_the_model

import aimgan
from aimgan.errors import AimganError, Interrupted
from aimgan.networks.gaussian import Posterior, StandardNormal
from aimgan.networks.own_encoder import own_encoder
from aimgan.recipes import RECIPES
from aimgan.recipes.assemble import config_of
from aimgan.runs import refit


@pytest.fixture(autouse=True)
def unscored(monkeypatch) -> None:
    monkeypatch.setattr("aimgan.runs.train.finish", only_the_model)


IMAGES = (((1, 8, 8), 3), ((3, 32, 32), 16), ((1, 28, 28), 5), ((3, 96, 96), 2))


def run(folder: Path, recipe: str = "digits/aim", **settings: object) -> aimgan.LatentVariableModel:
    return aimgan.train(recipe, folder, steps=60, settings={"refit": 2.5, **settings}, device="cpu")


def weights(model: aimgan.LatentVariableModel, name: str) -> dict[str, torch.Tensor]:
    return {key: value for key, value in model.named_parameters() if key.startswith(f"{name}.")}


@pytest.mark.parametrize(
    ("shape", "dim", "trunk"),
    [
        *((shape, dim, trunk) for trunk in ("patches", "halving") for shape, dim in IMAGES),
        ((2,), 2, "fourier"),
        ((5,), 3, "fourier"),
    ],
)
def test_an_encoder_of_its_own_answers_with_a_gaussian_whatever_the_batch(shape, dim, trunk):
    E = own_encoder(shape, dim, width=8, trunk=trunk)
    x = torch.rand(4, *shape)
    q = E(x)
    assert q.mean.shape == q.log_variance.shape == (4, dim)
    assert torch.allclose(E(x[:1]).mean, q.mean[:1], atol=1e-5)


def test_a_model_of_format_4_has_the_encoder_that_it_was_saved_with(tmp_path):
    config = replace(config_of(RECIPES["digits/aim"], {}), reads_features=False, own_encoder=8)
    model = aimgan.LatentVariableModel.build(config)
    model.save(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written.pop("trunk") == "halving"
    (tmp_path / "config.json").write_text(json.dumps({**written, "format": 4}))
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(aimgan.load(tmp_path).encode(x).mean, model.encode(x).mean)


def test_only_the_encoder_is_another_and_it_knows_the_codes_better(tmp_path):
    before = aimgan.train("digits/aim", tmp_path / "before", steps=60, device="cpu")
    after = run(tmp_path / "after")
    for name, value in weights(before, "G").items():
        assert torch.equal(value, weights(after, "G")[name]), name
    z = before.prior.sample(500, torch.Generator().manual_seed(1))
    x = before.decode(z)
    errors = [(model.encode(x, generated=True).mean - z).square().mean() for model in (before, after)]
    assert errors[1] < 0.8 * errors[0]
    rows = (tmp_path / "after" / "refit-60" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(rows[-1])["step"] == 150


def test_a_gan_gets_an_encoder(tmp_path):
    model = run(tmp_path, "digits/gan")
    assert aimgan.load(tmp_path).reconstruct(model.generate(2)).shape == (2, 1, 8, 8)


def test_stopped_in_the_phase_it_ends_with_the_same_bytes(tmp_path, monkeypatch):
    run(tmp_path / "whole")
    step = refit.EncoderOfFrozenG.step
    calls = []

    def stopped(self, x):
        calls.append(x)
        if len(calls) == 70:
            raise Interrupted("stopped")
        yield from step(self, x)

    with monkeypatch.context() as patch:
        patch.setattr(refit.EncoderOfFrozenG, "step", stopped)
        with pytest.raises(Interrupted):
            run(tmp_path / "stopped", checkpoint_seconds=0)
    run(tmp_path / "stopped", checkpoint_seconds=0)
    whole, again = (tmp_path / name / "model" / "model.safetensors" for name in ("whole", "stopped"))
    assert whole.read_bytes() == again.read_bytes()


def test_steps_of_a_phase_are_above_zero(tmp_path):
    with pytest.raises(AimganError, match=r"refit is 0.*; expected a number above zero"):
        aimgan.train("digits/aim", tmp_path, steps=3, settings={"refit": 0})


def test_an_encoder_of_points_measures_them_by_their_own_deviation(tmp_path):
    model = run(tmp_path, "ring/aim", **{"data.radius": 50.0, "data.std": 0.5})
    x = model.generate(10_000, torch.Generator().manual_seed(1))
    assert torch.allclose(model.E[0].deviation, x.std(dim=0), rtol=0.05)
    again = aimgan.load(tmp_path)
    assert torch.equal(again.encode(x[:5]).mean, model.encode(x[:5]).mean)


def test_points_that_do_not_differ_have_an_encoder_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(aimgan.LatentVariableModel, "generate", lambda self, n, generator=None: torch.ones(n, 2))
    assert run(tmp_path, "ring/aim").encode(torch.rand(3, 2)).mean.isfinite().all()


def test_the_noise_of_points_has_any_strength_up_to_its_deviation(monkeypatch):
    seen = []

    class E(torch.nn.Module):
        def forward(self, x):
            seen.append(x)
            return Posterior(torch.zeros(len(x), 2, requires_grad=True), torch.zeros(len(x), 2))

    G = torch.nn.Linear(2, 2).requires_grad_(False)
    for values in G.parameters():
        torch.nn.init.zeros_(values)
    deviation = torch.tensor([1.0, 3.0])
    fit = refit.EncoderOfFrozenG(E(), G, StandardNormal(2), deviation, any_strength=True)
    list(fit.step(torch.empty(100_000, 1)))
    assert torch.allclose(seen[0].std(dim=0), deviation / 3**0.5, rtol=0.02)  # E u^2 is 1/3
    assert (seen[0] / deviation).abs().pow(4).mean() > 3.5 / 9  # heavier tails than one Gaussian's 3 / 9
