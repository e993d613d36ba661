"""FairMOT's network: DLA-34 or HRNetV2-W18 and four centre-point heads (Zhang et al., FairMOT, IJCV 2021).

Its parts are those of the light one-shot network (``one_shot.py``), so that both train and export by the same code:
only the heatmap is computed everywhere, the other heads at places. The names of the heads are those of public
checkpoints.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qdtrack_model.config import FairMotModelConfig
from qdtrack_model.networks.fairmot.dla import DlaBackbone
from qdtrack_model.networks.fairmot.hrnet import HrnetBackbone
from qdtrack_model.networks.one_shot import CentreNetwork, gather_patches


class _Head(nn.Sequential):
    """3x3 convolution, ReLU, 1x1 convolution; ``at`` computes the same at places alone."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        first, last = nn.Conv2d(inputs, hidden, 3, padding=1), nn.Conv2d(hidden, outputs, 1)
        super().__init__(first, nn.ReLU(), last)

    def at(self, patches: Tensor) -> Tensor:
        """Outputs (B, K, D) at places given by the 3x3 patches (B, K, 9 C) around them."""
        first, last = self[0], self[2]
        assert isinstance(first, nn.Conv2d) and isinstance(last, nn.Conv2d)
        # A patch lists its cells row by row, each with all channels.
        hidden = F.relu(F.linear(patches, first.weight.permute(0, 2, 3, 1).flatten(1), first.bias))
        return F.linear(hidden, last.weight.flatten(1), last.bias)


class FairMotNetwork(CentreNetwork):
    """Backbone and heads; ``forward`` is the whole way from a uint8 image to detections, as it is exported."""

    config: FairMotModelConfig

    def __init__(self, config: FairMotModelConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone: DlaBackbone | HrnetBackbone
        self.backbone = DlaBackbone(config.deformable) if config.backbone == "dla34" else HrnetBackbone()
        channels, width = self.backbone.outputs, config.head_width
        self.hm = _Head(channels, width, len(config.classes))
        self.wh = _Head(channels, width, 4 if config.size == "ltrb" else 2)
        self.reg = _Head(channels, width, 2)
        self.id = _Head(channels, width, config.embedding_size)
        last = self.hm[2]
        assert isinstance(last, nn.Conv2d) and last.bias is not None
        nn.init.constant_(last.bias, -math.log(9))  # every cell starts at probability .1

    def features(self, images: Tensor) -> Tensor:
        """uint8 BGR images (B, H, W, 3) -> shared map (B, 64, H/4, W/4)."""
        x = images.float().permute(0, 3, 1, 2).flip(1) / 255.0  # TensorRT: cast first
        kind = next(self.hm.parameters()).dtype
        result: Tensor = self.backbone(x.to(kind).contiguous(memory_format=torch.channels_last))
        return result

    def heatmap(self, features: Tensor) -> Tensor:
        """Centre logits (B, C, H/4, W/4)."""
        logits: Tensor = self.hm(features)
        return logits

    def describe(self, features: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is at flat cell indices (B, K): offsets (B, K, 2), sides (B, K, 4) in cells, embeddings (B, K, D)."""
        patches = gather_patches(features, index)
        size = self.wh.at(patches).float()
        sides = size if self.config.size == "ltrb" else torch.cat([size, size], dim=-1) / 2
        return self.reg.at(patches).float(), sides, self.id.at(patches)
