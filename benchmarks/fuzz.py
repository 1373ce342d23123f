"""Hostile input: any of it gives a result or an AimganError, in seconds and bounded memory.

    python benchmarks/fuzz.py [--examples 5000] [--calls 200] [--verbs 20] [--seed 0] [--only NAME ...]
    python benchmarks/fuzz.py --atheris --seconds 600

The first runs tests/helpers/properties.py and folders.py by hypothesis with many examples, and commands by forks of
one process, two of each verb by processes of their own. The second gives bytes to the same readers, guided by what code
they reach (needs `pip install atheris`), the seconds divided among them. Adds to benchmarks/results/fuzz.json, and
writes fuzz.md of it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import common
import hypothesis
import torch
from folders import FOLDER_TARGETS, FOLDERS
from properties import CALLS, READERS, TARGETS, hold, small_machine
from server import VERBS, Done, command, complaint, furnish, prepare

SECTIONS = {"readers": "readers and parsers", "calls": "calls of a model", "verbs": "commands", "atheris": "atheris"}
Row = dict[str, Any]


def tried(name: str, strategy: Any, check: Callable[[Any], None], examples: int, seed: int) -> Row:
    """Check many examples of a strategy, and return what came of it. Of a failure hypothesis makes the smallest one."""
    count, failures = 0, []
    settings = hypothesis.settings(
        max_examples=examples, deadline=None, database=None, print_blob=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip

    @hypothesis.seed(seed)
    @settings
    @hypothesis.given(strategy)
    def try_one(example: Any) -> None:
        nonlocal count
        count += 1
        check(example)

    begun, before = time.perf_counter(), common.peak_mib()
    try:
        try_one()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        notes = " ".join(getattr(error, "__notes__", []))
        failures.append(f"{type(error).__name__}: {str(error)[:300]} {notes[:600]}")
    seconds, mib = round(time.perf_counter() - begun, 1), round(common.peak_mib() - before)
    print(f"{name}: {count:,} examples, {len(failures)} failures, {seconds} s, +{mib} MiB", *failures, flush=True)
    return {"name": name, "examples": count, "failures": failures, "seconds": seconds, "seed": seed, "mib": mib}


def fuzz_property(name: str, examples: int, seed: int) -> Row:
    """Check a reader, or a call of a model."""
    strategy, check = (READERS | FOLDERS | CALLS)[name]
    with tempfile.TemporaryDirectory() as folder, small_machine():
        return tried(name, strategy, lambda example: hold(check, example, Path(folder)), examples, seed)


def fuzz_verb(name: str, examples: int, seed: int) -> Row:
    """Run a verb on hostile words in forks, and the first two in processes of their own as well."""
    with tempfile.TemporaryDirectory() as home:
        furnish(Path(home))
        apart = iter(range(2))

        def check(words: list[str]) -> None:
            words = [word.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape") for word in words]
            wrong = complaint(command(words, Path(home)))
            assert wrong is None, wrong
            if not any("\0" in word for word in words) and next(apart, None) is not None:
                wrong = complaint(run_apart(words, home))
                assert wrong is None, wrong

        return tried(name, VERBS[name], check, examples, seed)


def run_apart(words: list[str], home: str) -> Done:
    """Run a command in a process of its own."""
    environment = {"HF_HUB_OFFLINE": "1", "PATH": "", "HOME": home, "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "aimgan", *words]
    done = subprocess.run(line, cwd=home, capture_output=True, timeout=300, check=False, env=environment)
    return Done(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))


def fuzz_target(name: str, seconds: int, seed: int) -> Row:
    """Run one target by libFuzzer in a process of its own, from a corpus of whole files."""
    path = os.pathsep.join([str(common.ROOT / "tests" / "helpers"), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        script = common.ROOT / "benchmarks" / "fuzz_target.py"
        done = subprocess.run(
            [sys.executable, script, name, str(seconds), str(seed), folder], capture_output=True, text=True,
            check=False, timeout=seconds + 300, env=os.environ | {"PYTHONPATH": path},
        )  # fmt: skip
        found = [path for path in Path(folder).glob("found-*") if path.is_file()]
        kept = [str(path.rename(common.ROOT / path.name)) for path in found]
    output = done.stdout + done.stderr
    runs = re.findall(r"^#(\d+)", output, re.MULTILINE) or ["0"]
    features = re.findall(r" ft: (\d+)", output) or ["0"]
    failures = [f"{done.returncode}: {output[-1_500:]} {kept}"] if done.returncode or found else []
    print(f"{name}: {runs[-1]} runs, {len(failures)} failures", *failures, flush=True)
    return {
        "name": name,
        "examples": int(runs[-1]),
        "failures": failures,
        "seconds": round(time.perf_counter() - begun, 1),
        "seed": seed,
        "features": int(features[-1]),
    }


def merged(kept: dict[str, Any], sections: dict[str, list[Row]]) -> dict[str, Any]:
    """Return the results with these rows in the place of those of the same names."""
    record = common.about()
    about = {"command": record["command"], "date": record["date"], "hypothesis": version("hypothesis")}
    for section, rows in sections.items():
        names = {row["name"] for row in rows}
        others = [row for row in kept.get(section, {}).get("rows", []) if row["name"] not in names]
        kept[section] = {"about": about | record["environment"], "rows": [*others, *rows]}
    return kept


def page(section: str, found: dict[str, Any]) -> str:
    about, rows = found["about"], found["rows"]
    last = "features" if section == "atheris" else "memory MiB"
    lines: list[tuple[Any, ...]] = []
    for row in rows:
        more = row.get("features", row.get("mib", 0))
        numbers = (len(row["failures"]), f"{row['seconds']:,.0f}", f"{more:,}", row["seed"])
        lines.append((row["name"], f"{row['examples']:,}", *numbers))
    examples, seconds = (sum(row[name] for row in rows) for name in ("examples", "seconds"))
    lines.append(("all", f"{examples:,}", sum(len(row["failures"]) for row in rows), f"{seconds:,.0f}", "", ""))
    head = common.origin({"command": about["command"], "date": about["date"], "environment": about})
    columns = (SECTIONS[section], "examples", "failures", "seconds", last, "seed")
    return f"{head}, hypothesis {about['hypothesis']}.\n\n{common.table(columns, lines)}"


def main() -> None:
    parser = common.parser(__doc__)
    for flag, default in (("--examples", 5_000), ("--calls", 200), ("--verbs", 20), ("--seed", 0), ("--seconds", 600)):
        parser.add_argument(flag, type=int, default=default)
    parser.add_argument("--atheris", action="store_true")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--output", type=Path, default=common.RESULTS / "fuzz.json")
    given = parser.parse_args()

    def rows(fuzz: Callable[[str, int, int], Row], names: Iterable[str], amount: int) -> list[Row]:
        chosen = [name for name in names if not given.only or name in given.only]
        return [fuzz(name, amount, given.seed) for name in chosen if amount]

    torch.set_num_threads(1)
    if given.atheris:
        names = given.only or list(TARGETS | FOLDER_TARGETS)
        sections = {"atheris": rows(fuzz_target, names, given.seconds // len(names))}
    else:
        prepare()
        sections = {
            "verbs": rows(fuzz_verb, VERBS, given.verbs),
            "calls": rows(fuzz_property, CALLS, given.calls),
            "readers": rows(fuzz_property, [*READERS, *FOLDERS], given.examples),
        }
    sections = {section: found for section, found in sections.items() if found}
    results = merged(common.kept(given.output), sections)
    pages = [page(section, results[section]) for section in SECTIONS if section in results]
    common.write(given.output, results, "\n".join(pages))
    if any(row["failures"] for found in sections.values() for row in found):
        sys.exit("failures: see above, and fuzz.json")


if __name__ == "__main__":
    main()
