"""Two sets of batch-norm statistics: the parameters are shared, saved once, and both sets survive."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from aimgan import AimganError, load
from aimgan.evaluation.evaluate import reconstruction, renormalised
from aimgan.model import LatentVariableModel
from aimgan.model_config import ModelConfig

ARGUMENTS = {"shape": [1, 8, 8], "dim": 3, "width": 16}


def made(G_sees: str = "both", E_sees: str = "both") -> LatentVariableModel:
    torch.manual_seed(0)
    config = ModelConfig("table4", ARGUMENTS, "symmetric-vae", "gaussian", False, {}, G_sees, E_sees)
    model = LatentVariableModel.build(config)
    for network in (model.G, model.E):
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    model.reestimate_batch_norm(batches=3, batch_size=20, data=images)
    return model


def images(k: int) -> Tensor:
    return torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(k)) ** 3


@pytest.fixture
def model() -> LatentVariableModel:
    return made()


def answers(model: LatentVariableModel) -> dict[str, Tensor]:
    x, z = images(7), torch.randn(5, 3, generator=torch.Generator().manual_seed(7))
    return {
        "reconstruct": model.reconstruct(x),
        "decode": model.decode(z),
        "decode inferred": model.decode(z, inferred=True),
        "encode": model.encode(x).mean,
        "encode generated": model.encode(x, generated=True).mean,
    }


def test_each_use_has_statistics_of_its_own(model: LatentVariableModel) -> None:
    told = answers(model)
    assert not torch.allclose(told["decode"], told["decode inferred"])
    assert not torch.allclose(told["encode"], told["encode generated"])
    x = images(7)
    z = model.encode(x).mean
    assert torch.equal(told["reconstruct"], model.decode(z, inferred=True))
    torch.testing.assert_close(model.interpolate(x[:1], x[1:2], 2)[0, 0], told["reconstruct"][0])
    near = model.neighbours(x[:2], 3, torch.Generator().manual_seed(1))
    codes = model.encode(x[:2]).sample(3, torch.Generator().manual_seed(1)).transpose(0, 1).flatten(0, 1)
    torch.testing.assert_close(near.flatten(0, 1), model.decode(codes, inferred=True))


def test_parameters_are_shared_and_stay_so(model: LatentVariableModel) -> None:
    for one in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model.double()):
        for name, twin in one.twins.items():
            pairs = zip(getattr(one, name).parameters(), twin.parameters(), strict=True)
            assert all(a is b for a, b in pairs)
            own = {id(buffer) for buffer in getattr(one, name).buffers()}
            assert not own & {id(buffer) for buffer in twin.buffers()}


def test_a_saved_model_has_each_parameter_once_and_both_sets(model: LatentVariableModel, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    stored = load_file(tmp_path / "model" / "model.safetensors")
    assert stored.keys() == model.state_dict().keys()
    assert len([name for name in stored if "running" not in name and "tracked" not in name]) == len(
        [*model.named_parameters()]
    )
    again = load(tmp_path / "model")
    for name, expected in answers(model).items():
        assert torch.equal(answers(again)[name], expected), name


def test_a_file_without_the_second_set_is_refused(model: LatentVariableModel, tmp_path: Path) -> None:
    made("prior", "data").save(tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    config.write_text(config.read_text().replace('"G_sees": "prior"', '"G_sees": "both"'))
    with pytest.raises(AimganError, match="is not a complete model"):
        load(tmp_path / "model")


def test_what_a_network_sees_is_checked() -> None:
    with pytest.raises(AimganError, match="unknown value of G_sees 'dat'; did you mean 'data'"):
        ModelConfig("mlp", {}, "aim", "gaussian", True, {}, "dat")


def test_a_model_of_format_2_has_one_set(tmp_path: Path) -> None:
    import json

    model = made("prior", "prior")
    model.save(tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    values = json.loads(config.read_text()) | {"format": 2}
    config.write_text(json.dumps({key: value for key, value in values.items() if not key.endswith("_sees")}))
    assert torch.equal(load(tmp_path / "model").reconstruct(images(7)), model.reconstruct(images(7)))


def test_the_renormalised_error_is_by_codes_of_training_images_for_every_model() -> None:
    from aimgan.data import Digits

    data = Digits().load()
    errors = {}
    for G_sees in ("prior", "data", "both"):
        model = made(G_sees, "data")
        before = {name: value.clone() for name, value in model.state_dict().items()}
        errors[G_sees] = renormalised(model, data, 0)["reconstruction_mse_renormalised"]
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert errors[G_sees] != reconstruction(model, data)["reconstruction_mse"]
    assert errors["prior"] == pytest.approx(errors["both"], rel=1e-6)
    assert errors["data"] == pytest.approx(errors["both"], rel=1e-6)
    points = LatentVariableModel.build(ModelConfig("mlp", {"width": 8}, "aim", "gaussian", True))
    assert renormalised(points, data, 0) == {}


def test_a_model_with_the_statistics_of_an_earlier_version_is_told() -> None:
    from aimgan.runs.evaluate import has_earlier_statistics

    assert not has_earlier_statistics(made())  # symmetric-vae: both
    assert has_earlier_statistics(made("prior", "data"))
    without = ModelConfig("mlp", {"width": 8}, "vae", "gaussian", False, {}, "prior", "data")
    assert not has_earlier_statistics(LatentVariableModel.build(without))


def test_codes_of_data_are_made_by_an_encoder_that_sees_data() -> None:
    with pytest.raises(AimganError, match="G_sees is both and E_sees is prior; expected E_sees data or both"):
        ModelConfig("mlp", {}, "vae", "gaussian", False, {}, "both", "prior")
