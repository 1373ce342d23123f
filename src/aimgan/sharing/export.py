"""A model for programs that know nothing of aimgan: ONNX graphs, or torch.export programs, each checked when written.

    generator        z (n, d) -> x (n, *shape), images in [0, 1]
    encoder          x -> mean, log_variance (n, d): q(z|x) of equation 8
    reconstruction   x -> G(mu(x)): Algorithm 2
    decoder          z -> x for codes z of the encoder, where G has batch-norm statistics of its own for those

What is compared, at several batch sizes, is the file as a stranger would run it and the model's own public calls.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aimgan import noise
from aimgan.errors import AimganError, near_miss, plain
from aimgan.files import replacing_folder, write_text
from aimgan.model import LatentVariableModel, to_range
from aimgan.networks import StochasticGenerator

BATCHES = (1, 7, 64)  # at which a file is compared with the model
TOLERANCE = 1e-4  # of that comparison: the largest absolute difference that passes
NAMES, README = ("generator", "encoder", "reconstruction", "decoder"), "README.md"
SUFFIXES = {"onnx": ".onnx", "torch": ".pt2"}
Run = Callable[[Tensor], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Exported:
    """What was written where, and the largest absolute difference of each graph's outputs from PyTorch's."""

    files: Mapping[str, Path]
    differences: Mapping[str, float]

    def lines(self) -> list[str]:
        """Return a line for each file."""
        told = "differs from PyTorch by {:.1e} at most (batches of 1, 7, 64)"
        return [f"wrote {plain(str(path))}: {told.format(self.differences[name])}" for name, path in self.files.items()]


class Generator(nn.Module):
    """z -> x at the border: points in their own units, images in [0, 1]. `inferred`: z are codes of data."""

    def __init__(self, model: LatentVariableModel, inferred: bool = False) -> None:
        super().__init__()
        self.G, (self.low, self.high) = model.G_of(inferred), model.config.family().value_range or (0.0, 1.0)

    def forward(self, z: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "n ..."]]:
        """Return G(z)."""
        return ((self.G(z) - self.low) / (self.high - self.low),)


class Encoder(nn.Module):
    """x -> the mean and the log variance of q(z|x); the mean alone of an encoder that answers with a point."""

    def __init__(self, model: LatentVariableModel) -> None:
        super().__init__()
        self.E, self.range, self.point = model.E, model.config.family().value_range, model.config.deterministic

    def forward(self, x: Float[Tensor, "n ..."]) -> tuple[Float[Tensor, "n d"], ...]:
        """Return mean and log_variance."""
        assert self.E is not None
        q = self.E(to_range(x, self.range))
        return (q.mean,) if self.point else (q.mean, q.log_variance)


class Reconstruction(nn.Module):
    """x -> G(mu(x))."""

    def __init__(self, model: LatentVariableModel) -> None:
        super().__init__()
        self.encoder, self.generator = Encoder(model), Generator(model, inferred=True)

    def forward(self, x: Float[Tensor, "n ..."]) -> tuple[Float[Tensor, "n ..."]]:
        """Return the reconstruction."""
        return self.generator(self.encoder(x)[0])


@dataclass(frozen=True)
class Graph:
    """One file to be: its module, its names, its inputs for a batch of n, and what the model itself answers."""

    module: nn.Module
    input: str
    outputs: tuple[str, ...]
    example: Callable[[int], Tensor]
    answer: Run


def export(model: LatentVariableModel, folder: Path | str, format: str = "onnx") -> Exported:
    """Write the graphs of a model (this module's docstring lists them) as "onnx" or "torch" (.pt2) files.

    The folder gets them and a README with their inputs and outputs, whole or not at all; an export that is there is
    replaced. Weights are float32, the number of samples n is free. Each file is run at batches of 1, 7 and 64 against
    the model on the CPU. Raises AimganError for a difference above 1e-4, a G that draws noise of its own, a missing
    `aimgan[export]`, or a folder with anything else in it.
    """
    if format not in SUFFIXES:
        raise near_miss("format", format, SUFFIXES)
    _require_packages(format)
    graphs = graphs_of(model)
    folder = Path(folder)
    try:
        _require_own(folder)
        with replacing_folder(folder) as fresh:
            names = {name: name + SUFFIXES[format] for name in graphs}
            differences = {name: _written(name, graphs[name], fresh / names[name], format) for name in graphs}
            write_text(fresh / README, _readme(model, graphs, format))
    except AimganError:
        raise
    except (OSError, ValueError) as reason:  # ValueError: a null in the name
        line = getattr(reason, "strerror", None) or reason
        raise AimganError(f"cannot write {folder} ({line}): choose another folder") from None
    return Exported({name: folder / file for name, file in names.items()}, differences)


def graphs_of(model: LatentVariableModel) -> dict[str, Graph]:
    """Return what a model is exported as, by name: copies on the CPU in float32."""
    if any(isinstance(module, StochasticGenerator) for module in model.G.modules()):
        raise AimganError("this generator draws noise of its own: G(z) is no function of z, and is not exported")
    model = deepcopy(model).to("cpu", torch.float32).requires_grad_(False).eval()

    def codes(n: int) -> Tensor:
        return model.prior.sample(n, noise.generator("export", n))

    def images(n: int) -> Tensor:  # the model's own: what an encoder is made for
        return model.decode(codes(n))

    def moments(x: Tensor) -> tuple[Tensor, ...]:
        q = model.encode(x)
        return (q.mean,) if model.config.deterministic else (q.mean, q.log_variance)

    graphs = {"generator": Graph(Generator(model), "z", ("x",), codes, lambda z: (model.decode(z),))}
    if model.E is not None:
        outputs = ("mean",) if model.config.deterministic else ("mean", "log_variance")
        graphs["encoder"] = Graph(Encoder(model), "x", outputs, images, moments)
        rebuild: Run = lambda x: (model.reconstruct(x),)  # noqa: E731
        graphs["reconstruction"] = Graph(Reconstruction(model), "x", ("reconstruction",), images, rebuild)
    if "G" in model.twins:
        decoded: Run = lambda z: (model.decode(z, inferred=True),)  # noqa: E731
        graphs["decoder"] = Graph(Generator(model, inferred=True), "z", ("x",), codes, decoded)
    return graphs


def _written(name: str, graph: Graph, path: Path, format: str) -> float:
    """Write a graph, run the file, and return its largest difference from the model."""
    write, opened = (_write_onnx, _open_onnx) if format == "onnx" else (_write_torch, _open_torch)
    try:
        with _quiet():
            write(graph, path)
            difference = _difference(graph, opened(path))
    except OSError:
        raise
    except Exception as reason:  # torch and onnxruntime raise a dozen kinds for a layer that they do not know
        cause = reason.__cause__ or reason  # torch.onnx wraps what happened in advice
        line = " ".join(str(cause).split())[:200]
        raise AimganError(f"torch cannot export this {name} ({type(cause).__name__}: {line})") from reason
    if not difference <= TOLERANCE:
        raise AimganError(
            f"{path.name} differs from the model by {difference:.2g}; expected at most {TOLERANCE:g}: does a layer of "
            "its own draw at random, or are its weights huge?"
        )
    return difference


@torch.no_grad()
def _difference(graph: Graph, run: Run) -> float:
    """Return the largest absolute difference over all outputs and batches; not a number where there is one."""
    inputs = [graph.example(n) for n in BATCHES]
    pairs = [pair for x in inputs for pair in zip(run(x), graph.answer(x), strict=True)]
    return float(torch.stack([(got - expected).abs().max() for got, expected in pairs]).max())


def _program(graph: Graph) -> torch.export.ExportedProgram:
    """Trace a graph with a free number of samples, without the traces of this machine's files that torch notes."""
    n = torch.export.Dim("n")
    program = torch.export.export(graph.module, (graph.example(2),), dynamic_shapes=({0: n},))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program


def _write_torch(graph: Graph, path: Path) -> None:
    torch.export.save(_program(graph), path)


def _open_torch(path: Path) -> Run:
    return torch.export.load(path).module()


def _write_onnx(graph: Graph, path: Path) -> None:
    given, made, n = [graph.input], list(graph.outputs), torch.export.Dim("n")
    program = torch.onnx.export(
        _program(graph), input_names=given, output_names=made, dynamo=True, dynamic_shapes=({0: n},), verbose=False
    )
    assert program is not None
    program.save(path, external_data=False)


def _open_onnx(path: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: tuple(torch.from_numpy(output) for output in session.run(None, {name: x.numpy()}))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch's remarks on itself (deprecated parts, no torchvision) from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _require_packages(format: str) -> None:
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if format == "onnx" and missing:
        raise AimganError(f"exporting to ONNX needs {', '.join(missing)}: pip install 'aimgan[export]'")


def _require_own(folder: Path) -> None:
    """Raise AimganError for a folder that holds anything but an export."""
    own = {README, *(name + suffix for name in NAMES for suffix in SUFFIXES.values())}
    others = {path.name for path in folder.iterdir()} - own if folder.exists() else set()
    if others:
        raise AimganError(f"{folder} holds {min(others)}, which is no part of an export: choose another folder")


def _readme(model: LatentVariableModel, graphs: Mapping[str, Graph], format: str) -> str:
    shape, images = ", ".join(map(str, model.shape)), " in [0, 1]" if len(model.shape) == 3 else ""
    code, sample = f"(n, {model.dim})", f"(n, {shape}){images}"
    told = {"z": f"`z` {code}, a draw from N(0, I)", "x": f"`x` {sample}"}
    told |= {"mean": f"`mean` {code}", "log_variance": f"`log_variance` {code}"}
    told |= {"reconstruction": f"`reconstruction` {sample}"}
    inputs = {"decoder": f"`z` {code}, a code that the encoder inferred"}
    rows = "".join(
        f"| `{name}{SUFFIXES[format]}` | {inputs.get(name, told[graph.input])} "
        f"| {', '.join(told[key] for key in graph.outputs)} |\n"
        for name, graph in graphs.items()
    )
    return (
        f"# {model.config.objective}, exported by aimgan\n\nAll are float32; n is free.\n\n"
        f"| file | input | output |\n| --- | --- | --- |\n{rows}\n"
        + ("A code near x is `mean + exp(log_variance / 2) * eps`, eps from N(0, I).\n\n" if model.E else "")
        + f"```python\n{EXAMPLES[format].format(dim=model.dim)}```\n"
    )


EXAMPLES = {
    "onnx": (
        "import numpy as np\nimport onnxruntime\n\n"
        'session = onnxruntime.InferenceSession("generator.onnx")\n'
        "z = np.random.default_rng(0).standard_normal((16, {dim}), dtype=np.float32)\n"
        '(x,) = session.run(["x"], {{"z": z}})\nprint(x.shape)\n'
    ),
    "torch": (
        "import torch\n\n"
        'generator = torch.export.load("generator.pt2").module()  # only files that you trust: it may unpickle\n'
        "(x,) = generator(torch.randn(16, {dim}))\nprint(x.shape)\n"
    ),
}
