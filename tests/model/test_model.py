from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

import aimgan
from aimgan.errors import AimganError
from aimgan.model import CONFIG, WEIGHTS, LatentVariableModel, ModelConfig
from aimgan.networks import StandardNormal, StochasticGenerator

CONFIGS = {
    "points": ModelConfig("mlp", {"width": 16}, "aim", "gaussian", True, {"recipe": "grid/aim", "steps": 3}),
    "digits": ModelConfig("mlp", {"shape": [1, 8, 8], "dim": 3, "width": 16, "scale": 1.0}, "aim-minus", "unit", True),
    "own trunk": ModelConfig("mlp", {"width": 16}, "ali", "gaussian", False),
    "table 4": ModelConfig("table4", {"shape": [3, 8, 8], "dim": 5, "width": 16}, "aim", "gaussian", True),
    "gan": ModelConfig("table4", {"shape": [1, 8, 8], "dim": 5, "width": 16}, "gan", None, False),
}
CARDINAL = [name for name in CONFIGS if name != "gan"]


@pytest.fixture
def make() -> Callable[[str], LatentVariableModel]:
    """Models with weights and statistics of their own, none of them at its starting value."""

    def made(name: str) -> LatentVariableModel:
        torch.manual_seed(len(name))
        model = LatentVariableModel.build(CONFIGS[name])
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.3)
        for buffer in model.buffers():
            if buffer.is_floating_point() and buffer.numel() != model.dim:
                buffer.uniform_(0.5, 1.5)
        return model

    return made


def some(model: LatentVariableModel, n: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, *model.shape, generator=torch.Generator().manual_seed(seed))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- what the calls return ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CARDINAL)
def test_shapes_are_those_of_the_page(make, name):
    model = make(name)
    x, d, shape = some(model), model.dim, model.shape
    q = model.encode(x)
    assert q.mean.shape == q.variance.shape == q.log_variance.shape == (3, d)
    assert q.sample(4).shape == (4, 3, d)
    assert q.log_prob(torch.zeros(3, d)).shape == (3,)
    assert model.reconstruct(x).shape == (3, *shape)
    assert model.neighbours(x, 4).shape == (3, 4, *shape)
    assert model.generate(7).shape == (7, *shape)
    assert model.interpolate(x, x.flip(0), 5).shape == (3, 5, *shape)
    assert model.decode(q.mean).shape == (3, *shape)


@pytest.mark.parametrize("name", CARDINAL)
def test_the_posterior_is_the_gaussian_that_it_says(make, name):
    model = make(name)
    q = model.encode(some(model))
    reference = torch.distributions.Normal(q.mean, q.variance.sqrt())
    z = torch.randn(3, model.dim, generator=seeded())
    assert torch.allclose(q.log_prob(z), reference.log_prob(z).sum(1), atol=1e-4)
    drawn = q.sample(20_000, seeded())
    error = q.variance.sqrt() / 20_000**0.5
    assert ((drawn.mean(0) - q.mean).abs() < 5 * error).all()
    assert torch.allclose(drawn.var(0) / q.variance, torch.ones(3, model.dim), atol=0.06)
    if name == "digits":  # AIM-
        assert torch.equal(q.variance, torch.ones(3, model.dim))


@pytest.mark.parametrize("name", CARDINAL)
def test_algorithm_2_step_by_step(make, name):
    """reconstruct = G(mu(x)), neighbours = G(z) with z ~ q(z|x), generate = G(z) with z ~ p(z)."""
    model = make(name)
    x = some(model)
    q = model.encode(x)
    assert torch.equal(model.reconstruct(x), model.decode(q.mean))
    near = model.neighbours(x, 4, seeded(1))
    assert torch.allclose(near[:, 2], model.decode(q.sample(4, seeded(1))[2]), atol=1e-6)
    assert torch.equal(model.generate(6, seeded(2)), model.decode(model.prior.sample(6, seeded(2))))


