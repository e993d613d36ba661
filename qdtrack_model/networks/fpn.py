"""Feature pyramid (arXiv 1612.03144): maps of equal width at strides 4, 8, 16, 32 and 64."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = (4, 8, 16, 32, 64)


def _named(conv: nn.Conv2d) -> nn.Sequential:
    """The convolution under the name ``conv``, as public checkpoints have it."""
    nn.init.xavier_uniform_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return nn.Sequential(OrderedDict(conv=conv))


class FeaturePyramid(nn.Module):
    """Backbone features at strides 4..32 -> P2..P6, each (B, outputs, H / stride, W / stride).

    P6 is every second cell of P5.
    """

    def __init__(self, channels: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.lateral_convs = nn.ModuleList(_named(nn.Conv2d(c, outputs, 1)) for c in channels)
        self.fpn_convs = nn.ModuleList(_named(nn.Conv2d(outputs, outputs, 3, padding=1)) for _ in channels)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        maps = [lateral(x) for lateral, x in zip(self.lateral_convs, features, strict=True)]
        for i in range(len(maps) - 1, 0, -1):
            maps[i - 1] = maps[i - 1] + F.interpolate(maps[i], size=maps[i - 1].shape[2:], mode="nearest")
        pyramid = [conv(x) for conv, x in zip(self.fpn_convs, maps, strict=True)]
        return [*pyramid, pyramid[-1][:, :, ::2, ::2]]
