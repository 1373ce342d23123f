"""Verbs that make runs, and list recipes, runs and scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aimgan.cli.options import Device, Run, Seed, app, console, to_write, wrote
from aimgan.errors import AimganError

Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="An option of the objective, a number of the recipe, networks.* or data.*.",
    ),
]


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="<data>/<objective>, such as grid/aim. The list: aimgan recipes")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The run's folder. [runs/<data>-<objective>]")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Images: a folder, a zip, .npz, .npy, parquet, a Hub id.")] = None,
    data_b: Annotated[str | None, typer.Option("--data-b", help="Images of the second data set, for pairs/*.")] = None,
    size: Annotated[int | None, typer.Option(help="Side that images are scaled and cropped to.")] = None,
    seed: Seed = 0,
    steps: Annotated[int | None, typer.Option(help="Steps to train for. [the recipe's]")] = None,
    minutes: Annotated[float | None, typer.Option(help="About how long to train, instead of --steps.")] = None,
    device: Device = "auto",
    set_: Set = None,
    preset: Annotated[
        str | None, typer.Option(help="Size and length: paper, quick, cpu, refined, residual, residual-cpu.")
    ] = None,
    extend: Annotated[bool, typer.Option("--extend", help="Allow more steps than the run had before.")] = False,
    new_data: Annotated[bool, typer.Option("--new-data", help="Allow other images than the run had before.")] = False,
    track: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="tensorboard, wandb, mlflow, trackio, off. [TensorBoard if installed]"),
    ] = None,
) -> None:
    """Train a recipe. To go on after a stop, run the same command again.

    \b
    aimgan train grid/aim
    aimgan train folder/aim --data photos --size 64 --output runs/photos
    aimgan train mnist/aim --data PATH --preset cpu
    aimgan train grid/aim --set weighting=none --set lr=1e-3 --output runs/plain
    aimgan train pairs/cyclegan --data horses --data-b zebras --size 32
    aimgan train grid/aim --track wandb --output runs/tracked
    """  # fmt: skip
    from aimgan.runs.train import train as run

    settings = _settings(set_)
    run(recipe, output, data=data, data_b=data_b, size=size, seed=seed, steps=steps, minutes=minutes, device=device,
        preset=preset, settings=settings, extend=extend, new_data=new_data, track=track or None,
        console=console())  # fmt: skip


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    json_: Annotated[
        Path | None, typer.Option("--json", callback=to_write, help="Write the scores to this file.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Other data than the run's own.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the samples. [the run's]")] = None,
    features: Annotated[
        str | None, typer.Option(help="Feature network: digits, inception, efficientnet-lite0, a .pt file, off.")
    ] = None,
    samples: Annotated[int | None, typer.Option(help="Number of generated images to score. [the recipe's]")] = None,
    device: Device = "auto",
) -> None:
    """Score a run's model.

    \b
    aimgan evaluate runs/grid-aim --json scores.json
    aimgan evaluate runs/cifar10-aim --features inception --json scores.json
    """
    from aimgan.cli.output import writing
    from aimgan.files import write_json
    from aimgan.runs.evaluate import Options, evaluate_run

    scores = evaluate_run(run, Options(data, seed, features, samples, device), console())
    if json_ is not None:
        with writing(json_):
            write_json(json_, scores)
        wrote(json_)


@app.command()
def reproduce(
    target: Annotated[str, typer.Argument(help="table1, table2, or figure2 to figure10.")],
    methods: Annotated[str | None, typer.Option(help="Names with commas between: gan,ali,aim. [all]")] = None,
    seeds: Annotated[int | None, typer.Option(help="Number of seeds (tables only).")] = None,
    seed: Annotated[int | None, typer.Option(help="The seed (figures only). [0]")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of each run. [the recipes']")] = None,
    data: Annotated[
        str | None, typer.Option(help="grid, ring, unbalanced; mnist, cifar10, celeba for targets with images.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="paper, quick or cpu (images only).")] = None,
    images: Annotated[str | None, typer.Option(help="Where the images are, if not on the Hub.")] = None,
    columns: Annotated[str | None, typer.Option(help="Scores in the short table, with commas between.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder. [runs/reproduce/<target>-<data>; figure3 has table2's]"),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Runs at a time. [the cores; 1 on a GPU]")] = None,
    device: Device = "auto",
    retry: Annotated[bool, typer.Option("--retry", help="Repeat runs that diverged, from the start.")] = False,
    set_: Set = None,
) -> None:
    """Make a table or a figure of the paper. To go on after a stop, run the same command again.

    \b
    aimgan reproduce table2 --seeds 5
    aimgan reproduce table2 --methods gan,aim --data ring --seeds 3 --columns modes,high_quality,mode_kl
    aimgan reproduce figure3 --methods ali,aim
    aimgan reproduce table2 --steps 30000 --set compile=true
    aimgan reproduce table1 --data mnist --images PATH --preset cpu --seeds 3
    aimgan reproduce figure2 --data mnist --images PATH --preset cpu
    """
    from aimgan.paper import reproduce as paper

    request = paper.Request(
        target, _listed(methods), seeds=seeds, seed=seed, steps=steps, data=data, preset=preset, images=images,
        columns=_listed(columns), output=output, workers=workers, device=device, retry=retry, settings=_settings(set_),
    )  # fmt: skip
    paper.reproduce(request, console())


@app.command()
def recipes() -> None:
    """List the recipes.

    \b
    aimgan recipes
    """
    from aimgan.pages.tables import Table
    from aimgan.recipes.catalogue import all_recipes

    rows = []
    for name, recipe in all_recipes().items():
        length = f"{recipe.steps:,} steps" if recipe.steps else f"{recipe.epochs:g} epochs"
        rows.append((name, type(recipe.data).__name__, type(recipe.networks).__name__, recipe.objective, length))
    table = Table("recipes", ("recipe", "data", "networks", "objective", "length"), tuple(rows))
    console().print(table.rich())


@app.command()
def info(run: Run) -> None:
    """Say what a run or a saved model is.

    \b
    aimgan info runs/grid-aim
    """
    from aimgan.cli.info import tell

    tell(run, console())


@app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(help="Two to eight runs' folders.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", callback=to_write, help="A page, .html; .md and .json are put beside it."),
    ] = None,
) -> None:
    """Put runs side by side: settings, scores, curves, figures.

    \b
    aimgan compare runs/grid-aim runs/grid-ali --output compare.html
    """
    from aimgan.pages.compare import compare as beside

    beside(runs, output, console())


def _listed(names: str | None) -> list[str] | None:
    """Return names that were passed with commas between."""
    return None if names is None else names.split(",")


def _settings(texts: list[str] | None) -> dict[str, str]:
    """Return what was passed as --set NAME=VALUE."""
    settings = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise AimganError(f"--set got {text!r}; expected NAME=VALUE, such as --set weight=1")
        settings[name] = value
    return settings
