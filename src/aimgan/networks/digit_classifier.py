"""The digit classifier of Li et al. (2017), for MNIST's Inception Score."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from aimgan.networks.layers import Geometry, conv, fc, relu

SAME = Geometry(5, 1, 2)  # the source does not give the padding; this keeps the side


class DigitClassifier(nn.Module):
    """Grey digits in [0, 1], `side` pixels to a side (28 for MNIST), -> logits of ten classes.

    Conv 5 x 5 x 32, BN, ReLU; max-pool; conv 5 x 5 x 64, ReLU; max-pool; FC 1024, BN, ReLU; dropout, keep 0.7; FC 10.
    Pixels v of 0..255 enter as (v - 127.5) / 255, which is x - 1/2.
    """

    def __init__(self, side: int = 28, classes: int = 10) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv(1, 32, relu(), norm=True, geometry=SAME),
            nn.MaxPool2d(2),
            conv(32, 64, relu(), geometry=SAME),
            nn.MaxPool2d(2),
            nn.Flatten(),
            fc(64 * (side // 4) ** 2, 1024, relu(), norm=True),
            nn.Dropout(0.3),
            fc(1024, classes),
        )

    def forward(self, x: Float[Tensor, "n 1 s s"]) -> Float[Tensor, "n classes"]:
        """Return the logits."""
        return self.layers(x - 0.5)
