"""Table 1's page: what is in bold is better than what knows nothing of the image."""

from __future__ import annotations

from aimgan.paper import table1_page
from aimgan.paper.claims import ERROR as MSE
from aimgan.paper.claims import RENORMALISED

FINISHED = {"seed": 0, "state": "finished", "error": None, "epochs": [], "seconds": 1.0, "environment": None}


def page_of(**errors_of: tuple[float, float]) -> str:
    about = {"objective": "aim", "steps": 10, "batch_size": 1, "lr": 1, "beta1": 0.5, "paper": {}, "networks": {}}
    runs = []
    for method, (own, alike) in errors_of.items():
        scores = {MSE: own, "reconstruction_mse_signed": 4 * own, RENORMALISED: alike, "mean_image_mse": 0.07}
        runs.append({**FINISHED, "method": method, "scores": scores})
    methods = [{**about, "method": name, "label": name.upper()} for name in errors_of]
    head = {"data": "cifar10", "command": "x", "date": "today", "workers": 1, "seeds": [0], "references": {}}
    return table1_page.page({**head, "methods": methods, "cells": runs}).markdown()


def test_no_error_above_the_mean_images_is_bold():
    lines = page_of(aim=(0.03, 0.08), ali=(0.06, 0.09)).splitlines()
    assert "|  | MSE [0, 1] | MSE, renormalised | MSE [-1, 1] |" in "\n".join(lines)
    assert any(line.startswith("| AIM | **0.0300** | 0.0800 | **0.1200** |") for line in lines)
    lines = page_of(aim=(0.08, 0.06), ali=(0.09, 0.05)).splitlines()
    assert any(line.startswith("| AIM | 0.0800 | 0.0600 | 0.3200 |") for line in lines)
    assert any(line.startswith("| ALI | 0.0900 | **0.0500** | 0.3600 |") for line in lines)
