"""The command line. Every verb is one call of the library."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aimgan._version import __version__
from aimgan.errors import AimganError, Interrupted

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(
    help="Generative models that can also infer: train, then encode, reconstruct, generate, interpolate.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Run = Annotated[str, typer.Argument(help="A run's folder, a saved model's folder, or a Hub id.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="A .png picture, or .npz for the numbers.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


def _version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"aimgan {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Read the flags that belong to no verb."""


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="<data>/<objective>, such as grid/aim. The list: aimgan recipes")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The run's folder. [runs/<data>-<objective>]")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Images: a folder, a zip, .npz, .npy, parquet, a Hub id.")] = None,
    size: Annotated[int | None, typer.Option(help="Side that images are scaled and cropped to.")] = None,
    seed: Seed = 0,
    steps: Annotated[int | None, typer.Option(help="Steps to train for. [the recipe's]")] = None,
    device: Device = "auto",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="An option of the objective, a number of the recipe, networks.* or data.*.",
        ),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="paper, quick, cpu, residual, residual-cpu: how large and how long.")
    ] = None,
    extend: Annotated[bool, typer.Option("--extend", help="Go on past the steps that the run was begun with.")] = False,
) -> None:
    """Train a recipe. To go on after a stop, run the same command again.

    \b
    aimgan train grid/aim
    aimgan train folder/aim --data photos --size 64 --output runs/photos
    aimgan train mnist/aim --data PATH --preset cpu
    aimgan train grid/aim --set weighting=none --set lr=1e-3 --output runs/plain
    """  # fmt: skip
    from aimgan.experiments.training import train as run

    settings = dict(_setting(text) for text in set_ or ())
    run(recipe, output, data=data, size=size, seed=seed, steps=steps, device=device, settings=settings,
        preset=preset, extend=extend, console=_console())  # fmt: skip


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    json_: Annotated[Path | None, typer.Option("--json", help="Write the scores to this file.")] = None,
    data: Annotated[str | None, typer.Option(help="Other data than the run's own.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the samples. [the run's]")] = None,
    features: Annotated[
        str | None, typer.Option(help="Feature network: digits, inception, efficientnet-lite0, a .pt file, off.")
    ] = None,
    samples: Annotated[int | None, typer.Option(help="How many generated images it sees. [the recipe's]")] = None,
    device: Device = "auto",
) -> None:
    """Score a run's model.

    \b
    aimgan evaluate runs/grid-aim --json scores.json
    aimgan evaluate runs/cifar10-aim --features inception --json scores.json
    """
    from aimgan.experiments.verbs import evaluate_run

    evaluate_run(run, json_, data, seed, device, _console(), features, samples)


@app.command()
def generate(
    run: Run, output: Output, n: Annotated[int, typer.Option("-n", "--n", help="How many.")] = 64, seed: Seed = 0,
    device: Device = "auto",
) -> None:  # fmt: skip
    """Sample images (or points) from the prior.

    \b
    aimgan generate runs/mnist-aim -n 64 --output samples.png
    """
    from aimgan.experiments import verbs

    _wrote(verbs.generate(run, n, output, seed, device))


@app.command()
def reconstruct(
    run: Run, images: Annotated[list[str], typer.Argument(help="Image files, a folder, a zip, .npz or .npy.")],
    output: Output, device: Device = "auto",
    optimise: Annotated[
        int | None, typer.Option(metavar="STEPS", help="Improve each image's code by steps of Adam; needs no encoder.")
    ] = None,
) -> None:  # fmt: skip
    """Generate images again from their codes, beside the originals.

    \b
    aimgan reconstruct runs/mnist-aim 3.png 7.png --output both.png
    aimgan reconstruct runs/mnist-gan 3.png --optimise 500 --output both.png
    """
    from aimgan.experiments import verbs

    _wrote(verbs.reconstruct(run, images, output, device, _console(), optimise))


@app.command()
def neighbours(
    run: Run, image: Annotated[str, typer.Argument(help="An image file (or .npy of points).")], output: Output,
    m: Annotated[int, typer.Option("-m", "--m", help="How many neighbours an image.")] = 8, seed: Seed = 0,
    device: Device = "auto",
) -> None:  # fmt: skip
    """Generate images near one: codes drawn from its posterior.

    \b
    aimgan neighbours runs/mnist-aim 7.png -m 8 --output near.png
    """
    from aimgan.experiments import verbs

    _wrote(verbs.neighbours(run, image, m, output, seed, device, _console()))


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
    from aimgan.experiments import verbs

    _wrote(verbs.interpolate(run, a, b, steps, output, device, _console()))