@pytest.mark.parametrize("name", CARDINAL)
def test_generators_make_draws_again_and_without_them_they_differ(make, name):
    model = make(name)
    x = some(model)
    draws = model.generate, partial(model.neighbours, x), model.encode(x).sample
    for call in (lambda g, draw=draw: draw(5, g) for draw in draws):
        assert torch.equal(call(seeded(3)), call(seeded(3)))
        assert not torch.equal(call(seeded(3)), call(seeded(4)))
        assert not torch.equal(call(None), call(None))


@pytest.mark.parametrize("name", CARDINAL)
def test_a_line_begins_and_ends_at_the_reconstructions(make, name):
    model = make(name)
    a, b = some(model, seed=1), some(model, seed=2)
    line = model.interpolate(a, b, 5)
    assert torch.allclose(line[:, 0], model.reconstruct(a), atol=1e-5)
    assert torch.allclose(line[:, -1], model.reconstruct(b), atol=1e-5)
    middle = (model.encode(a).mean + model.encode(b).mean) / 2
    assert torch.allclose(line[:, 2], model.decode(middle), atol=1e-5)


def test_more_rows_than_pass_at_once_are_the_same_rows(make, monkeypatch):
    model = make("table 4")
    x = some(model, 7)
    expected = model.encode(x), model.reconstruct(x)
    monkeypatch.setattr("aimgan.model.CHUNK", 2)
    assert torch.allclose(model.encode(x).mean, expected[0].mean, atol=1e-6)
    assert torch.allclose(model.encode(x).log_variance, expected[0].log_variance, atol=1e-6)
    assert torch.allclose(model.reconstruct(x), expected[1], atol=1e-6)


def test_images_are_in_zero_to_one_at_the_border_and_minus_one_to_one_inside(make):
    model = make("table 4")
    seen = {}
    model.E.register_forward_pre_hook(lambda module, inputs: seen.update(x=inputs[0]))
    model.G.register_forward_hook(lambda module, inputs, output: seen.update(x_z=output))
    x = some(model)
    x[0, 0, 0, :2] = torch.tensor([0.0, 1.0])
    x_z_x = model.reconstruct(x)
    assert torch.equal(seen["x"], 2 * x - 1)
    assert seen["x_z"].min() < -0.5
    assert torch.allclose(x_z_x, (seen["x_z"] + 1) / 2)
    for images in (x_z_x, model.generate(50), model.neighbours(x, 3)):
        assert 0 <= images.min() < images.max() <= 1
    digits = make("digits").generate(50)  # a sigmoid: [0, 1] inside too
    assert 0 <= digits.min() < digits.max() <= 1
    points = make("points")
    assert torch.equal(points.generate(20, seeded()), points.G(points.prior.sample(20, seeded())))


def test_a_stochastic_generator_draws_from_the_generator_that_is_given():
    config = CONFIGS["points"]
    noisy = StochasticGenerator(nn.Linear(5, 2), noise_dim=3)
    model = LatentVariableModel(noisy, None, StandardNormal(2), replace(config, posterior=None))
    assert torch.equal(model.generate(9, seeded(1)), model.generate(9, seeded(1)))
    z = torch.zeros(9, 2)
    assert len(model.decode(z, seeded(1)).unique(dim=0)) == 9


# --- calls leave no trace -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CARDINAL)
def test_calls_have_no_gradients_and_change_nothing(make, name):
    model = make(name)
    x = some(model).requires_grad_()
    calm = model.encode(x).mean
    model.train()
    model.E[0].eval()  # a mixed state, as fine-tuning has it
    modes = [module.training for module in model.modules()]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    global_state = torch.get_rng_state()
    q = model.encode(x)
    results = [q.mean, q.variance, q.sample(2, seeded()), model.reconstruct(x), model.neighbours(x, 2, seeded()),
               model.generate(3, seeded()), model.interpolate(x, x, 2)]  # fmt: skip
    assert not any(result.requires_grad for result in results)
    assert torch.equal(q.mean, calm)  # evaluation mode, whatever mode the model is in
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), global_state)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


