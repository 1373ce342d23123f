"""What is left after training: a generator, an encoder and a prior, that generate and infer (Algorithm 2)."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor, nn

from aimgan import noise
from aimgan.card import Card
from aimgan.checked import positive, read_json, require_memory, shown, values_for
from aimgan.errors import AimganError
from aimgan.files import replacing_folder, save_tensors, unreadable, unwritable, write_json, write_text
from aimgan.model_config import ModelConfig
from aimgan.model_inputs import range_of, require_numbers, require_tensor
from aimgan.networks import Posterior, StandardNormal, generator_for
from aimgan.networks.batch_norm import BOTH, DATA, PRIOR, SIDES, batch_norms, reestimate
from aimgan.networks.twins import Twins, twin
from aimgan.weights import read_weights

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
FORMAT = 3  # of config.json
READABLE = (2, 3)  # a model of format 2 has one set of batch-norm statistics a network
CHUNK = 500  # images that pass the networks at once


class LatentVariableModel(nn.Module):
    """p(z) p(x|z) by G, and q(z|x) by E. Images are floats in [0, 1] here, whatever the networks use inside.

    Points (2-D data) keep their own units. Every call runs in evaluation mode and without gradients.

    A network with batch norm that training shows both codes of the prior and codes of data (or images made of them) has
    two sets of statistics: its own for one use, and those of its twin for the other. The parameters are the same.
    """

    def __init__(self, G: nn.Module, E: nn.Module | None, prior: StandardNormal, config: ModelConfig) -> None:
        super().__init__()
        self.G, self.E, self.prior, self.config = G, E, prior, config
        self.twins = Twins()  # "G": for codes that were inferred from data; "E": for generated images
        if config.G_sees == BOTH and batch_norms(G):
            self.twins["G"] = twin(G)
        if E is not None and config.E_sees == BOTH and batch_norms(E):
            self.twins["E"] = twin(E)
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
    def encode(self, x: Float[Tensor, "n ..."], generated: bool = False, bounded: bool = True) -> Posterior:
        """Return q(z|x) for x (n, *shape): Algorithm 2's first step.

        `generated` says that x are the model's own images: some objectives normalise E otherwise on those. Raises
        AimganError for a model without E and for images that are not in [0, 1]; the model's own, and any where
        `bounded` is False, may leave it.
        """
        if self.E is None:
            raise AimganError(
                f"this model ({self.config.objective}) has no encoder: it can only generate "
                "(aimgan reconstruct --optimise 500 searches for codes)"
            )
        self._require(x, "x", self.shape, images=bounded and not generated and self._range is not None)
        x = self.to_networks(x)
        E = self.E_of(generated)
        with self._evaluating():
            parts = [E(chunk) for chunk in x.split(CHUNK)]
        return Posterior(torch.cat([q.mean for q in parts]), torch.cat([q.log_variance for q in parts]))

    @torch.no_grad()
    def decode(
        self, z: Float[Tensor, "n d"], generator: torch.Generator | None = None, inferred: bool = False
    ) -> Float[Tensor, "n ..."]:
        """Return G(z), (n, *shape). `generator` is for a G that draws noise of its own (section 4.6).

        `inferred` says that z are codes of data, not of the prior: some objectives normalise G otherwise on those.
        """
        noise.require_generator(generator)
        self._require(z, "z", (self.dim,))
        self._require_room(len(z))
        G = self.G_of(inferred)
        with self._evaluating(), _drawing_from(generator):
            return _joined((self._to_border(G(chunk)) for chunk in z.to(self.prior.origin).split(CHUNK)), len(z))

    def G_of(self, inferred: bool) -> nn.Module:
        """Return the generator with the batch-norm statistics for codes inferred from data, or for those of p(z)."""
        return self.twins["G"] if inferred and "G" in self.twins else self.G

    def E_of(self, generated: bool) -> nn.Module:
        """Return the encoder with the batch-norm statistics for images that G made, or for those of data."""
        assert self.E is not None
        return self.twins["E"] if generated and "E" in self.twins else self.E

    def reconstruct(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return G(mu(x)), (n, *shape): Algorithm 2."""
        return self.decode(self.encode(x).mean, inferred=True)

    def neighbours(
        self, x: Float[Tensor, "n ..."], m: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n m ..."]:
        """Return m images near each x: G(z), z ~ q(z|x), (n, m, *shape): Algorithm 2. Another draw every call."""
        noise.require_generator(generator)
        m = positive("m", m)
        q = self.encode(x)
        self._require_room(len(x) * m)
        codes = q.sample(m, generator).transpose(0, 1)
        return self.decode(codes.reshape(-1, self.dim), generator, inferred=True).unflatten(0, (len(x), m))

    def generate(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "n ..."]:
        """Return n images G(z), z ~ p(z), (n, *shape). Another draw every call, unless `generator` is given."""
        noise.require_generator(generator)
        self._require_room(n := positive("n", n))
        return self.decode(self.prior.sample(n, generator), generator)

    def interpolate(
        self, a: Float[Tensor, "n ..."], b: Float[Tensor, "n ..."], steps: int
    ) -> Float[Tensor, "n steps ..."]:
        """Return G along the line from mu(a) to mu(b), both ends included, (n, steps, *shape)."""
        steps = positive("steps", steps)
        first, last = self.encode(a).mean, self.encode(b).mean
        if len(a) != len(b):
            raise AimganError(f"a holds {len(a)} images and b {len(b)}; expected as many in both")
        self._require_room(max(len(a), 1) * steps)  # of no images the line still has its steps
        t = torch.linspace(0, 1, steps, device=self.device)[None, :, None]
        line = torch.lerp(first[:, None], last[:, None], t)
        return self.decode(line.reshape(-1, self.dim), inferred=True).unflatten(0, (len(a), steps))

    def reestimate_batch_norm(
        self, seed: int = 0, batches: int = 50, batch_size: int = 100, data: Callable[[int], Tensor] | None = None
    ) -> None:
        """Take the batch-norm statistics anew, on what each network sees in training (networks/batch_norm.py says why).

        What training passes through the networks is passed again: codes of the prior through G, and their images
        through E; images of `data(k)`, batch k in [0, 1], through E, and codes drawn from q(z|x) through G. Without
        `data`, a network that sees data keeps the running averages of the training for them.
        """
        G_sees = SIDES[self.config.G_sees]
        E_sees = SIDES[self.config.E_sees] if self.E is not None else ()
        if PRIOR in G_sees:
            codes = (self.prior.sample(batch_size, noise.generator(seed, "batch norm", k)) for k in range(batches))
            path = nn.Sequential(self.G, *([self.E_of(generated=True)] if PRIOR in E_sees else []))
            reestimate(path, path, codes)
        if data is not None and DATA in E_sees:
            images = (self.to_networks(data(k)) for k in range(batches))
            draws = noise.generator(seed, "batch norm of E", device=self.device)
            E = self.E_of(generated=False)
            G = nn.Sequential(*([self.G_of(inferred=True)] if DATA in G_sees else []))
            reestimate(nn.ModuleList([E, G]), lambda x: G(E(x).sample(1, draws)[0]), images)
        self.eval()

    def to_networks(self, x: Tensor) -> Tensor:
        """Map images in [0, 1] to the networks' own pixel range."""
        x = x.to(self.prior.origin)  # its device and type
        return to_range(x, self._range)

    def _to_border(self, x: Tensor) -> Tensor:
        return x if self._range is None else (x - self._range[0]) / (self._range[1] - self._range[0])

    def _require(self, x: Any, name: str, shape: tuple[int, ...], images: bool = False) -> None:
        """Raise AimganError for what is no dense float tensor (n, *shape) of finite numbers, of images in [0, 1]."""
        require_tensor(x, name, shape, images)
        self._require_room(len(x))
        require_numbers(*range_of(x, self.prior.origin, CHUNK), name, images)

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
        if values["format"] not in READABLE:
            raise AimganError(f"{folder} is in format {values['format']}; this aimgan reads {FORMAT}: upgrade it")
        with torch.random.fork_rng(devices=[]):  # the fresh weights' draws are not the caller's
            required = {f.name for f in fields(ModelConfig) if f.default is MISSING or values["format"] == FORMAT}
            given = {f.name: values[f.name] for f in fields(ModelConfig) if f.name in required | values.keys()}
            config = ModelConfig(**values_for(ModelConfig, given, "setting of a model"))
            with torch.device("meta"):
                expected = LatentVariableModel.build(config).state_dict()
            weights = read_weights(folder / WEIGHTS, expected)
            model = LatentVariableModel.build(config)
        model.load_state_dict(weights)
    except AimganError:
        raise
    except PermissionError as reason:
        raise unreadable(folder, reason) from None
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
