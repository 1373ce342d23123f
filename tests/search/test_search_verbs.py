from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from tiny import tiny, write

from aimgan.cli.cluster_verb import cluster
from aimgan.cli.command import Command
from aimgan.cli.search_verbs import Query, search
from aimgan.errors import AimganError, plain
from aimgan.pages.contact_sheet import Section, Tile, page
from aimgan.search.index import INSIDE

HOSTILE = ['"><script>alert(1)<script>.png', "a\nb $x_1$ {title}.png", "\u202egnp.exe.png", "\x1b[31mred.png", "名.png"]


@pytest.fixture
def run(tmp_path):
    tiny().save(tmp_path / "model")
    return str(tmp_path / "model")


@pytest.fixture
def said():
    return Console(file=io.StringIO(), width=200)


def asked(run, said, index, images=None, image=None, code=None, k=5, output=None):
    query = Query(image and str(image), code, k)
    return search(Command(run, "cpu", said), index, images and str(images), query, output)


def test_search_builds_and_answers_in_three_forms(run, said, photos, tmp_path):
    index = tmp_path / "index"
    outputs = [tmp_path / "out" / name for name in ("hits.json", "sheet.png", "sheet.html")]
    for output in outputs:
        hits = asked(run, said, index, photos, image=photos / "12.png", output=output)
        assert hits[0].name == "12.png"
    text = said.file.getvalue()
    assert "38 images, codes of 3 dimensions\n" in text
    assert "skipped '07.png': not an image" in text
    found = json.loads(outputs[0].read_text())
    assert 0 < found["closest_5_percent"] < found["median_distance"]
    assert f"two of its images are {found['median_distance']:.1f} apart (median)" in text
    assert "same class" not in text  # the folder has no labels
    assert [hit["name"] for hit in found["hits"]] == [hit.name for hit in hits]
    with Image.open(outputs[1]) as sheet:
        assert sheet.width > 300
    html = outputs[2].read_text()
    assert html.count("<img ") == 6
    assert asked(run, said, index, code="0.1,-1,2", k=2) == asked(run, said, index, code="0.1, -1.0, 2", k=3)[:2]


def test_neighbours_by_codes_stand_beside_those_by_pixels(run, said, tmp_path):
    for label in (0, 200):
        for k in range(10):
            path = tmp_path / "photos" / f"class {label}" / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8), label + k, np.uint8)).save(path)
    asked(run, said, tmp_path / "index", tmp_path / "photos")
    assert re.search(
        r"nearest images, \d+% have the same class; by raw pixels 100%, at random 47%", said.file.getvalue()
    )


def test_a_folder_of_images_can_have_its_own_index(run, said, photos):
    first = asked(run, said, photos, code="0,0,0", k=50)
    assert (photos / INSIDE / "codes.npy").exists()
    write(photos / "new.png", 77)
    assert len(asked(run, said, photos, code="0,0,0", k=50)) == len(first) + 1 == 39


def test_an_index_of_an_earlier_version_is_one_line(run, said, photos, tmp_path):
    for folder in (tmp_path / "index", photos / INSIDE):
        folder.mkdir()
        (folder / "index.json").write_text('{"format": 1, "model": "a", "source": "b", "dim": 3, "search": {}}')
    for index, images in ((tmp_path / "index", None), (tmp_path / "index", photos), (photos, None)):
        with pytest.raises(AimganError, match=r"has another format.*: remove that folder and build the index again"):
            asked(run, said, index, images, code="0,0,0")
    with pytest.raises(AimganError, match="has another format"):
        cluster(Command(run, "cpu", said), str(tmp_path / "index"), tmp_path / "groups", 2, "kmeans", 0)


def test_what_search_refuses(run, said, photos, tmp_path):
    index = tmp_path / "index"
    for options, message in (
        ({"image": photos / "1.png", "code": "1"}, "got --image and --code; expected one"),
        ({"output": tmp_path / "a.html"}, "pass --image FILE or --code"),
        ({"code": "0,0,0", "output": tmp_path / "a.gif"}, r"expected a name that ends in \.html, \.png, \.json"),
        ({"code": "0,0,0", "images": None}, "is not an index"),
        ({"code": "0,0"}, "--code has 2 numbers; expected 3"),
        ({"code": "a,b,c"}, "expected numbers with commas"),
        ({"code": "nan,0,0"}, "finite"),
        ({"image": photos / "07.png"}, "no image that can be read"),
        ({"image": photos}, "holds 38 images; expected one"),
        ({"code": "0,0,0", "output": photos / "00.png" / "x.json"}, "cannot write"),
    ):
        with pytest.raises(AimganError, match=message):
            asked(run, said, index, **{"images": photos, **options} if options.get("images", 1) else options)
        index = tmp_path / "index2" if "images" in options else index


def test_clusters_are_written_with_a_sheet_each(run, said, photos, tmp_path):
    for k, name in enumerate([*HOSTILE, "=1+1.png", "@a.png", "a;=1+1.png"]):
        write(photos / name, 60 + k)
    found = cluster(Command(run, "cpu", said), str(photos), tmp_path / "groups", 2, "kmeans", 0)
    groups = tmp_path / "groups"
    assert sorted(path.name for path in (groups / "sheets").iterdir()) == [f"cluster-{k}.png" for k in range(2)]
    with (groups / "labels.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = list(csv.DictReader(file))
    assert {row["name"] for row in rows} >= {*HOSTILE, "00.png", "'=1+1.png", "'@a.png"}  # a formula is made harmless
    assert [int(row["cluster"]) for row in rows] == found.labels.tolist()
    summary = json.loads((groups / "clusters.json").read_text())
    assert [one["images"] for one in summary["clusters"]] == np.bincount(found.labels).tolist()
    assert (groups / "clusters.html").read_text().count("<section>") == 2
    with (groups / "labels.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        cells = [cell for row in csv.reader(file, delimiter=";") for cell in row]  # as where "," is a decimal point
    assert not [cell for cell in cells if cell.startswith("=")]
    before = (groups / "labels.csv").read_bytes()
    again = cluster(Command(run, "cpu", said), str(groups / "index"), tmp_path / "again", 2, "kmeans", 0)
    assert (again.labels == found.labels).all()
    assert (tmp_path / "again" / "labels.csv").read_bytes() == before


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data) -> None:
        self.text.append(data)


@pytest.mark.parametrize("name", [*HOSTILE, "\udcff.png", "x' onerror='alert(1)", "</style></title>"])
def test_no_name_becomes_markup(name):
    tile = Tile(name, name, np.zeros((1, 8, 8), np.uint8))
    html = page(name, name, [Section(name, name, [tile, Tile("y", "", None)])])
    html.encode("utf-8")
    parsed = Tags()
    parsed.feed(html)
    assert not {"script", "b onerror", "iframe", "link"} & {*parsed.tags}
    assert parsed.attributes <= {"lang", "charset", "http-equiv", "content", "name", "class", "src", "alt", "title"}
    assert re.search(r"[\u202e\x1b\ud800-\udfff]", html) is None
    assert parsed.tags.count("img") == 1
    assert "gone" in parsed.text
    assert plain(name) in "".join(parsed.text)
