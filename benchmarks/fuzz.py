"""Hostile input: any of it gives a result or an AimganError, in seconds and bounded memory.

    python benchmarks/fuzz.py [--examples 5000] [--calls 200] [--verbs 20] [--seed 0] [--only NAME ...]
    python benchmarks/fuzz.py --atheris --seconds 600

The first runs tests/helpers/properties.py and folders.py by hypothesis with many examples, and commands by forks of
one process, two of each verb by processes of their own. The second gives bytes to the same readers, guided by what code
they reach (needs `pip install atheris`), the seconds divided among them. Adds to results/fuzz.json, and writes fuzz.md
of it.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "fuzz.json"
sys.path.append(str(HERE.parent / "tests" / "helpers"))
SECTIONS = {"readers": "readers and parsers", "calls": "calls of a model", "verbs": "commands", "atheris": "atheris"}
INSTRUMENTED = ["aimgan", "PIL", "zipfile", "tarfile", "csv", "json", "numpy.lib"]


def fuzz_property(name: str, examples: int, seed: int) -> dict[str, Any]:
    """Run a property, and return what came of it."""
    import hypothesis
    from folders import FOLDERS
    from properties import CALLS, READERS, hold, small_machine

    strategy, check = (READERS | FOLDERS | CALLS)[name]
    count = 0
    profile = hypothesis.settings(
        max_examples=examples, deadline=None, database=None, print_blob=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, small_machine():

        @hypothesis.seed(seed)
        @profile
        @hypothesis.given(strategy)
        def tried(example: object) -> None:
            nonlocal count
            count += 1
            hold(check, example, Path(folder))

        return timed(name, seed, tried, lambda: count)


def fuzz_verb(name: str, examples: int, seed: int) -> dict[str, Any]:
    """Run a verb on hostile words in forks, and twice in processes of their own."""
    import hypothesis
    from server import VERBS, Done, command, complaint, furnish

    count = 0
    with tempfile.TemporaryDirectory() as home:
        furnish(Path(home))

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=examples, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
        )
        @hypothesis.given(VERBS[name])
        def tried(words: list[str]) -> None:
            nonlocal count
            count += 1
            words = [word.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape") for word in words]
            done = command(words, Path(home))
            assert complaint(done) is None, complaint(done)
            if count <= 2 and not any("\0" in word for word in words):
                own = subprocess.run(
                    [sys.executable, "-m", "aimgan", *words], cwd=home, capture_output=True, timeout=300, check=False,
                    env={"HF_HUB_OFFLINE": "1", "PATH": "", "HOME": home, "OMP_NUM_THREADS": "1"},
                )  # fmt: skip
                texts = [text.decode("utf-8", "replace") for text in (own.stdout, own.stderr)]
                assert complaint(Done(own.returncode, *texts)) is None, complaint(Done(own.returncode, *texts))

        return timed(name, seed, tried, lambda: count)


def timed(name: str, seed: int, tried: Any, count: Any) -> dict[str, Any]:
    begun, before, failures = time.perf_counter(), peak(), []
    try:
        tried()
    except BaseException as error:  # hypothesis has made the smallest example of it
        if isinstance(error, KeyboardInterrupt):
            raise
        notes = " ".join(getattr(error, "__notes__", []))
        failures = [f"{type(error).__name__}: {str(error)[:300]} {notes[:600]}"]
    seconds = round(time.perf_counter() - begun, 1)
    row = {"name": name, "examples": count(), "failures": failures, "seconds": seconds, "seed": seed}
    row["mib"] = round(peak() - before)
    print(f"{name}: {row['examples']:,} examples, {len(failures)} failures, {seconds} s, +{row['mib']} MiB", flush=True)
    print(*failures, sep="\n", end="" if not failures else "\n", flush=True)
    return row


def peak() -> float:
    """The largest memory this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# --- atheris --------------------------------------------------------------------------------------------------------


