"""Figures of numbers: the error by epoch, and reconstruction against generation."""

from __future__ import annotations

import numpy as np
import pytest

from aimgan.figures import Curve, TradeOff, error_against_distance, error_by_epoch

EPOCHS = [1, 2, 3]


def names(figure):
    """Return the legend's names, after a check that it is inside the figure and beside the axes."""
    figure.draw_without_rendering()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert all(figure.bbox.contains(*corner) for corner in box.corners())
    assert not box.overlaps(figure.axes[0].bbox)
    return [text.get_text() for text in legend.get_texts()]


def test_curves_by_epoch():
    curves = [Curve("AIM", EPOCHS, [0.3, 0.1, 0.03]), Curve("ALI", EPOCHS[:2], [0.3, 0.0299])]
    figure = error_by_epoch(curves, "seed 0")
    (axes,) = figure.axes
    assert np.allclose(axes.lines[0].get_ydata(), curves[0].values)
    assert names(figure) == ["AIM", "ALI"]
    assert axes.get_yscale() == "log"  # 0.3 is more than ten times 0.0299
    assert error_by_epoch([Curve("AIM", EPOCHS, [0.3, 0.2, 0.1])], "").axes[0].get_yscale() == "linear"


def test_the_trade_off_marks_seeds_and_means():
    rng = np.random.default_rng(0)
    centres = {"AIM": (0.024, 8), "AIM, weighted": (0.026, 8.5), "ALI": (0.11, 14), "VAE": (0.012, 99)}
    points = [TradeOff(name, *(centre * rng.normal(1, 0.05, 2))) for name, centre in centres.items() for _ in range(3)]
    figure = error_against_distance(points, "MNIST, seeds 0 to 2")
    (axes,) = figure.axes
    drawn = [collection.get_offsets() for collection in axes.collections]
    for seeds, mean in zip(drawn[::2], drawn[1::2], strict=True):
        assert np.allclose(seeds.mean(axis=0), mean[0])
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "log")
    assert names(figure) == [*centres]


def test_numbers_that_cannot_be_drawn():
    with pytest.raises(ValueError, match="leave out the runs that diverged"):
        error_by_epoch([Curve("a", EPOCHS, [1.0, 2.0, float("nan")])], "")
    with pytest.raises(ValueError, match="leave out the runs that diverged"):
        error_against_distance([TradeOff("AIM", float("inf"), 8.0)], "")
    with pytest.raises(ValueError, match="got no points"):
        error_against_distance([], "")
