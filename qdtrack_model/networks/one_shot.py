"""A one-shot network: centre heatmap, box and embedding of every object in one pass (after FairMOT, arXiv 2004.01888).

Only the heatmap is computed everywhere. Size, offset and embedding are asked for at a few hundred places, so their
heads gather the 3x3 patch around each place and apply the same weights as a matrix product ("sparse heads"): equal
outputs for a fraction of the arithmetic, in training (at sampled places) as in inference (at the heatmap's peaks).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qdtrack_model.config import FairMotModelConfig, OneShotConfig
from qdtrack_model.networks.csp import CspBackbone, TopDownNeck

STRIDE = 4
FEATURES = 64  # channels of the shared stride-4 map


def gather_patches(features: Tensor, index: Tensor) -> Tensor:
    """The 3x3 neighbourhoods (zeros outside) of map (B, C, H, W) at flat cell indices (B, K): (B, K, 9 C).

    A patch lists its nine cells row by row, each with all channels.
    """
    batch, channels, height, width = features.shape
    rows = F.pad(features, (1, 1, 1, 1)).permute(0, 2, 3, 1).reshape(-1, channels)
    starts = torch.arange(batch, device=index.device) * ((height + 2) * (width + 2))  # of each map among the rows
    steps = torch.arange(3, device=index.device)
    window = (steps[:, None] * (width + 2) + steps).flatten()  # (9,) from the patch's top-left cell
    top_left = index + index // width * 2 + starts[:, None]  # a row of the padded map is two cells longer
    cells = top_left[:, :, None] + window  # (B, K, 9)
    return rows.index_select(0, cells.flatten()).reshape(batch, index.shape[1], 9 * channels)


def find_peaks(heat: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The ``count`` highest local maxima of heat (B, C, H, W): scores, labels, flat cell indices, each (B, count).

    A cell is a peak when nothing in its 3x3 neighbourhood is higher; places beyond the last peak score 0.
    """
    peaks = heat * (F.max_pool2d(heat, 3, stride=1, padding=1) == heat)
    scores, flat = peaks.flatten(1).topk(count, dim=1)
    cells = heat.shape[2] * heat.shape[3]
    labels = flat // cells
    return scores, labels, flat - labels * cells


def decode_boxes(index: Tensor, offset: Tensor, sides: Tensor, width: int) -> Tensor:
    """Boxes x1 y1 x2 y2 (B, K, 4) in cells of a map ``width`` cells wide.

    Args:
        index: (B, K) flat cell indices.
        offset: (B, K, 2) x, y from the cell's corner to the object's centre, in cells.
        sides: (B, K, 4) left, top, right, bottom distances from that centre, in cells.
    """
    row = index // width
    centres = torch.stack([index - row * width, row], dim=-1).to(offset.dtype) + offset
    return torch.cat([centres - sides[..., :2], centres + sides[..., 2:]], dim=-1)


class CentreNetwork(nn.Module, ABC):
    """What networks with centre-point heads have in common: from a uint8 image to detections, as it is exported.

    ``features``, ``heatmap`` and ``describe``, which each has of its own, are the pieces that training uses.
    """

    config: OneShotConfig | FairMotModelConfig

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """uint8 BGR images (B, H, W, 3) -> shared map (B, F, H/4, W/4)."""

    @abstractmethod
    def heatmap(self, features: Tensor) -> Tensor:
        """Centre logits (B, C, H/4, W/4)."""

    @abstractmethod
    def describe(self, features: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is at flat cell indices (B, K): offsets (B, K, 2), sides (B, K, 4) in cells, embeddings (B, K, D)."""

    def embed(self, images: Tensor, boxes: Tensor) -> Tensor:
        """Embeddings (B, N, D) of given objects.

        Args:
            images: (B, H, W, 3) uint8 BGR.
            boxes: (B, N, 4) in input pixels; what lies beyond the image is described by its border.
        """
        features = self.features(images)
        centres = (boxes[..., :2] + boxes[..., 2:]) / (2 * STRIDE)
        column = centres[..., 0].long().clamp(0, features.shape[3] - 1)
        row = centres[..., 1].long().clamp(0, features.shape[2] - 1)
        return self.describe(features, row * features.shape[3] + column)[2]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Images (B, H, W, 3) uint8 BGR -> boxes (B, K, 4) in input pixels, scores (B, K), labels (B, K) int64,
        embeddings (B, K, D); K = ``max_detections``, best first.
        """
        features = self.features(images)
        scores, labels, index = find_peaks(self.heatmap(features).float().sigmoid(), self.config.max_detections)
        offset, sides, embeddings = self.describe(features, index)
        boxes = decode_boxes(index, offset, sides, features.shape[3]) * STRIDE
        return boxes, scores, labels, embeddings


class OneShotNetwork(CentreNetwork):
    """The light network: a CSP backbone, a neck and heads."""

    config: OneShotConfig

    def __init__(self, config: OneShotConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = CspBackbone(config.width)
        self.neck = TopDownNeck(self.backbone.channels, FEATURES)
        self.heat_hidden = nn.Conv2d(FEATURES, FEATURES, 1)
        self.heat = nn.Conv2d(FEATURES, len(config.classes), 1)
        self.box_hidden = nn.Linear(9 * FEATURES, config.head_width)
        self.box = nn.Linear(config.head_width, 6)  # offset x, y; log of left, top, right, bottom
        self.embedding_hidden = nn.Linear(9 * FEATURES, 2 * config.head_width)
        self.embedding = nn.Linear(2 * config.head_width, config.embedding_size)
        assert self.heat.bias is not None
        with torch.no_grad():
            self.heat.bias.fill_(-math.log(99))  # every cell starts at probability .01
            self.box.weight.normal_(std=1e-3)
            self.box.bias.copy_(torch.tensor([0.5, 0.5, 1.5, 1.5, 1.5, 1.5]))

    def features(self, images: Tensor) -> Tensor:
        """uint8 BGR images (B, H, W, 3) -> shared map (B, FEATURES, H/4, W/4)."""
        x = (images.float() / 64.0 - 2.0).to(self.heat.weight.dtype)
        # Permuted last: the values stay where they are, channels last.
        x = self.neck(self.backbone(x.permute(0, 3, 1, 2)))
        return x

    def heatmap(self, features: Tensor) -> Tensor:
        """Centre logits (B, C, H/4, W/4)."""
        x: Tensor = self.heat(F.relu(self.heat_hidden(features)))
        return x

    def describe(self, features: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is at flat cell indices (B, K): offsets (B, K, 2), sides (B, K, 4) in cells, embeddings (B, K, D)."""
        patches = gather_patches(features, index)
        # In full precision: eight bits of a logarithm of sides are boxes off by whole pixels.
        hidden = F.relu(self.box_hidden(patches)).float()
        box = F.linear(hidden, self.box.weight.float(), self.box.bias.float()).float()  # autocast: half
        embeddings = self.embedding(F.relu(self.embedding_hidden(patches)))
        return box[..., :2], box[..., 2:].clamp(max=6.0).exp(), embeddings
