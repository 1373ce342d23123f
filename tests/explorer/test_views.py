from __future__ import annotations

import io
import os
import subprocess
import sys

import made
import numpy as np
import pytest
import torch
from PIL import Image

from aimgan.errors import AimganError
from aimgan.explorer import drawing, folder, serve, uploads, views
from aimgan.explorer.latent_map import latent_map
from aimgan.explorer.subject import Subject, require_alike, subject
from aimgan.networks import Posterior


@pytest.fixture(scope="module")
def digits() -> Subject:
    return subject(made.model(), "digits")


@pytest.fixture
def x() -> torch.Tensor:
    return torch.rand(1, 8, 8)


def test_tiles_are_whole_pixels_on_a_transparent_sheet(x):
    sheet = np.asarray(drawing.Tiles().sheet(torch.stack((x, 1 - x))[None]))
    factor = round(drawing.SMALL / 8)
    assert sheet.shape == (8 * factor, 2 * 8 * factor + drawing.GAP, 4)
    tile = np.kron((x[0] * 255).round().byte().numpy(), np.ones((factor, factor), np.uint8))
    assert (sheet[:, : 8 * factor, 0] == tile).all()
    assert (sheet[:, 8 * factor : 8 * factor + drawing.GAP, 3] == 0).all()


def test_the_last_row_of_tiles_may_be_short():
    sheet = np.asarray(drawing.Tiles().groups({"a": torch.rand(3, 3, 8, 8), "b": torch.rand(7, 3, 8, 8)}))
    side = 8 * round(drawing.SMALL / 8)
    assert sheet.shape[:2] == (2 * side + drawing.GAP, 8 * (side + drawing.GAP) - drawing.GAP)
    assert sheet[-side:, : 2 * side + drawing.GAP, 3].mean() > 200
    assert sheet[-side:, 3 * side :, 3].max() == 0


@pytest.mark.parametrize("point", [(0.0, 0.0), (-2.5, 1.25), (3.0, -3.4)])
def test_a_click_is_located_where_the_picture_shows_it(point):
    square = drawing.Square(3.6)
    axes = square.axes("$z_1$", "$z_2$")
    axes.plot(*point, "s", color="#ff0000", markersize=4)
    red = np.asarray(drawing.rendered(axes)).astype(int)
    rows, columns = np.nonzero((red[..., 0] > 200) & (red[..., 1] < 60))
    np.testing.assert_allclose(square.at((columns.mean() + 0.5, rows.mean() + 0.5)), point, atol=0.02)
    assert square.at((-5, 10_000)) == (-3.6, -3.6)


def test_the_map_is_the_plane_of_the_first_principal_axes():
    from sklearn.decomposition import PCA

    codes = torch.randn(200, 5) * torch.tensor([1.0, 4.0, 0.5, 2.0, 1.0]) + 1
    here, pca = latent_map(codes), PCA(2).fit(codes.numpy())
    np.testing.assert_allclose(here.share, pca.explained_variance_ratio_, rtol=1e-4)
    np.testing.assert_allclose(here.points.abs(), np.abs(pca.transform(codes.numpy())), atol=1e-3)
    torch.testing.assert_close(here.point(here.code(here.points)), here.points, atol=1e-4, rtol=0)
    z = torch.randn(5)
    torch.testing.assert_close(here.code(here.point(z[None]), through=z)[0], z, atol=1e-5, rtol=0)
    assert latent_map(torch.randn(1, 7)).points.abs().max() == 0  # a folder of one image


@pytest.mark.parametrize("dim", [1, 2])
def test_codes_of_two_dimensions_are_their_own_map(dim):
    here, z = latent_map(torch.randn(9, dim)), torch.randn(4, dim)
    assert torch.equal(here.code(here.point(z)), z)


