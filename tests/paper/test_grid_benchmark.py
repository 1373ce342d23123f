"""benchmarks/grid.py's page: how often runs succeed, what a failed one looks like, and the table by seed."""

from __future__ import annotations

from typing import Any

import grid

ENVIRONMENT = {"processor": "A CPU", "torch": "2.9", "python": "3.11", "threads": 1}
SCORES = {"modes": 25, "high_quality": 0.97, "mode_kl": 0.001, "mode_spread": [0.8, 1.2]}
INFERS = {"reconstruction_mse": 0.0016, "within_mode_r2": 0.36, "wrong_mode": 0.0005, "coverage_80": 0.81,
          "log_score": 1.0, "prior_log_score": -2.84, "share_within_3_sigma": 0.99}  # fmt: skip


def run(row: str, seed: int, **scores: Any) -> dict[str, Any]:
    return {"row": row, "seed": seed, "environment": ENVIRONMENT, "scores": {**SCORES, **INFERS, **scores}}


def stopped(row: str, seed: int) -> dict[str, Any]:
    return {"row": row, "seed": seed, "failed": "AIM: loss/G is nan at step 7 (of 30,000)"}


def page_of(name: str, rows: list[dict[str, Any]]) -> str:
    command = f"python benchmarks/grid.py {name}"
    return grid.markdown({"command": command, "date": "2026-11-30", "environment": ENVIRONMENT, "rows": rows})


def cells(page: str, row: str, seed: int) -> dict[str, str]:
    lines = [[part.strip() for part in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"]
    return dict(zip(lines[0], next(line for line in lines if line[:2] == [row, str(seed)]), strict=True))


def test_the_page_of_successes_begins_with_how_many_there_are():
    rows = [
        *(run("A", seed, within_mode_r2=0.30 + 0.01 * seed) for seed in range(10, 28)),
        run("A", 28, modes=24, mode_kl=0.04, wrong_mode=0.04, within_mode_r2=-0.2),
        stopped("A", 29),
        run("B", 10, high_quality=0.7, mode_kl=0.01, wrong_mode=0.002),
        run("B", 11, high_quality=0.8, mode_kl=0.02, wrong_mode=0.004),
    ]
    page = page_of("success", rows)
    assert page.index("18 of 20") < page.index("| row |")
    assert "Success: 25 modes and high quality of 95 % or more." in page
    assert "**A**: 18 of 20 seeds succeed, 90 % (95 % interval, Wilson: 69.9 to 97.2 %)." in page
    assert "Failed: seeds 28, 29, of which 1 diverged." in page
    assert (
        "modes 24 (24 to 24), HQ 97.0 % (97.0 to 97.0), KL 0.0400 (0.0400 to 0.0400), "
        "wrong mode 4.00 % (4.00 to 4.00), R² in modes -0.20 (-0.20 to -0.20)."
    ) in page
    assert (
        "All 25 modes were found by 18 of 20 seeds; in those: MSE 0.0016 (0.0016 to 0.0016), R² in modes 0.48" in page
    )
    assert "All 25 modes were found by 2 of 2 seeds; in those: " in page
    assert "**B**: 0 of 2 seeds succeed, 0 % (95 % interval, Wilson: 0.0 to 65.8 %)." in page
    assert (
        "Failed: all. A failed run, median (lowest to highest): modes 25 (25 to 25), HQ 75.0 % (70.0 to 80.0)" in page
    )
    assert cells(page, "A", 29)["modes"] == "stopped: AIM: loss/G is nan at step 7"


def test_the_set_is_forty_cells_that_nothing_was_chosen_on():
    found = [cell for _, cell in grid.cells("success")]
    assert len({cell.name for cell in found}) == 40
    assert {cell.seed for cell in found} == set(range(10, 30))
    assert grid.FOLDER.parts[-4:] == ("runs", "reproduce", "table2-grid", "cells")
