"""The command line on hostile words, a forked process each: importing torch for every one would take minutes."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import files
import numpy as np
from hypothesis import strategies as st
from short_ends import only_the_model, score_few

import aimgan
from aimgan import cli
from aimgan.files import write_json
from aimgan.recipes.resolving import settings_of
from aimgan.runs import finish
from aimgan.runs import train as training

SECONDS, MEMORY = 60, 24 * 2**30  # of one command; of address space, of which torch's libraries are most


class Done(NamedTuple):
    code: int  # 0, 1, 130; -9 for one that was killed since it hung
    out: str
    error: str


def prepare() -> None:
    """Make the end of a run short, and stay off the network: once, before the first fork."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import huggingface_hub.constants

    huggingface_hub.constants.HF_HUB_OFFLINE = True
    score_few(300, 100, 100)
    training.finish = only_the_model
    finish.draw = lambda *args: []


def command(words: Sequence[str], folder: Path, seconds: int = SECONDS) -> Done:
    """Run one command in a fork, in a folder, with bounded time and memory."""
    out, error = folder / ".out", folder / ".error"
    child = os.fork()
    if child == 0:
        _child(words, folder, out, error)
    deadline = time.monotonic() + seconds
    while not (done := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            done = os.waitpid(child, 0)
            break
        time.sleep(0.01)
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in (out, error)]
    return Done(os.waitstatus_to_exitcode(done[1]), *texts)


