"""Region proposals (arXiv 1506.01497) on a pyramid: three anchors a cell, the best boxes of each level, suppressed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qdtrack_model.networks.box_coding import decode_deltas, nms, take
from qdtrack_model.networks.constants import constant
from qdtrack_model.networks.fpn import STRIDES

SCALE = 8  # anchor size in strides
RATIOS = (0.5, 1.0, 2.0)  # height over width
DEVIATIONS = (1.0, 1.0, 1.0, 1.0)
NOTHING = -1e4  # the logit where a level has no anchor; half precision can hold it


def level_anchors(height: int, width: int, stride: int, device: torch.device | None = None) -> Tensor:
    """Anchors (height * width * 3, 4) float32 of one level in image pixels, cell by cell, in the order of RATIOS.

    They are centred on the cells' top-left corners, not on the cells.
    """
    roots = constant(RATIOS, device).sqrt()
    half = torch.stack([1 / roots, roots], dim=1) * (stride * SCALE / 2)  # (3, 2) half width, half height
    shape = torch.cat([-half, half], dim=1)
    y, x = torch.meshgrid(
        torch.arange(height, device=device) * stride, torch.arange(width, device=device) * stride, indexing="ij"
    )
    corners = torch.stack([x, y, x, y], dim=-1).reshape(-1, 1, 4).to(shape.dtype)
    return (corners + shape).reshape(-1, 4)


@dataclass(frozen=True)
class Proposals:
    """Boxes (B, K, 4) in image pixels with scores (B, K), best first; a row without a box scores 0."""

    boxes: Tensor
    scores: Tensor


class RpnHead(nn.Module):
    """A 3x3 convolution and two 1x1 ones, the same for all levels.

    Args:
        channels: width of the pyramid.
        per_level: boxes of each level that take part in its suppression.
        kept: proposals of all levels together.
        nms_iou: greatest overlap of two proposals of one level.
    """

    def __init__(self, channels: int, per_level: int, kept: int, nms_iou: float) -> None:
        super().__init__()
        self.per_level, self.kept, self.nms_iou = per_level, kept, nms_iou
        self.rpn_conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.rpn_cls = nn.Conv2d(channels, len(RATIOS), 1)
        self.rpn_reg = nn.Conv2d(channels, 4 * len(RATIOS), 1)
        for conv in (self.rpn_conv, self.rpn_cls, self.rpn_reg):
            nn.init.normal_(conv.weight, std=0.01)
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)

    def forward(self, pyramid: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Objectness logits (B, 3, H, W) and deltas (B, 12, H, W) of each level."""
        hidden = [F.relu(self.rpn_conv(x)) for x in pyramid]
        return [self.rpn_cls(x) for x in hidden], [self.rpn_reg(x) for x in hidden]

    def propose(
        self,
        objectness: list[Tensor],
        deltas: list[Tensor],
        clip: tuple[int, int] | None,
        per_level: int | None = None,
    ) -> Proposals:
        """The best boxes of all levels.

        Args:
            objectness: logits (B, 3, H, W) of each level.
            deltas: (B, 12, H, W) of each level.
            clip: (height, width) of the image where boxes end at its border, or None.
            per_level: another number than that of the constructor (training takes more).
        """
        counts = [x.shape[2] * x.shape[3] * len(RATIOS) for x in objectness]
        batch, device = objectness[0].shape[0], objectness[0].device
        # All levels side by side, the small ones filled up, so that one top-k and one suppression serve them together.
        rows = [
            F.pad(x.permute(0, 2, 3, 1).reshape(batch, -1).float(), (0, max(counts) - count), value=NOTHING)
            for x, count in zip(objectness, counts, strict=True)
        ]
        logits, index = torch.stack(rows, dim=1).topk(min(per_level or self.per_level, max(counts)), dim=2)
        filled = index < constant(counts, device, torch.int64)[:, None]  # (B, levels, K), like logits and index
        begins = constant([0, *accumulate(counts[:-1])], device, torch.int64)[:, None]
        index = (begins + index * filled).flatten(1)
        moves = take(torch.cat([x.permute(0, 2, 3, 1).reshape(batch, -1, 4) for x in deltas], dim=1), index)
        sizes = [(x.shape[2], x.shape[3], stride) for x, stride in zip(objectness, STRIDES, strict=True)]
        anchors = torch.cat([level_anchors(*size, device) for size in sizes])
        boxes = decode_deltas(anchors[index], moves.float(), DEVIATIONS, clip).unflatten(1, filled.shape[1:])
        # Not .all(dim=-1): its export in bfloat16 is a reduction that TensorRT refuses.
        filled = filled & (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])
        scores = (logits.sigmoid() * nms(boxes, filled, self.nms_iou)).flatten(1)
        scores, index = scores.topk(min(self.kept, scores.shape[1]), dim=1)
        boxes = take(boxes.flatten(1, 2), index)
        return Proposals(boxes * (scores > 0)[..., None], scores)
