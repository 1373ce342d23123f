"""Fuzz one reader by atheris, in this process, which ends with it: what fuzz.py starts for each of them.

    python benchmarks/fuzz_target.py NAME SECONDS SEED FOLDER        with tests/helpers on PYTHONPATH

It imports nothing of ours before atheris can watch the imports, so that libFuzzer sees which code an input reaches.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=["aimgan", "PIL", "zipfile", "tarfile", "csv", "json", "numpy.lib"], enable_loader_override=False
):
    from folders import FOLDER_TARGETS
    from properties import TARGETS, attempt, small_machine

name, seconds, seed, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
whole, check = (TARGETS | FOLDER_TARGETS)[name]
corpus, work = folder / "corpus", folder / "work"
corpus.mkdir()
work.mkdir()
for k, content in enumerate(whole):
    (corpus / str(k)).write_bytes(content)
limits = [f"-max_total_time={seconds}", f"-seed={seed + 1}", "-timeout=30", "-rss_limit_mb=4096", "-max_len=8192"]
with small_machine():
    words = [sys.argv[0], *limits, f"-artifact_prefix={folder}/found-", str(corpus)]
    atheris.Setup(words, lambda data: attempt(check, data, work))
    atheris.Fuzz()
