"""Export of a model to other programs, as ONNX graphs or torch.export programs, each compared with the model.

    generator        z (n, d) -> x (n, *shape), images in [0, 1]
    encoder          x -> mean, log_variance (n, d) of q(z|x) (equation 8)
    reconstruction   x -> G(mu(x)) (Algorithm 2)
    decoder          z -> x for codes of the encoder, where G has batch-norm statistics of its own for those

Each file is run as another program would run it, at several batch sizes, and compared with the model's own calls.
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
from jinja2 import Template
from torch import Tensor, nn

from aimgan import noise
from aimgan.errors import AimganError, near_miss, plain
from aimgan.files import replacing_folder, require_own, write_text
from aimgan.model import LatentVariableModel, from_range, to_range
from aimgan.networks import StochasticGenerator

BATCHES = (1, 7, 64)  # batch sizes at which a file is compared with the model
TOLERANCE = 1e-4  # the largest absolute difference that passes
NAMES, README = ("generator", "encoder", "reconstruction", "decoder"), "README.md"
SUFFIXES = {"onnx": ".onnx", "torch": ".pt2"}
Run = Callable[[Tensor], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Exported:
    """The files by the names of their graphs, and the largest absolute difference of each from PyTorch."""

    files: Mapping[str, Path]
    differences: Mapping[str, float]

    def lines(self) -> list[str]:
        """Return what the command line prints: a line for each file."""
        lines = []
        for name, path in self.files.items():
            difference = f"differs from PyTorch by at most {self.differences[name]:.1e} (batches of 1, 7, 64)"
            lines.append(f"wrote {plain(str(path))}: {difference}")
        return lines


class EncoderDecoder(nn.Module):
    """E, G or both in line, from x or z: images are in [0, 1] outside, whatever range the networks use inside."""

    def __init__(self, model: LatentVariableModel, E: nn.Module | None, G: nn.Module | None) -> None:
        super().__init__()
        self.E, self.G = E, G
        self.value_range, self.deterministic = model.value_range, model.config.deterministic

    def forward(self, given: Float[Tensor, "n ..."]) -> tuple[Float[Tensor, "n ..."], ...]:
        """Return the moments of q(z|x) where there is no G, else G of the given codes or of the inferred means."""
        if self.E is not None:
            q = self.E(to_range(given, self.value_range))
            if self.G is None:
                return (q.mean,) if self.deterministic else (q.mean, q.log_variance)
            given = q.mean
        assert self.G is not None
        return (from_range(self.G(given), self.value_range),)


@dataclass(frozen=True)
class Graph:
    """The content of one file: a module, the names of its input and outputs, and the model's answer to compare with."""

    module: nn.Module
    input: str
    outputs: tuple[str, ...]
    example: Callable[[int], Tensor]  # inputs for a batch of n
    answer: Run  # what the model's own call returns


def export(model: LatentVariableModel, folder: Path | str, format: str = "onnx") -> Exported:
    """Write the graphs of a model, which this module's docstring lists, as "onnx" or "torch" (.pt2) files.

    The folder gets the files and a README with their inputs and outputs, all or nothing. An earlier export is
    replaced. Weights are float32, and the number of samples is free. Each file is compared with the model on the CPU at
    batches of 1, 7 and 64. Raises AimganError for a difference above 1e-4, a G that draws noise of its own, a missing
    `aimgan[export]`, and a folder that cannot be written or contains other files.
    """
    if format not in SUFFIXES:
        raise near_miss("format", format, SUFFIXES)
    _require_packages(format)
    graphs = graphs_of(model)
    folder, suffix = Path(folder), SUFFIXES[format]
    differences = {}
    try:
        others = [name + suffix for name in NAMES for suffix in SUFFIXES.values()]
        require_own(folder, "a file of an export", {README: ", exported by aimgan\n"}, others)
        with replacing_folder(folder) as fresh:
            for name, graph in graphs.items():
                differences[name] = _written(name, graph, fresh / f"{name}{suffix}")
            write_text(fresh / README, _readme(model, graphs, format))
    except AimganError:
        raise
    except (OSError, ValueError) as reason:  # ValueError: a null character in the name
        line = getattr(reason, "strerror", None) or reason
        raise AimganError(f"cannot write {folder} ({line}): choose another folder") from None
    return Exported({name: folder / f"{name}{suffix}" for name in graphs}, differences)