def fuzz_target(name: str, seconds: int, seed: int) -> dict[str, Any]:
    """Run one target by libFuzzer in a process of its own, from a corpus of whole files."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        words = [f"--target={name}", "--seconds", str(seconds), "--seed", str(seed), "--in", folder]
        done = subprocess.run(
            [sys.executable, __file__, *words], capture_output=True, text=True, check=False, timeout=seconds + 300
        )
        output = done.stdout + done.stderr
        found = [path for path in Path(folder).glob("found-*") if path.is_file()]
        kept = [str(path.rename(HERE.parent / path.name)) for path in found]
    runs = re.findall(r"^#(\d+)", output, re.MULTILINE)
    coverage = re.findall(r" ft: (\d+)", output)
    failures = [f"{done.returncode}: {output[-1_500:]} {kept}"] if done.returncode or found else []
    print(f"{name}: {runs[-1:]} runs, {len(failures)} failures", *failures, flush=True)
    return {
        "name": name,
        "examples": int(runs[-1]) if runs else 0,
        "failures": failures,
        "seconds": round(time.perf_counter() - begun, 1),
        "seed": seed,
        "features": int(coverage[-1]) if coverage else 0,
    }


def be_target(name: str, seconds: int, seed: int, folder: Path) -> None:
    """Fuzz one target, in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED, enable_loader_override=False):
        from folders import FOLDER_TARGETS
        from properties import TARGETS, attempt, small_machine

    whole, check = (TARGETS | FOLDER_TARGETS)[name]
    corpus, work = folder / "corpus", folder / "work"
    corpus.mkdir()
    work.mkdir()
    for k, content in enumerate(whole):
        (corpus / str(k)).write_bytes(content)
    flags = [f"-max_total_time={seconds}", f"-seed={seed + 1}", "-timeout=30", "-rss_limit_mb=4096", "-max_len=8192",
             f"-artifact_prefix={folder}/found-"]  # fmt: skip
    with small_machine():
        atheris.Setup([sys.argv[0], *flags, str(corpus)], lambda data: attempt(check, data, work))
        atheris.Fuzz()


# --- results --------------------------------------------------------------------------------------------------------


def record(sections: dict[str, list[dict[str, Any]]]) -> None:
    """Put these sections in the place of the older ones, row by row, and write the tables."""
    from aimgan.files import write_json, write_text
    from aimgan.training.run_dir import environment

    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    about = {"command": " ".join(["python", *sys.argv]), "date": datetime.now(UTC).date().isoformat(),
             "hypothesis": version("hypothesis"), **environment()}  # fmt: skip
    for section, rows in sections.items():
        new = {row["name"] for row in rows}
        others = [row for row in kept.get(section, {}).get("rows", []) if row["name"] not in new]
        kept[section] = {"about": about, "rows": [*others, *rows]}
    write_json(RESULTS, kept)
    write_text(RESULTS.with_suffix(".md"), "\n".join(table(name, kept[name]) for name in SECTIONS if name in kept))


def table(section: str, found: dict[str, Any]) -> str:
    about, rows = found["about"], found["rows"]
    last = "features" if section == "atheris" else "memory MiB"
    lines = [
        f"`{about['command']}`: {about['date']}, {about['processor']}, {about['threads']} thread(s), Python "
        f"{about['python']}, torch {about['torch']}, hypothesis {about['hypothesis']}.\n",
        f"| {SECTIONS[section]} | examples | failures | seconds | {last} | seed |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        more = row.get("features", row.get("mib", 0))
        lines.append(
            f"| {row['name']} | {row['examples']:,} | {len(row['failures'])} | {row['seconds']:,.0f} | {more:,} "
            f"| {row['seed']} |"
        )
    total = [f"{sum(row['examples'] for row in rows):,}", sum(len(row["failures"]) for row in rows)]
    lines.append(f"| all | {total[0]} | {total[1]} | {sum(row['seconds'] for row in rows):,.0f} | | |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for flag, default in (("--examples", 5_000), ("--calls", 200), ("--verbs", 20), ("--seed", 0), ("--seconds", 600)):
        parser.add_argument(flag, type=int, default=default)
    parser.add_argument("--atheris", action="store_true")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--target", help=argparse.SUPPRESS)
    parser.add_argument("--in", dest="folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.target:
        be_target(given.target, given.seconds, given.seed, given.folder)
    import torch
    from folders import FOLDER_TARGETS, FOLDERS
    from properties import CALLS, READERS, TARGETS
    from server import VERBS, prepare

    def chosen(names: Any) -> list[str]:
        return [name for name in names if not given.only or name in given.only]

    torch.set_num_threads(1)
    if given.atheris:
        names = chosen(TARGETS | FOLDER_TARGETS)
        sections = {"atheris": [fuzz_target(name, given.seconds // len(names), given.seed) for name in names]}
    else:
        prepare()
        sections = {
            "verbs": [fuzz_verb(name, given.verbs, given.seed) for name in chosen(VERBS) if given.verbs],
            "calls": [fuzz_property(name, given.calls, given.seed) for name in chosen(CALLS) if given.calls],
            "readers": [
                fuzz_property(name, given.examples, given.seed)
                for name in chosen([*READERS, *FOLDERS])
                if given.examples
            ],
        }
    record({section: rows for section, rows in sections.items() if rows})
    if any(row["failures"] for rows in sections.values() for row in rows):
        sys.exit("failures: see above, and benchmarks/results/fuzz.json")


if __name__ == "__main__":
    main()
