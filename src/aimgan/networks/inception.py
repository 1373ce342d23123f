"""Inception-v3 of FID and the Inception Score: TensorFlow's graph of 2015-12-05, with 1,008 classes.

The layers are those of Szegedy et al. (2016, Table 1). pytorch-fid and torch-fidelity (both Apache-2.0; read, then
written again) found where that graph differs from torchvision's network:

- average pools leave the zeros of the padding out of the mean, and the last block pools by the maximum;
- images of any size become 299 x 299 by TensorFlow 1's bilinear resizing, whose pixel i looks at i * side / 299: no
  half-pixel centres, no antialiasing (tf.image.resize_bilinear, align_corners=False);
- pixels v of 0..255 enter as (v - 128) / 128.

The weights are NVIDIA's; `from_published` gives them the names of this network.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from aimgan.errors import AimganError

SIDE, CLASSES = 299, 1008
RESIZER = "bilinear of TensorFlow 1, 299"
Kernel = int | tuple[int, int]


class Inception(nn.Module):
    """Colour images in [0, 1] -> the 2,048 features of the last pool, and the logits of 1,008 classes.

    Pixels are first rounded to 0..255, since published scores are of images in files. The logits leave out the bias of
    the last layer, as the Inception Score's own code does (Salimans et al., 2016).
    """

    def __init__(self) -> None:
        super().__init__()
        layers = OrderedDict(
            Conv2d_1a_3x3=_conv(3, 32, 3, stride=2),
            Conv2d_2a_3x3=_conv(32, 32, 3, padded=False),
            Conv2d_2b_3x3=_conv(32, 64, 3),
            pool_1=nn.MaxPool2d(3, 2),
            Conv2d_3b_1x1=_conv(64, 80),
            Conv2d_4a_3x3=_conv(80, 192, 3, padded=False),
            pool_2=nn.MaxPool2d(3, 2),
            Mixed_5b=_block_a(192, 32),
            Mixed_5c=_block_a(256, 64),
            Mixed_5d=_block_a(288, 64),
            Mixed_6a=_block_b(288),
            Mixed_6b=_block_c(768, 128),
            Mixed_6c=_block_c(768, 160),
            Mixed_6d=_block_c(768, 160),
            Mixed_6e=_block_c(768, 192),
            Mixed_7a=_block_d(768),
            Mixed_7b=_block_e(1280, _average_pool()),
            Mixed_7c=_block_e(2048, nn.MaxPool2d(3, 1, padding=1)),
            pool_3=nn.AdaptiveAvgPool2d(1),
            flat=nn.Flatten(),
        )
        self.layers = nn.Sequential(layers)
        self.fc = nn.Linear(2048, CLASSES)

    def forward(self, x: Float[Tensor, "n 3 h w"]) -> tuple[Float[Tensor, "n 2048"], Float[Tensor, "n 1008"]]:
        """Return the features, and the logits without their bias."""
        pixels = (255 * x).round().clamp(0, 255)
        features = self.layers((tf1_bilinear(pixels, SIDE) - 128) / 128)
        return features, F.linear(features, self.fc.weight)


def tf1_bilinear(x: Float[Tensor, "n c h w"], side: int) -> Float[Tensor, "n c side side"]:
    """Resize as TensorFlow 1's resize_bilinear does without align_corners: along the rows, then along the columns."""
    return _resize_along(_resize_along(x, side, 3), side, 2)


def _resize_along(x: Float[Tensor, "n c h w"], side: int, dim: int) -> Tensor:
    size = x.shape[dim]
    place = torch.arange(side, device=x.device, dtype=x.dtype) * (size / side)
    low = place.long()
    share = (place - low).view(-1, *[1] * (3 - dim))
    before = x.index_select(dim, low)
    after = x.index_select(dim, (low + 1).clamp(max=size - 1))
    return before + (after - before) * share


# --- the blocks ---


class Branches(nn.ModuleList):
    """The same maps through several layers, their outputs concatenated."""

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c2 h2 w2"]:
        """Return the concatenated maps."""
        return torch.cat([branch(x) for branch in self], dim=1)


