"""Table 1 and figures 2 and 4 to 10 from nothing, on a few digits, with every file looked at."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from aimgan.evaluation import image_scores, references
from aimgan.paper import methods


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """240 of scikit-learn's digits at 28 x 28 with their labels, as train.npz and test.npz; and what is quick."""
    home = tmp_path_factory.mktemp("digits")
    digits = load_digits()
    x = torch.from_numpy(digits.images[:300] / 16).float()[:, None]
    big = torch.nn.functional.interpolate(x, size=28, mode="bilinear").mul(255).byte().numpy()[:, 0]
    for name, part in (("train", slice(0, 240)), ("test", slice(240, 300))):
        np.savez(home / f"{name}.npz", images=big[part], labels=digits.target[part].astype(np.uint8))
    return home


@pytest.fixture(autouse=True)
def _quick_and_at_home(monkeypatch, folder):
    few = {key: replace(m, settings={**m.settings, "samples": 200}) for key, m in methods.IMAGE_METHODS.items()}
    monkeypatch.setattr(methods, "IMAGE_METHODS", few)
    monkeypatch.setenv("AIMGAN_CACHE", str(folder / "cache"))
    monkeypatch.setattr(references, "STEPS", 3)
    monkeypatch.setattr(image_scores, "PROGRESS", 200)


def test_table1_and_its_figures(aimgan, folder, tmp_path):
    words = ("reproduce", "--data", "mnist", "--images", folder, "--preset", "cpu", "--steps", 4, "--workers", 2,
             "--output", tmp_path)  # fmt: skip
    done = aimgan(words[0], "table1", *words[1:], "--methods", "gan,ali,alice-10,aim", "--seeds", 1)
    assert done.code == 0, done.error
    results = json.loads((tmp_path / "table1.json").read_text())
    scores = {cell["method"]: cell["scores"] for cell in results["cells"]}
    assert set(scores) == {"gan", "ali", "alice-10", "aim"}
    for name in ("inception_score", "frechet_distance", "kernel_distance", "precision", "coverage"):
        assert all(name in s for s in scores.values()), name
    for name in ("class_preservation", "feature_error", "probe_accuracy", "kmeans_nmi", "edge_sharpness", "border_mse"):
        assert name in scores["aim"], name
        assert name not in scores["gan"], name
    aim = scores["aim"]
    assert aim["reconstruction_mse_signed"] == pytest.approx(4 * aim["reconstruction_mse"])
    assert 1 <= aim["inception_score"] <= 10
    assert aim["split"] == "test"
    assert aim["n_real"] == 60
    assert set(results["references"]) == {"pca", "inversion-gan", "inversion-aim"}
    assert results["references"]["pca"]["reconstruction_mse"] < aim["mean_image_mse"]
    page = (tmp_path / "table1.md").read_text()
    assert "| AIM | 0.026 ± 0.018 |" in page
    assert "9.483" not in page  # these are no MNIST: the paper's score is not put beside
    assert "PCA, d = 32" in page
    assert (tmp_path / "table1.tex").read_text().count(r"\midrule") == 1

    for figure, drawn in (("figure2", "aim,ali"), ("figure4", "aim"), ("figure5", "aim"), ("figure7", "alice-10,aim"),
                            ("figure10", "aim,gan")):  # fmt: skip
        done = aimgan(words[0], figure, *words[1:], "--methods", drawn)
        assert done.code == 0, done.error
        with Image.open(tmp_path / f"{figure}.png") as picture:
            assert min(picture.size) > 100
        assert (tmp_path / f"{figure}.pdf").read_bytes()[:5] == b"%PDF-"
    assert (tmp_path / "cells" / "mnist-aim-cpu-samples=200-networks.dim=2-steps=4-seed0" / "model").is_dir()


def test_flags_of_images_are_for_images(aimgan, tmp_path):
    done = aimgan("reproduce", "table2", "--preset", "cpu", "--output", tmp_path)
    assert done.code == 1
    assert "--preset and --images are for images, but table2 is of grid" in done.error
    done = aimgan("reproduce", "table1", "--data", "minst", "--output", tmp_path)
    assert done.code == 1
    assert "did you mean 'mnist'" in done.error