def _child(words: Sequence[str], folder: Path, out: Path, error: Path) -> None:
    code = 99  # an exception that nothing caught
    try:
        os.chdir(folder)
        for path, descriptor in ((out, 1), (error, 2)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
        sys.stdout, sys.stderr = os.fdopen(1, "w", encoding="utf-8"), os.fdopen(2, "w", errors="backslashreplace")
        own = resource.getrlimit(resource.RLIMIT_AS)[1]
        most = MEMORY if own == resource.RLIM_INFINITY else min(MEMORY, own)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        sys.argv = ["aimgan", *words]
        cli.main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 99
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def complaint(done: Done) -> str | None:
    """Say what is wrong with how a command ended; None if nothing is."""
    if done.code not in (0, 1):
        return f"it ended with {done.code}: {done.error[-2_000:]}"
    if "Traceback" in done.error:
        return done.error[-2_000:]
    last = done.error.strip().splitlines()[-1:]
    if done.code == 1 and not (last and last[0].startswith("aimgan: ")):
        return f"no line says what is wrong: {done.error[-500:]!r}"
    return "control characters" if "\x1b" in done.error or "\x1b" in done.out else None


def furnish(folder: Path) -> None:
    """Put models, runs and inputs there, whole and hostile."""
    files.model().save(folder / "digits")
    files.model(files.POINTS).save(folder / "points")
    run = folder / "run"
    files.model().save(run / "model")
    record = {"settings": settings_of(aimgan.RECIPES["digits/aim"], 0, 3), "environment": {}}
    write_json(run / "run.json", record)
    for name, content in (
        ("bad-run/run.json", b'{"settings": {"recipe": [' + b"[" * 5_000),
        ("bad-model/config.json", b"[]"),
        ("other-run/run.json", b'{"settings": {"recipe": {"objective": "aim"}, "seed": 0}}'),
        ("esc/config.json", _config("\x1b[31mred\n\x1b]0;title\x07")),
        ("esc/model.safetensors", files.weights()),
        ("good.png", files.picture()),
        ("bad.png", b"\x89PNG no"),
        ("bomb.png", files.png_of(60_000, 60_000)),
        ("a.npy", files.ARRAYS[0]),
        ("p.npy", files.npy(np.zeros((3, 2)))),
        ("huge.npy", files.npy_header((10**12,))),
        ("a.npz", files.ARCHIVES[0]),
        ("a.zip", files.ZIPS[1]),
        ("a.tar", files.TARS[1]),
        ("endless.tar", files.tar_member(b"a.png", files.picture(), size=-512) + bytes(1024)),
        ("evil.pt", b"\x80\x04K\x01."),
        ("a\nb\x1b.png", files.picture()),
        ("photos/1.png", files.picture()),
        ("photos/2\n\x1b.png", files.picture()),
        ("photos/3.png", b"no image"),
        ("bad-index/index.json", b'{"format": 2, "model": 3, "source": "/dev/zero", "dim": -1, "images": 1e400}'),
        ("done/run.json", json.dumps(record).encode()),
        ("done/metrics.jsonl", b'{"step": 1, "<b>\x1b": 1.0, "alarms": ["<b>"]}\n{"step": 1e400}'),
        ("done/evaluation.json", b'{"<script>": 1.0, "reconstruction_mse": "\x1b"}'),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    os.mkfifo(folder / "pipe.png")
    os.mkfifo(folder / "pipe.npy")
    (folder / "loop").symlink_to("loop")


def _config(text: str) -> bytes:
    values = {name: getattr(files.CONFIG, name) for name in files.CONFIG.__dataclass_fields__}
    return json.dumps({"format": 2, **values, "about": {"recipe": text, text: 1}}).encode()


# --- words ----------------------------------------------------------------------------------------------------------

STRANGE = ["", "\udc80", "x" * 5_000, "10" * 20, "\x1b[31m", "a\nb"]
odd = st.sampled_from([*files.words("- -- 1e999 nan -1 0 ../.. ~nobody/x /dev/zero [red] None"), *STRANGE])
odd |= st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
models = odd | st.sampled_from(files.words("digits digits points run bad-run other-run bad-model esc loop a/b"))
GIVEN = files.words(
    "good.png good.png bad.png bomb.png a.npy p.npy huge.npy a.npz a.zip a.tar endless.tar pipe.png pipe.npy loop . "
    "/dev/zero"
)
given_files = odd | st.sampled_from([*GIVEN, "a\nb\x1b.png"])
outputs = odd | st.sampled_from(files.words("o.png o.npz o.txt good.png/x.png /proc/o.npz ."))
numbers = st.sampled_from(["1", "3", "0", "-1", "1000000000000", "9" * 40, "x", "1.5"])
devices = st.sampled_from(["cpu", "cpu", "cuda", "\x1b"])


def _words(*parts: str | st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    return st.tuples(*[st.just(part) if isinstance(part, str) else part for part in parts]).map(list)


def _one_of(*words: str) -> st.SearchStrategy[str]:
    """Draw one of these words, or an odd one."""
    return st.sampled_from(words) | odd


settings_of_words = st.tuples(
    st.sampled_from(files.words("lr weight networks.width networks.shape data.side data.path steps x")), odd | numbers
).map("=".join)
# fmt: off
VERBS: dict[str, st.SearchStrategy[list[str]]] = {
    "train": _words(
        "train", _one_of("grid/aim", "digits/gan", "folder/aim", "folder/aim"),
        "--steps", st.sampled_from(["2", "2", "0", "-1", "x"]), "--set", settings_of_words, "--set", "batch_size=4",
        "--output", _one_of("new", "run", "bad-run", "good.png"),
    ),
    "train on data": _words(
        "train", "folder/vae", "--steps", "2", "--set", "networks.width=16", "--data", given_files,
        "--size", st.sampled_from(["8", "0", "999999999", "x"]), "--output", "data-run",
    ),
    "evaluate": _words(
        "evaluate", _one_of("run", "run", "bad-run", "other-run", "esc"),
        "--samples", st.sampled_from(["100", "0", "-1"]), "--features", _one_of("off", "evil.pt", "x.pt"),
        "--json", outputs,
    ),
    "generate": _words("generate", models, "-n", numbers, "-o", outputs, "--device", devices),
    "reconstruct": _words("reconstruct", models, given_files, given_files, "-o", outputs),
    "neighbours": _words("neighbours", models, given_files, "-m", numbers, "-o", outputs),
    "interpolate": _words("interpolate", models, given_files, given_files, "--steps", numbers, "-o", outputs),
    "encode": _words("encode", models, given_files, "-o", outputs),
    "reproduce": _words(
        "reproduce", _one_of("table2", "figure3", "table1", "table9"),
        "--methods", st.sampled_from(["no", "gan,,no", "\x1b"]), "--data", odd, "--seeds", numbers, "-o", outputs,
    ),
    "search": _words(
        "search", models, "--index", _one_of("photos", "photos", "bad-index", "new-index", "loop"),
        st.sampled_from(["--image", "--code", "--images"]),
        given_files | st.sampled_from(["0,0,0", "1,nan", ",", "photos"]),
        "-k", numbers, "-o", _one_of("o.html", "o.png", "o.json", "o.txt"),
    ),
    "cluster": _words(
        "cluster", models, given_files | st.sampled_from(["photos", "photos", "bad-index"]),
        "-o", _one_of("groups", "good.png", "/proc/x"), "--k", numbers,
        "--method", st.sampled_from(["kmeans", "hdbscan", "\x1b"]),
    ),
    "export": _words(
        "export", models, "--format", st.sampled_from(["torch", "onnx", "\x1b", ""]),
        "-o", _one_of("exported", "good.png", "/proc/x", "."),
    ),
    "push": _words(  # --dry-run comes first, so that nothing is sent whatever follows
        "push", "--dry-run", st.sampled_from(["page", "good.png", "/proc/x"]), models, _one_of("a/b"), "--license", odd,
    ),
    "compare": _words(
        "compare", _one_of("run", "run", "bad-run", "other-run", "digits"), _one_of("done", "run", "bad-run"),
        "-o", _one_of("o.html", "o.html", "o.txt", "/proc/o.html"),
    ),
    "explore": _words(  # there are no such ports: it must refuse, whatever it loaded before
        "explore", models, "--index", given_files | st.sampled_from(["photos", "bad-index"]), "--compare", models,
        "--host", st.sampled_from(["127.0.0.1", "\x1b", "nowhere.invalid"]),
        "--port", st.sampled_from(["-1", "99999999", "x"]),
    ),
    "doctor": _words("doctor", "--json", outputs),
    "recipes": _words("recipes", odd),
    "info": _words("info", models),
    "no verb": st.lists(odd, max_size=3),
}
