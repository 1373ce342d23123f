"""Windows has no fcntl and no resource, and only Linux has os.sched_getaffinity: the library works without them."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import os, sys
for name in ("fcntl", "resource"):
    sys.modules[name] = None  # importing it raises ImportError
del os.sched_getaffinity

import numpy as np
import torch
import aimgan
from aimgan import checked
from aimgan.evaluation import evaluate
from aimgan.runs import finish
from aimgan.search import build, open_index
from PIL import Image

evaluate.SAMPLES, evaluate.CODES = 500, 100
finish.DATA_POINTS, finish.OTHER_POINTS = 1_000, 100
aimgan.train("grid/aim", "grid", steps=3, device="cpu", settings={"networks.width": 8})
assert aimgan.load("grid").generate(5).shape == (5, 2)

evaluate.SAMPLES = 100
finish.draw = lambda *_: []
model = aimgan.train("digits/aim", "digits", steps=3, device="cpu", settings={"networks.width": 8})
for k in range(3):
    os.makedirs("photos", exist_ok=True)
    Image.fromarray(np.full((8, 8), 50 * k, np.uint8)).save(f"photos/{k}.png")
build(model, "photos", "index")
assert len(open_index("index")) == 3
assert checked.cores() == os.cpu_count()
assert checked.memory() > 0
"""


def test_a_model_is_trained_loaded_and_searched_with_without_linuxs_modules(tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