def test_batch_norm_is_taken_anew_over_generated_images(make):
    model = make("table 4")
    weights = {key: value.clone() for key, value in model.named_parameters()}
    model.reestimate_batch_norm(seed=1, batches=3, batch_size=20)
    first = {key: value.clone() for key, value in model.named_buffers()}
    model.reestimate_batch_norm(seed=1, batches=3, batch_size=20)
    assert all(torch.equal(value, first[key]) for key, value in model.named_buffers())
    assert all(torch.equal(value, weights[key]) for key, value in model.named_parameters())
    assert not any(module.training for module in model.modules())
    model.reestimate_batch_norm(seed=2, batches=3, batch_size=20)
    assert any(not torch.equal(value, first[key]) for key, value in model.named_buffers())


@pytest.mark.parametrize("posterior", ["gaussian", "implicit"])
def test_batch_norm_of_an_encoder_with_its_own_trunk_is_taken_over_real_images(posterior):
    torch.manual_seed(0)
    arguments = {"shape": [3, 8, 8], "dim": 5, "width": 16}
    model = LatentVariableModel.build(ModelConfig("table4", arguments, "any", posterior, False, E_sees="data"))
    before = {key: value.clone() for key, value in model.E.named_buffers()}
    model.reestimate_batch_norm(batches=3, batch_size=20)
    assert all(torch.equal(value, before[key]) for key, value in model.E.named_buffers())  # no data: left alone
    images = [torch.rand(20, 3, 8, 8, generator=seeded(k)) for k in range(3)]
    global_state = torch.get_rng_state()
    model.reestimate_batch_norm(batches=3, data=images.__getitem__)
    assert torch.equal(torch.get_rng_state(), global_state)
    norms = [module for module in model.E.modules() if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d)]
    assert all(int(norm.num_batches_tracked) == 3 for norm in norms)
    seen = []
    hook = norms[0].register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    for x in images:
        model.E(model.to_networks(x))
    hook.remove()
    expected = torch.stack([inputs.mean(dim=(0, 2, 3)) for inputs in seen]).mean(dim=0)
    torch.testing.assert_close(norms[0].running_mean, expected, rtol=1e-4, atol=1e-6)


# --- wrong arguments ----------------------------------------------------------------------------------------------


def test_a_gan_generates_and_says_that_it_cannot_encode(make):
    model = make("gan")
    assert model.generate(2).shape == (2, 1, 8, 8)
    neighbours, line = (lambda x: model.neighbours(x, 2)), (lambda x: model.interpolate(x, x, 2))
    for call in (model.encode, model.reconstruct, neighbours, line):
        with pytest.raises(AimganError, match=r"this model \(gan\) has no encoder: it can only generate"):
            call(some(model))


EXPECTED = r"expected a float tensor \(n, 3, 8, 8\) in \[0, 1\]"
WRONG = {
    r"x is torch.float32 \(2, 3, 9, 9\); " + EXPECTED: torch.zeros(2, 3, 9, 9),
    r"x is torch.float32 \(3, 8, 8\)": torch.zeros(3, 8, 8),
    r"x is torch.uint8 \(2, 3, 8, 8\); " + EXPECTED + ": divide": torch.zeros(2, 3, 8, 8, dtype=torch.uint8),
    r"x: got an array \(2, 4, 8, 8\); expected images": torch.zeros(2, 4, 8, 8).numpy(),
    "x is list; " + EXPECTED: [[1.0]],
    r"x is torch.float32 \(\)": torch.tensor(0.5),
}


@pytest.mark.parametrize("message", WRONG)
def test_inputs_of_a_wrong_shape_or_type_are_named(make, unchecked_shapes, message):
    with pytest.raises(AimganError, match=message):
        make("table 4").encode(WRONG[message])


