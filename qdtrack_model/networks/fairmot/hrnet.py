"""HRNetV2-W18: four branches at strides 4 to 32 that exchange what they see, all of them in one map at stride 4.

Paper: Wang et al., Deep High-Resolution Representation Learning for Visual Recognition, TPAMI 2020; the last layer (270
to 64 channels) as in FairMOT. The names of the parts are those of public checkpoints, of ImageNet too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qdtrack_model.networks.resnet import BasicBlock, BatchNorm, Bottleneck, conv

WIDTHS = (18, 36, 72, 144)
MODULES = {2: 1, 3: 4, 4: 3}  # by stage, which has as many branches
BLOCKS = 4


def _step(inputs: int, outputs: int, relu: bool = True) -> nn.Sequential:
    """3x3 convolution to half the size."""
    parts: list[nn.Module] = [conv(inputs, outputs, 3, 2), BatchNorm(outputs)]
    return nn.Sequential(*parts, *[nn.ReLU(inplace=True)] * relu)


class _Module(nn.Module):
    """Blocks on each branch, then every branch takes in all others."""

    def __init__(self, branches: int) -> None:
        super().__init__()
        widths = WIDTHS[:branches]
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width, width, 1, "pytorch", frozen=False) for _ in range(BLOCKS)))
            for width in widths
        )
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
        parts = [conv(WIDTHS[source], WIDTHS[target], 1), BatchNorm(WIDTHS[target])]
        return nn.Sequential(*parts, nn.Upsample(scale_factor=2 ** (source - target), mode="nearest"))
    steps = [_step(WIDTHS[source], WIDTHS[source]) for _ in range(target - source - 1)]
    return nn.Sequential(*steps, _step(WIDTHS[source], WIDTHS[target], relu=False))


class HrnetBackbone(nn.Module):
    """RGB images (B, 3, H, W) -> one map (B, 64, H/4, W/4)."""

    outputs = 64

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(3, 64, 3, 2), BatchNorm(64)
        self.conv2, self.bn2 = conv(64, 64, 3, 2), BatchNorm(64)
        self.layer1 = nn.Sequential(
            *(Bottleneck(inputs, 64, 1, "pytorch", frozen=False) for inputs in (64, *[256] * (BLOCKS - 1)))
        )
        first = nn.Sequential(conv(256, WIDTHS[0], 3), BatchNorm(WIDTHS[0]), nn.ReLU(inplace=True))
        self.transition1 = nn.ModuleList([first, nn.Sequential(_step(256, WIDTHS[1]))])
        for stage, modules in MODULES.items():
            self.add_module(f"stage{stage}", nn.Sequential(*(_Module(stage) for _ in range(modules))))
            if stage < 4:
                same: list[nn.Module] = [nn.Identity() for _ in range(stage)]
                lower = nn.Sequential(_step(WIDTHS[stage - 1], WIDTHS[stage]))
                self.add_module(f"transition{stage}", nn.ModuleList([*same, lower]))
        self.last_layer = nn.Sequential(
            nn.Conv2d(sum(WIDTHS), self.outputs, 1), BatchNorm(self.outputs), nn.ReLU(inplace=True)
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
