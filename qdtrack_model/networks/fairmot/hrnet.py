"""HRNetV2-W18: four branches at strides 4 to 32 that exchange what they see, all of them in one map at stride 4.

Paper: Wang et al., Deep High-Resolution Representation Learning for Visual Recognition, TPAMI 2020; the last layer (270
to 64 channels) as in FairMOT. The names of the parts are those of public checkpoints, of ImageNet too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qdtrack_model.networks.resnet import BatchNorm

WIDTHS = (18, 36, 72, 144)
MODULES = {2: 1, 3: 4, 4: 3}  # by stage, which has as many branches
BLOCKS = 4


def _norm(channels: int) -> BatchNorm:
    return BatchNorm(channels, frozen=False)


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)


class _Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions around a shortcut; 64 inside, 256 outside."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(inputs, 64, 1), _norm(64)
        self.conv2, self.bn2 = _conv(64, 64, 3), _norm(64)
        self.conv3, self.bn3 = _conv(64, 256, 1), _norm(256)
        self.downsample = nn.Identity() if inputs == 256 else nn.Sequential(_conv(inputs, 256, 1), _norm(256))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class _Block(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(width, width, 3), _norm(width)
        self.conv2, self.bn2 = _conv(width, width, 3), _norm(width)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + x)


def _step(inputs: int, outputs: int, relu: bool = True) -> nn.Sequential:
    """3x3 convolution to half the size."""
    parts: list[nn.Module] = [_conv(inputs, outputs, 3, 2), _norm(outputs)]
    return nn.Sequential(*parts, *[nn.ReLU(inplace=True)] * relu)


class _Module(nn.Module):
    """Blocks on each branch, then every branch takes in all others."""

    def __init__(self, branches: int) -> None:
        super().__init__()
        widths = WIDTHS[:branches]
        self.branches = nn.ModuleList(nn.Sequential(*(_Block(width) for _ in range(BLOCKS))) for width in widths)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_exchange(source, target) for source in range(branches)) for target in range(branches)
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        maps = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        fused = []
        for layers in self.fuse_layers:
            assert isinstance(layers, nn.ModuleList)
            first, *others = (layer(x) for layer, x in zip(layers, maps, strict=True))
            for other in others:
                first = first + other
            fused.append(F.relu(first))
        return fused


def _exchange(source: int, target: int) -> nn.Module:
    """How one branch is brought to the size and width of another one."""
    if source == target:
        return nn.Identity()
    if source > target:
        parts = [_conv(WIDTHS[source], WIDTHS[target], 1), _norm(WIDTHS[target])]
        return nn.Sequential(*parts, nn.Upsample(scale_factor=2 ** (source - target), mode="nearest"))
    steps = [_step(WIDTHS[source], WIDTHS[source]) for _ in range(target - source - 1)]
    return nn.Sequential(*steps, _step(WIDTHS[source], WIDTHS[target], relu=False))


class HrnetBackbone(nn.Module):
    """RGB images (B, 3, H, W) -> one map (B, 64, H/4, W/4)."""

    outputs = 64

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(3, 64, 3, 2), _norm(64)
        self.conv2, self.bn2 = _conv(64, 64, 3, 2), _norm(64)
        self.layer1 = nn.Sequential(_Bottleneck(64), *(_Bottleneck(256) for _ in range(BLOCKS - 1)))
        first = nn.Sequential(_conv(256, WIDTHS[0], 3), _norm(WIDTHS[0]), nn.ReLU(inplace=True))
        self.transition1 = nn.ModuleList([first, nn.Sequential(_step(256, WIDTHS[1]))])
        for stage, modules in MODULES.items():
            self.add_module(f"stage{stage}", nn.Sequential(*(_Module(stage) for _ in range(modules))))
            if stage < 4:
                same: list[nn.Module] = [nn.Identity() for _ in range(stage)]
                lower = nn.Sequential(_step(WIDTHS[stage - 1], WIDTHS[stage]))
                self.add_module(f"transition{stage}", nn.ModuleList([*same, lower]))
        self.last_layer = nn.Sequential(
            nn.Conv2d(sum(WIDTHS), self.outputs, 1), _norm(self.outputs), nn.ReLU(inplace=True)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer1(F.relu(self.bn2(self.conv2(x))))
        maps = [x, x]
        for stage in MODULES:
            transition = self.get_submodule(f"transition{stage - 1}")
            assert isinstance(transition, nn.ModuleList)
            inputs = maps if len(maps) == stage else [*maps, maps[-1]]  # the new branch begins as the coarsest one
            maps = [part(one) for part, one in zip(transition, inputs, strict=True)]
            maps = self.get_submodule(f"stage{stage}")(maps)
        size = maps[0].shape[2:]
        same = [maps[0]] + [F.interpolate(one, size=size, mode="bilinear", align_corners=False) for one in maps[1:]]
        result: Tensor = self.last_layer(torch.cat(same, dim=1))
        return result