def test_arrays_and_pil_images_are_taken_like_tensors(make):
    model = make("table 4")
    x = (255 * some(model)).byte()
    tensor, array = x / 255, x.permute(0, 2, 3, 1).numpy()
    expected = model.encode(tensor).mean
    pictures = [Image.fromarray(image) for image in array]
    for given in (x.numpy(), array, tensor.numpy(), tensor.double().numpy(), pictures, list(array)):
        assert torch.allclose(model.encode(given).mean, expected, atol=1e-5)
    for one in (pictures[0], tensor[0].numpy()):
        assert torch.allclose(model.neighbours(one, 2, seeded()), model.neighbours(tensor[:1], 2, seeded()), atol=1e-5)
    assert torch.allclose(model.interpolate(pictures, array, 2), model.interpolate(tensor, tensor, 2), atol=1e-5)
    assert model.reconstruct(pictures[0].resize((20, 30))).shape == (1, 3, 8, 8)
    with pytest.raises(AimganError, match=r"x ranges from 0 to 25.; .*: divide it by 255"):
        model.encode(array.astype(np.float32))
    grey = make("digits")
    three = some(grey).numpy()[:, 0]  # (3, 8, 8), which could be one image in colour
    assert grey.encode(three).mean.shape == grey.encode(three.repeat(2, axis=1).repeat(2, axis=2)).mean.shape == (3, 3)
    points = make("points")
    z = points.encode(some(points).numpy()).mean
    assert torch.equal(points.decode(z.numpy()), points.decode(z))


def test_it_is_shown_in_one_line_and_with_its_reconstructions(make):
    line = "LatentVariableModel(aim, networks table4, samples of (3, 8, 8), codes of 5 numbers)"
    assert repr(make("table 4")) == line
    assert repr(make("gan")).endswith("codes of 5 numbers, without an encoder)")
    for name in ("table 4", "points"):
        model = make(name)
        figure = model.show(some(model).numpy())
        assert isinstance(figure, Figure)
        assert figure._repr_png_().startswith(b"\x89PNG")  # what a notebook asks for


def test_other_wrong_arguments(make, unchecked_shapes):
    model = make("points")
    x = some(model)
    for call, message in (
        (lambda: model.encode(torch.zeros(2, 3)), r"x is torch.float32 \(2, 3\); expected a float tensor \(n, 2\)$"),
        (lambda: model.decode(torch.zeros(2, 3)), r"z is torch.float32 \(2, 3\); expected a float tensor \(n, 2\)"),
        (lambda: model.decode(torch.zeros(2)), r"z is torch.float32 \(2,\)"),
        (lambda: model.generate(0), "n is 0; expected at least 1"),
        (lambda: model.neighbours(x, -1), "m is -1; expected at least 1"),
        (lambda: model.interpolate(x, x, 0), "steps is 0"),
        (lambda: model.interpolate(x[:0], x[:0], 10**12), "1,000,000,000,000 samples .* would take"),
        (lambda: model.interpolate(x, x[:2], 3), "a has 3 images and b 2; expected the same number in both"),
    ):
        with pytest.raises(AimganError, match=message):
            call()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: 2 * x - 1, r"from -1 to 1; expected images in \[0, 1\] \(within 0.01\): take \(x \+ 1\) / 2$"),
        (lambda x: 255 * x, "x ranges from 0 to 255; .*: divide it by 255$"),
        (lambda x: 65_535 * x, r"x ranges from 0 to 6.554e\+04; .*: divide it by 65,535"),
        (lambda x: (x - 0.45) / 0.22, "x ranges from -2.045 to 2.5; .*: undo its normalisation"),
        (lambda x: 1.2 * x - 0.1, "x ranges from -0.1 to 1.1; .*: clamp it if resampling led beyond"),
        (lambda x: x.where(x < 0.9, torch.nan), r"x has NaN or infinite values; expected finite numbers in \[0, 1\]"),
    ],
)  # fmt: skip
def test_images_of_another_range_are_refused_with_the_likely_fix(make, change, message):
    model = make("table 4")
    good = some(model)
    good[-1, 0, 0, :2] = torch.tensor([0.0, 1.0])
    bad = change(good)
    for call in (
        model.encode,
        model.reconstruct,
        lambda x: model.neighbours(x, 2),
        lambda x: model.interpolate(x, x, 2),
    ):
        with pytest.raises(AimganError, match=message):
            call(bad)


def test_what_rounding_leads_beyond_the_range_is_taken_and_points_have_none(make):
    model = make("table 4")
    rounded = torch.tensor([-1 / 256, 1 + 1 / 128], dtype=torch.bfloat16).repeat(3 * 32).reshape(1, 3, 8, 8)
    assert model.reconstruct(rounded).isfinite().all()
    for free in ({"generated": True}, {"bounded": False}):
        assert model.encode(3 * some(model) - 1, **free).mean.isfinite().all()
    assert make("points").encode(torch.tensor([[-300.0, 300.0]])).mean.isfinite().all()


