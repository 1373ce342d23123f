"""Whatever is read or called: a result or an AimganError, in seconds, in bounded memory. benchmarks/fuzz.py runs these.

A property is a strategy and a check, which is called with what the strategy makes.
"""

from __future__ import annotations

import copy
import json
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any, NamedTuple

import files
import torch
from hypothesis import strategies as st
from rich.console import Console

import aimgan
from aimgan import checked
from aimgan.cli import inputs
from aimgan.cli.info import tell
from aimgan.data import account
from aimgan.data.decode import UndecodableError, decode, quiet
from aimgan.data.image_data import ImageData
from aimgan.data.images import load_images
from aimgan.data.sources import find
from aimgan.errors import AimganError, near_miss
from aimgan.model import LatentVariableModel
from aimgan.networks import Posterior
from aimgan.recipes.recipe import from_dict, to_dict, with_settings
from aimgan.recipes.resolving import recorded, settings_of
from aimgan.training import checkpoint
from aimgan.training.run_dir import RunDir

SECONDS, MEMORY = 60, 2**28  # of one example, and what aimgan is told the machine has

Check = Callable[[Any, Path], object]


class Property(NamedTuple):
    """What is tried: `check(example, folder)` may return, or raise AimganError."""

    strategy: st.SearchStrategy[Any]
    check: Check


class Hang(BaseException):
    """It took too long. No Exception, since readers of damaged files catch those."""


def _hang(*_: object) -> None:
    raise Hang


