"""The trained model: a generator, an encoder and a prior, which generate and infer (Algorithm 2)."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aimgan import noise
from aimgan.checked import positive, require_memory, shown
from aimgan.errors import AimganError
from aimgan.files import replacing_folder, require_own, save_tensors, unwritable, write_json, write_text
from aimgan.model_config import FORMAT, ModelConfig
from aimgan.model_inputs import CHUNK, from_range, require_finite, require_tensor, to_range
from aimgan.networks import Posterior, generator_for, prior_for
from aimgan.networks.batch_norm import BATCHES, BOTH, DATA, PRIOR, batch_norms, reestimate
from aimgan.networks.data_prior import Prior
from aimgan.networks.own_encoder import own_encoder
from aimgan.networks.twins import Twins, twin

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from aimgan.card import Card

Samples = Any  # a float tensor (n, *shape); or arrays and PIL images, which are read as one
Codes = Any  # a float tensor (n, dim), or an array

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
MARKS = {CONFIG: '"reads_features"', CARD: "library_name: aimgan"}  # by which a saved model is known


class LatentVariableModel(nn.Module):
    """A generative model p(z) p(x|z), given by G, with an inference network q(z|x), given by E.

        model = aimgan.load("pretrained/mnist-aim")
        x = model.generate(16)                      # (16, 1, 28, 28)
        q = model.encode(x)                         # q.mean and q.variance are (16, dim)
        x_z_x = model.reconstruct(x)                # (16, 1, 28, 28)
        near = model.neighbours(x, m=8)             # (16, 8, 1, 28, 28)
        line = model.interpolate(x[:8], x[8:], 5)   # (8, 5, 1, 28, 28)

    `shape` is the shape of one sample and `dim` the number of dimensions of a code. Images are float tensors
    (n, c, h, w) in [0, 1], whatever range the networks use inside; arrays and PIL images, one or a list, are taken too
    (`aimgan.data.memory.as_samples`). Points are (n, 2), in the units of the data. All calls run in evaluation mode and
    without gradients. They raise AimganError for an argument that does not fit.

    If training passes both prior codes and data codes through a network, it keeps two sets of batch-norm statistics;
    the second is in `twins`. So does an E that gets both images of the data and images that G has made. The two sets
    share parameters.
    """

    def __init__(self, G: nn.Module, E: nn.Module | None, prior: Prior, config: ModelConfig) -> None:
        super().__init__()
        self.G, self.E, self.prior, self.config = G, E, prior, config
        self.twins = Twins()  # "G": for codes that were inferred from data; "E": for generated images
        if config.G_sees == BOTH and batch_norms(G):
            self.twins["G"] = twin(G)
        if E is not None and config.E_sees == BOTH and batch_norms(E):
            self.twins["E"] = twin(E)
        family = config.family()
        self.shape = tuple(family.shape)
        self.dim = family.dim
        self.value_range = family.value_range  # of the pixels inside the networks; None for points
        self.eval()

    @classmethod
    def build(cls, config: ModelConfig) -> LatentVariableModel:
        """Make the networks that a config describes, with fresh weights."""
        family = config.family()
        E: nn.Module | None = None
        if config.own_encoder:
            E = own_encoder(family.shape, family.dim, config.own_encoder, config.trunk)
        elif config.posterior is not None:
            E = family.E(config.reads_features, config.posterior)
            if config.reads_features:
                E = nn.Sequential(family.features(), E)
        return cls(generator_for(config.posterior, family.G()), E, prior_for(family), config)

    @property
    def device(self) -> torch.device:
        """The device of the model's weights."""
        return self.prior.origin.device

    @torch.no_grad()
    def encode(self, x: Samples, generated: bool = False, bounded: bool = True) -> Posterior:
        """Infer the posterior q(z|x) of samples x (n, *shape): the first step of Algorithm 2.

            q = model.encode(x)
            q.mean, q.variance      # (n, dim) each
            q.sample(5)             # (5, n, dim): five codes for each sample

        Set `generated` for samples that the model made itself: some objectives normalise E differently on those. Set
        `bounded` to False to allow values outside [0, 1]; in generated images they are always allowed. Raises
        AimganError for a model without an encoder, and for images outside [0, 1].
        """
        if self.E is None:
            raise AimganError(
                f"this model ({self.config.objective}) has no encoder: it can only generate "
                "(aimgan reconstruct --optimise 500 searches for codes)"
            )
        x = self._given(x)
        self._require(x, "x", self.shape, images=bounded and not generated and self.value_range is not None)
        E = self.E_of(generated)
        with self._evaluating():
            parts = [E(chunk) for chunk in self.to_networks(x).split(CHUNK)]
        return Posterior(torch.cat([q.mean for q in parts]), torch.cat([q.log_variance for q in parts]))

    @torch.no_grad()
    def decode(
        self, z: Codes, generator: torch.Generator | None = None, inferred: bool = False
    ) -> Float[Tensor, "n ..."]:
        """Return the samples G(z), (n, *shape), of codes z (n, dim).

        Set `inferred` for codes of data rather than of the prior: some objectives normalise G differently on those.
        `generator` is used only by a G that draws noise of its own (section 4.6).
        """
        noise.require_generator(generator)
        z = self._given(z, "z", (self.dim,))
        self._require(z, "z", (self.dim,))
        G = self.G_of(inferred)
        z = z.to(self.prior.origin)
        x = z.new_empty((len(z), *self.shape))  # filled in place: torch.cat would hold every image twice
        draws = nullcontext() if generator is None else noise.stream(generator)
        with self._evaluating(), draws:
            for start in range(0, len(z), CHUNK):
                x[start : start + CHUNK] = from_range(G(z[start : start + CHUNK]), self.value_range)
        return x

    def G_of(self, inferred: bool) -> nn.Module:
        """Return G with the batch-norm statistics for codes inferred from data, or else for codes of the prior."""
        return self.twins["G"] if inferred and "G" in self.twins else self.G

    def E_of(self, generated: bool) -> nn.Module:
        """Return E with the batch-norm statistics for images that G made, or else for images of the data."""
        assert self.E is not None
        return self.twins["E"] if generated and "E" in self.twins else self.E

    def reconstruct(self, x: Samples) -> Float[Tensor, "n ..."]:
        """Return G(mu(x)), (n, *shape), where mu(x) is the mean of q(z|x): Algorithm 2."""
        return self.decode(self.encode(x).mean, inferred=True)

    def neighbours(self, x: Samples, m: int, generator: torch.Generator | None = None) -> Float[Tensor, "n m ..."]:
        """Return m samples near each x, (n, m, *shape): G(z) with z drawn from q(z|x) (Algorithm 2).

        Every call draws anew, unless a `generator` of a fixed seed is given.
        """
        noise.require_generator(generator)
        m = positive("m", m)
        x = self._given(x)
        q = self.encode(x)
        self._require_room(len(x) * m)
        codes = q.sample(m, generator).transpose(0, 1)
        return self.decode(codes.reshape(-1, self.dim), generator, inferred=True).unflatten(0, (len(x), m))

    def generate(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "n ..."]:
        """Return n samples G(z), (n, *shape), with z drawn from the prior p(z) = N(0, I).

        Every call draws anew, unless a `generator` of a fixed seed is given.
        """
        noise.require_generator(generator)
        n = positive("n", n)
        self._require_room(n)
        return self.decode(self.prior.sample(n, generator), generator)

    def interpolate(self, a: Samples, b: Samples, steps: int) -> Float[Tensor, "n steps ..."]:
        """Return G along the straight line from mu(a) to mu(b), both ends included, (n, steps, *shape)."""
        steps = positive("steps", steps)
        a, b = self._given(a), self._given(b)
        first, last = self.encode(a).mean, self.encode(b).mean
        if len(a) != len(b):
            raise AimganError(f"a has {len(a)} images and b {len(b)}; expected the same number in both")
        self._require_room(max(len(a), 1) * steps)  # with no images, `steps` still takes memory
        t = torch.linspace(0, 1, steps, device=self.device)[None, :, None]
        line = torch.lerp(first[:, None], last[:, None], t)
        return self.decode(line.reshape(-1, self.dim), inferred=True).unflatten(0, (len(a), steps))

    def show(self, x: Samples) -> Figure:
        """Return a matplotlib figure of samples x beside their reconstructions G(mu(x)): images, or points (n, 2)."""
        from aimgan.figures import ImageRow, points_figure, reconstructions

        x = self._given(x)
        x_z_x = self.reconstruct(x).cpu()
        if len(self.shape) == 3:
            return reconstructions([ImageRow("", x.cpu(), x_z_x)], "")
        if self.shape == (2,):
            return points_figure({"data": x.cpu(), "reconstructions": x_z_x})
        raise AimganError(f"samples of {self.shape} have no figure; expected images, or points (n, 2)")

    def __repr__(self) -> str:
        """Return one line; the layers are in `model.G` and `model.E`."""
        encoder = "" if self.E is not None else ", without an encoder"
        name = f"{type(self).__name__}({self.config.objective}, networks {self.config.networks}"
        return f"{name}, samples of {self.shape}, codes of {self.dim} numbers{encoder})"

    def reestimate_batch_norm(
        self, seed: int = 0, batches: int = 50, batch_size: int = 100, data: Callable[[int], Tensor] | None = None
    ) -> None:
        """Replace the batch-norm statistics by averages over batches like those of training (networks/batch_norm.py).

        Codes of the prior pass through G, and their images through E. Images of the data pass through E, and codes
        drawn from their q(z|x) through G: `data(k)` is batch number k, in [0, 1]. Without `data`, a network that sees
        data in training keeps its running averages of training for them.
        """
        G_sees = BATCHES[self.config.G_sees]
        E_sees = BATCHES[self.config.E_sees] if self.E is not None else ()
        if PRIOR in G_sees:
            path = nn.Sequential(self.G)
            if PRIOR in E_sees:
                path.append(self.E_of(generated=True))
            codes = (self.prior.sample(batch_size, noise.generator(seed, "batch norm", k)) for k in range(batches))
            reestimate(path, path, codes)
        if data is not None and DATA in E_sees:
            E, G = self.E_of(generated=False), nn.Sequential()
            if DATA in G_sees:
                G.append(self.G_of(inferred=True))
            images = (self.to_networks(data(k)) for k in range(batches))
            draws = noise.generator(seed, "batch norm of E", device=self.device)
            reestimate(nn.ModuleList([E, G]), lambda x: G(E(x).sample(1, draws)[0]), images)
        self.eval()

    def to_networks(self, x: Tensor) -> Tensor:
        """Map samples to the device, the type and the pixel range of the networks."""
        return to_range(x.to(self.prior.origin), self.value_range)

    def _given(self, x: Any, name: str = "x", shape: tuple[int, ...] | None = None) -> Any:
        if isinstance(x, Tensor):
            return x
        from aimgan.data.memory import as_samples  # imports Pillow, which a model of tensors does not need

        return as_samples(x, name, shape or self.shape, self.config.scale)

    def _require(self, x: Any, name: str, shape: tuple[int, ...], images: bool = False) -> None:
        """Raise AimganError unless x is a dense float tensor (n, *shape) of finite numbers, in [0, 1] for images."""
        require_tensor(x, name, shape, images)
        self._require_room(len(x))
        require_finite(x, self.prior.origin, name, images)

    def _require_room(self, n: int) -> None:
        """Raise AimganError where n samples and their codes, with the copies that a call makes, exceed the memory."""
        size = 4 * n * (math.prod(self.shape) + self.dim) * self.prior.origin.element_size()
        require_memory(size, f"{n:,} samples of {self.shape}", "take fewer at a time")

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Put the networks into evaluation mode, and back afterwards, so that a call during training is harmless."""
        training = [module for module in self.modules() if module.training]
        self.eval()
        try:
            yield
        finally:
            for module in training:
                module.training = True

    def card(self) -> Card:
        """Return the model card, without information from the run folder."""
        from aimgan.card import Card

        networks = {"G": self.G, "E (with the features it reads)": self.E}
        counts = {}
        for name, network in networks.items():
            if network is not None:
                counts[name] = sum(parameter.numel() for parameter in network.parameters())
        config = self.config
        return Card(
            config.objective, config.networks, self.shape, self.dim, self.E is not None, counts, config.about
        )  # fmt: skip

    def save(self, folder: Path | str) -> None:
        """Write config.json, model.safetensors and README.md (the card) into a folder, all or nothing.

        The files contain no pickle, times or paths, so equal models give equal bytes. A model that is already in
        the folder is replaced. Raises AimganError where the folder cannot be written, or contains other files, such as
        a README.md that aimgan has not written.
        """
        try:
            self._save(Path(os.fspath(folder)))
        except AimganError:
            raise
        except OSError as reason:
            raise unwritable(Path(folder), reason) from None
        except (ValueError, TypeError, RuntimeError) as reason:  # a null character in the name, a loop of links
            raise AimganError(f"cannot write {shown(folder)} ({reason}): choose another folder") from None

    def _save(self, folder: Path) -> None:
        require_own(folder, "a model file", MARKS, [WEIGHTS])
        with replacing_folder(folder) as fresh:
            save_tensors(fresh / WEIGHTS, self.state_dict())
            write_json(fresh / CONFIG, {"format": FORMAT, **self.config.saved()})
            write_text(fresh / CARD, self.card().markdown())
