"""Data in memory: what is taken, what is refused in one line, and that it is what the same data in files are."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch.utils.data import DataLoader, TensorDataset

import aimgan
from aimgan.data import ImageSet, InMemory, PointSet, in_memory
from aimgan.data.images import load_images
from aimgan.errors import AimganError
from aimgan.recipes.resolving import prepared
from aimgan.runs.evaluate import Options, evaluate_run

GREY = np.random.default_rng(0).integers(0, 256, (40, 6, 6), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (40, 6, 6, 3), dtype=np.uint8)
LABELS = torch.arange(40) % 3


def loaded(data: object, size: int | None = None) -> ImageSet:
    found = InMemory(size, given=in_memory(data)).load()
    assert isinstance(found, ImageSet)
    return found


def fingerprint(data: ImageSet) -> str:
    return data.images.measured["fingerprint"]


@pytest.mark.parametrize(
    "data",
    [
        GREY,
        GREY[:, None] / 255,
        torch.from_numpy(GREY)[:, None].float() / 255,
        torch.from_numpy(GREY / 255)[..., None].requires_grad_(),
        [Image.fromarray(image) for image in GREY],
        TensorDataset(torch.from_numpy(GREY)),
        DataLoader(TensorDataset(torch.from_numpy(GREY).float() / 255), 7, shuffle=True),
        [{"image": Image.fromarray(image)} for image in GREY],
    ],
    ids=["uint8", "float64", "tensor", "channels last", "PIL", "Dataset", "shuffling DataLoader", "dictionaries"],
)
def test_every_container_holds_the_pixels_of_the_same_array_in_a_file(data, tmp_path):
    np.save(tmp_path / "grey.npy", GREY)
    expected = load_images(tmp_path / "grey.npy")
    assert fingerprint(loaded(data)) == expected.measured["fingerprint"]


def test_labels_are_kept_and_pil_images_are_read_as_files_are(tmp_path):
    for data in (TensorDataset(torch.from_numpy(GREY), LABELS), DataLoader(TensorDataset(torch.tensor(GREY), LABELS))):
        images = loaded(data).images
        both = torch.cat([images.train.labels, images.test.labels])
        assert torch.equal(both.bincount(), LABELS.bincount())
    modes = [Image.fromarray(COLOUR[0]).convert(mode) for mode in ("RGB", "RGBA", "CMYK", "P", "HSV", "L", "1", "LA")]
    modes.append(Image.fromarray(COLOUR[0]).resize((9, 7)))
    modes[1].putalpha(0)
    assert len(loaded(modes, size=6)) == 9
    assert loaded([modes[1]] * 2, size=6).batch(0, 0, 1).min() == 1  # what is transparent is white


def test_points_are_divided_and_keep_their_units():
    points = torch.randn(200, 2) * 9
    for data in (points, points.numpy(), TensorDataset(points)):
        found = InMemory(given=in_memory(data)).load()
        assert isinstance(found, PointSet)
        assert (found.epoch_size, len(found.test())) == (found.epoch_size, 200 - found.epoch_size)
        assert found.batch(0, 0, 8).shape == (8, 2)
        assert float(found.train.abs().max()) > 9


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (GREY * 1.0, r"data: got float64 images with values from 0 to 255, expected uint8, or floats in \[0, 1\]"),
        (np.full((4, 6, 6), np.nan), "values from nan to nan, expected uint8"),
        (GREY.astype(np.int64), "data: got int64 images, expected uint8"),
        (GREY[:3].transpose(1, 0, 2)[None], r"data: got an array \(1, 6, 3, 6\)"),
        ([GREY[0] / 255, GREY[1] * 1.0], r"data\[1\]: got float64 images with values"),
        ([GREY[0], "a.png"], r"data\[1\] is a str; expected an array, a tensor or a PIL image"),
        ([], "data is a list without samples"),
        ([np.zeros(2), GREY[0]], "samples of different shapes"),
        (np.array([[0.0, np.inf]]), "NaN or infinite values; expected points"),
        (7, "data is a int; expected a path, a numpy array, a torch tensor"),
    ],
)
def test_what_no_image_or_point_can_be_is_refused_in_one_line(data, message):
    with pytest.raises(AimganError, match=message):
        in_memory(data)


def test_points_and_images_need_recipes_of_their_kind():
    with pytest.raises(AimganError, match=r"data has the shape of points, \(n, d\), and folder/aim is for images"):
        prepared("folder/aim", np.zeros((9, 36)))
    with pytest.raises(AimganError, match=r"data has images, and grid/vae is for points \(n, d\): take folder/vae"):
        prepared("grid/vae", GREY)
    with pytest.raises(AimganError, match="images of 5x6; expected one square size: pass --size"):
        loaded(GREY[:, :, :5])


def test_a_run_goes_on_with_the_same_data_refuses_others_and_is_scored_when_they_are_given_again(tmp_path):
    flags = {"device": "cpu", "settings": {"networks.width": 8, "batch_size": 8, "samples": 100}}
    aimgan.train("digits/vae", tmp_path, data=GREY, steps=2, **flags)
    model = aimgan.train("digits/vae", tmp_path, data=torch.from_numpy(GREY), steps=2, **flags)
    assert model.shape == (1, 6, 6)
    with pytest.raises(AimganError, match="has other data: 40 samples then, 39 now"):
        aimgan.train("digits/vae", tmp_path, data=GREY[1:], steps=2, **flags)
    quiet = Console(file=io.StringIO())
    with pytest.raises(AimganError, match=r"in memory.* give them again, as data=\.\.\. in Python or --data PATH"):
        evaluate_run(tmp_path, Options(), quiet)
    again = evaluate_run(tmp_path, Options(data=GREY, device="cpu"), quiet)
    assert again["reconstruction_mse"] > 0
    assert "aimgan train" not in (tmp_path / "report.md").read_text()


def test_a_run_of_points_has_its_figure_and_a_sentence(tmp_path):
    settings = {"networks.width": 8, "batch_size": 8}
    aimgan.train("grid/vae", tmp_path, data=torch.randn(60, 2), steps=2, device="cpu", settings=settings)
    assert (tmp_path / "figures" / "figure3.png").exists()
    assert "Points have no further verdict" in (tmp_path / "report.md").read_text()