@contextmanager
def bounded(seconds: int = SECONDS) -> Iterator[None]:
    """Raise Hang for what takes too long."""
    before = signal.signal(signal.SIGALRM, _hang)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def light(mib: int, seconds: int = SECONDS) -> Iterator[None]:
    """Require that what is done takes no more memory than so much, and Hang for what takes too long."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far
    before = _memory("VmRSS")
    with bounded(seconds):
        yield
    taken = (_memory("VmHWM") - before) // 1024
    assert taken <= mib, f"{taken} MiB"


def _memory(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def hold(check: Check, example: Any, folder: Path) -> None:
    """Call a check: it may fail in one way only."""
    with bounded():
        attempt(check, example, folder)


def attempt(check: Check, example: Any, folder: Path) -> None:
    """Call a check, for as long as it takes: what it may raise, and warn of, is nothing."""
    with suppress(AimganError), warnings.catch_warnings():
        warnings.simplefilter("ignore", checkpoint.TornCheckpointWarning)
        check(example, folder)


@contextmanager
def small_machine() -> Iterator[None]:
    """Let aimgan believe that it has MEMORY bytes."""
    own, checked.memory = checked.memory, lambda: MEMORY
    try:
        yield
    finally:
        checked.memory = own


# --- what is handed over ------------------------------------------------------------------------------------------

odd_numbers = st.one_of(
    st.integers(), st.sampled_from([0, -1, 2**31, 2**63, 10**12, 10**400]), st.floats(), st.booleans(), st.none()
)
WORDS = files.words(
    "1e999 nan -inf ~nobody/x ../.. ../../etc/passwd a/b a/b/c a/b@c * [!]**/? /dev/zero - none true (1,2) "
    "1,-1,99999999999"
)
odd_text = st.text(max_size=12) | st.sampled_from(
    [*WORDS, files.HUGE, files.DEEP, "x" * 100_000, "\0", "\x1b[31m", "a\nb", "\udc80", "a/*\0"]
)
odd = st.recursive(
    odd_numbers | odd_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def damaged(draw: st.DrawFn, whole: Sequence[bytes]) -> bytes:
    """Draw one of these files with some bytes changed, added or gone, or cut short."""
    content = bytearray(draw(st.sampled_from(whole)))
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.integers(0, min(len(content), 160)) | st.integers(0, len(content)))
        content[at : at + draw(st.integers(0, 8))] = draw(st.binary(max_size=8))
    return bytes(content[: draw(st.none() | st.integers(0, len(content)))])


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key, inner in value.items() if isinstance(value, dict) else ():
        yield (*path, key)
        yield from _places(inner, (*path, key))


@st.composite
def edited(draw: st.DrawFn, whole: dict[str, Any]) -> dict[str, Any]:
    """Draw the object with some of its values replaced, gone, or new."""
    value = copy.deepcopy(whole)
    for path in draw(st.lists(st.sampled_from(list(_places(whole))), max_size=3)):
        *above, last = path
        part = value
        for key in above:
            part = part.get(key) if isinstance(part, dict) else None
        if isinstance(part, dict):
            name = draw(st.sampled_from([last, last, last, draw(st.text(max_size=5))]))
            if draw(st.integers(0, 6)):
                part[name] = draw(odd)
            else:
                part.pop(name, None)
    return value


def text_of(value: Any) -> str:
    """Return JSON; what it cannot say, as text."""
    return json.dumps(value, default=repr)


def lines_of(rows: Sequence[Any]) -> str:
    """Return a file of JSON lines; text is a line as it is. (By `map`, hypothesis would keep each such file: GiB.)"""
    return "\n".join(row if isinstance(row, str) else text_of(row) for row in rows)


# --- readers and parsers ------------------------------------------------------------------------------------------

RECIPE = aimgan.RECIPES["digits/aim"]
MODEL = {"format": 2, **{name: getattr(files.CONFIG, name) for name in files.CONFIG.__dataclass_fields__}}
RUN = {"settings": settings_of(RECIPE, 0, 3), "environment": {"threads": 1}}
NAMES = files.words(
    "lr weight weighting beta steps epochs batch_size samples features networks.width networks.depth networks.shape "
    "networks.dim networks.scale data.path ema schedule"
)
MIXTURE_NAMES = [f"data.{name}" for name in ("side", "std", "spacing", "count", "angle", "ratio", "size")]


def _write(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "replace"))
    return path


def _settings(example: dict[Any, Any], _: Path) -> None:
    with_settings(RECIPE, example)


def _grid(example: dict[Any, Any], _: Path) -> None:
    for name in ("grid/aim", "ring/gan", "unbalanced/vae", "folder/ali"):
        with suppress(AimganError):
            recipe = with_settings(aimgan.RECIPES[name], example)
            recipe.data.load() if name[0] != "f" else None


def _recipe(example: dict[str, Any], _: Path) -> None:
    to_dict(from_dict(example))


def _config(example: dict[str, Any], folder: Path) -> None:
    _write(folder, "model.safetensors", WEIGHTS)
    _write(folder, "config.json", text_of(example))
    aimgan.load(folder).generate(2)


def _weights(example: bytes, folder: Path) -> None:
    _write(folder, "config.json", text_of(MODEL))
    _write(folder, "model.safetensors", example)
    aimgan.load(folder).generate(2)


def _run(example: Any, folder: Path) -> None:
    path = _write(folder, "run.json", text_of(example))
    run = RunDir(path.parent)
    recorded(run)
    run.begin(RUN["settings"], extend=True)


def _metrics(example: str, folder: Path) -> None:
    run = RunDir(_write(folder, "metrics.jsonl", example).parent)
    run.rows()
    run.rewind(3)
    assert all(row["step"] <= 3 for row in run.rows())


def _scores(example: Any, folder: Path) -> None:
    _model().save(folder / "model")
    _write(folder, "evaluation.json", text_of(example))
    tell(str(folder), Console(file=StringIO()))


def _images(suffix: str) -> Check:
    """Read a source of this kind: list it, decode its images one by one, and load it in two forms."""

    def check(example: bytes, folder: Path) -> None:
        path = str(_write(folder, f"data{suffix}", example))
        with ExitStack() as stack, quiet(), suppress(AimganError):
            listing = find(path, stack)
            for k in range(min(len(listing), 20)):
                with suppress(UndecodableError):
                    decode(partial(listing.open, k), 8, 3)
        with suppress(AimganError):
            sound(load_images(path))
        sound(load_images(path, size=8, channels=1), (1, 8, 8))

    return check


def sound(data: ImageData, shape: tuple[int, ...] | None = None) -> None:
    """Require that a data set's parts fit each other, and that it can be told in a line."""
    assert shape is None or data.shape == shape
    for split in (data.train, data.test):
        assert (split.pixels.dtype, tuple(split.pixels.shape[1:])) == (torch.uint8, data.shape)
        assert len(split.names) == len(split.pixels)
        assert split.labels is None or len(split.labels) == len(split.pixels)
        assert all(isinstance(name, str) for name in split.names)
    assert account.line(account.account(data)).isprintable()


def _points(example: bytes, folder: Path) -> None:
    for suffix in (".npy", ".npz"):
        with suppress(AimganError):
            inputs.read([str(_write(folder, f"points{suffix}", example))], (2,))


def _decode(example: bytes, _: Path) -> None:
    with quiet(), suppress(UndecodableError):
        decode(lambda: BytesIO(example), 8, 3)
        decode(lambda: BytesIO(example))


def _checkpoint(example: tuple[bytes, Any], folder: Path) -> None:
    _write(folder / "000000003", checkpoint.TENSORS, example[0])
    _write(folder / "000000003", checkpoint.META, text_of(example[1]))
    checkpoint.newest(folder)


def _names(example: str, _: Path) -> None:
    with ExitStack() as stack, suppress(AimganError):
        find(example, stack)
    with suppress(AimganError):
        inputs.read([example], (1, 8, 8))
    with suppress(AimganError):
        near_miss("name", example, ["a", "b"])
    aimgan.load(example)


