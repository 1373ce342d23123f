"""Figures of images: which image stands where, and that every pixel arrives."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from aimgan import figures
from aimgan.figures.blocks import to_pixels

CAPTION = "digits/aim, seed 0, 1,000 steps"


def rows_of(figure):
    """Return the drawn images line by line, as they are seen."""
    images = sorted(figure.axes[0].images, key=lambda image: (image.get_extent()[3], image.get_extent()[0]))
    lines = {}
    for image in images:
        lines.setdefault(image.get_extent()[3], []).append(np.asarray(image.get_array()))
    return list(lines.values())


def png(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return np.asarray(Image.open(file).convert("RGB"))


def enlarged(pixels, k):
    return pixels.repeat(k, axis=0).repeat(k, axis=1)


def assert_equal_images(drawn, images):
    assert np.array_equal(np.array(drawn), to_pixels(images))


@pytest.mark.parametrize(("c", "side"), [(1, 28), (3, 130)])
def test_every_pixel_is_a_square_of_whole_dots(c, side):
    figure = figures.samples([("AIM", torch.rand(3, c, side, side))], CAPTION, columns=2)
    sheet = png(figure)
    for image in figure.axes[0].images:
        left, right, bottom, top = (int(edge) for edge in image.get_extent())
        scale = (right - left) // side
        assert (bottom - top, right - left) == (scale * side, scale * side)
        assert np.array_equal(sheet[top:bottom, left:right], enlarged(np.asarray(image.get_array()), scale))


def test_reconstructions_stand_beside_their_originals():
    x, a, b = torch.rand(3, 5, 1, 4, 4)
    rows = [figures.ImageRow("AIM", x, a), figures.ImageRow("GAN", x, None), figures.ImageRow("ALI", x, b)]
    figure = figures.reconstructions(rows, CAPTION, columns=3)
    lines = rows_of(figure)
    assert [len(line) for line in lines] == [6, 4, 6, 4]
    for (top, bottom), x_z_x in zip((lines[:2], lines[2:]), (a, b), strict=True):
        assert_equal_images(top[::2] + bottom[::2], x)
        assert_equal_images(top[1::2] + bottom[1::2], x_z_x)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["AIM", "GAN", "no encoder", "ALI"]
    assert figure.texts[0].get_text().replace("\n", " ").endswith(CAPTION)


def test_reconstructions_by_weight_are_columns():
    x, a, b, aim = torch.rand(4, 3, 3, 4, 4)
    columns = [("λ = 0", a), ("λ = 1", b), ("AIM", aim)]
    figure = figures.reconstructions_by_weight(x, columns, CAPTION, apart=1)
    for k, line in enumerate(rows_of(figure)):
        assert_equal_images(line, torch.stack((x[k], a[k], b[k], aim[k])))
    assert [text.get_text() for text in figure.axes[0].texts if text.get_text()] == [
        "original",
        "λ = 0",
        "λ = 1",
        "AIM",
    ]
    lefts = sorted({image.get_extent()[0] for image in figure.axes[0].images})
    first, second, third = np.diff(lefts)
    assert first == third > second


def test_conditional_shows_an_original_and_its_draws_in_each_line():
    x, near = torch.rand(3, 1, 4, 4), torch.rand(3, 5, 1, 4, 4)
    for k, line in enumerate(rows_of(figures.conditional(x, near, CAPTION))):
        assert_equal_images(line, torch.cat((x[k : k + 1], near[k])))


def test_samples_are_blocks_of_their_methods():
    a, b = torch.rand(5, 1, 4, 4), torch.rand(2, 3, 6, 6)
    lines = rows_of(figures.samples([("AIM", a), ("GAN", b)], CAPTION, columns=4))
    assert [len(line) for line in lines] == [4, 1, 2]
    assert_equal_images(lines[0] + lines[1], a)
    assert_equal_images(lines[2], b)


X = torch.rand(2, 1, 4, 4)
AS_IT_IS = figures.ImageRow("a", X, X)
CODES, DIGITS = torch.randn(60, 2), torch.arange(60) % 10


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: figures.samples([("a", torch.rand(2, 2, 4, 4))], ""), "got images of 2 channels, expected 1 or 3"),
        (lambda: figures.samples([("a", X / 0)], ""), "diverged"),
        (lambda: figures.samples([], ""), "got no samples"),
        (lambda: figures.samples([("a", X[:0])], ""), "got no images"),
        (lambda: figures.reconstructions([], ""), "got no rows"),
        (lambda: figures.reconstructions([figures.ImageRow("a", X, X[:1])], ""), "reconstructions by 'a' of"),
        (lambda: figures.reconstructions([AS_IT_IS, figures.ImageRow("b", 1 - X, X)], ""), "got other originals"),
        (lambda: figures.reconstructions_by_weight(X, [("a", X)], "", apart=1), "got apart=1"),
        (lambda: figures.figure4(CODES, DIGITS, X[:, :, :3], 2.0, ""), "got 2 images of 3 x 4, expected 1 square ones"),
        (lambda: figures.figure4(CODES, DIGITS + 1, torch.rand(4, 1, 4, 4), 2.0, ""), "got classes 1 to 10"),
    ],
)
def test_what_cannot_be_drawn_is_said(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_figure_4_colours_codes_and_puts_each_image_on_its_code():
    grid = figures.code_grid(3, 2.0)
    assert grid.tolist() == [[z1, z2] for z2 in (2, 0, -2) for z1 in (-2, 0, 2)]
    images = torch.arange(9).view(9, 1, 1, 1).expand(9, 1, 4, 4) / 255
    codes = torch.cat((CODES, torch.tensor([[9.0, 0.0]])))
    figure = figures.figure4(codes, torch.cat((DIGITS, DIGITS[:1])), images, 2.0, CAPTION)
    left, right = figure.axes

    colours = left.collections[0].get_facecolors()
    assert len(np.unique(colours, axis=0)) == 10
    assert np.array_equal(colours[:10], colours[10:20])
    assert [text.get_text() for text in left.get_legend().get_texts()] == [*"0123456789"]
    assert left.patches[0].radius == 3
    assert left.get_aspect() == 1
    assert "1 outside" in [text.get_text() for text in left.texts]

    assert tuple(right.images[0].get_extent()) == (-3, 3, -3, 3)
    sheet = png(figure)
    for k, code in enumerate(grid.numpy()):
        x, y = right.transData.transform(code)
        assert sheet[len(sheet) - int(y), int(x)].tolist() == [k] * 3


def test_figure_4_keeps_the_pixels():
    figure = figures.figure4(CODES, DIGITS, torch.rand(25, 1, 28, 28), 2.0, CAPTION)
    left, right = figure.axes
    box = right.get_window_extent()
    assert left.get_window_extent().size == pytest.approx(box.size)
    sheet, (rows, columns) = png(figure), np.round(box.size).astype(int)
    top, x = len(sheet) - round(box.y1), round(box.x0)
    scale = rows // 140
    assert (rows, columns) == (140 * scale, 140 * scale)
    inside = slice(scale, -scale)  # the axes' lines lie on the outermost dots
    drawn = sheet[top : top + rows, x : x + columns][inside, inside]
    assert np.array_equal(drawn, enlarged(np.asarray(right.images[0].get_array()), scale)[inside, inside])