def test_inference_is_that_of_the_model(digits, x):
    model, canvas = digits.model, digits.canvas
    found = views.infer(digits, x, 12, seed=1)
    np.testing.assert_array_equal(found.arrays["mean"], model.encode(x[None]).mean)
    both = {"image": x[None], "reconstruction": model.reconstruct(x[None])}
    assert found.pair.tobytes() == canvas.groups(both, large=True).tobytes()
    assert found.arrays["neighbour_codes"].shape == (12, 3)
    assert f"{float((model.reconstruct(x[None])[0] - x).square().mean()):.4f}" in found.line
    again, other = (views.infer(digits, x, 12, seed=seed) for seed in (1, 2))
    assert again.neighbours.tobytes() == found.neighbours.tobytes() != other.neighbours.tobytes()
    point = views.infer(subject(made.model(posterior="point"), "point"), x, 2, seed=0)
    assert "this encoder returns a point" in point.line


def test_temperature_scales_the_codes_of_one_seed(digits):
    one, half, none = (views.sample(digits, 9, t, seed=3)[1] for t in (1.0, 0.5, 0.0))
    np.testing.assert_allclose(half["z"], one["z"] / 2)
    assert (none["x"] == none["x"][0]).all()
    np.testing.assert_allclose(one["x"], digits.model.decode(torch.from_numpy(one["z"])), atol=1e-6)


def test_a_traversal_moves_one_dimension_in_each_row(digits):
    z = torch.randn(3)
    codes = views.traversal(digits, 2, z, 1)[2]["moved"]
    assert codes.shape == (2, views.STEPS, 3)
    np.testing.assert_allclose(codes[1, :, 2], np.linspace(-3, 3, views.STEPS), atol=1e-6)
    assert (codes[1, :, :2] == z[:2].numpy()).all()


def test_an_interpolation_ends_at_its_ends_and_its_animation_runs_back(digits):
    a, b = torch.randn(2, 3)
    _, moving, arrays, _ = views.interpolation(digits, a, b, 5)
    np.testing.assert_allclose(arrays["z"][[0, -1]], torch.stack((a, b)), atol=1e-6)
    with Image.open(io.BytesIO(moving)) as animation:
        assert (animation.format, animation.n_frames, animation.info["loop"]) == ("GIF", 8, 0)


def test_points_are_drawn_over_the_models_own_samples():
    points = subject(made.model((2,), dim=2), "grid")
    assert isinstance(points.canvas, drawing.Scatter)
    found = views.infer(points, torch.zeros(2), 8, seed=0)
    views.traversal(points, 2, torch.zeros(2), 0)
    plane = views.at_point(points, torch.zeros(2), False, False, (1.0, 1.0))[0]
    assert found.pair.size == plane.size == (drawing.SIDE, drawing.SIDE)


def test_a_click_on_a_map_of_images_generates_what_is_there(digits, x):
    drawn, made, line, arrays = views.at_point(digits, x, True, True, (1.0, -2.0))
    assert (np.asarray(drawn)[60:500, 100:600, 3] == 255).all()
    z = torch.from_numpy(arrays["z"])
    torch.testing.assert_close(digits.map.point(z[None]), torch.tensor([[1.0, -2.0]]), atol=1e-5, rtol=0)
    assert made.tobytes() == views.decode_one(digits, z).tobytes()
    assert line.startswith("(+1.00, -2.00)")


def test_a_model_without_an_encoder_generates_and_says_so():
    gan = subject(made.model(posterior=None), "gan")
    assert not gan.encodes
    assert "draws of the prior" in gan.source
    with pytest.raises(AimganError, match="has no encoder"):
        gan.mean(torch.zeros(1, 8, 8))


def test_what_a_stranger_wrote_is_text_in_the_page():
    model = made.model()
    model.config.about["recipe"] = "<b>*x*"
    assert (
        subject(model, "[a](javascript:b)")
        .heading(1)
        .startswith(r"# \[a\]\(javascript:b\)" + "\n\n" + r"&lt;b&gt;\*x\*")
    )


def test_the_verdict_stands_under_the_name():
    heading = subject(made.model(), "digits", verdict="Reconstruction error 0.09: worse than the mean image.").heading(
        1
    )
    assert heading.splitlines()[2].startswith(r"**Reconstruction error 0\.09: worse than the mean image\.**")