WEIGHTS = files.weights()
lines = st.lists(st.one_of(odd, st.dictionaries(st.sampled_from(["step", "loss"]), odd)))
headers = st.builds(
    lambda shape, kind, content: files.npy_header(shape, kind, content),
    st.lists(st.integers(-2, 10**13), max_size=5).map(tuple) | odd_text,
    st.sampled_from(["|u1", "<f4", "|O", "|V0", "<U9", "|S0", "<M8[s]", "<c8", [("a", "<i4")], "x"]),
    st.binary(max_size=300),
)
members = st.builds(
    files.tar_member,
    st.binary(max_size=20) | st.sampled_from([b"a.png", b"train/a/b.png", b"../x.jpg", b"a.cls", b"x.npy"]),
    st.sampled_from([b"", b"3", files.picture(), b"9 path=a\n", b"13 size=-512\n", b"12 size=9_9\n\0"])
    | st.lists(st.sampled_from([b"11 path=x/y", b"20 GNU.sparse.size=1", b"15 size=000512", b"99 a=b", b"5 a="])).map(
        lambda said: b"".join(record + b"\n" for record in said)
    ),
    st.sampled_from([b"0", b"0", b"0", b"\0", b"x", b"x", b"g", b"L", b"K", b"S", b"X", b"5", b"2", b"7", b"Z"]),
    st.none() | st.integers(-(2**70), 2**70) | st.sampled_from([-512, -1024, -1, 2**20, 2**40, 2**62]),
)
tars = st.builds(
    lambda parts, end: b"".join(parts) + end,
    st.lists(members, max_size=5),
    st.sampled_from([bytes(1024), bytes(1024), bytes(512), b"", b"\0" * 100, b"?" * 512]),
)
tensor = st.fixed_dictionaries({
    "dtype": st.sampled_from(["F32", "F16", "I64", "F8_E4M3", "BOOL", "X"]),
    "shape": st.lists(st.integers(-1, 2**64), max_size=3),
    "data_offsets": st.lists(st.integers(-1, 2**64), min_size=2, max_size=2),
})  # fmt: skip
tensor_names = st.sampled_from([*files.model().state_dict(), "extra", "__metadata__"])
tensors = st.dictionaries(tensor_names, odd | tensor, max_size=4)
sidecars = st.one_of(
    damaged([WEIGHTS]),
    st.builds(files.safetensors, tensors, st.binary(max_size=64), st.none() | st.integers(0, 2**64 - 1)),
)

META = {"step": odd, "sha256": odd_text}
READERS: dict[str, Property] = {
    "--set on digits": Property(st.dictionaries(st.sampled_from(NAMES) | odd_text, odd, max_size=3), _settings),
    "--set on mixtures": Property(st.dictionaries(st.sampled_from(MIXTURE_NAMES), odd, max_size=3), _grid),
    "recipe of run.json": Property(edited(RUN["settings"]["recipe"]), _recipe),
    "JSON text": Property(odd_text | odd.map(text_of), lambda text, _: _as_error(checked.parse_json, text)),
    "config.json": Property(edited(MODEL), _config),
    "model.safetensors": Property(sidecars, _weights),
    "run.json": Property(edited(RUN) | odd, _run),
    "metrics.jsonl": Property(lines, lambda rows, folder: _metrics(lines_of(rows), folder)),
    "evaluation.json": Property(st.dictionaries(st.text(max_size=5), odd) | odd, _scores),
    ".npy": Property(damaged(files.ARRAYS) | headers, _images(".npy")),
    ".npz": Property(damaged(files.ARCHIVES), _images(".npz")),
    "points": Property(damaged(files.ARRAYS + files.ARCHIVES) | headers, _points),
    ".zip": Property(damaged(files.ZIPS), _images(".zip")),
    ".tar": Property(damaged(files.TARS) | tars, _images(".tar")),
    "image": Property(damaged(files.PICTURES), _decode),
    ".parquet": Property(damaged(files.tables()), _images(".parquet")),
    "checkpoint": Property(st.tuples(sidecars, odd | st.fixed_dictionaries(META)), _checkpoint),
    "path or Hub id": Property(odd_text, _names),
}


def _as_error(function: Callable[[Any], Any], value: Any) -> None:
    """Call a parser whose ValueError its callers make an AimganError of."""
    with suppress(ValueError):
        function(value)


# --- calls of a model ---------------------------------------------------------------------------------------------

