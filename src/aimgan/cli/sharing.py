"""Verbs that hand a model on, and that look at the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aimgan.cli.options import Run, app, console


@app.command()
def export(
    run: Run, output: Annotated[Path, typer.Option("--output", "-o", help="The folder of the files.")],
    format_: Annotated[str, typer.Option("--format", help="onnx, or torch (torch.export's .pt2).")] = "onnx",
) -> None:  # fmt: skip
    """Write generator, encoder and reconstruction for other programs, checked against PyTorch.

    \b
    aimgan export runs/digits-aim --format onnx --output exported
    """
    from aimgan.sharing.export import export as write
    from aimgan.sharing.hub import load

    for line in write(load(run), output, format_).lines():
        typer.echo(line)


@app.command()
def push(
    run: Run, repo: Annotated[str, typer.Argument(help="The Hub's id: owner/name.")],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    revision: Annotated[str | None, typer.Option(help="A branch. [main]")] = None,
    figures: Annotated[bool, typer.Option("--figures", help="Also figures that show images of the data.")] = False,
    license_: Annotated[str | None, typer.Option("--license", help="The model's license, such as mit.")] = None,
    dry_run: Annotated[
        Path | None, typer.Option("--dry-run", metavar="FOLDER", help="Write what would be sent here, send nothing.")
    ] = None,
) -> None:  # fmt: skip
    """Put a model and its card on the Hub.

    \b
    aimgan push runs/photos-aim you/photos --dry-run page
    aimgan push runs/photos-aim you/photos --private
    """
    from aimgan.sharing import hub

    if dry_run is not None:
        pushed = hub.write_page(run, repo, dry_run, figures=figures, license=license_)
    else:
        pushed = hub.push(run, repo, private=private, revision=revision, figures=figures, license=license_)
    for line in pushed.lines():
        typer.echo(line)


@app.command()
def doctor(
    online: Annotated[bool, typer.Option("--online", help="Also ask whether the Hub can be reached.")] = False,
    json_: Annotated[Path | None, typer.Option("--json", help="Write what was found to this file.")] = None,
    remove_pack: Annotated[
        str | None,
        typer.Option("--remove-pack", metavar="NAME", help="Remove a pack of images from the cache, or all of them."),
    ] = None,
) -> None:
    """Say what this machine has and lacks, and which images are packed in its cache.

    \b
    aimgan doctor
    aimgan doctor --json doctor.json
    aimgan doctor --remove-pack all
    """
    if remove_pack is not None:
        from aimgan.checked import shown_bytes
        from aimgan.console import say
        from aimgan.data.packed import remove

        for pack in remove(remove_pack):
            say(console(), f"removed {pack.folder}, {shown_bytes(pack.size)}")
        return
    from aimgan.cli.doctor import doctor as look

    raise typer.Exit(look(console(), online, json_))
