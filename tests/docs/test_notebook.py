"""The notebooks run; that of AIM is as short as its title says, and imports torch alone."""

from __future__ import annotations

import ast
from pathlib import Path

import torch
from notebook import code_cells, code_of, run

NOTEBOOKS = Path(__file__).resolve().parents[2] / "docs" / "notebooks"
NOTEBOOK = NOTEBOOKS / "aim-in-40-lines.ipynb"
*ALGORITHM, FIGURE = code_cells(NOTEBOOK)


def imported(code: str) -> set[str]:
    nodes = list(ast.walk(ast.parse(code)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] for name in names}


def test_it_is_forty_lines_of_torch():
    code = "\n".join(map(code_of, ALGORITHM))
    lines = [line for line in code.splitlines() if line.strip() and not line.strip().startswith("#")]
    assert len(lines) <= 40
    assert imported(code) == {"os", "torch"}  # os for the number of steps alone
    assert imported(code_of(FIGURE)) == {"matplotlib"}


def test_it_runs_and_its_losses_are_those_of_the_library(monkeypatch):
    from aimgan.networks import Posterior
    from aimgan.objectives.terms import fake, gaussian_nll, likelihood_loss, real

    monkeypatch.setenv("AIM_STEPS", "30")
    cells = code_cells(NOTEBOOK)
    names = run(cells)
    q = Posterior(names["mean"], names["log_variance"])
    rho_q, rho_p = names["rho_q"][:, 0], names["rho_p"][:, 0]
    assert torch.allclose(names["L_d"], real(rho_q) + fake(rho_p))
    assert torch.allclose(names["L_g"], real(rho_p))
    assert torch.allclose(names["L_e"], likelihood_loss(gaussian_nll(q, names["z"]), q, beta=1.0) / 2)
    assert names["L_e"].isfinite()
    assert [output["output_type"] for output in cells[-1]["outputs"]] == ["display_data"]
    assert "of 25 modes" in cells[-2]["outputs"][0]["text"][0]


def test_the_outputs_that_it_is_saved_with_are_of_a_run_that_found_the_modes():
    saved = "".join(ALGORITHM[-1]["outputs"][0]["text"])
    assert saved.startswith("25 of 25 modes")
    assert "image/png" in FIGURE["outputs"][0]["data"]


def test_an_own_array_and_networks_are_trained_saved_loaded_and_shown(monkeypatch, tmp_path):
    from short_ends import score_few

    score_few(200, 100, 200, monkeypatch.setattr)
    monkeypatch.setenv("FIT_STEPS", "20")
    monkeypatch.chdir(tmp_path)
    cells = code_cells(NOTEBOOKS / "own-networks.ipynb")
    names = run(cells)
    assert (tmp_path / "runs" / "notebook" / "report.html").exists()
    assert repr(names["model"]).startswith("LatentVariableModel(aim, networks own, samples of (1, 8, 8), codes of 8")
    assert names["again"].encode(names["x"][:3]).mean.equal(names["model"].encode(names["x"][:3]).mean)
    kinds = [next(iter(output["data"])) for cell in cells for output in cell["outputs"]]
    assert kinds == ["text/plain", "text/plain", "image/png", "text/plain"]


def test_progress_is_shown_in_a_notebook_and_nowhere_else(monkeypatch):
    from aimgan import console

    assert console.default().quiet
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert not console.default().quiet
    monkeypatch.setattr(console, "find_spec", lambda name: None)  # without ipywidgets there are lines
    assert not console.has_bars(console.default())
