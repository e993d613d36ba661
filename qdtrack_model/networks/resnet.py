"""ResNet-18/34/50/101 (arXiv 1512.03385) in the two styles of public checkpoints, with torchvision's module names."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Style = Literal["pytorch", "caffe"]
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


class BatchNorm(nn.Module):
    """Batch norm over (B, C, H, W); frozen: it uses its running statistics in training too and never changes them.

    Detectors see one or two images at a time, too few for statistics of their own.
    """

    running_mean: Tensor
    running_var: Tensor
    eps = 1e-5

    def __init__(self, channels: int, frozen: bool = False) -> None:
        super().__init__()
        self.frozen = frozen
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        learning = self.training and not self.frozen
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, learning, eps=self.eps)


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution without bias, for a batch norm follows it; at stride 1 the map keeps its size."""
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut (ResNet-18 and 34; the same in both styles)."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int, style: Style, frozen: bool) -> None:
        super().__init__()
        self.conv1 = conv(inputs, width, 3, stride)
        self.bn1 = BatchNorm(width, frozen)
        self.conv2 = conv(width, width, 3)
        self.bn2 = BatchNorm(width, frozen)
        self.downsample = _shortcut(inputs, width, stride, frozen)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions around a shortcut; caffe strides in the first, pytorch in the second."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int, style: Style, frozen: bool) -> None:
        super().__init__()
        first, second = (stride, 1) if style == "caffe" else (1, stride)
        self.conv1 = conv(inputs, width, 1, first)
        self.bn1 = BatchNorm(width, frozen)
        self.conv2 = conv(width, width, 3, second)
        self.bn2 = BatchNorm(width, frozen)
        self.conv3 = conv(width, 4 * width, 1)
        self.bn3 = BatchNorm(4 * width, frozen)
        self.downsample = _shortcut(inputs, 4 * width, stride, frozen)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def _shortcut(inputs: int, outputs: int, stride: int, frozen: bool) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(conv(inputs, outputs, 1, stride), BatchNorm(outputs, frozen))


class ResNet(nn.Module):
    """Normalised images (B, 3, H, W) -> features at strides 4, 8, 16, 32; ``channels`` lists their widths.

    Args:
        depth: 18, 34, 50 or 101.
        style: where a bottleneck strides; the weights of the two styles have the same names and shapes.
        frozen_norm: batch norm keeps its statistics in training.
    """

    def __init__(self, depth: int, style: Style = "pytorch", frozen_norm: bool = True) -> None:
        super().__init__()
        block = BasicBlock if depth < 50 else Bottleneck
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = BatchNorm(64, frozen_norm)
        self.channels = [64 * 2**i * block.expansion for i in range(4)]
        inputs = 64
        for i, count in enumerate(BLOCKS[depth]):
            stage: OrderedDict[str, nn.Module] = OrderedDict()
            for j in range(count):
                stride = 2 if i > 0 and j == 0 else 1
                stage[str(j)] = block(inputs, 64 * 2**i, stride, style, frozen_norm)
                inputs = self.channels[i]
            self.add_module(f"layer{i + 1}", nn.Sequential(stage))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> list[Tensor]:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        features = []
        for i in range(4):
            x = self.get_submodule(f"layer{i + 1}")(x)
            features.append(x)
        return features
