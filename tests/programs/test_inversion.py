"""Codes by optimisation: nearer than where they began, each image by itself, and the model left alone."""

from __future__ import annotations

import pytest
import torch

from aimgan import noise
from aimgan.errors import AimganError
from aimgan.evaluation.inversion import invert
from aimgan.model import LatentVariableModel, ModelConfig


def model_of(posterior: str | None) -> LatentVariableModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LatentVariableModel.build(ModelConfig("mlp", {"width": 32}, "any", posterior, False))


@pytest.mark.parametrize("posterior", [None, "point", "gaussian"])
def test_an_image_of_the_model_is_found_again(posterior: str | None) -> None:
    model = model_of(posterior)
    x = model.decode(0.5 * model.prior.sample(5, noise.generator(1)))
    start = invert(model, x, steps=0)
    z = invert(model, x, steps=300)
    before, after = ((model.decode(codes) - x).square().mean(dim=1) for codes in (start, z))
    assert (after <= before).all()
    assert after.max() < 0.05 * before.max()
    if posterior is not None:
        torch.testing.assert_close(start, model.encode(x).mean)


def test_images_do_not_see_each_other_and_the_model_stays() -> None:
    model = model_of(None)
    x = model.generate(3, noise.generator(2))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    together = invert(model, x, steps=20)
    alone = torch.cat([invert(model, part, steps=20) for part in x.split(1)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_wrong_number_is_refused() -> None:
    with pytest.raises(AimganError, match=r"steps must be at least 0 \(got -1\)"):
        invert(model_of(None), torch.zeros(1, 2), steps=-1)