def graphs_of(model: LatentVariableModel) -> dict[str, Graph]:
    """Return the graphs of a model by name, with copies of its networks on the CPU in float32."""
    if any(isinstance(module, StochasticGenerator) for module in model.G.modules()):
        raise AimganError("G draws noise of its own, so G(z) is not a function of z and cannot be exported")
    model = deepcopy(model).to("cpu", torch.float32).requires_grad_(False).eval()
    moments = ("mean",) if model.config.deterministic else ("mean", "log_variance")

    def codes(n: int) -> Tensor:
        return model.prior.sample(n, noise.generator("export", n))

    def images(n: int) -> Tensor:  # of the model itself, which its encoder is made for
        return model.decode(codes(n))

    def encode(x: Tensor) -> tuple[Tensor, ...]:
        q = model.encode(x)
        return tuple(getattr(q, name) for name in moments)

    generator = EncoderDecoder(model, None, model.G)
    graphs = {"generator": Graph(generator, "z", ("x",), codes, lambda z: (model.decode(z),))}
    if model.E is not None:
        encoder = EncoderDecoder(model, model.E, None)
        both = EncoderDecoder(model, model.E, model.G_of(inferred=True))
        graphs["encoder"] = Graph(encoder, "x", moments, images, encode)
        graphs["reconstruction"] = Graph(both, "x", ("reconstruction",), images, lambda x: (model.reconstruct(x),))
    if "G" in model.twins:
        decoder = EncoderDecoder(model, None, model.twins["G"])
        graphs["decoder"] = Graph(decoder, "z", ("x",), codes, lambda z: (model.decode(z, inferred=True),))
    return graphs


def _written(name: str, graph: Graph, path: Path) -> float:
    """Write a graph, run the file, and return its largest difference from the model."""
    try:
        with _quiet():
            run = _write_onnx(graph, path) if path.suffix == SUFFIXES["onnx"] else _write_torch(graph, path)
            difference = _difference(graph, run)
    except OSError:
        raise
    except Exception as reason:  # torch and onnxruntime raise a dozen types of errors for a layer they do not know
        cause = reason.__cause__ or reason  # torch.onnx wraps the cause in advice
        line = " ".join(str(cause).split())[:200]
        raise AimganError(f"torch cannot export this {name} ({type(cause).__name__}: {line})") from reason
    if not difference <= TOLERANCE:
        raise AimganError(
            f"{path.name} differs from the model by {difference:.2g}; expected at most {TOLERANCE:g}: remove layers "
            "that draw at random, and make sure that training has not diverged"
        )
    return difference


@torch.no_grad()
def _difference(graph: Graph, run: Run) -> float:
    """Return the largest absolute difference over all outputs and batch sizes, or NaN where any number is NaN."""
    differences = []
    for n in BATCHES:
        x = graph.example(n)
        for got, expected in zip(run(x), graph.answer(x), strict=True):
            differences.append((got - expected).abs().max())
    return float(torch.stack(differences).max())


def _program(graph: Graph) -> torch.export.ExportedProgram:
    """Trace a graph with a free number of samples, without the stack traces, which name files of this machine."""
    n = torch.export.Dim("n")
    program = torch.export.export(graph.module, (graph.example(2),), dynamic_shapes=({0: n},))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program


def _write_torch(graph: Graph, path: Path) -> Run:
    """Write a torch.export program, and return what runs the file."""
    torch.export.save(_program(graph), path)
    return torch.export.load(path).module()


def _write_onnx(graph: Graph, path: Path) -> Run:
    """Write an ONNX graph, and return what runs the file."""
    import onnxruntime

    program = torch.onnx.export(
        _program(graph), input_names=[graph.input], output_names=list(graph.outputs), dynamo=True, verbose=False,
        dynamic_shapes=({0: torch.export.Dim("n")},),
    )  # fmt: skip
    assert program is not None
    program.save(path, external_data=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda x: tuple(map(torch.from_numpy, session.run(None, {graph.input: x.numpy()})))


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what torch says about its own deprecated parts and a missing torchvision."""
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


def _readme(model: LatentVariableModel, graphs: Mapping[str, Graph], format: str) -> str:
    """Return the README of an export: the inputs and outputs of each file, and an example that runs."""
    template = Template(Path(__file__).with_name("export.md.jinja").read_text(encoding="utf-8"), trim_blocks=True)
    return template.render(model=model, graphs=graphs, suffix=SUFFIXES[format])
