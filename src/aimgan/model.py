"""What is left after training: a generator, an encoder and a prior, that generate and infer (Algorithm 2)."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor, nn

from aimgan import noise
from aimgan.card import Card
from aimgan.checked import positive, read_json, require_memory, shown, values_for
from aimgan.errors import AimganError, near_miss
from aimgan.files import replacing_folder, save_tensors, unwritable, write_json, write_text
from aimgan.networks import NETWORKS, POINTS, Networks, Posterior, StandardNormal, generator_for
from aimgan.networks.batch_norm import reestimate
from aimgan.networks.sizes import require_sizes
from aimgan.weights import read_weights

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
FORMAT = 2  # of config.json
CHUNK = 500  # images that pass the networks at once


@dataclass(frozen=True)
class ModelConfig:
    """All that rebuilds a model: the networks' family and arguments, and what its encoder is."""

    networks: str  # a name of NETWORKS
    arguments: Mapping[str, Any]  # of that family
    objective: str
    posterior: str | None  # what the encoder answers, of networks.POSTERIORS; None for a GAN
    reads_features: bool  # the encoder reads the discriminator's features
    about: Mapping[str, Any] = field(default_factory=dict)  # for people: recipe, data, seed, steps

    @property
    def encoder(self) -> bool:
        """Whether the model can infer."""
        return self.posterior is not None

    @property
    def deterministic(self) -> bool:
        """Whether the encoder answers with a point, which has no density."""
        return self.posterior in POINTS

    def family(self) -> Networks:
        """Return the family of networks. Raises AimganError for a name, an argument or a size that it cannot have."""
        if self.networks not in NETWORKS:
            raise near_miss("network family", self.networks, NETWORKS)
        cls = NETWORKS[self.networks]
        family = cls(**values_for(cls, self.arguments, f"argument of {self.networks}"))
        require_sizes(family)
        return family


