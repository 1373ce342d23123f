"""benchmarks/stability.py, tiny: what is a success, the page, the heat map, and that finished runs are not repeated."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

SPEC = importlib.util.spec_from_file_location("stability", Path(__file__).parents[2] / "benchmarks" / "stability.py")
stability = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(stability)


def test_two_runs_of_which_one_diverges(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(stability, "LRS", (1e-3, 1e30))
    monkeypatch.setitem(stability.SETTINGS, "gan", ("beta1", (0.5,)))
    results = stability.measure(["gan"], 1, 10, tmp_path)
    finished, stopped = results["cells"]
    assert (finished["state"], stopped["state"]) == ("finished", "stopped")
    assert set(finished["scores"]) == {"modes", "high_quality", "mode_kl", "mode_spread"}
    assert "not finite" in stopped["error"] or "nan" in stopped["error"]
    assert stability.measure(["gan"], 1, 10, tmp_path)["cells"] == results["cells"]
    assert "2 of 2 runs are done already" in capsys.readouterr().out

    good = {"modes": 25, "high_quality": 0.9}
    scores = (good, good, {**good, "high_quality": 0.8999}, {**good, "modes": 24})
    results["cells"] = [{**finished, "lr": lr, "seconds": 10.0, "scores": found}
                        for lr, found in zip((1e-3, 1e-3, 1e30, 1e30), scores, strict=True)]  # fmt: skip
    results["cells"] += [{**stopped, "seconds": 10.0}, {**stopped, "state": "missing"}]
    results["seeds"] = [0, 1]
    (about,) = results["methods"]
    assert stability.successes(results, about).tolist() == [[[2, 2], [0, 3]]]
    page = stability.markdown(results)
    assert "| GAN | 2/5 | 40 | 12-77 | 1/2 | 1 | 90.0 | 10 |" in page
    assert page.startswith("`python benchmarks/stability.py`: ")
    axes, bar = stability.draw(results).axes
    assert [text.get_text() for text in axes.texts] == ["2/2", "0/3"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("learning rate", "Adam's beta1")
    assert np.allclose(axes.images[0].get_array(), [[1, 0]])
    assert bar.get_ylabel() == "share of seeds that succeed"
