"""Two data sets: training sees no pair, held-out pairs are true ones, and folders are paired by names."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aimgan.data import Digits, ImageSet, PairedDigits, PairedImages, PairedPoints, PointSet
from aimgan.errors import AimganError


def test_points_of_b_are_those_of_a_turned_and_made_of_other_points() -> None:
    data = PairedPoints(angle=60).load()
    assert isinstance(data.first, PointSet)
    assert isinstance(data.second, PointSet)
    x, y = data.first.held_out, data.second.held_out
    angle = torch.atan2(y[:, 1], y[:, 0]) - torch.atan2(x[:, 1], x[:, 0])
    torch.testing.assert_close(angle.remainder(2 * math.pi), torch.full_like(angle, math.pi / 3), rtol=0, atol=1e-3)
    torch.testing.assert_close(x.norm(dim=1), y.norm(dim=1))
    lengths = [{round(r, 6) for r in points.norm(dim=1).tolist()} for points in (data.first.train, data.second.train)]
    assert len(lengths[0] & lengths[1]) < len(lengths[0]) / 10  # rounded lengths meet by chance
    assert data.pairs
    assert data.classes is not None
    assert data.classes.unique().tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("change", ["invert", "rotate"])
def test_digits_of_b_are_changed_and_others_than_those_of_a(change: str) -> None:
    data, digits = PairedDigits(change).load(), Digits().load().images
    a, b = (domain.images for domain in (data.first, data.second) if isinstance(domain, ImageSet))
    assert {*a.train.names} & {*b.train.names} == set()
    assert len(a.train) + len(b.train) == len(digits.train)

    def expected(pixels: torch.Tensor) -> torch.Tensor:
        return 255 - pixels if change == "invert" else torch.from_numpy(np.rot90(pixels.numpy(), axes=(2, 3)).copy())

    assert torch.equal(b.test.pixels, expected(a.test.pixels))
    assert torch.equal(a.test.pixels, digits.test.pixels)
    assert torch.equal(data.training_samples_of_b, expected(digits.train.pixels[1::2]))


def test_an_unknown_change_is_refused() -> None:
    with pytest.raises(AimganError, match=r"data.change is mirror; expected invert or rotate"):
        PairedDigits("mirror").load()


def write(folder: Path, names: list[str], channels: int) -> Path:
    folder.mkdir()
    for k, name in enumerate(names):
        shape = (12, 12) if channels == 1 else (12, 12, 3)
        Image.fromarray(np.full(shape, 5 * k, np.uint8)).save(folder / f"{name}.png")
    return folder


def test_held_out_images_of_one_name_are_pairs(tmp_path: Path) -> None:
    names = [f"picture {k}" for k in range(40)]
    grey, colour = write(tmp_path / "grey", names, 1), write(tmp_path / "colour", [*names[::-1], "more"], 3)
    said: list[str] = []
    data = PairedImages(str(grey), str(colour), size=8, test_fraction=0.3).load(say=said.append)
    a, b = (domain.images for domain in (data.first, data.second) if isinstance(domain, ImageSet))
    assert (a.shape, b.shape) == ((1, 8, 8), (3, 8, 8))
    assert list(a.test.names) == list(b.test.names)
    assert data.pairs
    assert len(said) == 1
    assert f"{len(a.test)} held-out images have one name in both" in said[0]
    for k, name in enumerate(a.test.names):
        place = names.index(Path(name).stem)
        assert a.test.pixels[k].unique().tolist() == [5 * place]
        assert b.test.pixels[k].unique().tolist() == [5 * (39 - place)]
    assert data.account()["fingerprint"] != PairedImages(str(grey), str(grey), size=8).load().account()["fingerprint"]


def test_two_sources_are_needed(tmp_path: Path) -> None:
    with pytest.raises(AimganError, match="needs two data sets: pass --data A and --data-b B"):
        PairedImages("somewhere").load()
