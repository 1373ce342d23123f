"""Whether this machine has what aimgan needs: a line for each thing looked at, with what to do (docs/sharing.md).

Nothing heavy is imported before it is looked at, so that a broken package is a line here and no traceback.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from rich.console import Console

from aimgan._version import __version__
from aimgan.errors import AimganError, plain

OK, NOTE, PROBLEM = "ok", "note", "problem"
STYLES = {OK: "green", NOTE: "yellow", PROBLEM: "bold red"}
LOW, TOO_LOW = 5 * 2**30, 2**29  # bytes of disk: of a note (a data set), of a problem (checkpoints)
SECONDS = 60  # that torchvision may take to import; 10 are the Hub's
GPUS = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is (ok, note, problem), what was found, and what to do about it."""

    name: str
    state: str
    found: str
    fix: str = ""


Check = Callable[[], Iterator[Finding]]


def examine(online: bool = False) -> list[Finding]:
    """Look at everything; at the Hub only where `online`. A check that fails itself is a problem."""
    found: list[Finding] = []
    for name, check in (CHECKS | ({"hub": _hub} if online else {})).items():
        try:
            found += check()
        except Exception as reason:  # a package that is half there raises anything
            line = plain(" ".join(str(reason).split()))[:300]
            found.append(Finding(name, PROBLEM, f"{type(reason).__name__}: {line}", FIXES.get(name, "")))
    return found


def doctor(console: Console, online: bool = False, output: Path | None = None) -> int:
    """Print a line for each finding, write them as JSON where a file is named, and return the exit code.

    That is 1 where there is a problem. Raises AimganError where the file cannot be written.
    """
    found = examine(online)
    for finding in found:
        console.print(f"{finding.state:8}", style=STYLES[finding.state], end="", highlight=False)
        fix = f". {finding.fix}" if finding.fix else ""
        line = f"{finding.name:20} {plain(finding.found)}{fix}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    problems = sum(finding.state == PROBLEM for finding in found)
    notes = sum(finding.state == NOTE for finding in found)
    console.print(f"{problems} problems, {notes} notes", highlight=False)
    if output is not None:
        _write(output, {"problems": problems, "findings": [asdict(finding) for finding in found]})
    return 1 if problems else 0


def _write(output: Path, value: dict[str, Any]) -> None:
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    except (OSError, ValueError) as reason:  # ValueError: a null in the name
        line = getattr(reason, "strerror", None) or reason
        raise AimganError(f"cannot write {output} ({line}): choose another path") from None


# --- packages ---------------------------------------------------------------------------------------------------------


def _python() -> Iterator[Finding]:
    yield Finding("python", OK, f"{platform.python_version()} ({sys.executable}), aimgan {__version__}")


def _packages() -> Iterator[Finding]:
    """Look at what aimgan requires, as its own metadata say, and at each extra."""
    required = [Requirement(text) for text in metadata.requires("aimgan") or []]
    for requirement in required:
        if _applies(requirement, ""):
            yield _package(requirement)
    for extra in metadata.metadata("aimgan").get_all("Provides-Extra") or []:
        yield _extra(extra, [r for r in required if _applies(r, extra) and not _applies(r, "")])


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _package(requirement: Requirement) -> Finding:
    version, pip = _version(requirement.name), f"pip install '{requirement.name}{requirement.specifier}'"
    if version is None:
        return Finding(requirement.name, PROBLEM, "missing", pip)
    if not requirement.specifier.contains(version, prereleases=True):
        return Finding(requirement.name, PROBLEM, f"{version}; expected {requirement.specifier}", pip)
    return Finding(requirement.name, OK, version)


