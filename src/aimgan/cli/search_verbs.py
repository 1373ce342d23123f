"""The verb `search`: an index of the codes of many images, and what is near in it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from aimgan import console as screen
from aimgan.cli.command import Command
from aimgan.cli.inputs import read
from aimgan.cli.output import writing
from aimgan.errors import AimganError
from aimgan.files import write_json, write_text
from aimgan.model import LatentVariableModel
from aimgan.search.classes import NEAREST, class_agreement
from aimgan.search.images import named, require_own
from aimgan.search.index import INSIDE, RECORD, Hit, Index, build, open_index, query, require_model
from aimgan.search.nearest import usual_distances

ENDINGS = (".html", ".png", ".json")


@dataclass(frozen=True)
class Query:
    """An image, or a code as text with commas between its numbers, and how many images are to be found."""

    image: str | None = None
    code: str | None = None
    k: int = 12

    def __bool__(self) -> bool:
        return self.image is not None or self.code is not None


def search(command: Command, folder: Path, images: str | None, asked: Query, output: Path | None = None) -> list[Hit]:
    """Bring an index up to date where images are named, and answer a query on the screen and in a file.

    `folder` may also be a folder of images, which then holds its own index. Raises AimganError for two queries, for an
    output without a query, and for what `build` and `query` refuse.
    """
    console = command.console
    if asked.image is not None and asked.code is not None:
        raise AimganError("got --image and --code; expected one of them")
    if output is not None and output.suffix.lower() not in ENDINGS:
        raise AimganError(f"--output is {output}; expected a name that ends in {', '.join(ENDINGS)}")
    if output is not None and not asked:
        raise AimganError("--output is for what is found: pass --image FILE or --code NUMBERS")
    model = command.model()
    index = opened(model, folder, images, console)
    if not asked:
        return []
    code, picture, name = _code_and_picture(model, asked)
    hits = query(index, code, asked.k)
    for place, hit in enumerate(hits, 1):
        screen.say(console, f"{place:>4}  {hit.distance:>8.3f}  {hit.name}")
    if output is not None:
        if output.suffix.lower() != ".json":
            require_own(index, console)
        with writing(output):
            _write_hits(output, index, hits, picture, name)
        screen.say(console, f"wrote {output}")
    return hits


def opened(model: LatentVariableModel, folder: Path, images: str | None, console: Console) -> Index:
    """Open an index of this model, or build it where images are named or the folder is one of images."""
    if images is None and not (folder / RECORD).exists() and folder.is_dir():
        images, folder = str(folder), folder / INSIDE
    if images is not None:
        index = built(model, images, folder, console)
    else:
        index = open_index(folder)
        require_model(index, model)
    screen.say(console, f"distances are in the prior's units: {scale_of(index)}")
    return index


def built(model: LatentVariableModel, images: str, folder: Path, console: Console) -> Index:
    """Build an index, or bring it up to date, and say what it is."""
    with encoding(console) as progress:
        index = build(model, images, folder, progress)
    screen.say_skipped(console, list(index.record.skipped), len(index))
    screen.say(console, f"index {folder}: {len(index):,} images, codes of {index.record.dim} dimensions")
    agreement = class_agreement(index, model)
    if agreement is not None:
        screen.say(
            console,
            f"of the {NEAREST} nearest images, {agreement.codes:.0%} have the same class; by raw pixels "
            f"{agreement.pixels:.0%}, at random {agreement.chance:.0%}",
        )
    return index


def scale_of(index: Index) -> str:
    """Say what a distance is to be read against."""
    median, close = usual_distances(index.codes)
    if math.isnan(median):
        return "there is nothing to compare with"
    return f"two of its images are {median:.1f} apart (median), the closest 5 % of pairs at most {close:.1f}"


def _code_and_picture(model: LatentVariableModel, asked: Query) -> tuple[Tensor, Tensor, str]:
    """Return the code that is searched for (d,), its picture (c, h, w), and its name."""
    if asked.image is not None:
        x = read([asked.image], model.shape, scale=model.config.scale).x
        if len(x) != 1:
            raise AimganError(f"--image {asked.image} holds {len(x):,} images; expected one")
        return model.encode(x).mean[0], x[0], asked.image
    assert asked.code is not None
    z = _numbers(asked.code, model.dim)
    return z, model.decode(z[None], inferred=True)[0].cpu(), f"the code {asked.code}"


def _numbers(text: str, dim: int) -> Tensor:
    try:
        z = torch.tensor([float(part) for part in text.split(",")])
    except ValueError:
        raise AimganError(f"--code is {text!r}; expected numbers with commas between, such as 0.1,-1.2") from None
    if len(z) != dim:
        raise AimganError(f"--code has {len(z)} numbers; expected {dim}, the dimensions of this model's codes")
    return z


def _write_hits(output: Path, index: Index, hits: Sequence[Hit], picture: Tensor, name: str) -> None:
    from aimgan.figures import save
    from aimgan.pages.contact_sheet import Section, Tile, figure, page

    source = index.record.source
    if output.suffix.lower() == ".json":
        median, close = usual_distances(index.codes)
        found: dict[str, Any] = {"query": name, "source": source, "model": index.record.model}
        found |= {"hits": [hit._asdict() for hit in hits]}
        if not math.isnan(median):
            found |= {"median_distance": median, "closest_5_percent": close}
        write_json(output, found)
        return
    pixels = (picture.clamp(0, 1) * 255).round().byte().numpy()
    thumbnails = named(source, {hit.name for hit in hits})
    tiles = [Tile(hit.name, f"{hit.distance:.2f}", thumbnails.get(hit.name)) for hit in hits]
    sections = [Section("query", "", [Tile("", "", pixels)]), Section("nearest", "", tiles)]
    scale = f"Distances are in the prior's units; {scale_of(index)}."
    if output.suffix.lower() == ".png":
        save(figure(sections, scale), output)
        return
    summary = f"The {len(hits)} nearest of {len(index):,} images in {source}. {scale}"
    write_text(output, page(f"Images near {Path(name).name[:80]}", summary, sections))


@contextmanager
def encoding(console: Console) -> Iterator[Callable[[int, int], None]]:
    """Yield `progress(done, total)`: a bar with images a second and the time left, or now and then a line in a pipe."""
    begun = time.monotonic()

    def speed(done: int) -> str:
        return f"{done / max(time.monotonic() - begun, 1e-9):,.0f} images/s"

    if not console.is_terminal:
        yield screen.lines(console, lambda done, total: f"encoded {done:>9,} of {total:,}  {speed(done)}")
        return
    with screen.bar(console) as progress:
        task = progress.add_task("encoding", total=None, note="")
        yield lambda done, total: progress.update(task, completed=done, total=total, note=speed(done))
