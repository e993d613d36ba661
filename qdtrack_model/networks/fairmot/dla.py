"""DLA-34 with iterative deep aggregation back up to stride 4, as in CenterNet and FairMOT.

Papers: Yu et al., Deep Layer Aggregation, CVPR 2018; Zhou et al., Objects as Points, 2019, for the way up; Zhu et al.,
Deformable ConvNets v2, CVPR 2019. The names of the parts are those of public checkpoints.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qdtrack_model.networks.constants import constant
from qdtrack_model.networks.resnet import BatchNorm, conv

CHANNELS = (16, 32, 64, 128, 256, 512)  # of the six levels, at strides 1 to 32


class _Block(nn.Module):
    """Two 3x3 convolutions, added to what is given beside."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, outputs, 3, stride), BatchNorm(outputs)
        self.conv2, self.bn2 = conv(outputs, outputs, 3), BatchNorm(outputs)

    def forward(self, x: Tensor, shortcut: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + shortcut)


class _Root(nn.Module):
    """Several maps of one size into one."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv, self.bn = conv(inputs, outputs, 1), BatchNorm(outputs)

    def forward(self, *maps: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(torch.cat(maps, dim=1))))


class _Tree(nn.Module):
    """Hierarchical aggregation: two blocks and a root at depth 1, two trees above.

    Args:
        depth: of the tree.
        inputs: channels.
        outputs: channels.
        stride: of the first block.
        level: the root also sees the input of the whole level.
        beside: channels of all other maps that the root sees.
    """

    def __init__(
        self, depth: int, inputs: int, outputs: int, stride: int, level: bool = False, beside: int = 0
    ) -> None:
        super().__init__()
        self.level, self.stride = level, stride
        seen = 2 * outputs + beside + (inputs if level else 0)
        self.tree1: nn.Module
        self.tree2: nn.Module
        if depth == 1:
            self.tree1, self.tree2 = _Block(inputs, outputs, stride), _Block(outputs, outputs, 1)
            self.root = _Root(seen, outputs)
            if inputs != outputs:
                self.project = nn.Sequential(conv(inputs, outputs, 1), BatchNorm(outputs))
        else:
            self.tree1 = _Tree(depth - 1, inputs, outputs, stride)
            self.tree2 = _Tree(depth - 1, outputs, outputs, 1, beside=seen - outputs)
        self.depth = depth

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        bottom = F.max_pool2d(x, self.stride) if self.stride > 1 else x
        others = (*others, bottom) if self.level else others
        result: Tensor
        if self.depth > 1:
            result = self.tree2(first := self.tree1(x), *others, first)
            return result
        first = self.tree1(x, self.project(bottom) if hasattr(self, "project") else bottom)
        result = self.root(self.tree2(first, first), first, *others)
        return result


class Dla34(nn.Module):
    """RGB images (B, 3, H, W) -> maps of six levels at strides 1, 2, 4, 8, 16, 32, ``CHANNELS`` wide."""

    def __init__(self) -> None:
        super().__init__()
        self.base_layer = nn.Sequential(conv(3, 16, 7), BatchNorm(16), nn.ReLU(inplace=True))
        self.level0 = nn.Sequential(conv(16, 16, 3), BatchNorm(16), nn.ReLU(inplace=True))
        self.level1 = nn.Sequential(conv(16, 32, 3, 2), BatchNorm(32), nn.ReLU(inplace=True))
        self.level2 = _Tree(1, 32, 64, 2)
        self.level3 = _Tree(2, 64, 128, 2, level=True)
        self.level4 = _Tree(2, 128, 256, 2, level=True)
        self.level5 = _Tree(1, 256, 512, 2, level=True)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.base_layer(x)
        levels = []
        for i in range(6):
            x = self.get_submodule(f"level{i}")(x)
            levels.append(x)
        return levels


class DeformableConv(nn.Module):
    """3x3 convolution whose nine samples are moved and weighted, by amounts that it sees in the input.

    Written with grid sampling, which ONNX knows; TensorRT takes :class:`torch.nn.Conv2d` in its place.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.conv_offset_mask = nn.Conv2d(inputs, 27, 3, padding=1)
        nn.init.uniform_(self.weight, -1 / math.sqrt(9 * inputs), 1 / math.sqrt(9 * inputs))
        nn.init.zeros_(self.conv_offset_mask.weight)
        assert self.conv_offset_mask.bias is not None
        nn.init.zeros_(self.conv_offset_mask.bias)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        moves = self.conv_offset_mask(x).float()
        down, across, weights = moves[:, 0:18:2], moves[:, 1:18:2], moves[:, 18:].sigmoid()  # (B, 9, H, W)
        rows = torch.arange(height, device=x.device, dtype=torch.float32)[:, None]
        columns = torch.arange(width, device=x.device, dtype=torch.float32)
        half = constant([width / 2, height / 2], x.device)
        result = self.bias[:, None, None].to(x.dtype)
        for k in range(9):  # one place of the kernel after the other: all nine at once are nine times the memory
            places = torch.stack([columns + (k % 3 - 1) + across[:, k], rows + (k // 3 - 1) + down[:, k]], dim=-1)
            # Cell i is at (2 i + 1) / size - 1 of the grid; beyond the map everything is 0.
            sampled = F.grid_sample(x, ((places + 0.5) / half - 1).to(x.dtype), align_corners=False)
            taken = sampled * weights[:, k : k + 1].to(x.dtype)
            result = result + F.conv2d(taken, self.weight[:, :, k // 3, k % 3, None, None])
        return result


class _Node(nn.Module):
    """3x3 convolution, deformable or not, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, deformable: bool) -> None:
        super().__init__()
        self.conv = DeformableConv(inputs, outputs) if deformable else nn.Conv2d(inputs, outputs, 3, padding=1)
        self.actf = nn.Sequential(BatchNorm(outputs), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.actf(self.conv(x))
        return result


class _Aggregation(nn.Module):
    """Maps from fine to coarse, each brought to the size of the finest and merged into the one before."""

    def __init__(self, outputs: int, channels: list[int], factors: list[int], deformable: bool) -> None:
        super().__init__()
        for i, (inputs, factor) in enumerate(zip(channels[1:], factors[1:], strict=True), start=1):
            up = nn.ConvTranspose2d(
                outputs, outputs, 2 * factor, factor, padding=factor // 2, groups=outputs, bias=False
            )
            with torch.no_grad():
                up.weight.copy_(_bilinear(factor))
            self.add_module(f"proj_{i}", _Node(inputs, outputs, deformable))
            self.add_module(f"up_{i}", up)
            self.add_module(f"node_{i}", _Node(outputs, outputs, deformable))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        merged = [maps[0]]
        for i, x in enumerate(maps[1:], start=1):
            risen = self.get_submodule(f"up_{i}")(self.get_submodule(f"proj_{i}")(x))
            merged.append(self.get_submodule(f"node_{i}")(risen + merged[-1]))
        return merged


def _bilinear(factor: int) -> Tensor:
    """The weights (1, 1, 2 f, 2 f) of bilinear enlargement by a factor."""
    places = torch.arange(2 * factor)
    line = 1 - (places / factor - (2 * factor - 1 - factor % 2) / (2 * factor)).abs()
    return (line[:, None] * line)[None, None]


class _Rise(nn.Module):
    """Levels at strides 4 to 32 -> levels at strides 4 to 16 that have seen all coarser ones."""

    def __init__(self, channels: list[int], deformable: bool) -> None:
        super().__init__()
        widths = list(channels)
        for i in range(len(channels) - 1):
            j = len(channels) - 2 - i
            factors = [1] + [2] * (len(widths) - j - 1)
            self.add_module(f"ida_{i}", _Aggregation(channels[j], widths[j:], factors, deformable))
            widths[j + 1 :] = [channels[j]] * (len(widths) - j - 1)

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        levels, risen = list(levels), [levels[-1]]
        for i in range(len(levels) - 1):
            j = len(levels) - 2 - i
            levels[j:] = self.get_submodule(f"ida_{i}")(levels[j:])
            risen.insert(0, levels[-1])
        return risen


class DlaBackbone(nn.Module):
    """RGB images (B, 3, H, W) -> one map (B, 64, H/4, W/4).

    Args:
        deformable: the convolutions on the way up are deformable, as in public checkpoints.
    """

    outputs = 64

    def __init__(self, deformable: bool) -> None:
        super().__init__()
        self.base = Dla34()
        self.dla_up = _Rise(list(CHANNELS[2:]), deformable)
        self.ida_up = _Aggregation(CHANNELS[2], list(CHANNELS[2:5]), [1, 2, 4], deformable)
        for module in self.base.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        risen = self.dla_up(self.base(x)[2:])
        merged: list[Tensor] = self.ida_up(risen[:3])
        return merged[-1]
