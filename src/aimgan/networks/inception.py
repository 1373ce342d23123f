"""Inception-v3 as FID and the Inception Score know it: TensorFlow's graph of 2015-12-05, with 1,008 classes.

Layers after Szegedy et al. (2016, Table 1). Where that graph differs from torchvision's network, as pytorch-fid and
torch-fidelity (both Apache-2.0; read, then written anew) found out and checked against it:

- average pools leave the zeros at the border out of the mean, and the last block pools by the maximum;
- images of any size are made 299 x 299 by TensorFlow 1's bilinear resizing, whose pixel i looks at i * side / 299: no
  half-pixel centres, no antialiasing (tf.image.resize_bilinear, align_corners=False);
- pixels v of 0..255 enter as (v - 128) / 128.

The weights are published in two namings: pytorch-fid's (torchvision's names) and NVIDIA's. `from_published` reads both.
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
RESIZERS = {"tf1": "bilinear of TensorFlow 1, 299", "bilinear": "bilinear without antialias, 299"}


class Inception(nn.Module):
    """Colour images in [0, 1] -> the 2,048 features of the last pool, and the logits of 1,008 classes.

    Pixels are rounded to 0..255 first: published scores are of images in files. The logits are without the bias of the
    last layer, as in the Inception Score's own code (Salimans et al. 2016). `resizer` is "tf1", or "bilinear" for
    pytorch-fid's (half-pixel centres), which differs a little.
    """

    def __init__(self, resizer: str = "tf1") -> None:
        super().__init__()
        if resizer not in RESIZERS:
            raise AimganError(f"got resizer {resizer!r}, expected one of {', '.join(RESIZERS)}")
        self.resizer = resizer
        self.layers = nn.Sequential(
            OrderedDict(
                Conv2d_1a_3x3=_conv(3, 32, 3, stride=2),
                Conv2d_2a_3x3=_conv(32, 32, 3),
                Conv2d_2b_3x3=_conv(32, 64, 3, same=True),
                pool_1=nn.MaxPool2d(3, 2),
                Conv2d_3b_1x1=_conv(64, 80),
                Conv2d_4a_3x3=_conv(80, 192, 3),
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
        )
        self.fc = nn.Linear(2048, CLASSES)

    def forward(self, x: Float[Tensor, "n 3 h w"]) -> tuple[Float[Tensor, "n 2048"], Float[Tensor, "n 1008"]]:
        """Return the features, and the logits without their bias."""
        pixels = (255 * x).round().clamp(0, 255)
        features = self.layers((self._resized(pixels) - 128) / 128)
        return features, F.linear(features, self.fc.weight)

    def _resized(self, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 299 299"]:
        if self.resizer == "tf1":
            return tf1_bilinear(x, SIDE)
        return F.interpolate(x, size=(SIDE, SIDE), mode="bilinear", align_corners=False)


def tf1_bilinear(x: Float[Tensor, "n c h w"], side: int) -> Float[Tensor, "n c side side"]:
    """Resize as TensorFlow 1's resize_bilinear does without align_corners: along the rows, then along the columns."""
    return _along(_along(x, side, 3), side, 2)


def _along(x: Float[Tensor, "n c h w"], side: int, dim: int) -> Tensor:
    size = x.shape[dim]
    place = torch.arange(side, device=x.device, dtype=x.dtype) * (size / side)
    low = place.long()
    share = (place - low).view(-1, *[1] * (3 - dim))
    before, after = x.index_select(dim, low), x.index_select(dim, (low + 1).clamp(max=size - 1))
    return before + (after - before) * share


# --- the blocks ---------------------------------------------------------------------------------------------------


class Branches(nn.ModuleList):
    """The same maps through several layers, their outputs joined."""

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c2 h2 w2"]:
        """Return the joined maps."""
        return torch.cat([branch(x) for branch in self], dim=1)


