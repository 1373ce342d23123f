"""The weights of FID's Inception-v3: they are read from the cache folder, or downloaded to it, and always checked.

The file is NVIDIA's TorchScript file (stylegan2-ada-pytorch), in ~/.cache/aimgan or the folder that AIMGAN_CACHE names.
NVIDIA publishes no checksum of it. The one here is pinned for this address by public projects (k-diffusion among them),
and the Hub stores it for copies of the file. Only the weights are taken from the file; its code is not run.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

import torch
from torch import Tensor

from aimgan.errors import AimganError
from aimgan.files import cache_folder, replacing_file, sha256_of

URL = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt"
SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
SIZE = 95_607_719  # bytes
NAME = "inception-2015-12-05.pt"
TIMEOUT = 30  # seconds without a byte
BLOCK = 2**20

Say = Callable[[str], None]


def weights_path() -> Path:
    """Return where the weights are, or will be once they are downloaded."""
    return cache_folder() / NAME


def inception_weights(say: Say) -> dict[str, Tensor]:
    """Return the weights from the cache folder; they are downloaded first if they are not there.

    Raises AimganError if they cannot be downloaded, or if the file is not the expected one.
    """
    path = weights_path()
    if not path.is_file():
        download(path, say)
    _require(sha256_of(path), path, "remove it: it will be downloaded again")  # before anything in it is interpreted
    return dict(load_torchscript(path).state_dict())


def download(path: Path, say: Say) -> None:
    """Download NVIDIA's file to `path`. The file appears there only when it is complete and its checksum is right."""
    say(f"downloading Inception-v3 ({SIZE / 1e6:.0f} MB) from {URL} to {path}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing_file(path) as fresh:
            _fetch(fresh, say)
            _require(sha256_of(fresh), URL, "try again later")
    except (OSError, HTTPException) as error:
        raise AimganError(
            f"Inception-v3 could not be downloaded ({error}); fetch {URL} elsewhere, put it at {path}"
        ) from None


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
