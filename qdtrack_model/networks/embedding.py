"""The embedding head of QDTrack (arXiv 2006.06664): what an object looks like, from its own RoIAlign."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qdtrack_model.networks.roi_align import BINS, roi_align

CONVOLUTIONS = 4
GROUPS = 32


class _GroupNorm(nn.GroupNorm):
    """Group norm, exported as plain operations in float32.

    As one operation it would become opset 21's GroupNormalization, which TensorRT before 10.9 does not know.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not torch.compiler.is_compiling():
            return super().forward(x)
        values = x.float().reshape(x.shape[0], self.num_groups, -1)
        centred = values - values.mean(dim=2, keepdim=True)
        variance = (centred * centred).mean(dim=2, keepdim=True)
        normal = (centred / (variance + self.eps).sqrt()).reshape(x.shape)
        return (normal * self.weight.float()[:, None, None] + self.bias.float()[:, None, None]).to(x.dtype)


class _Block(nn.Sequential):
    """3x3 convolution without bias, group norm, ReLU."""

    def __init__(self, channels: int) -> None:
        conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        super().__init__(OrderedDict(conv=conv, gn=_GroupNorm(GROUPS, channels), relu=nn.ReLU()))


class EmbeddingHead(nn.Module):
    """Boxes (B, K, 4) on a pyramid -> embeddings (B, K, size), not normalised.

    Args:
        channels: width of the pyramid, a multiple of 32.
        width: width of the hidden layer.
        size: length of an embedding.
        sampling: see ``roi_align``.
    """

    def __init__(self, channels: int, width: int, size: int, sampling: int) -> None:
        super().__init__()
        self.sampling = sampling
        self.convs = nn.Sequential(*(_Block(channels) for _ in range(CONVOLUTIONS)))
        hidden = nn.Linear(channels * BINS * BINS, width)
        self.fcs = nn.ModuleList([hidden])
        self.fc_embed = nn.Linear(width, size)
        nn.init.xavier_uniform_(hidden.weight)
        nn.init.zeros_(hidden.bias)
        nn.init.normal_(self.fc_embed.weight, std=0.01)
        nn.init.zeros_(self.fc_embed.bias)

    def forward(self, pyramid: list[Tensor], boxes: Tensor) -> Tensor:
        x = roi_align(pyramid[:4], boxes, self.sampling).flatten(0, 1)
        x = self.convs(x).flatten(1)
        for layer in self.fcs:
            x = F.relu(layer(x))
        embeddings: Tensor = self.fc_embed(x)
        return embeddings.unflatten(0, tuple(boxes.shape[:2]))
