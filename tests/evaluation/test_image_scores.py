"""Anchors like for like: what real images score is compared with as many samples."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from aimgan.data import Digits
from aimgan.evaluation.feature_networks import FeatureNetwork
from aimgan.evaluation.image_scores import extract_features, feature_scores, samples
from aimgan.metrics import frechet_distance, inception_score
from aimgan.model import LatentVariableModel
from aimgan.model_config import ModelConfig


class Pixels(nn.Module):
    """Features are the pixels, logits the first ten of them."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.flatten(1), 5 * x.flatten(1)[:, 20:30]


@pytest.fixture
def model() -> LatentVariableModel:
    torch.manual_seed(0)
    arguments = {"shape": [1, 8, 8], "dim": 3, "width": 16, "scale": 1.0}
    return LatentVariableModel.build(ModelConfig("mlp", arguments, "gan", None, False))


@pytest.mark.parametrize("n", [1, 999, 1_000, 1_001, 2_499])
def test_samples_go_on_after_any_number(model: LatentVariableModel, n: int) -> None:
    parts = [*samples(model, n, 0), *samples(model, 2_500, 0, n)]
    assert torch.equal(torch.cat(parts), torch.cat([*samples(model, 2_500, 0)]))


def test_matched_scores_are_those_of_as_many_samples_as_there_are_real_images(model: LatentVariableModel) -> None:
    data, network = Digits().load(), FeatureNetwork.of(Pixels(), "pixels")
    found = feature_scores(model, data, network, 2_500, 0)
    held_out = len(data.images.test)
    assert (found["n_fake"], found["n_real"], found["n_matched"]) == (2_500, held_out, held_out)
    real = extract_features(network, data.chunks())
    alone = extract_features(network, samples(model, held_out, 0))
    whole = extract_features(network, samples(model, 2_500, 0))
    expected: dict[str, Any] = {
        "inception_score": inception_score(whole.logits)["inception_score"],
        "inception_score_matched": inception_score(alone.logits)["inception_score"],
        "inception_score_real": inception_score(real.logits)["inception_score"],
        "frechet_distance": frechet_distance(whole.moments, real.moments),
        "frechet_distance_matched": frechet_distance(alone.moments, real.moments),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-9), name
    assert found["frechet_distance_matched"] > found["frechet_distance_real"]
    assert found["coverage_real"] > found["coverage"]


def test_with_fewer_samples_than_real_images_the_real_images_are_fewer_too(model: LatentVariableModel) -> None:
    found = feature_scores(model, Digits().load(), FeatureNetwork.of(Pixels(), "pixels"), 200, 0)
    assert found["n_matched"] == 200
    assert found["inception_score_matched"] == found["inception_score"]
    assert found["frechet_distance_matched"] == found["frechet_distance"]