def test_a_folder_is_indexed_offered_and_searched(tmp_path):
    model, photos = made.model((1, 28, 28)), made.digits(tmp_path / "photos")
    index = folder.indexed(model, photos)
    assert len(folder.indexed(model, photos / folder.INSIDE)) == len(index) == 24
    offered = folder.picks(model, index)
    assert len(offered) == folder.OFFERED
    z = model.encode(offered[3:4]).mean[0]
    hits = folder.nearest(index, z)
    assert hits[0][1].startswith("0.00 · digit-")
    assert len(hits) == folder.NEAREST
    with pytest.raises(AimganError, match="another model"):
        folder.indexed(made.model((1, 28, 28), dim=4), photos / folder.INSIDE)
    for file in photos.glob("*.png"):
        file.unlink()
    assert folder.nearest(index, z) == []
    with pytest.raises(AimganError, match="no longer in"):
        folder.picks(model, index)


def test_uploads_are_read_as_the_model_takes_them_or_refused_in_one_line(tmp_path, monkeypatch):
    Image.new("RGB", (90, 60), (255, 0, 0)).save(tmp_path / "red.jpg")
    x = uploads.read_upload(tmp_path / "red.jpg", (1, 28, 28))
    assert x.shape == (1, 28, 28)
    assert float(x.std()) < 0.02
    (tmp_path / "note.png").write_bytes(b"%!PS not an image")
    Image.new("L", (20_000, 4_000)).save(tmp_path / "bomb.png")
    for name, message in (
        ("note.png", "note.png cannot be read as an image: not an image"),
        ("bomb.png", "bomb.png cannot be read as an image: .*over 64 megapixels"),
        ("gone.png", "the upload cannot be read"),
    ):
        with pytest.raises(AimganError, match=message):
            uploads.read_upload(tmp_path / name, (1, 28, 28))
    monkeypatch.setattr(uploads, "MAX_BYTES", 10_000)
    with pytest.raises(AimganError, match=r"bomb.png has .* MiB; expected at most"):
        uploads.read_upload(tmp_path / "bomb.png", (1, 28, 28))


def test_what_cannot_be_shown_is_refused_before_the_page_is_made(monkeypatch):
    with pytest.raises(AimganError, match=r"have shape \(3,\); the explorer shows images"):
        drawing.canvas_for(made.model((3,)))
    with pytest.raises(AimganError, match="NaN or infinite"):
        drawing.finite(torch.tensor([float("nan")]))
    with pytest.raises(AimganError, match="expected two models of the same data"):
        require_alike(subject(made.model(), "a"), subject(made.model((2,), dim=2), "b"))
    monkeypatch.setattr(serve, "find_spec", lambda name: None)
    with pytest.raises(AimganError, match=r"pip install 'aimgan\[explorer\]'"):
        serve.explore("nowhere")


def test_a_posterior_is_drawn_for_any_number_of_dimensions():
    for d in (1, 2, 300):
        picture = drawing.posterior_figure(Posterior(torch.zeros(1, d), torch.full((1, d), -1.0)))
        assert np.asarray(picture)[..., 3].max() == 255


def test_no_proxy_is_used_while_the_page_is_served(monkeypatch):
    """Desktops may set socks://, which httpx does not know."""
    httpx = pytest.importorskip("httpx")
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "socks://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "example.org")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(ValueError, match="socks"):
        httpx.Client()
    with serve.private("/tmp"):
        httpx.Client().close()
    assert os.environ["no_proxy"] == "example.org"
    assert "NO_PROXY" not in os.environ


@pytest.mark.slow  # Gradio takes seconds to import, and would leave event loops behind in this process
def test_a_page_that_cannot_be_served_is_one_line():
    pytest.importorskip("gradio")
    code = """if True:
        import gradio
        from aimgan.explorer import serve

        class Unreachable(gradio.Blocks):
            def launch(self, **arguments):
                raise ValueError("When localhost is not accessible,\\na shareable link must be created.")

        try:
            serve.launch(Unreachable(), port=1)
        except serve.AimganError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    reason = "ValueError: When localhost is not accessible, a shareable link must be created."
    assert done.stdout == f"cannot serve on 127.0.0.1:1 ({reason}): choose another --port, or --host\n"
