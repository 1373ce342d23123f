"""`aimgan doctor`: whether this machine has what aimgan needs, with what to do where it has not (docs/sharing.md).

Nothing heavy is imported before it is checked, so that a broken package is a line of the report and not a traceback.
"""

from __future__ import annotations

import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version
from rich.console import Console

from aimgan._version import __version__
from aimgan.errors import AimganError, plain

OK, NOTE, PROBLEM = "ok", "note", "problem"
STYLES = {OK: "green", NOTE: "yellow", PROBLEM: "bold red"}
LOW, TOO_LOW = 5 * 2**30, 2**29  # free bytes below which a disk is a note (a data set) or a problem (checkpoints)
SECONDS = 60  # that torchvision may take to import
GPUS = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True)
class Finding:
    """What was checked, its state (ok, note or problem), what was found, and what to do about it."""

    name: str
    state: str
    found: str
    fix: str = ""


def examine(online: bool = False) -> list[Finding]:
    """Run all checks, that of the Hub only if `online`. A check that raises an error is a problem."""
    findings: list[Finding] = []
    checks = CHECKS | {"hub": _hub} if online else CHECKS
    for name, check in checks.items():
        try:
            findings += check()
        except Exception as reason:  # a broken package can raise anything
            line = plain(" ".join(str(reason).split()))[:300]
            findings.append(Finding(name, PROBLEM, f"{type(reason).__name__}: {line}", FIXES.get(name, "")))
    return findings


def doctor(console: Console, online: bool = False, output: Path | None = None) -> int:
    """Print a line for each finding, write them all as JSON if a file is named, and return 1 if any is a problem.

    Raises AimganError where the file cannot be written.
    """
    findings = examine(online)
    for finding in findings:
        console.print(f"{finding.state:8}", style=STYLES[finding.state], end="", highlight=False)
        line = f"{finding.name:20} {plain(finding.found)}"
        if finding.fix:
            line += f". {finding.fix}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    states = [finding.state for finding in findings]
    console.print(f"{states.count(PROBLEM)} problems, {states.count(NOTE)} notes", highlight=False)
    if output is not None:
        report = {"problems": states.count(PROBLEM), "findings": [asdict(finding) for finding in findings]}
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            with open(output, "w", encoding="utf-8", opener=_without_links) as file:
                file.write(json.dumps(report, indent=2) + "\n")
        except (OSError, ValueError) as reason:  # ValueError: a null character in the name
            cause = getattr(reason, "strerror", None) or reason
            raise AimganError(f"cannot write {output} ({cause}): choose another path") from None
    return int(PROBLEM in states)


