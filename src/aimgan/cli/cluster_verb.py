"""The verb `cluster`: images grouped by their codes, as pages, pictures and tables."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

from aimgan import console as screen
from aimgan.cli.command import Command
from aimgan.cli.output import writing
from aimgan.cli.search_verbs import built, opened, scale_of
from aimgan.figures import save
from aimgan.files import refuse_links, replacing_file, require_mark, write_json, write_text
from aimgan.pages.contact_sheet import Section, Tile, figure, page
from aimgan.search.clusters import NOISE, Clusters
from aimgan.search.clusters import cluster as find_clusters
from aimgan.search.images import named, require_own
from aimgan.search.index import RECORD, Index

SHOWN = 24  # images of a cluster on its sheet
HEAD = "name,cluster,distance\n"  # of labels.csv
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a spreadsheet's formula begins


def cluster(command: Command, source: str, output: Path, k: int, method: str, seed: int) -> Clusters:
    """Group a source's images: clusters.html, a .png sheet for each cluster, clusters.json, labels.csv, and the index.

    `source` may be an index of this model, which is then used as it is. A stopped call goes on where it was.
    """
    model, console = command.model(), command.console
    require_mark(output / "labels.csv", HEAD)
    for name in ("sheets", "index"):
        refuse_links(output / name)
    if (Path(source) / RECORD).exists():
        index = opened(model, Path(source), None, console)
        require_own(index, console)
    else:
        index = built(model, source, output / "index", console)
    with screen.status(console, "clustering"):
        found = find_clusters(index.codes, k, method, seed)
    sections = _sections(index, found)
    line = _line(index, found)
    _write(output, index, found, sections, line)
    with writing(output / "clusters.json"):
        write_json(output / "clusters.json", _summary(index, found, method, seed))
    screen.say(console, line)
    for section in sections.values():
        screen.say(console, f"{section.title}: {section.note}")
    screen.say(console, f"wrote {output / 'clusters.html'}, and clusters.json, labels.csv and sheets/ next to it")
    return found


def _write(output: Path, index: Index, found: Clusters, sections: dict[str, Section], line: str) -> None:
    caption = f"Distance to the centre; {scale_of(index)}."
    for name, section in sections.items():
        path = output / "sheets" / f"{name}.png"
        with writing(path):
            save(figure([section], caption), path)
    with writing(output / "labels.csv"), replacing_file(output / "labels.csv") as fresh:
        fresh.write_bytes(_labels(index, found))
    title = f"{len(found.centres)} clusters of {len(index):,} images"
    with writing(output / "clusters.html"):
        write_text(output / "clusters.html", page(title, line, list(sections.values())))


def _numbers(found: Clusters) -> list[int]:
    """Return the clusters' numbers, the noise last."""
    numbers = list(range(len(found.centres)))
    if (found.labels == NOISE).any():
        numbers.append(NOISE)
    return numbers


def _sections(index: Index, found: Clusters) -> dict[str, Section]:
    """Return a section for each cluster, by the name of its sheet."""
    rows = {number: found.nearest(number, SHOWN) for number in _numbers(found)}
    names = {index.names[row] for nearest in rows.values() for row in nearest}
    thumbnails = named(index.record.source, names)
    width = len(str(len(found.centres)))
    sections = {}
    for number, nearest in rows.items():
        title = "noise" if number == NOISE else f"cluster {number:0{width}}"
        count = int((found.labels == number).sum())
        tiles = []
        for row in nearest:
            name = index.names[row]
            tiles.append(Tile(name, _distance(float(found.distances[row])), thumbnails.get(name)))
        note = f"{count:,} images, {count / len(index):.1%}"
        sections[title.replace(" ", "-")] = Section(title, note, tiles)
    return sections


def _distance(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"


def _line(index: Index, found: Clusters) -> str:
    score = ""
    if found.silhouette is not None:
        score = f"Silhouette {found.silhouette:.3f} (1 apart, 0 overlapping). "
    order = "Nearest to the centre first, with the distance to it in the prior's units"
    return f"{score}{order}; {scale_of(index)}."


def _summary(index: Index, found: Clusters, method: str, seed: int) -> dict[str, Any]:
    clusters = []
    for number in _numbers(found):
        nearest = [index.names[row] for row in found.nearest(number, SHOWN)]
        count = int((found.labels == number).sum())
        clusters.append({"cluster": number, "images": count, "nearest": nearest})
    return {
        "method": method,
        "seed": seed,
        "source": index.record.source,
        "model": index.record.model,
        "images": len(index),
        "silhouette": found.silhouette,
        "clusters": clusters,
    }


def _labels(index: Index, found: Clusters) -> bytes:
    """Return name, cluster and distance of every image as CSV; names byte for byte, also those that are not text.

    Only a name that a spreadsheet would calculate as a formula gets an apostrophe before it, and one with what
    some spreadsheets take for the end of a field is in quotes.
    """
    text = io.StringIO(HEAD)
    text.seek(0, io.SEEK_END)
    plain = csv.writer(text, lineterminator="\n")
    quoted = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for name, label, distance in zip(index.names, found.labels.tolist(), found.distances.tolist(), strict=True):
        harmless = f"'{name}" if name.startswith(FORMULA) else name
        writer = quoted if ";" in name or "\t" in name else plain
        writer.writerow((harmless, label, _distance(distance)))
    return text.getvalue().encode("utf-8", "surrogateescape")
