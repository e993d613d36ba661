"""A light cross-stage-partial backbone and a top-down neck to stride 4, for one-shot networks on small computers.

The stages follow CSPNet (arXiv 1911.11929) with the widths and depths of the YOLOX family (arXiv 2107.08430) at
depth 0.33; ReLU instead of SiLU, because it fuses into the convolution in every runtime.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvNormAct(nn.Sequential):
    """Convolution without bias, batch norm, ReLU; "same" padding for odd kernels."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03),
            nn.ReLU(inplace=True),
        )


class Bottleneck(nn.Module):
    """1x1 then 3x3 convolution, added to the input where ``residual``."""

    def __init__(self, channels: int, residual: bool) -> None:
        super().__init__()
        self.reduce = ConvNormAct(channels, channels, 1)
        self.conv = ConvNormAct(channels, channels, 3)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(self.reduce(x))
        return x + y if self.residual else y


class CspStage(nn.Module):
    """Half of the channels pass through bottlenecks, half go around them; (B, inputs, H, W) -> (B, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int, blocks: int, residual: bool = True) -> None:
        super().__init__()
        hidden = outputs // 2
        self.main = ConvNormAct(inputs, hidden)
        self.around = ConvNormAct(inputs, hidden)
        self.blocks = nn.Sequential(*(Bottleneck(hidden, residual) for _ in range(blocks)))
        self.merge = ConvNormAct(2 * hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.merge(torch.cat([self.blocks(self.main(x)), self.around(x)], dim=1))
        return y


class PyramidPooling(nn.Module):
    """Max pooling over 5, 9 and 13 cells (three 5-cell poolings in a row), to see wide context at stride 32."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = ConvNormAct(channels, channels // 2)
        self.merge = ConvNormAct(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        levels = [self.reduce(x)]
        for _ in range(3):
            levels.append(F.max_pool2d(levels[-1], 5, stride=1, padding=2))
        y: Tensor = self.merge(torch.cat(levels, dim=1))
        return y


def _round8(value: float) -> int:
    return max(8, int(value / 8 + 0.5) * 8)


class CspBackbone(nn.Module):
    """Image (B, 3, H, W) -> features at strides 4, 8, 16, 32; ``channels`` lists their widths."""

    def __init__(self, width: float) -> None:
        super().__init__()
        base, *channels = (_round8(64 * width * 2**i) for i in range(5))
        self.channels = channels
        self.stem = ConvNormAct(3, base, 3, stride=2)
        stages = []
        for i, (inputs, outputs, blocks) in enumerate(zip([base, *channels[:-1]], channels, [1, 3, 3, 1], strict=True)):
            last = i == 3
            stages.append(
                nn.Sequential(
                    ConvNormAct(inputs, outputs, 3, stride=2),
                    PyramidPooling(outputs) if last else nn.Identity(),
                    CspStage(outputs, outputs, blocks, residual=not last),
                )
            )
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class TopDownNeck(nn.Module):
    """Features at strides 4..32 -> one map (B, outputs, H/4, W/4) that has seen all of them."""

    def __init__(self, channels: list[int], outputs: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(ConvNormAct(c, c // 2) for c in reversed(channels[1:]))
        widths = [*reversed(channels[1:-1]), outputs]
        self.merge = nn.ModuleList(
            CspStage(c // 2 + below, out, blocks=1, residual=False)
            for c, below, out in zip(reversed(channels[1:]), reversed(channels[:-1]), widths, strict=True)
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        x = features[-1]
        for lateral, merge, below in zip(self.lateral, self.merge, reversed(features[:-1]), strict=True):
            x = F.interpolate(lateral(x), scale_factor=2.0, mode="nearest")
            x = merge(torch.cat([x, below], dim=1))
        return x
