"""The weights of FID's Inception-v3: they are read from the cache folder, or downloaded to it, and always checked.

The folder is ~/.cache/aimgan, or the one that AIMGAN_CACHE names. It may hold one of

    inception-2015-12-05.pt             NVIDIA's TorchScript file (stylegan2-ada-pytorch); this one is downloaded
    inception-2015-12-05.safetensors    pytorch-fid's weights, converted as docs/metrics.md#feature-networks describes

NVIDIA publishes no checksum of the first. The one here is pinned for this address by public projects (k-diffusion
among them), and the Hub stores it for copies of the file. Only the weights are taken from the file; its code is not
run.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from aimgan.errors import AimganError
from aimgan.files import cache_folder, replacing_file, sha256_of

URL = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt"
SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
SIZE = 95_607_719  # bytes
PTH_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"  # pt_inception-2015-12-05-6726825d.pth
NAMES = ("inception-2015-12-05.pt", "inception-2015-12-05.safetensors")
TIMEOUT = 30  # seconds without a byte
BLOCK = 2**20

Say = Callable[[str], None]


class Weights(NamedTuple):
    """Weights under their published names, the file they are from, and whether that is known to be the official one."""

    state: dict[str, Tensor]
    path: Path
    sha256: str
    official: bool


def cached() -> Path | None:
    """Return the file in the cache folder, if one is there."""
    return next((path for name in NAMES if (path := cache_folder() / name).is_file()), None)


def inception_weights(say: Say) -> Weights:
    """Return the weights from the cache folder; they are downloaded first if they are not there.

    Raises AimganError if they cannot be downloaded, or if the file is not the expected one.
    """
    path = cached() or download(cache_folder() / NAMES[0], say)
    return _from_torchscript(path) if path.suffix == ".pt" else _from_safetensors(path)


def download(path: Path, say: Say) -> Path:
    """Download NVIDIA's file to `path`. The file appears there only when it is complete and its checksum is right."""
    say(f"downloading Inception-v3 ({SIZE / 1e6:.0f} MB) from {URL} to {path}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing_file(path) as fresh:
            _fetch(fresh, say)
            fix = "try again later, or take the other file (docs/metrics.md#feature-networks)"
            _require(sha256_of(fresh), URL, fix)
    except (OSError, HTTPException) as error:
        raise AimganError(
            f"Inception-v3 could not be downloaded ({error}); fetch {URL} elsewhere, put it at {path}"
        ) from None
    return path


def _fetch(path: Path, say: Say) -> None:
    """Download the file at URL, reporting progress after each quarter."""
    done = 0
    with urlopen(URL, timeout=TIMEOUT) as source, path.open("wb") as target:
        while block := source.read(BLOCK):
            target.write(block)
            before, done = done, done + len(block)
            if before * 4 // SIZE < done * 4 // SIZE:
                say(f"downloaded {done / 1e6:.0f} of {SIZE / 1e6:.0f} MB")


def _require(got: str, source: str | Path, fix: str) -> None:
    if got != SHA256:
        raise AimganError(f"got {source} with SHA-256 {got}, expected {SHA256}; {fix}")


def _from_torchscript(path: Path) -> Weights:
    got = sha256_of(path)
    _require(got, path, "remove it: it will be downloaded again")  # before anything in it is interpreted
    return Weights(dict(load_torchscript(path).state_dict()), path, got, official=True)


def load_torchscript(path: Path) -> torch.jit.ScriptModule:
    """Load a TorchScript file on the CPU. Raises AimganError if the file is not TorchScript."""
    try:
        with warnings.catch_warnings():  # newer torch calls TorchScript deprecated; the files are still there
            warnings.simplefilter("ignore", DeprecationWarning)
            return torch.jit.load(str(path), map_location="cpu")
    except (RuntimeError, ValueError, OSError) as error:
        raise AimganError(f"got {path}, expected TorchScript; torch.jit.load says: {without_trace(error)}") from None


def without_trace(error: Exception) -> str:
    """Return an error's message in one line, without the TorchScript trace that torch puts before it."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return next((line for line in lines if line.startswith("RuntimeError: ")), lines[0])


def _from_safetensors(path: Path) -> Weights:
    try:
        got = sha256_of(path)  # first, because safetensors reports a file without read permission as missing
        with safe_open(path, "pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            converted_from = (file.metadata() or {}).get("converted_from_sha256")
    except PermissionError as error:
        raise AimganError(f"got {path}, which cannot be read ({error.strerror}): make it readable") from None
    except (OSError, SafetensorError) as error:
        raise AimganError(f"got {path}, which safetensors cannot read ({error}); convert the weights again") from None
    return Weights(state, path, got, official=converted_from == PTH_SHA256)
