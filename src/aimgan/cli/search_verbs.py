"""The verbs `search` and `cluster`: an index of the codes of many images, what is near in it, and its groups."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from aimgan import console as screen
from aimgan.cli.inputs import read
from aimgan.errors import AimganError, plain
from aimgan.files import write_json, write_text
from aimgan.model import LatentVariableModel
from aimgan.pages.contact_sheet import Section, Tile, figure, page
from aimgan.runs.finish import save
from aimgan.runs.train import resolved_device
from aimgan.search.clusters import NOISE, Clusters
from aimgan.search.clusters import cluster as find_clusters
from aimgan.search.images import named
from aimgan.search.index import INSIDE, RECORD, Hit, Index, build, open_index, query, require_model
from aimgan.sharing.hub import load

ENDINGS = (".html", ".png", ".json")
SHOWN = 24  # images of a cluster on its sheet
EVERY = 10  # seconds between lines of progress in a pipe


def search(
    run: str,
    index: Path,
    images: str | None,
    image: str | None,
    code: str | None,
    k: int,
    output: Path | None,
    device: str,
    console: Console,
) -> list[Hit]:
    """Bring an index up to date where images are named, and answer a query: on the screen, and as a file if one is.

    `index` may also be a folder of images, which then holds its own index. Raises AimganError for two queries, for an
    output without one, and for what `build` and `query` refuse.
    """
    if image is not None and code is not None:
        raise AimganError("got --image and --code; expected one of them")
    if output is not None and output.suffix.lower() not in ENDINGS:
        raise AimganError(f"--output is {output}; expected a name that ends in {', '.join(ENDINGS)}")
    if output is not None and image is None and code is None:
        raise AimganError("--output is for what is found: pass --image FILE or --code NUMBERS")
    model = load(run, resolved_device(device))
    found = _index(model, index, images, console)
    if image is None and code is None:
        return []
    z, x, about = _query(model, image, code)
    hits = query(found, z, k)
    for place, hit in enumerate(hits, 1):
        screen.say(console, f"{place:>4}  {hit.distance:>8.3f}  {plain(hit.name)}")
    if output is not None:
        _write_hits(output, found, hits, x, about)
        screen.say(console, f"wrote {output}")
    return hits


def _index(model: LatentVariableModel, folder: Path, images: str | None, console: Console) -> Index:
    if images is None and not (folder / RECORD).exists() and folder.is_dir():
        images, folder = str(folder), folder / INSIDE
    if images is None:
        index = open_index(folder)
        require_model(index, model)
        return index
    return built(model, images, folder, console)


def built(model: LatentVariableModel, images: str, folder: Path, console: Console) -> Index:
    """Build an index, or bring it up to date, and say what it is."""
    with encoding(console) as progress:
        index = build(model, images, folder, progress)
    record = index.record
    screen.say_skipped(console, [*record.skipped], len(index))
    screen.say(console, f"index {folder}: {len(index):,} images, codes of {record.dim} dimensions")
    screen.say(
        console, f"distances are in the prior's units: two unrelated codes are about {index.unrelated:.1f} apart"
    )
    return index


def _query(model: LatentVariableModel, image: str | None, code: str | None) -> tuple[Tensor, Tensor, str]:
    """Return the code that is searched for, its picture (c, h, w), and what it is."""
    if image is not None:
        given = read([image], model.shape, scale=model.config.scale).x
        if len(given) != 1:
            raise AimganError(f"--image {image} holds {len(given):,} images; expected one")
        return model.encode(given).mean[0], given[0], image
    assert code is not None
    z = _numbers(code, model.dim)
    return z, model.decode(z[None], inferred=True)[0].cpu(), f"the code {code}"


def _numbers(text: str, dim: int) -> Tensor:
    try:
        z = torch.tensor([float(part) for part in text.split(",")])
    except ValueError:
        raise AimganError(f"--code is {text!r}; expected numbers with commas between, such as 0.1,-1.2") from None
    if len(z) != dim:
        raise AimganError(f"--code has {len(z)} numbers; expected {dim}, the dimensions of this model's codes")
    return z


def _write_hits(output: Path, index: Index, hits: Sequence[Hit], x: Tensor, about: str) -> None:
    ending = output.suffix.lower()
    if ending == ".json":
        found = {"hits": [hit._asdict() for hit in hits], "unrelated": index.unrelated}
        about_index = {"source": index.record.source, "model": index.record.model}
        _written(output, lambda: write_json(output, {"query": about, **about_index, **found}))
        return
    pixels = (x.clamp(0, 1) * 255).round().byte().numpy()
    small = named(index.record.source, {hit.name for hit in hits})
    tiles = [Tile(hit.name, f"{hit.distance:.2f}", small.get(hit.name)) for hit in hits]
    sections = [Section("query", "", [Tile("", "", pixels)]), Section("nearest", "", tiles)]
    scale = f"Distances are in the prior's units; two unrelated codes are about {index.unrelated:.1f} apart."
    if ending == ".html":
        summary = f"The {len(hits)} nearest of {len(index):,} images in {index.record.source}. {scale}"
        _written(output, lambda: write_text(output, page(f"Images near {Path(about).name[:80]}", summary, sections)))
    else:
        _written(output, lambda: save(figure(sections, scale), output))


def cluster(
    run: str, source: str, output: Path, k: int, method: str, seed: int, device: str, console: Console
) -> Clusters:
    """Group a source's images: clusters.html, a .png sheet a cluster, clusters.json, labels.csv, and the index.

    `source` may be an index of this model, which is then used as it is. A stopped call goes on where it was.
    """
    model = load(run, resolved_device(device))
    own = (Path(source) / RECORD).exists()
    index = _index(model, Path(source), None, console) if own else built(model, source, output / "index", console)
    with console.status("clustering"):
        found = find_clusters(index.codes, k, method, seed)
    sections, line = _sections(index, found), _line(index, found)
    title = f"{len(found.centres)} clusters of {len(index):,} images"
    scale = (
        f"Distance to the centre; unrelated codes are {index.unrelated:.1f} apart."  # short: a line is slow to break
    )
    for name, section in sections.items():
        _written(path := output / "sheets" / f"{name}.png", partial(_save_sheet, section, scale, path))
    _written(path := output / "clusters.json", partial(write_json, path, _summary(index, found, method, seed)))
    _written(path := output / "labels.csv", partial(path.write_bytes, _labels(index, found)))
    _written(path := output / "clusters.html", partial(write_text, path, page(title, line, [*sections.values()])))
    screen.say(console, line)
    for section in sections.values():
        screen.say(console, f"{section.title}: {section.note}")
    screen.say(console, f"wrote {path}, clusters.json, labels.csv and sheets/ beside it")
    return found


def _save_sheet(section: Section, caption: str, path: Path) -> None:
    save(figure([section], caption), path)


def _numbers_of(found: Clusters) -> list[int]:
    return [*range(len(found.centres)), *([NOISE] if (found.labels == NOISE).any() else [])]


def _sections(index: Index, found: Clusters) -> dict[str, Section]:
    rows = {number: found.nearest(number, SHOWN) for number in _numbers_of(found)}
    small = named(index.record.source, {index.names[row] for near in rows.values() for row in near})
    width = len(str(len(found.centres)))
    sections = {}
    for number, near in rows.items():
        name = "noise" if number == NOISE else f"cluster-{number:0{width}}"
        count = int((found.labels == number).sum())
        tiles = [
            Tile(index.names[row], _distance(float(found.distances[row])), small.get(index.names[row])) for row in near
        ]
        note = f"{count:,} images, {count / len(index):.1%}"
        sections[name] = Section(name.replace("-", " "), note, tiles)
    return sections


def _distance(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.2f}"


def _line(index: Index, found: Clusters) -> str:
    score = "" if found.silhouette is None else f"Silhouette {found.silhouette:.3f} (1 apart, 0 overlapping). "
    scale = f"two unrelated codes are about {index.unrelated:.1f} apart"
    return f"{score}Nearest to the centre first, with the distance to it in the prior's units; {scale}."


def _summary(index: Index, found: Clusters, method: str, seed: int) -> dict[str, Any]:
    return {
        "method": method,
        "seed": seed,
        "source": index.record.source,
        "model": index.record.model,
        "images": len(index),
        "silhouette": found.silhouette,
        "clusters": [
            {
                "cluster": number,
                "images": int((found.labels == number).sum()),
                "nearest": [index.names[row] for row in found.nearest(number, SHOWN)],
            }
            for number in _numbers_of(found)
        ],
    }


def _labels(index: Index, found: Clusters) -> bytes:
    """Return name, cluster and distance of every image as CSV; names byte for byte, also those that are no text."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("name", "cluster", "distance"))
    for name, label, distance in zip(index.names, found.labels.tolist(), found.distances.tolist(), strict=True):
        writer.writerow((name, label, _distance(distance)))
    return text.getvalue().encode("utf-8", "surrogateescape")


def _written(path: Path, write: Callable[[], object]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write()
    except OSError as reason:
        raise AimganError(f"cannot write {path} ({reason.strerror}): choose another path") from None


@contextmanager
def encoding(console: Console) -> Iterator[Callable[[int, int], None]]:
    """Yield `progress(done, total)`: a bar with images a second and the time left, or now and then a line in a pipe."""
    begun = last = time.monotonic()

    def speed(done: int) -> str:
        return f"{done / max(time.monotonic() - begun, 1e-9):,.0f} images/s"

    def line(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > EVERY:
            last = time.monotonic()
            screen.say(console, f"encoded {done:>9,} of {total:,}  {speed(done)}")

    if not console.is_terminal:
        yield line
        return
    with screen.bar(console) as progress:
        task = progress.add_task("encoding", total=None, note="")
        yield lambda done, total: progress.update(task, completed=done, total=total, note=speed(done))
