"""A run's report, and runs side by side: read as pages, with names that were made to do harm."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

import aimgan
from aimgan import score_meanings
from aimgan.errors import AimganError
from aimgan.figures.charts import Line, chart, inline_svg
from aimgan.markdown import code, words
from aimgan.pages.compare import compare
from aimgan.pages.recorded import alarms, command
from aimgan.pages.tables import Table
from aimgan.recipes import RECIPES
from aimgan.recipes.resolving import prepared

EVIL = '<script>alert(1)</script>`"|[red]'
TRAINED = {"device": "cpu", "steps": 40, "settings": {"networks.width": 16, "evaluate_every": 1.0}}
QUIET = Console(quiet=True)


class Page(HTMLParser):
    """What a browser would load, run or show of a page, and whether its tags are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags, self.ids, self.links, self.text = set(), [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.add(tag)
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.links += [attrs[name] for name in ("src", "href", "xlink:href", "action") if name in attrs]
        assert not [name for name in attrs if name.startswith("on")]
        self.open += [] if tag in ("meta", "img", "br", "hr") else [tag]

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def page_of(path: Path) -> Page:
    """Read a page that needs nothing else: no script, no address, every id once."""
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert not page.tags & {"script", "iframe", "link", "object", "form"}
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in page.links)
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert not re.search(r"(?<!xmlns=\")(?<!xmlns:xlink=\")https?://", text)
    return page


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Two runs on the digits, one on points."""
    home = tmp_path_factory.mktemp("runs")
    aimgan.train("digits/aim", home / "aim", **TRAINED)
    aimgan.train("digits/vae", home / "vae", **TRAINED, seed=1)
    aimgan.train("grid/gan", home / "gan", device="cpu", steps=20)
    return home


def test_a_report_describes_the_run_in_both_forms(runs):
    page, text = page_of(runs / "aim" / "report.html"), (runs / "aim" / "report.md").read_text()
    mse = json.loads((runs / "aim" / "evaluation.json").read_text())["reconstruction_mse"]
    assert '<p class="verdict alarm"><strong>Reconstruction error' in (runs / "aim" / "report.html").read_text()
    assert '<p class="calm">' not in (runs / "aim" / "report.html").read_text()
    for shown in (page.text, text):
        assert "digits/aim, seed 0" in shown
        assert f"{mse:.4g}" in shown
        assert "40 steps of 100" in shown
        assert "10 classes: 0, 1" in shown
        assert 'aimgan.load("path/to/this/run")' in shown
        assert "aimgan train digits/aim --set=networks.width=16 --steps=40 --set=evaluate_every=1.0 --seed=0" in shown
        assert "it punishes a shift and forgives blur" in shown
        assert json.loads((runs / "aim" / "run.json").read_text())["environment"]["torch"] in shown
    assert {"svg", "img", "article", "details"} <= page.tags
    linked = re.findall(r"\]\((.+?)\)", text)
    assert linked == [f"figures/{name}.png" for name in ("samples", "reconstructions", "neighbours", "curves")]
    assert all((runs / "aim" / link).is_file() for link in linked)
    for shown in (page_of(runs / "gan" / "report.html").text, (runs / "gan" / "report.md").read_text()):
        assert "no encoder" in shown
        assert "AIM (the paper)" in shown


def test_a_report_has_neither_the_folder_nor_the_day_in_it(runs, tmp_path):
    aimgan.train("digits/aim", tmp_path / "another name", **TRAINED)
    for name in ("report.md", "report.html"):
        assert (tmp_path / "another name" / name).read_bytes() == (runs / "aim" / name).read_bytes()


def test_the_command_makes_the_recipe_again():
    for recipe in (
        RECIPES["grid/aim"],
        prepared("mnist/aim", "/d", None, None, {"weighting": "both", "networks.dim": 2, "ema": 0.9}, "cpu"),
        prepared("cifar10/aim", "a b", 64, 50, preset="residual"),
        prepared("grid/ali", settings={"data.side": 3, "epochs": 2}),
    ):
        words = shlex.split(command(recipe, 7))
        flags = [word for word in words if word.startswith("--")]
        given = dict(flag.removeprefix("--").split("=", 1) for flag in flags if not flag.startswith("--set="))
        sets = dict(flag.removeprefix("--set=").split("=", 1) for flag in flags if flag.startswith("--set="))
        size, steps = (int(given[name]) if name in given else None for name in ("size", "steps"))
        again = prepared(words[2], given.get("data"), size, steps, sets, given.get("preset"))
        assert again == recipe
        assert given["seed"] == "7"
    assert command(replace(RECIPES["grid/aim"], name="my/own"), 0) is None


def test_alarms_are_told_from_step_to_step():
    raised = ([], ["generator-dead"], ["generator-dead", EVIL], [], ["generator-dead"])
    rows = [{"step": step, "lr": 1, "alarms": names} for step, names in enumerate(raised, 1)]
    assert alarms(rows) == [("generator-dead", 2, 3), ("generator-dead", 5, None)]
    assert alarms([{"step": 10**400, "alarms": 3}]) == []


def test_runs_side_by_side(runs, tmp_path):
    out = Console(file=StringIO(), width=100)
    told = compare([runs / "aim", runs / "vae"], tmp_path / "new" / "compare.html", out)
    assert told == json.loads((tmp_path / "new" / "compare.json").read_text())
    assert told["differing"]["objective"] == ["aim", "vae"]
    assert told["differing"]["seed"] == [0, 1]
    mse = [run["scores"]["reconstruction_mse"] for run in told["runs"]]
    assert told["best"]["sharpness"] == []  # sharper is not better
    winner, accuracy = max((run["scores"]["probe_accuracy"], run["key"]) for run in told["runs"])[::-1]
    assert told["best"]["probe_accuracy"] == [winner]
    html, text = (tmp_path / "new" / "compare.html").read_text(), (tmp_path / "new" / "compare.md").read_text()
    assert "data:image/png" in html
    assert f"<strong>{accuracy:.4g}</strong>" in html
    assert f"**{accuracy:.4g}**" in text
    assert all(name in text for name in ("| the largest class |", "| raw pixels |", "| the mean training image |"))
    for verdict in (run["verdict"] for run in told["runs"]):
        assert html.index(verdict) < html.index("<table>")
        assert text.index(verdict) < text.index("| --- |")
    for shown in (page_of(tmp_path / "new" / "compare.html").text, text, out.file.getvalue()):
        assert all(word in shown for word in ("aim", "vae", "reconstruction_mse", f"{max(mse):.4g}"))


def test_runs_of_different_data_are_not_ranked(runs):
    out = Console(file=StringIO(), width=100)
    told = compare([runs / "aim", runs / "gan"], None, out)
    assert "scores of different data cannot be compared" in told["notes"][0]
    assert not any(told["best"].values())
    assert "cannot be compared" in out.file.getvalue()


def test_nothing_that_loses_to_the_mean_image_is_bold(runs, tmp_path):
    for name, error in (("a", 0.03), ("b", 0.06), ("c", 0.07)):
        shutil.copytree(runs / "aim", tmp_path / name)
        found = json.loads((tmp_path / name / "evaluation.json").read_text())
        found |= {"reconstruction_mse": error, "mean_image_mse": 0.05}
        (tmp_path / name / "evaluation.json").write_text(json.dumps(found))
    assert compare([tmp_path / "a", tmp_path / "b"], None, QUIET)["best"]["reconstruction_mse"] == ["A"]
    assert compare([tmp_path / "b", tmp_path / "c"], None, QUIET)["best"]["reconstruction_mse"] == []


def test_features_of_different_networks_are_not_ranked(runs, tmp_path):
    for name, network in (("a", "digits"), ("b", "inception")):
        shutil.copytree(runs / "aim", tmp_path / name)
        found = json.loads((tmp_path / name / "evaluation.json").read_text())
        found |= {
            "feature_network": network,
            "frechet_distance": len(network),
            "reconstruction_mse": len(network) / 1000,
        }
        (tmp_path / name / "evaluation.json").write_text(json.dumps(found))
    told = compare([tmp_path / "a", tmp_path / "b"], None, QUIET)
    assert told["best"]["frechet_distance"] == []
    assert told["best"]["reconstruction_mse"] == ["A"]
    assert "no score of features is marked" in told["notes"][0]


def test_hostile_runs_are_shown_and_not_obeyed(runs, tmp_path):
    evil = tmp_path / EVIL.replace("/", "_")
    shutil.copytree(runs / "aim", evil)
    record = json.loads((evil / "run.json").read_text())
    record["settings"]["recipe"]["name"] = record["environment"]["torch"] = EVIL
    (evil / "run.json").write_text(json.dumps(record))
    (evil / "evaluation.json").write_text(json.dumps({"reconstruction_mse": 10**400, EVIL: 1, "frechet_distance": [1]}))
    (evil / "figures" / "samples.png").write_bytes(b"<svg onload=alert(1)>")
    with (evil / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 41, EVIL: 1.0, "lr": 1e-3, "$x_{": 2, "alarms": EVIL}) + "\n")
        file.write('{"step": 42, "loss/D": NaN, "lr": 1e-3}\n')
    out = Console(file=StringIO(), width=200)
    compare([evil, runs / "vae"], tmp_path / "page.html", out)
    assert "[red]" in out.file.getvalue()
    page = page_of(tmp_path / "page.html")
    assert "<script>alert(1)</script>" in page.text
    outside = (tmp_path / "page.md").read_text().split("`")[::2]  # of code spans, which are only shown
    assert not re.search(r"[<>]|\[red\]", "".join(outside))


def test_values_of_unknown_origin_in_markdown():
    assert code("a`b\n\x1b[31m") == r"`a'b\n\x1b[31m`"
    assert words("a: [b](https://c) <i> `d`") == "a: b(https//c) i d"
    table = Table("", ("a|b",), (("`c|d`",), ("**e** `[red]`",)))
    assert table.pipes() == "| a\\|b |\n| --- |\n| `c\\|d` |\n| **e** `[red]` |"


def test_mistakes_are_one_line(runs, tmp_path):
    for given, message in (
        ([runs / "aim"], "got 1 runs; expected 2 to 8"),
        ([runs / "aim", runs / "vae" / ".." / "aim"], "is named twice"),
        ([runs / "aim", tmp_path], "is not a run folder"),
    ):
        with pytest.raises(AimganError, match=message):
            compare(given, None, QUIET)
    with pytest.raises(AimganError, match=r"expected a name that ends in \.html"):
        compare([runs / "aim", runs / "vae"], tmp_path / "a.md", QUIET)
    unfinished = tmp_path / "unfinished"
    shutil.copytree(runs / "aim", unfinished)
    (unfinished / "evaluation.json").unlink()
    assert "A has no scores" in compare([unfinished, runs / "vae"], None, QUIET)["notes"][0]


def test_every_meaning_is_of_a_score_and_every_score_is_told(runs):
    known = set(score_meanings.MEANINGS)
    found = {name for run in ("aim", "gan") for name in json.loads((runs / run / "evaluation.json").read_text())}
    assert {"reconstruction_mse", "log_score", "mode_kl", "high_quality", "coverage_80"} <= found & known
    pages = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    assert all(f"`{name}`" in pages for name in score_meanings.FEATURE_SCORES)
    assert score_meanings.best("coverage_80", {"A": 0.7, "B": 0.85}) == ["B"]
    assert score_meanings.best("frechet_distance", {"A": 7, "B": 7}) == []


def test_charts_are_the_same_text_each_time_and_take_the_pages_colours():
    line = Line(list(range(1, 1_001)), [1 / k for k in range(1, 1_001)], place=3)
    svg, again = (inline_svg(chart([line], [(10, 20)]), "c0") for _ in range(2))
    assert svg == again
    assert {"var(--ink)", "var(--line)", "var(--alarm)", "var(--curve-3)"} <= set(re.findall(r"var\(--[\w-]+\)", svg))
    assert "#0102" not in svg
    assert len(svg) < 40_000
    with pytest.raises(ValueError, match="got no points"):
        chart([])