DTYPES = [torch.float32] * 6 + [
    torch.float64, torch.float16, torch.bfloat16, torch.uint8, torch.int64, torch.bool, torch.complex64,
]  # fmt: skip
VALUES = [0.0, 0.5, 1.0, -3.0, 1e30, float("nan"), float("inf")]
EXOTIC = [
    None, 3, "x", [[0.5]], torch.zeros(2, 1, 8, 8).numpy(), torch.zeros(2, 1, 8, 8, device="meta"),
    torch.zeros(2, 2).to_sparse(), torch.zeros(1, 1, 1, 1).expand(10**12, 1, 8, 8), torch.zeros(()),
]  # fmt: skip
inputs_of = st.one_of(
    st.builds(
        lambda n, shape, value, dtype: torch.full((n, *shape), value).to(dtype),
        st.integers(0, 3),
        st.sampled_from([(1, 8, 8), (1, 8, 8), (1, 8, 8), (2,), (3, 8, 8), (8, 8), ()]),
        st.sampled_from(VALUES),
        st.sampled_from(DTYPES),
    ),
    st.sampled_from(EXOTIC),
)
counts = st.integers(1, 3) | odd_numbers | st.sampled_from(["3", 2.5, [1]])
generators = st.sampled_from([None, None, torch.Generator(), 3, "cpu"])
paths = st.sampled_from(["out", "/proc/no", "a\0b", "x" * 5_000, None, 3, "", "."]) | st.text(
    min_size=1, max_size=3
).map(lambda text: "out" + text.replace("/", "").replace(".", ""))


def _model() -> LatentVariableModel:
    if not _MODELS:
        _MODELS.append(files.model())
    return _MODELS[0]


_MODELS: list[LatentVariableModel] = []


def _saved(example: tuple[Any, Any], folder: Path) -> None:
    target, device = example
    inside = folder / target if isinstance(target, str) and target not in ("", ".") else target
    _model().save(inside if target not in ("", ".") else folder / "out")
    aimgan.load(inside, device)


def _sampled(example: tuple[Any, Any, Any], _: Path) -> None:
    q: Posterior = _model().encode(torch.rand(2, 1, 8, 8))
    q.sample(example[0], example[1])


CALLS: dict[str, Property] = {
    "encode": Property(inputs_of, lambda x, _: _model().encode(x)),
    "decode": Property(st.tuples(inputs_of, generators), lambda e, _: _model().decode(*e)),
    "reconstruct": Property(inputs_of, lambda x, _: _model().reconstruct(x)),
    "neighbours": Property(st.tuples(inputs_of, counts, generators), lambda e, _: _model().neighbours(*e)),
    "generate": Property(st.tuples(counts, generators), lambda e, _: _model().generate(*e)),
    "interpolate": Property(st.tuples(inputs_of, inputs_of, counts), lambda e, _: _model().interpolate(*e)),
    "Posterior.sample": Property(st.tuples(counts, generators, st.none()), _sampled),
    "save and load": Property(st.tuples(paths, st.sampled_from(["cpu", "cuda", "cuda:99", "x", None, 3])), _saved),
}

# --- what a coverage-guided fuzzer is given: bytes ----------------------------------------------------------------


def _as_json(check: Check) -> Check:
    """Make a check of JSON one of bytes, which are the text of it."""

    def of_bytes(example: bytes, folder: Path) -> None:
        try:
            value = json.loads(example)
        except (ValueError, RecursionError):
            value = example.decode("utf-8", "replace")
        check(value, folder)

    return of_bytes


def _words(example: bytes, _: Path) -> None:
    """Read lines as `--set` has them."""
    pairs = [line.partition("=")[::2] for line in example.decode("utf-8", "replace").splitlines()]
    with_settings(RECIPE, dict(pairs))


SETTINGS = b"lr=1e-3\nweighting=none\nnetworks.width=8\nnetworks.shape=1,8,8\nweight=1"
TARGETS: dict[str, tuple[list[bytes], Check]] = {
    "--set": ([SETTINGS, b"steps=5\nepochs=none\nema=0.5"], _words),
    "recipe of run.json": (
        [text_of(RUN["settings"]["recipe"]).encode()],
        _as_json(lambda v, _: from_dict(dict(v) if isinstance(v, dict) else {})),
    ),
    "run.json": ([text_of(RUN).encode()], _as_json(_run)),
    "config.json": ([text_of(MODEL).encode()], _as_json(_config)),
    "metrics.jsonl": (
        [b'{"step": 1, "loss": 2.0}\n{"step": 4}\n{"st'],
        lambda example, folder: _metrics(example.decode("utf-8", "replace"), folder),
    ),
    "model.safetensors": (
        [WEIGHTS, files.safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(4))],
        _weights,
    ),
    ".npy": (files.ARRAYS, _images(".npy")),
    ".npz": (files.ARCHIVES, _images(".npz")),
    ".zip": (files.ZIPS, _images(".zip")),
    ".tar": (files.TARS, _images(".tar")),
    "image": (files.PICTURES, _decode),
}
