"""Figures of numbers: curves by epoch, the trade-off, the palette, and where their names stand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_rgb

from aimgan.figures import Curve, TradeOff, error_against_distance, error_by_epoch
from aimgan.figures.style import LINE, PALETTE, spread, width_of, wrapped

EPOCHS = [1, 2, 3]

# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB: red-blind, green-blind, blue-blind.
DEFICIENCIES = (
    np.eye(3),
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
)
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(linear):
    """CIELAB under D65."""
    ratio = linear @ XYZ.T / (0.9505, 1, 1.089)
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.stack((116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])), axis=1)


def smallest_difference(colours, seen):
    rgb = np.array([to_rgb(colour) for colour in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    points = lab((linear @ np.array(seen).T).clip(0, 1))
    return min(np.linalg.norm(points[a] - points[b]) for a, b in combinations(range(len(points)), 2))


def test_ten_colours_stay_apart_to_all_eyes():
    assert len(set(PALETTE)) == 10
    assert all(smallest_difference(PALETTE, seen) > 15 for seen in DEFICIENCIES)
    tab10 = colormaps["tab10"].colors
    assert smallest_difference(tab10, DEFICIENCIES[1]) < 5  # matplotlib's own do not


def boxes_of(figure, texts):
    figure.canvas.draw()
    return [text.get_window_extent() for text in texts]


def test_curves_are_named_at_their_ends():
    curves = [
        Curve("AIM", EPOCHS, [0.3, 0.1, 0.03]),
        Curve("ALI", EPOCHS[:2], [0.3, 0.0301]),
        Curve("VAE", EPOCHS, [0.2, 0.04, 0.0299]),
    ]
    figure = error_by_epoch(curves, "seed 0")
    (axes,) = figure.axes
    assert np.allclose(axes.lines[0].get_ydata(), curves[0].values)
    assert axes.get_yscale() == "log"  # 0.3 is more than ten times 0.0299
    assert [text.get_text() for text in axes.texts] == ["AIM", "ALI", "VAE"]
    boxes = boxes_of(figure, axes.texts)
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    assert all(box.x1 <= figure.bbox.x1 for box in boxes)
    assert error_by_epoch([Curve("AIM", EPOCHS, [0.3, 0.2, 0.1])], "").axes[0].get_yscale() == "linear"
    with pytest.raises(ValueError, match="leave out what diverged"):
        error_by_epoch([Curve("a", EPOCHS, [1.0, 2.0, float("nan")])], "")


def test_the_trade_off_marks_seeds_and_means_and_names_the_methods():
    rng = np.random.default_rng(0)
    centres = {"AIM": (0.024, 8), "AIM, weighted": (0.026, 8.5), "ALI": (0.11, 14), "VAE": (0.012, 99)}
    points = [TradeOff(name, *(centre * rng.normal(1, 0.05, 2))) for name, centre in centres.items() for _ in range(3)]
    figure = error_against_distance(points, "MNIST, seeds 0 to 2")
    (axes,) = figure.axes
    drawn = [collection.get_offsets() for collection in axes.collections]
    for seeds, mean in zip(drawn[::2], drawn[1::2], strict=True):
        assert len(seeds) == 3
        assert np.allclose(seeds.mean(axis=0), mean[0])
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "log")
    legend = axes.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [*centres]
    (box,) = boxes_of(figure, [legend])
    assert all(figure.bbox.contains(*corner) for corner in box.corners())
    assert not box.overlaps(axes.bbox)


def test_one_point_is_a_figure():
    error_against_distance([TradeOff("AIM", 0.02, 8.0)], "").canvas.draw()
    with pytest.raises(ValueError, match="leave out the runs that diverged"):
        error_against_distance([TradeOff("AIM", float("inf"), 8.0)], "")
    with pytest.raises(ValueError, match="got no points"):
        error_against_distance([], "")


def test_texts_fit():
    text = wrapped("grid/aim, seed 0, 30,000 steps of 256 samples", 7, 60)
    assert text.replace("\n", " ") == "grid/aim, seed 0, 30,000 steps of 256 samples"
    assert all(width_of(line, 7) <= 60 for line in text.split("\n"))
    assert wrapped("unbreakable", 7, 1) == "unbreakable"
    at = spread([0.5, 0.5, 0.52, 0.9], LINE / 10)
    assert min(np.diff(at)) >= LINE / 10 - 1e-6
    assert at[3] == pytest.approx(0.9, abs=0.03)
    assert spread([0.9, 0.1], 0.2) == [0.9, 0.1]