@app.command()
def encode(
    run: Run, data: Annotated[str, typer.Argument(help="Images: a file, a folder, a zip, .npz, .npy or parquet.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="An .npz file: mean, log_variance, names.")],
    device: Device = "auto",
) -> None:  # fmt: skip
    """Write the codes of a data set.

    \b
    aimgan encode runs/mnist-aim photos --output codes.npz
    """
    from aimgan.experiments import verbs

    _wrote(verbs.encode(run, data, output, device, _console()))


@app.command()
def reproduce(
    target: Annotated[str, typer.Argument(help="table1, table2, figure2 to figure10, or stability.")],
    methods: Annotated[str | None, typer.Option(help="Names with commas between: gan,ali,aim. [all]")] = None,
    seeds: Annotated[int | None, typer.Option(help="How many seeds, of table2 and stability.")] = None,
    seed: Annotated[int | None, typer.Option(help="Which seed, of figure3. [0]")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of each run. [the recipes']")] = None,
    data: Annotated[
        str | None, typer.Option(help="grid, ring, unbalanced; mnist, cifar10, celeba of the images' targets.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Of images: paper, quick or cpu.")] = None,
    images: Annotated[str | None, typer.Option(help="Where the images are, if not on the Hub.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder. [runs/reproduce/<target>-<data>; figure3 has table2's]"),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Runs at a time. [the cores; 1 on a GPU]")] = None,
    device: Device = "auto",
    retry: Annotated[bool, typer.Option("--retry", help="Do runs that diverged again, from the start.")] = False,
) -> None:
    """Make a table or a figure of the paper. To go on after a stop, run the same command again.

    \b
    aimgan reproduce table2 --seeds 5
    aimgan reproduce table2 --methods gan,aim --data ring --seeds 3
    aimgan reproduce figure3 --methods ali,aim
    aimgan reproduce table1 --data mnist --images PATH --preset cpu --seeds 3
    aimgan reproduce figure2 --data mnist --images PATH --preset cpu
    aimgan reproduce stability --methods gan,aim
    """
    from aimgan.experiments.reproduction.reproduce import reproduce as run

    names = None if methods is None else methods.split(",")
    run(target, names, seeds=seeds, seed=seed, steps=steps, data=data, preset=preset, path=images, output=output,
        workers=workers, device=device, retry=retry, console=_console())  # fmt: skip


@app.command()
def recipes() -> None:
    """List the recipes."""
    from aimgan.experiments.verbs import recipe_table

    _console().print(recipe_table().rich())


@app.command()
def info(run: Run) -> None:
    """Say what a run or a saved model is."""
    from aimgan.experiments.verbs import describe

    typer.echo(describe(run))


def _console() -> Console:
    from rich.console import Console  # here, so that --help need not wait for it

    return Console()


def _wrote(path: Path) -> None:
    typer.echo(f"wrote {path}")


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise AimganError(f"--set got {text!r}; expected NAME=VALUE, such as --set weight=1")
    return name, value


def main() -> None:
    """Run a command: exit 0 when done, 1 with one line for a user's mistake, 130 when interrupted."""
    # Typer carries click inside since 0.2x and used the package before: this is its base of all usage errors in both.
    usage_error: Any = next(cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "ClickException")
    warnings.formatwarning = lambda message, *_: f"aimgan: {message}\n"
    with suppress(AttributeError):  # a file's name may hold bytes that are no text
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except typer.Exit as done:
        sys.exit(done.exit_code)
    except AimganError as mistake:
        _fail(str(mistake), 1)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted", 130)
    except Interrupted as stopped:
        _fail(f"{stopped}; run the same command again to go on", 130)
    except usage_error as mistake:
        _fail(mistake.format_message(), 1)
    except OSError as reason:  # a full disk, a file that may not be read
        _fail(str(reason), 1)
    except MemoryError as reason:
        _fail(f"there is not enough memory ({reason}): ask for less at a time", 1)


def _fail(message: str, code: int) -> None:
    rank = os.environ.get("RANK", "0")  # of a launch's processes, which all say their errors; the first says a stop
    if rank == "0" or code == 1:
        name = "aimgan" if rank == "0" else f"aimgan (process {rank})"
        print(f"{name}: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201
    sys.exit(code)