class LatentVariableModel(nn.Module):
    """p(z) p(x|z) by G, and q(z|x) by E. Images are floats in [0, 1] here, whatever the networks use inside.

    Points (2-D data) keep their own units. Every call runs in evaluation mode and without gradients.
    """

    def __init__(self, G: nn.Module, E: nn.Module | None, prior: StandardNormal, config: ModelConfig) -> None:
        super().__init__()
        self.G, self.E, self.prior, self.config = G, E, prior, config
        family = config.family()
        self.shape, self.dim, self._range = tuple(family.shape), family.dim, family.value_range
        self.eval()

    @classmethod
    def build(cls, config: ModelConfig) -> LatentVariableModel:
        """Make the networks that a config describes, with fresh weights."""
        family = config.family()
        E: nn.Module | None = None
        if config.posterior is not None:
            E = family.E(config.reads_features, config.posterior)
            E = nn.Sequential(family.features(), E) if config.reads_features else E
        return cls(generator_for(config.posterior, family.G()), E, StandardNormal(family.dim), config)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.prior.origin.device

    @torch.no_grad()
    def encode(self, x: Float[Tensor, "n ..."]) -> Posterior:
        """Return q(z|x) for x (n, *shape): Algorithm 2's first step. Raises AimganError for a model without E."""
        if self.E is None:
            raise AimganError(
                f"this model ({self.config.objective}) has no encoder: it can only generate "
                "(aimgan reconstruct --optimise 500 searches for codes)"
            )
        self._require(x, "x", self.shape, "" if self._range is None else " in [0, 1]")
        x = self.to_networks(x)
        with self._evaluating():
            parts = [self.E(chunk) for chunk in x.split(CHUNK)]
        return Posterior(torch.cat([q.mean for q in parts]), torch.cat([q.log_variance for q in parts]))

    @torch.no_grad()
    def decode(self, z: Float[Tensor, "n d"], generator: torch.Generator | None = None) -> Float[Tensor, "n ..."]:
        """Return G(z), (n, *shape). `generator` is for a G that draws noise of its own (section 4.6)."""
        noise.require_generator(generator)
        self._require(z, "z", (self.dim,), "")
        self._require_room(len(z))
        with self._evaluating(), _drawing_from(generator):
            return _joined((self._to_border(self.G(chunk)) for chunk in z.to(self.prior.origin).split(CHUNK)), len(z))

    def reconstruct(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return G(mu(x)), (n, *shape): Algorithm 2."""
        return self.decode(self.encode(x).mean)

    def neighbours(
        self, x: Float[Tensor, "n ..."], m: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n m ..."]:
        """Return m images near each x: G(z), z ~ q(z|x), (n, m, *shape): Algorithm 2. Another draw every call."""
        noise.require_generator(generator)
        q = self.encode(x)
        self._require_room(len(x) * positive("m", m))
        codes = q.sample(m, generator).transpose(0, 1)
        return self.decode(codes.reshape(-1, self.dim), generator).unflatten(0, (len(x), m))

    def generate(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "n ..."]:
        """Return n images G(z), z ~ p(z), (n, *shape). Another draw every call, unless `generator` is given."""
        noise.require_generator(generator)
        self._require_room(positive("n", n))
        return self.decode(self.prior.sample(n, generator), generator)

    def interpolate(
        self, a: Float[Tensor, "n ..."], b: Float[Tensor, "n ..."], steps: int
    ) -> Float[Tensor, "n steps ..."]:
        """Return G along the line from mu(a) to mu(b), both ends included, (n, steps, *shape)."""
        first, last = self.encode(a).mean, self.encode(b).mean
        if len(a) != len(b):
            raise AimganError(f"a holds {len(a)} images and b {len(b)}; expected as many in both")
        self._require_room(max(len(a), 1) * positive("steps", steps))  # of no images the line still has its steps
        t = torch.linspace(0, 1, steps, device=self.device)[None, :, None]
        line = torch.lerp(first[:, None], last[:, None], t)
        return self.decode(line.reshape(-1, self.dim)).unflatten(0, (len(a), steps))

    def reestimate_batch_norm(
        self, seed: int = 0, batches: int = 50, batch_size: int = 100, data: Callable[[int], Tensor] | None = None
    ) -> None:
        """Take the batch-norm statistics anew, on what each network sees in training (networks/batch_norm.py says why).

        G's on codes of the prior. E's on G(z) where it reads D's features, which in training are of generated images;
        an E with a trunk of its own is trained on real ones: on `data(k)`, batch k in [0, 1], or left alone without.
        """
        draws = noise.generator(seed, "batch norm of E", device=self.device)  # an implicit posterior's own noise
        codes = [self.prior.sample(batch_size, noise.generator(seed, "batch norm", k)) for k in range(batches)]
        if self.E is None or self.config.reads_features:
            reestimate(self, lambda z: self.G(z) if self.E is None else self.E(self.G(z)), codes)
        else:
            E: nn.Module = self.E
            reestimate(self.G, self.G, codes)
            if data is not None:
                images = (self.to_networks(data(k)) for k in range(batches))
                reestimate(E, lambda x: E(x).sample(1, draws), images)
        self.eval()

    def to_networks(self, x: Tensor) -> Tensor:
        """Map images in [0, 1] to the networks' own pixel range."""
        x = x.to(self.prior.origin)  # its device and type
        return to_range(x, self._range)

    def _to_border(self, x: Tensor) -> Tensor:
        return x if self._range is None else (x - self._range[0]) / (self._range[1] - self._range[0])

    def _require(self, x: Any, name: str, shape: tuple[int, ...], unit: str) -> None:
        """Raise AimganError for what is no dense float tensor (n, *shape) of finite numbers."""
        dense = isinstance(x, Tensor) and x.layout == torch.strided and not x.is_meta and not x.is_nested
        if not dense or tuple(x.shape[1:]) != shape or x.ndim == 0 or not x.is_floating_point():
            got = f"{x.dtype} {tuple(x.shape)}" if hasattr(x, "shape") else type(x).__name__
            raise AimganError(f"{name} is {got}; expected a float tensor (n, {', '.join(map(str, shape))}){unit}")
        self._require_room(len(x))
        if not all(bool(chunk.to(self.prior.origin).isfinite().all()) for chunk in x.split(CHUNK)):
            raise AimganError(f"{name} holds NaN or infinite values; expected finite numbers{unit}")

    def _require_room(self, n: int) -> None:
        """Raise AimganError where n codes and n images would not fit in memory, with the copies that a call makes."""
        size = 4 * n * (math.prod(self.shape) + self.dim) * self.prior.origin.element_size()
        require_memory(size, f"{n:,} samples of {self.shape}", "take fewer at a time")

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Put the networks in evaluation mode, and back: a call in the midst of training changes nothing in it."""
        training = [module for module in self.modules() if module.training]
        self.eval()
        try:
            yield
        finally:
            for module in training:
                module.training = True

    def card(self) -> Card:
        """Return what people are told of this model."""
        count = {
            name: sum(p.numel() for p in net.parameters())
            for name, net in (("G", self.G), ("E (with the features it reads)", self.E))
            if net is not None
        }
        config = self.config
        encodes = self.E is not None
        return Card(config.objective, config.networks, self.shape, self.dim, encodes, count, config.about)

    def save(self, folder: Path | str) -> None:
        """Write config.json, model.safetensors and a card, whole or not at all. No pickle, no times, no paths.

        A model that is there is replaced. Raises AimganError for a folder with anything else in it, or unwritable.
        """
        try:
            self._save(Path(os.fspath(folder)))
        except AimganError:
            raise
        except OSError as reason:
            raise unwritable(Path(folder), reason) from None
        except (ValueError, TypeError, RuntimeError) as reason:  # a null in the name, a loop of links
            raise AimganError(f"cannot write {shown(folder)} ({reason}): choose another folder") from None

    def _save(self, folder: Path) -> None:
        others = {path.name for path in folder.iterdir()} - {CONFIG, WEIGHTS, CARD} if folder.exists() else set()
        if others:
            raise AimganError(f"{folder} holds {min(others)}, which is no part of a model: choose another folder")
        with replacing_folder(folder) as fresh:
            save_tensors(fresh / WEIGHTS, self.state_dict())
            write_json(fresh / CONFIG, {"format": FORMAT, **asdict(self.config)})
            write_text(fresh / CARD, self.card().markdown())


def load_folder(folder: Path, device: str = "cpu") -> LatentVariableModel:
    """Read what `LatentVariableModel.save` wrote. Raises AimganError where the folder does not hold a whole model.

    The networks that the config describes are compared with the file of weights before either takes memory.
    """
    try:
        values = read_json(folder / CONFIG)
        if values["format"] != FORMAT:
            raise AimganError(f"{folder} is in format {values['format']}; this aimgan reads {FORMAT}: upgrade it")
        with torch.random.fork_rng(devices=[]):  # the fresh weights' draws are not the caller's
            given = {f.name: values[f.name] for f in fields(ModelConfig)}
            config = ModelConfig(**values_for(ModelConfig, given, "setting of a model"))
            with torch.device("meta"):
                expected = LatentVariableModel.build(config).state_dict()
            weights = read_weights(folder / WEIGHTS, expected)
            model = LatentVariableModel.build(config)
        model.load_state_dict(weights)
    except AimganError:
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, SafetensorError) as reason:
        line = " ".join(str(reason).split())[:300]
        raise AimganError(
            f"{folder} holds no whole model ({type(reason).__name__}: {line}): expected {CONFIG} and {WEIGHTS} as saved"
        ) from None
    try:
        return model.to(torch.device(device))
    except (RuntimeError, AssertionError, TypeError) as reason:  # torch without CUDA asserts that it has it
        line = (str(reason).splitlines() or [""])[0]
        raise AimganError(f"cannot put a model on device {device!r} ({line}): expected cpu, or cuda") from None


def to_range(x: Tensor, value_range: tuple[float, float] | None) -> Tensor:
    """Map images in [0, 1] to the networks' pixel range; points, which have none, stay as they are."""
    if value_range in (None, (0.0, 1.0)):
        return x
    low, high = value_range
    return x * (high - low) + low


@contextmanager
def _drawing_from(generator: torch.Generator | None) -> Iterator[None]:
    if generator is None:
        yield
    else:
        with noise.stream(generator):
            yield


def _joined(parts: Iterator[Float[Tensor, "_ ..."]], n: int) -> Float[Tensor, "n ..."]:
    """Return parts of n rows as one. torch.cat would hold them twice: of images, that is what limits n."""
    whole = first = next(parts)
    if len(first) < n:
        whole = first.new_empty((n, *first.shape[1:]))
        whole[: len(first)], at = first, len(first)
        for part in parts:
            whole[at : at + len(part)] = part
            at += len(part)
    return whole
