"""Verbs that use a model: images from codes, codes from images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aimgan.cli.options import Device, Output, Run, Seed, app, console, to_write, wrote


@app.command()
def generate(
    run: Run, output: Output, n: Annotated[int, typer.Option("-n", "--n", help="How many.")] = 64, seed: Seed = 0,
    device: Device = "auto",
) -> None:  # fmt: skip
    """Sample images (or points) from the prior.

    \b
    aimgan generate runs/mnist-aim -n 64 --output samples.png
    """
    from aimgan.cli import model_verbs as verbs
    from aimgan.cli.command import Command

    wrote(verbs.generate(Command(run, device, console()), output, n, seed))


@app.command()
def reconstruct(
    run: Run, images: Annotated[list[str], typer.Argument(help="Image files, a folder, a zip, .npz or .npy.")],
    output: Output, device: Device = "auto",
    draws: Annotated[
        int | None, typer.Option(metavar="N", help="The mean of G(z) over N draws of z from q(z|x), instead of G(mu).")
    ] = None,
    optimise: Annotated[
        int | None, typer.Option(metavar="STEPS", help="Improve each image's code by steps of Adam; needs no encoder.")
    ] = None,
) -> None:  # fmt: skip
    """Generate images again from their codes, beside the originals, and say the error.

    \b
    aimgan reconstruct runs/mnist-aim 3.png 7.png --output both.png
    aimgan reconstruct runs/mnist-aim 3.png 7.png --draws 16 --output both.png
    aimgan reconstruct runs/mnist-gan 3.png --optimise 500 --output both.png
    """
    from aimgan.cli import model_verbs as verbs
    from aimgan.cli.command import Command

    wrote(verbs.reconstruct(Command(run, device, console()), output, images, verbs.CodeSource(draws, optimise)))


@app.command()
def neighbours(
    run: Run, image: Annotated[str, typer.Argument(help="An image file (or .npy of points).")], output: Output,
    m: Annotated[int, typer.Option("-m", "--m", help="Number of neighbours per image.")] = 8, seed: Seed = 0,
    device: Device = "auto",
) -> None:  # fmt: skip
    """Generate images near one: codes drawn from its posterior.

    \b
    aimgan neighbours runs/mnist-aim 7.png -m 8 --output near.png
    """
    from aimgan.cli import model_verbs as verbs
    from aimgan.cli.command import Command

    wrote(verbs.neighbours(Command(run, device, console()), output, image, m, seed))


@app.command()
def translate(
    run: Run, images: Annotated[list[str], typer.Argument(help="Image files, folders or arrays.")], output: Output,
    back: Annotated[bool, typer.Option("--back", help="From B to A, instead of from A to B.")] = False,
    device: Device = "auto",
) -> None:  # fmt: skip
    """Translate between the two data sets of a model that was trained on two.

    \b
    aimgan translate runs/pairs-cyclegan horses/1.jpg --output zebra.png
    aimgan translate runs/pairs-cyclegan zebras/1.jpg --back --output horse.png
    """
    from aimgan.cli import model_verbs as verbs
    from aimgan.cli.command import Command

    wrote(verbs.translate(Command(run, device, console()), output, images, back))


@app.command()
def interpolate(
    run: Run, a: Annotated[str, typer.Argument(help="The first image.")],
    b: Annotated[str, typer.Argument(help="The last image.")], output: Output,
    steps: Annotated[int, typer.Option(help="Images on the line, both ends included.")] = 8, device: Device = "auto",
) -> None:  # fmt: skip
    """Generate along the line between the codes of two images.

    \b
    aimgan interpolate runs/mnist-aim 3.png 8.png --output line.png
    """
    from aimgan.cli import model_verbs as verbs
    from aimgan.cli.command import Command

    wrote(verbs.interpolate(Command(run, device, console()), output, a, b, steps))


@app.command()
def encode(
    run: Run, data: Annotated[str, typer.Argument(help="Images: a file, a folder, a zip, .npz, .npy or parquet.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", callback=to_write, help="An .npz file: mean, log_variance, names.")
    ],
    device: Device = "auto",
) -> None:  # fmt: skip
    """Write the codes of a data set.

    \b
    aimgan encode runs/mnist-aim photos --output codes.npz
    """
    from aimgan.cli import model_verbs as verbs
    from aimgan.cli.command import Command

    wrote(verbs.encode(Command(run, device, console()), output, data))


@app.command()
def search(
    run: Run,
    index: Annotated[Path, typer.Option(help="The index's folder, or a folder of images: its index is kept in it.")],
    images: Annotated[str | None, typer.Option(help="Images from which to build or update the index.")] = None,
    image: Annotated[str | None, typer.Option(help="Find the nearest to this image.")] = None,
    code: Annotated[str | None, typer.Option(metavar="Z1,Z2,...", help="Find the nearest to this code.")] = None,
    k: Annotated[int, typer.Option("-k", "--k", help="Number of images to find.")] = 12,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", callback=to_write, help="A sheet of what is found: .html, .png or .json."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Find images near one. Builds the index where there is none.

    \b
    aimgan search runs/photos --index photos --image cat.jpg
    aimgan search runs/photos --index index --images photos --image cat.jpg -k 24 --output near.html
    """
    from aimgan.cli import search_verbs as verbs
    from aimgan.cli.command import Command

    verbs.search(Command(run, device, console()), index, images, verbs.Query(image, code, k), output)


@app.command()
def cluster(
    run: Run, source: Annotated[str, typer.Argument(help="Images, or an index of them.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder of the sheets and labels.")],
    k: Annotated[int, typer.Option("-k", "--k", help="Number of clusters (k-means only).")] = 10,
    method: Annotated[str, typer.Option(help="kmeans or hdbscan.")] = "kmeans", seed: Seed = 0, device: Device = "auto",
) -> None:  # fmt: skip
    """Group images by their codes, with one contact sheet per cluster.

    \b
    aimgan cluster runs/photos photos --output groups --k 10
    """
    from aimgan.cli import cluster_verb
    from aimgan.cli.command import Command

    cluster_verb.cluster(Command(run, device, console()), source, output, k, method, seed)


@app.command()
def explore(
    run: Run,
    index: Annotated[
        Path | None, typer.Option(help="An index of aimgan search, or a folder of images: it is indexed.")
    ] = None,
    compare: Annotated[
        str | None, typer.Option(metavar="RUN", help="Another model of the same data, to be shown beside it.")
    ] = None,
    host: Annotated[str, typer.Option(help="The address to serve on; others than this machine's are open to all.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="The port to serve on.")] = 7860,
    device: Device = "auto",
) -> None:
    """Serve a page of what the model infers and generates, on this machine.

    \b
    aimgan explore runs/photos --index photos
    aimgan explore runs/digits-aim --compare runs/digits-ali
    """
    from aimgan.devices import resolved_device
    from aimgan.explorer import explore as serve

    serve(run, index, compare, host, port, resolved_device(device))