def _extra(extra: str, requirements: list[Requirement]) -> Finding:
    """Say what of an extra is there: all of it, or what is missing and the line that installs it."""
    versions = {r.name: _version(r.name) for r in requirements}
    missing = [name for name, version in versions.items() if version is None]
    there = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    if missing:
        return Finding(f"extra {extra}", NOTE, f"without {', '.join(missing)}", f"pip install 'aimgan[{extra}]'")
    return Finding(f"extra {extra}", OK, there)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _torchvision() -> Iterator[Finding]:
    """Import torchvision in a process of its own: of another build than torch's it raises RuntimeError."""
    if find_spec("torchvision") is None:
        yield Finding("torchvision", OK, "not installed, and not needed")
        return
    command = [sys.executable, "-c", "import torchvision"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode == 0:
        yield Finding("torchvision", OK, f"{_version('torchvision')}, not used here")
        return
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    found = f"{_version('torchvision')} cannot be imported ({last[:200]}); aimgan never does, so it does no harm here"
    yield Finding("torchvision", NOTE, found, "pip uninstall torchvision, or install the build that goes with torch")


# --- devices ----------------------------------------------------------------------------------------------------------


def _processor() -> Iterator[Finding]:
    import torch

    from aimgan.checked import memory

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = torch.get_num_threads()
    kind = torch.backends.cpu.get_cpu_capability()
    found = f"{cores} cores, {threads} threads, {kind}, {memory() / 2**30:.1f} GiB of memory"
    if threads > cores:
        yield Finding(
            "cpu", NOTE, found, f"export OMP_NUM_THREADS={cores}: more threads than cores wait for each other"
        )
    else:
        yield Finding("cpu", OK, found)


def _gpu() -> Iterator[Finding]:
    import torch

    for k in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        seen = torch.cuda.get_device_properties(k)
        capability = f"compute capability {seen.major}.{seen.minor}"
        yield Finding(f"cuda:{k}", OK, f"{seen.name}, {seen.total_memory / 2**30:.1f} GiB, {capability}")
    if not torch.cuda.is_available():
        unseen = GPUS.is_dir() and any(GPUS.iterdir())
        fix = f"torch {torch.__version__} does not see it: install its CUDA build (pytorch.org), or update the driver"
        yield Finding("cuda", NOTE, "a GPU is here", fix) if unseen else Finding("cuda", OK, "no GPU here")


# --- the machine ------------------------------------------------------------------------------------------------------


def _disk() -> Iterator[Finding]:
    from aimgan.files import cache_folder

    cache = cache_folder()
    yield _folder("this folder", Path.cwd(), NOTE, "pass --output in a folder with room that you may write to")
    yield _folder("cache", cache, PROBLEM, "set AIMGAN_CACHE to a folder with room that you may write to")
    size = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    yield Finding("cache's size", OK, f"{size / 2**20:,.1f} MiB, which are made or fetched again where you remove them")


def _packs() -> Iterator[Finding]:
    """List what images are packed in the cache, since they did not fit in memory or came from the Hub."""
    from aimgan.checked import shown_bytes
    from aimgan.data.packed import packs

    for pack in packs():
        name, size = f"pack {pack.folder.name}", shown_bytes(pack.size)
        remove = f"aimgan doctor --remove-pack {pack.folder.name}"
        if pack.record is None:
            yield Finding(name, NOTE, f"not finished, {size}", f"repeat the command that needs it, or {remove}")
        else:
            images = pack.record["train"] + pack.record["test"]
            about = f"{images:,} images {tuple(pack.record['shape'])} of {pack.record['source']}, {size}"
            yield Finding(name, OK, f"{about} ({remove})")


def removed(name: str) -> list[str]:
    """Remove a pack, or all, and return a line for each. Raises AimganError for a name that none has."""
    from aimgan.checked import shown_bytes
    from aimgan.data.packed import remove

    return [f"removed {pack.folder}, {shown_bytes(pack.size)}" for pack in remove(name)]


def _folder(name: str, folder: Path, unwritable: str, fix: str) -> Finding:
    """Write a file of no name into a folder, since its permission bits are not all that a file system minds."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(there).free
    found = f"{folder}, {free / 2**30:,.1f} GiB free"
    try:
        with tempfile.TemporaryFile(dir=there):
            state = PROBLEM if free < TOO_LOW else NOTE if free < LOW else OK
    except OSError as reason:
        state, found = unwritable, f"{found}; cannot be written ({reason.strerror})"
    return Finding(name, state, found, "" if state == OK else fix)


def _terminal() -> Iterator[Finding]:
    encoding = sys.stdout.encoding or "none"
    if encoding.lower().replace("-", "") != "utf8":
        yield Finding("locale", NOTE, f"output is {encoding}: some letters are escaped", "export LC_ALL=C.UTF-8")
    else:
        yield Finding("locale", OK, encoding)
    columns = shutil.get_terminal_size().columns
    terminal = f"{os.environ.get('TERM', 'unnamed')}, {columns} columns"
    yield Finding("terminal", OK, terminal if sys.stdout.isatty() else "output is piped: no colours, no bars")


def _hub() -> Iterator[Finding]:
    """Ask the Hub who the token's owner is: whether it can be reached, and whether it knows the token."""
    from huggingface_hub import constants, get_token
    from huggingface_hub.utils import build_hf_headers, get_session

    answer = get_session().get(f"{constants.ENDPOINT}/api/whoami-v2", headers=build_hf_headers(), timeout=10)
    if answer.status_code == 200:
        yield Finding("hub", OK, f"{constants.ENDPOINT} answers; logged in as {answer.json().get('name')}")
    elif answer.status_code == 401 and get_token() is None:
        yield Finding("hub", OK, f"{constants.ENDPOINT} answers; nobody is logged in, which downloads do not need")
    elif answer.status_code == 401:
        yield Finding("hub", NOTE, f"{constants.ENDPOINT} answers, and does not know this token", "run `hf auth login`")
    else:
        yield Finding("hub", PROBLEM, f"{constants.ENDPOINT} answers with {answer.status_code}", FIXES["hub"])


CHECKS: dict[str, Check] = {
    "python": _python,
    "packages": _packages,
    "torchvision": _torchvision,
    "cpu": _processor,
    "cuda": _gpu,
    "disk": _disk,
    "packs": _packs,
    "terminal": _terminal,
}
FIXES = {
    "packages": "pip install aimgan, into this very Python",
    "cpu": "pip install --force-reinstall torch",
    "cuda": "pip install --force-reinstall torch",
    "hub": "check the network and the proxy, or HF_ENDPOINT and HF_HUB_OFFLINE; what is local works without",
}
