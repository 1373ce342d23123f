#!/usr/bin/env python3
"""Everything from nothing: `python3 make.py demo` trains AIM on 25 modes, `python3 make.py test` runs all checks.

`python3 make.py docs` builds the site of docs/ into build/site, `python3 make.py oldest` tests the oldest dependencies.
Needs Python 3.11+ and its package registry, nothing else: makes .venv beside this file and installs the versions that
constraints.txt pins. What is installed already is not installed again.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
OLDEST = (
    "tests/model/test_model.py",
    "tests/training/test_checkpoint.py",
    "tests/training/test_run_dir.py",
    "tests/programs/test_verbs.py",
)
PYTHON = VENV / ("Scripts" if sys.platform == "win32" else "bin") / "python"


def run(*command: str | Path) -> None:
    """Run a command in the project's folder; end with its exit code if it fails."""
    code = subprocess.run([str(part) for part in command], cwd=ROOT, check=False).returncode
    if code:
        sys.exit(code if code > 0 else 128 - code)


def group(name: str) -> list[str]:
    """Return a dependency group of pyproject.toml (PEP 735), for a pip that does not know groups yet."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    return [
        item
        for entry in groups[name]
        for item in ([entry] if isinstance(entry, str) else group(entry["include-group"]))
    ]


def install(name: str, *extra: str) -> None:
    """Install the project, editable, with the pinned versions, unless this very request was installed before."""
    files = [ROOT / "pyproject.toml", ROOT / "constraints.txt"]
    wanted = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    stamp = VENV / f"installed-{name}"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    if not PYTHON.exists():
        print("making .venv", flush=True)
        venv.create(VENV, with_pip=True)
    pip = (PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--constraint", "constraints.txt")
    print("installing (a few minutes the first time)", flush=True)
    run(*pip, "--editable", ".", *extra)
    stamp.write_text(wanted)


def demo() -> None:
    """Train AIM on the 25-mode grid and draw figure 3."""
    install("core")
    run(PYTHON, "-m", "aimgan", "train", "grid/aim", "--output", "runs/grid-aim")


def test() -> None:
    """Lint, types, spelling, tests."""
    install("dev", *group("dev"))
    for check in (("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",), ("codespell_lib", ".")):
        run(PYTHON, "-m", *check)
    one_file_a_core = ("-n", "auto", "--dist", "loadfile")
    run(PYTHON, "-m", "pytest", "-q", *one_file_a_core, *sys.argv[2:])


def oldest() -> None:
    """Core and contract tests with the oldest versions that pyproject.toml allows, in a .venv-oldest of its own."""
    home = ROOT / ".venv-oldest"
    python = home / PYTHON.relative_to(VENV)
    venv.create(home, with_pip=True)
    run(python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "uv")
    run(python, "-m", "uv", "pip", "install", "--python", python, "--resolution", "lowest-direct", "--editable", ".")
    run(python, "-m", "uv", "pip", "install", "--python", python, "pytest", "hypothesis", "beartype")
    run(python, "-m", "pytest", "-q", "-o", "addopts=", "-W", "default", "tests/contract/test_objectives.py", *OLDEST)


def docs() -> None:
    """Build the site into build/site."""
    install("docs", *group("docs"))
    run(PYTHON, "-m", "mkdocs", "build", "--strict")


if __name__ == "__main__":
    verbs = {"demo": demo, "test": test, "docs": docs, "oldest": oldest}
    if len(sys.argv) < 2 or sys.argv[1] not in verbs:
        sys.exit(__doc__)
    if sys.version_info < (3, 11):  # noqa: UP036 - said in one line instead of a syntax error
        sys.exit(f"aimgan needs Python 3.11 or newer; this is {sys.version.split()[0]}")
    verbs[sys.argv[1]]()