def test_numpys_integers_are_counts(make, unchecked_shapes):
    model = make("digits")
    x, one = some(model), np.uint8(200)
    assert torch.equal(model.generate(one, seeded()), model.generate(200, seeded()))
    assert torch.equal(model.neighbours(x, one, seeded()), model.neighbours(x, 200, seeded()))
    assert torch.equal(model.interpolate(x, x.flip(0), one), model.interpolate(x, x.flip(0), 200))
    model.reestimate_batch_norm(np.int64(1), batches=np.int64(1), batch_size=np.int64(4))


def test_other_floats_are_taken_as_the_models_own(make):
    model = make("points")
    x = some(model)
    assert torch.equal(model.reconstruct(x.double()), model.reconstruct(x))
    assert model.encode(x.half()).mean.dtype == torch.float32
    assert torch.equal(model.decode(torch.ones(1, 2, dtype=torch.float64)), model.decode(torch.ones(1, 2)))


# --- saved and loaded ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONFIGS)
def test_a_saved_model_comes_back_the_same(make, tmp_path, name):
    model = make(name)
    model.save(tmp_path / "model")
    global_state = torch.get_rng_state()
    loaded = aimgan.load(tmp_path / "model")
    assert torch.equal(torch.get_rng_state(), global_state)
    assert not loaded.training
    assert loaded.config == replace(model.config, arguments=dict(model.config.arguments))
    assert (loaded.shape, loaded.dim) == (model.shape, model.dim)
    assert torch.equal(loaded.generate(5, seeded()), model.generate(5, seeded()))
    if name != "gan":
        x = some(model)
        assert torch.equal(loaded.encode(x).mean, model.encode(x).mean)
        assert torch.equal(loaded.reconstruct(x), model.reconstruct(x))


def test_the_files_are_a_function_of_the_model(make, tmp_path):
    for folder in (tmp_path / "a", tmp_path / "deeper" / "b"):
        make("points").save(folder)
    again = tmp_path / "again"
    aimgan.load(tmp_path / "a").save(again)
    folders = (tmp_path / "a", tmp_path / "deeper" / "b", again)
    contents = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders]
    assert contents[0] == contents[1] == contents[2]
    assert contents[0].keys() == {"config.json", "model.safetensors", "README.md"}
    text = b"".join(contents[0].values())
    assert str(tmp_path).encode() not in text
    assert b"2026" not in text


def test_the_card_says_what_the_model_is_and_shows_code_that_runs(make, tmp_path):
    make("points").save(tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text()
    assert "# aim, made with aimgan" in card
    assert "- recipe: `grid/aim`" in card
    code = card.split("```python\n")[1].split("```")[0].replace("FOLDER", str(tmp_path / "model"))
    exec(code, {"x": torch.zeros(2, 2)})
    make("gan").save(tmp_path / "gan")
    assert "no encoder" in (tmp_path / "gan" / "README.md").read_text()


def test_saving_replaces_a_model_and_nothing_else(make, tmp_path):
    make("points").save(tmp_path / "model")
    make("gan").save(tmp_path / "model")
    assert aimgan.load(tmp_path / "model").config.objective == "gan"
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_text("x")
    with pytest.raises(AimganError, match=r"photos contains 1\.jpg, which is not a model file: choose another folder"):
        make("points").save(tmp_path / "photos")
    assert (tmp_path / "photos" / "1.jpg").read_text() == "x"
    with pytest.raises(AimganError, match=r"cannot write /proc/model .*choose another folder"):
        make("points").save("/proc/model")
    with pytest.raises(AimganError, match="Not a directory"):
        make("points").save(tmp_path / "photos" / "1.jpg")


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_saved_models_files_have_the_mode_that_new_files_have(make, tmp_path, mask):
    before = os.umask(mask)
    try:
        make("points").save(tmp_path / "model")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "model").iterdir()}
    assert modes == dict.fromkeys(modes, 0o666 & ~mask)