def _conv(inputs: int, outputs: int, kernel: Kernel = 1, stride: int = 1, padded: bool = True) -> nn.Sequential:
    """Convolution, batch norm, ReLU. Padding keeps the side; a stride of 2 has none."""
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (height // 2, width // 2) if padded and stride == 1 else (0, 0)
    layers = OrderedDict(
        conv=nn.Conv2d(inputs, outputs, (height, width), stride, padding, bias=False),
        bn=nn.BatchNorm2d(outputs, eps=1e-3),
        relu=nn.ReLU(inplace=True),
    )
    return nn.Sequential(layers)


def _chain(inputs: int, *layers: tuple[int, Kernel]) -> nn.Sequential:
    """Convolutions one after another, each given by its outputs and its kernel."""
    chain = nn.Sequential()
    for outputs, kernel in layers:
        chain.append(_conv(inputs, outputs, kernel))
        inputs = outputs
    return chain


def _average_pool() -> nn.Module:
    return nn.AvgPool2d(3, 1, padding=1, count_include_pad=False)


def _block_a(inputs: int, pooled: int) -> Branches:
    five = _chain(inputs, (48, 1), (64, 5))
    three = _chain(inputs, (64, 1), (96, 3), (96, 3))
    return Branches([_conv(inputs, 64), five, three, nn.Sequential(_average_pool(), _conv(inputs, pooled))])


def _block_b(inputs: int) -> Branches:
    double = _chain(inputs, (64, 1), (96, 3)).append(_conv(96, 96, 3, stride=2))
    return Branches([_conv(inputs, 384, 3, stride=2), double, nn.MaxPool2d(3, 2)])


def _block_c(inputs: int, c: int) -> Branches:
    across, down = (1, 7), (7, 1)
    seven = _chain(inputs, (c, 1), (c, across), (192, down))
    double = _chain(inputs, (c, 1), (c, down), (c, across), (c, down), (192, across))
    return Branches([_conv(inputs, 192), seven, double, nn.Sequential(_average_pool(), _conv(inputs, 192))])


def _block_d(inputs: int) -> Branches:
    three = _chain(inputs, (192, 1)).append(_conv(192, 320, 3, stride=2))
    seven = _chain(inputs, (192, 1), (192, (1, 7)), (192, (7, 1))).append(_conv(192, 192, 3, stride=2))
    return Branches([three, seven, nn.MaxPool2d(3, 2)])


def _block_e(inputs: int, pool: nn.Module) -> Branches:
    three = _chain(inputs, (384, 1)).append(_fork())
    double = _chain(inputs, (448, 1), (384, 3)).append(_fork())
    return Branches([_conv(inputs, 320), three, double, nn.Sequential(pool, _conv(inputs, 192))])


def _fork() -> Branches:
    return Branches([_conv(384, 384, (1, 3)), _conv(384, 384, (3, 1))])


# --- the weights' published names ---

# NVIDIA's name of each convolution of a kind of block, in the order of the blocks above.
TOWERS = {
    "A": "conv tower.conv tower.conv_1 tower_1.conv tower_1.conv_1 tower_1.conv_2 tower_2.conv",
    "B": "conv tower.conv tower.conv_1 tower.conv_2",
    "C": "conv tower.conv tower.conv_1 tower.conv_2 tower_1.conv tower_1.conv_1 tower_1.conv_2 tower_1.conv_3 "
    "tower_1.conv_4 tower_2.conv",
    "D": "tower.conv tower.conv_1 tower_1.conv tower_1.conv_1 tower_1.conv_2 tower_1.conv_3",
    "E": "conv tower_conv tower_mixed_conv tower_mixed_conv_1 tower_1_conv tower_1_conv_1 tower_1_mixed_conv "
    "tower_1_mixed_conv_1 tower_2_conv",
}
STEM = ["conv", "conv_1", "conv_2", "conv_3", "conv_4"]
MIXED = "AAABCCCCDEE"  # the kinds of the blocks mixed, mixed_1, ..., mixed_10
PARTS = {"conv.weight": "weight", "bn.bias": "beta", "bn.running_mean": "mean", "bn.running_var": "var"}


def published_names() -> list[str]:
    """Return NVIDIA's name of each convolution with its batch norm, in the network's order."""
    names = list(STEM)
    for number, kind in enumerate(MIXED):
        block = f"mixed_{number}" if number else "mixed"
        names += [f"{block}.{name}" for name in TOWERS[kind].split()]
    return [f"layers.{name}" for name in names]


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return NVIDIA's weights under the names of `Inception`.

    Raises AimganError for the first that is missing or of another shape.
    """
    with torch.device("meta"):
        ours = Inception().state_dict()
    layers = [name.removesuffix(".conv.weight") for name in ours if name.endswith(".conv.weight")]
    published = {"fc.weight": "output.weight", "fc.bias": "output.bias"}
    for layer, name in zip(layers, published_names(), strict=True):
        published |= {f"{layer}.{part}": f"{name}.{theirs}" for part, theirs in PARTS.items()}
    found = {}
    for name, tensor in ours.items():
        if name in published:
            found[name] = _checked(state, published[name], tensor)
        else:  # NVIDIA's batch norm has no scale
            found[name] = torch.ones(tensor.shape) if name.endswith("weight") else torch.tensor(0)
    return found


def _checked(state: Mapping[str, Tensor], name: str, like: Tensor) -> Tensor:
    """Return a published tensor. Raises AimganError where it is missing or has another shape than `like`."""
    if name not in state:
        raise AimganError(
            f"no weights {name!r} among {len(state)}; expected Inception-v3 of 2015-12-05 with 1,008 classes"
        )
    if state[name].shape != like.shape:
        got, expected = tuple(state[name].shape), tuple(like.shape)
        raise AimganError(f"got weights {name!r} of shape {got}, expected {expected}: Inception-v3 of 2015-12-05")
    return state[name].detach().float()
