"""The site: it builds without a warning, needs no other host, and equations are there without a script."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FETCHED = re.compile(r"""<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//[^"'> ]+""")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    pytest.importorskip("mkdocs", reason="the site needs the dependency group `docs`")
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_nothing_is_fetched_from_another_host(site):
    assert FETCHED.search('<link href="https://fonts.example/x.css">')
    pages = list(site.rglob("*.html"))
    found = {page.name: FETCHED.findall(page.read_text(encoding="utf-8")) for page in pages}
    assert len(pages) > 60
    assert {name: links for name, links in found.items() if links} == {}


@pytest.mark.slow
def test_what_the_hooks_make_is_there(site):
    idea = (site / "idea.html").read_text(encoding="utf-8")
    assert idea.count("<math") == 5
    assert "likelihood_loss" in idea
    notebook = (site / "notebooks" / "aim-in-40-lines.html").read_text(encoding="utf-8")
    assert "data:image/png;base64" in notebook
    code = site / "repository" / "tests" / "theory" / "test_identities.py.html"
    assert "test_equation_1_is_the_joint_kl" in code.read_text(encoding="utf-8")
    assert "LatentVariableModel" in (site / "api.html").read_text(encoding="utf-8")