@contextmanager
def read_by_another(folder: Path) -> Iterator[None]:
    """Be a user whom the modes in this folder bind, as they do not bind root."""
    folder.chmod(0o755)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65_534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.parametrize("name", [WEIGHTS, CONFIG, "."])
def test_a_model_that_may_not_be_read_is_not_said_to_be_missing(make, name):
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is closed to others
        model = Path(folder) / "model"
        make("points").save(model)
        mode = (model / name).stat().st_mode
        (model / name).chmod(0)
        with (
            read_by_another(Path(folder)),
            pytest.raises(AimganError, match=r"cannot be read \(Permission denied: .*/model.*\): make it readable"),
        ):
            aimgan.load(model)
        (model / name).chmod(mode)


def test_a_model_is_found_in_a_run_in_its_own_folder_and_by_a_dot(make, tmp_path, monkeypatch):
    make("points").save(tmp_path / "model")
    assert aimgan.load(tmp_path).config == aimgan.load(str(tmp_path / "model")).config
    for here, there in ((tmp_path, "."), (tmp_path / "model", "."), (tmp_path / "model", "..")):
        monkeypatch.chdir(here)
        aimgan.load(there)


def test_a_replacement_that_was_cut_short_is_mended(make, tmp_path):
    make("points").save(tmp_path / "model")
    (tmp_path / "model").rename(tmp_path / ".model.old")  # killed between two renames
    assert aimgan.load(tmp_path / "model").config.objective == "aim"


def edit(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        values = json.loads((folder / CONFIG).read_text())
        (folder / CONFIG).write_text(json.dumps({k: v for k, v in {**values, **changes}.items() if v != "gone"}))

    return change


def without(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        save_file({key: value for key, value in tensors.items() if key != name}, folder / WEIGHTS)

    return change


BROKEN = {
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), r"is not a complete model \(FileNotFoundError"),
    "torn": (lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-9]), "SafetensorError"),
    "empty": (lambda folder: (folder / WEIGHTS).write_bytes(b""), "SafetensorError"),
    "a pickle": (lambda folder: (folder / WEIGHTS).write_bytes(b"\x80\x04K\x01."), "is not a complete model"),
    "torn json": (lambda folder: (folder / CONFIG).write_text("{"), "is not a complete model"),
    "binary json": (lambda folder: (folder / CONFIG).write_bytes(b"\xff\xfe"), "is not a complete model"),
    "json list": (lambda folder: (folder / CONFIG).write_text("[]"), "is not a complete model"),
    "format": (edit(format=6), "is in format 6; this aimgan reads 5: upgrade aimgan"),
    "no objective": (edit(objective="gone"), r"KeyError: 'objective'"),
    "family": (edit(networks="mpl"), "unknown network family 'mpl'; did you mean 'mlp'"),
    "argument": (edit(arguments={"widht": 3}), "unknown argument of mlp 'widht'; did you mean 'width'"),
    "arguments": (edit(arguments=[1]), r"arguments is \[1\]; expected named values"),
    "value": (edit(arguments={"width": "wide"}), "width is 'wide'; expected an integer"),
    "width": (edit(arguments={"width": 17}), r"size mismatch for G\.0\.weight"),
    "tensor": (without("G.0.weight"), r"Missing key.*G\.0\.weight"),
    "encoder": (edit(posterior=None), r"Unexpected key.*E\."),
}  # fmt: skip


@pytest.mark.parametrize("damage", BROKEN)
def test_a_model_that_is_not_whole_is_told_in_one_line(make, tmp_path, unchecked_shapes, damage):
    make("points").save(tmp_path / "model")
    change, message = BROKEN[damage]
    change(tmp_path / "model")
    with pytest.raises(AimganError, match=message) as told:
        aimgan.load(tmp_path / "model")
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 600 + len(str(tmp_path))


def test_a_path_without_a_model_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for source in ("empty", "file", "a/b/c", "no such folder"):
        with pytest.raises(AimganError, match=rf"^{source} is not a model folder .*train one, or check the path$"):
            aimgan.load(source)