def _without_links(name: str, flags: int) -> int:
    """Open a file that is no link. aimgan.files has the usual writer, but needs packages that may be broken here."""
    return os.open(name, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _python() -> Iterator[Finding]:
    yield Finding("python", OK, f"{platform.python_version()} ({sys.executable}), aimgan {__version__}")


def _packages() -> Iterator[Finding]:
    """Check each package that aimgan requires, as its metadata say, and each extra."""
    requirements = [Requirement(text) for text in metadata.requires("aimgan") or []]
    for requirement in requirements:
        if _applies(requirement, ""):
            yield _package(requirement)
    for extra in metadata.metadata("aimgan").get_all("Provides-Extra") or []:
        names = [r.name for r in requirements if _applies(r, extra) and not _applies(r, "")]
        missing = [name for name in names if _version(name) is None]
        if missing:
            fix = f"pip install 'aimgan[{extra}]'"
            yield Finding(f"extra {extra}", NOTE, f"without {', '.join(missing)}", fix)
        else:
            yield Finding(f"extra {extra}", OK, ", ".join(f"{name} {_version(name)}" for name in names))


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _package(requirement: Requirement) -> Finding:
    version, fix = _version(requirement.name), f"pip install '{requirement.name}{requirement.specifier}'"
    if version is None:
        return Finding(requirement.name, PROBLEM, "missing", fix)
    if not requirement.specifier.contains(version, prereleases=True):
        return Finding(requirement.name, PROBLEM, f"{version}; expected {requirement.specifier}", fix)
    safe, why = SAFE.get(requirement.name, ("0", ""))
    if Version(version) < Version(safe):
        return Finding(requirement.name, NOTE, f"{version}; {why}", f"pip install '{requirement.name}>={safe}'")
    return Finding(requirement.name, OK, version)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _torchvision() -> Iterator[Finding]:
    """Import torchvision in another process: one that was built for another torch raises RuntimeError."""
    if find_spec("torchvision") is None:
        yield Finding("torchvision", OK, "not installed, and not needed")
        return
    command = [sys.executable, "-c", "import torchvision"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode == 0:
        yield Finding("torchvision", OK, f"{_version('torchvision')}, not used here")
        return
    lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    found = f"{_version('torchvision')} cannot be imported ({lines[-1][:200]}); aimgan does not import it"
    yield Finding("torchvision", NOTE, found, "pip uninstall torchvision, or install the build that goes with torch")


def _accelerate() -> Iterator[Finding]:
    """Report what `accelerate env` reports: platform, versions, accelerator, memory, and the launch configuration."""
    from accelerate.commands.env import env_command

    with redirect_stdout(io.StringIO()):
        report = env_command(Namespace(config_file=None))
    yield Finding(
        "accelerate env", OK, "; ".join(f"{name.replace('`', '')}: {value}" for name, value in report.items())
    )


def _processor() -> Iterator[Finding]:
    import torch

    from aimgan.checked import cores as cores_here
    from aimgan.checked import memory

    cores = cores_here()
    threads, kind = torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()
    found = f"{cores} cores, {threads} threads, {kind}, {memory() / 2**30:.1f} GiB of memory"
    if threads > cores:
        fix = f"export OMP_NUM_THREADS={cores}: more threads than cores wait for each other"
        yield Finding("cpu", NOTE, found, fix)
    else:
        yield Finding("cpu", OK, found)


def _gpu() -> Iterator[Finding]:
    import torch

    if torch.cuda.is_available():
        for k in range(torch.cuda.device_count()):
            gpu = torch.cuda.get_device_properties(k)
            memory, capability = f"{gpu.total_memory / 2**30:.1f} GiB", f"compute capability {gpu.major}.{gpu.minor}"
            yield Finding(f"cuda:{k}", OK, f"{gpu.name}, {memory}, {capability}")
    elif GPUS.is_dir() and any(GPUS.iterdir()):
        fix = f"torch {torch.__version__} does not see it: install its CUDA build (pytorch.org), or update the driver"
        yield Finding("cuda", NOTE, "this machine has a GPU", fix)
    else:
        yield Finding("cuda", OK, "no GPU here")


def _disk() -> Iterator[Finding]:
    from aimgan.files import cache_folder

    cache = cache_folder()
    yield _folder("this folder", Path.cwd(), NOTE, "pass --output in a folder with room that you may write to")
    yield _folder("cache", cache, PROBLEM, "set AIMGAN_CACHE to a folder with room that you may write to")
    size = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    yield Finding("cache's size", OK, f"{size / 2**20:,.1f} MiB; what you remove is made or fetched again when needed")


def _folder(name: str, folder: Path, unwritable: str, fix: str) -> Finding:
    """Check the free room of a folder, and write a temporary file into it: permission bits do not tell everything."""
    folder = folder.absolute()
    existing = next(path for path in (folder, *folder.parents) if path.is_dir())
    free = shutil.disk_usage(existing).free
    found = f"{folder}, {free / 2**30:,.1f} GiB free"
    try:
        tempfile.TemporaryFile(dir=existing).close()
    except OSError as reason:
        return Finding(name, unwritable, f"{found}; cannot be written ({reason.strerror})", fix)
    if free < TOO_LOW:
        return Finding(name, PROBLEM, found, fix)
    if free < LOW:
        return Finding(name, NOTE, found, fix)
    return Finding(name, OK, found)


def _packs() -> Iterator[Finding]:
    """List the images that are packed in the cache, since they did not fit in memory or came from the Hub."""
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


def _terminal() -> Iterator[Finding]:
    encoding = sys.stdout.encoding or "none"
    if encoding.lower().replace("-", "") == "utf8":
        yield Finding("locale", OK, encoding)
    else:
        yield Finding("locale", NOTE, f"output is {encoding}: some letters are escaped", "export LC_ALL=C.UTF-8")
    if sys.stdout.isatty():
        columns = shutil.get_terminal_size().columns
        yield Finding("terminal", OK, f"{os.environ.get('TERM', 'unnamed')}, {columns} columns")
    else:
        yield Finding("terminal", OK, "output is piped: no colours, no bars")


def _hub() -> Iterator[Finding]:
    """Ask the Hub whose the token is, which tells whether it can be reached and whether it knows the token."""
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


SAFE = {  # packages that read files of strangers: from which version on known faults are mended, and which those are
    "pillow": (
        "13",
        "before 13 its readers of JPEG and TIFF have known faults, which a file of a stranger can use. Gradio 6, of "
        "the extra `explorer`, requires an earlier one: install it in an environment of its own",
    ),
}
CHECKS: dict[str, Callable[[], Iterator[Finding]]] = {
    "python": _python,
    "packages": _packages,
    "torchvision": _torchvision,
    "accelerate env": _accelerate,
    "cpu": _processor,
    "cuda": _gpu,
    "disk": _disk,
    "packs": _packs,
    "terminal": _terminal,
}
REINSTALL = "pip install --force-reinstall torch"
FIXES = {
    "packages": "pip install aimgan, into this very Python",
    "accelerate env": f"{REINSTALL} accelerate",
    "cpu": REINSTALL,
    "cuda": REINSTALL,
    "hub": "check the network and the proxy, or HF_ENDPOINT and HF_HUB_OFFLINE; local files work without it",
}