def _conv(
    inputs: int, outputs: int, kernel: int | tuple[int, int] = 1, stride: int = 1, same: bool = False
) -> nn.Sequential:
    """Convolution, batch norm, ReLU; `same` pads so that the side stays."""
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (sides[0] // 2, sides[1] // 2) if same else (0, 0)
    layers = OrderedDict(
        conv=nn.Conv2d(inputs, outputs, sides, stride, padding, bias=False),
        bn=nn.BatchNorm2d(outputs, eps=1e-3),
        relu=nn.ReLU(inplace=True),
    )
    return nn.Sequential(layers)


def _same(inputs: int, outputs: int, kernel: int | tuple[int, int] = 1) -> nn.Sequential:
    return _conv(inputs, outputs, kernel, same=True)


def _average_pool() -> nn.Module:
    return nn.AvgPool2d(3, 1, padding=1, count_include_pad=False)


def _block_a(inputs: int, pooled: int) -> Branches:
    return Branches([
        _same(inputs, 64),
        nn.Sequential(_same(inputs, 48), _same(48, 64, 5)),
        nn.Sequential(_same(inputs, 64), _same(64, 96, 3), _same(96, 96, 3)),
        nn.Sequential(_average_pool(), _same(inputs, pooled)),
    ])  # fmt: skip


def _block_b(inputs: int) -> Branches:
    double = nn.Sequential(_same(inputs, 64), _same(64, 96, 3), _conv(96, 96, 3, stride=2))
    return Branches([_conv(inputs, 384, 3, stride=2), double, nn.MaxPool2d(3, 2)])


def _block_c(inputs: int, c: int) -> Branches:
    across, down = (1, 7), (7, 1)
    return Branches([
        _same(inputs, 192),
        nn.Sequential(_same(inputs, c), _same(c, c, across), _same(c, 192, down)),
        nn.Sequential(
            _same(inputs, c), _same(c, c, down), _same(c, c, across), _same(c, c, down), _same(c, 192, across)
        ),
        nn.Sequential(_average_pool(), _same(inputs, 192)),
    ])  # fmt: skip


def _block_d(inputs: int) -> Branches:
    seven = _same(inputs, 192), _same(192, 192, (1, 7)), _same(192, 192, (7, 1)), _conv(192, 192, 3, stride=2)
    three = _same(inputs, 192), _conv(192, 320, 3, stride=2)
    return Branches([nn.Sequential(*three), nn.Sequential(*seven), nn.MaxPool2d(3, 2)])


def _block_e(inputs: int, pool: nn.Module) -> Branches:
    return Branches([
        _same(inputs, 320),
        nn.Sequential(_same(inputs, 384), _fork()),
        nn.Sequential(_same(inputs, 448), _same(448, 384, 3), _fork()),
        nn.Sequential(pool, _same(inputs, 192)),
    ])  # fmt: skip


def _fork() -> Branches:
    return Branches([_same(384, 384, (1, 3)), _same(384, 384, (3, 1))])


# --- the weights' published names ---------------------------------------------------------------------------------

# The convolutions of each kind of block, in the order they have here: pytorch-fid's name and NVIDIA's.
BLOCKS = {
    "A": "branch1x1=conv branch5x5_1=tower.conv branch5x5_2=tower.conv_1 branch3x3dbl_1=tower_1.conv "
    "branch3x3dbl_2=tower_1.conv_1 branch3x3dbl_3=tower_1.conv_2 branch_pool=tower_2.conv",
    "B": "branch3x3=conv branch3x3dbl_1=tower.conv branch3x3dbl_2=tower.conv_1 branch3x3dbl_3=tower.conv_2",
    "C": "branch1x1=conv branch7x7_1=tower.conv branch7x7_2=tower.conv_1 branch7x7_3=tower.conv_2 "
    "branch7x7dbl_1=tower_1.conv branch7x7dbl_2=tower_1.conv_1 branch7x7dbl_3=tower_1.conv_2 "
    "branch7x7dbl_4=tower_1.conv_3 branch7x7dbl_5=tower_1.conv_4 branch_pool=tower_2.conv",
    "D": "branch3x3_1=tower.conv branch3x3_2=tower.conv_1 branch7x7x3_1=tower_1.conv branch7x7x3_2=tower_1.conv_1 "
    "branch7x7x3_3=tower_1.conv_2 branch7x7x3_4=tower_1.conv_3",
    "E": "branch1x1=conv branch3x3_1=tower_conv branch3x3_2a=tower_mixed_conv branch3x3_2b=tower_mixed_conv_1 "
    "branch3x3dbl_1=tower_1_conv branch3x3dbl_2=tower_1_conv_1 branch3x3dbl_3a=tower_1_mixed_conv "
    "branch3x3dbl_3b=tower_1_mixed_conv_1 branch_pool=tower_2_conv",
}
STEM = "Conv2d_1a_3x3=conv Conv2d_2a_3x3=conv_1 Conv2d_2b_3x3=conv_2 Conv2d_3b_1x1=conv_3 Conv2d_4a_3x3=conv_4"
MIXED = "5bA 5cA 5dA 6aB 6bC 6cC 6dC 6eC 7aD 7bE 7cE"  # NVIDIA: mixed, mixed_1, ..., mixed_10
BATCH_NORM = {"weight": None, "bias": "beta", "running_mean": "mean", "running_var": "var"}  # NVIDIA's has no weight: 1


def published_names() -> list[tuple[str, str]]:
    """Return pytorch-fid's and NVIDIA's name of each convolution with its batch norm, in the order they have here."""
    names = [_pair(word) for word in STEM.split()]
    for k, word in enumerate(MIXED.split()):
        fid, nvidia = f"Mixed_{word[:2]}", f"mixed_{k}" if k else "mixed"
        names += [(f"{fid}.{a}", f"{nvidia}.{b}") for a, b in map(_pair, BLOCKS[word[2]].split())]
    return [(fid, f"layers.{nvidia}") for fid, nvidia in names]


def _pair(word: str) -> tuple[str, str]:
    fid, _, nvidia = word.partition("=")
    return fid, nvidia


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return published weights, of either naming, under the names of `Inception`.

    Raises AimganError for the first that is missing or of another shape.
    """
    with torch.device("meta"):
        wanted = Inception().state_dict()
    theirs = _sources([*wanted], by_nvidia="output.weight" in state)
    return {name: _checked(state, theirs[name], tensor) for name, tensor in wanted.items()}


def _sources(names: list[str], by_nvidia: bool) -> dict[str, str | None]:
    """Return the published name of each of our weights, or None where a constant takes its place."""
    layers = [name.removesuffix(".conv.weight") for name in names if name.endswith(".conv.weight")]
    fc = "output" if by_nvidia else "fc"
    sources: dict[str, str | None] = {f"fc.{part}": f"{fc}.{part}" for part in ("weight", "bias")}
    for layer, (fid, nvidia) in zip(layers, published_names(), strict=True):
        sources[f"{layer}.conv.weight"] = f"{nvidia}.weight" if by_nvidia else f"{fid}.conv.weight"
        for ours, its in BATCH_NORM.items():
            named = None if its is None else f"{nvidia}.{its}"
            sources[f"{layer}.bn.{ours}"] = named if by_nvidia else f"{fid}.bn.{ours}"
        sources[f"{layer}.bn.num_batches_tracked"] = None
    return sources


def _checked(state: Mapping[str, Tensor], name: str | None, like: Tensor) -> Tensor:
    if name is None:
        return torch.ones(like.shape) if like.dim() else torch.zeros((), dtype=like.dtype)
    if name not in state:
        raise AimganError(
            f"no weights {name!r} among {len(state)}; expected Inception-v3 of 2015-12-05 with 1,008 classes"
        )
    if state[name].shape != like.shape:
        shapes = tuple(state[name].shape), tuple(like.shape)
        raise AimganError(
            f"got weights {name!r} of shape {shapes[0]}, expected {shapes[1]}: Inception-v3 of 2015-12-05"
        )
    return state[name].detach().float()
