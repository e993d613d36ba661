"""Region proposals (arXiv 1506.01497) on a pyramid: three anchors a cell, the best boxes of each level, suppressed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qdtrack_model.networks.box_coding import decode_deltas, nms, take
from qdtrack_model.networks.constants import constant
from qdtrack_model.networks.fpn import STRIDES

SCALE = 8  # anchor size in strides
RATIOS = (0.5, 1.0, 2.0)  # height over width
DEVIATIONS = (1.0, 1.0, 1.0, 1.0)


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
        wanted = per_level or self.per_level
        levels = zip(objectness, deltas, STRIDES, strict=True)
        best = [self._best_of_level(o, d, stride, wanted, clip) for o, d, stride in levels]
        # All levels side by side, the small ones filled up, so that one suppression serves them together.
        longest = max(boxes.shape[1] for boxes, _ in best)
        boxes = torch.stack([F.pad(b, (0, 0, 0, longest - b.shape[1])) for b, _ in best], dim=1)
        scores = torch.stack([F.pad(s, (0, longest - s.shape[1])) for _, s in best], dim=1)  # (B, levels, longest)
        # Not .all(dim=-1): its export in bfloat16 is a reduction that TensorRT refuses.
        filled = (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])
        kept = nms(boxes, filled, self.nms_iou)
        scores = (scores * kept).flatten(1)
        scores, index = scores.topk(min(self.kept, scores.shape[1]), dim=1)
        boxes = take(boxes.flatten(1, 2), index)
        return Proposals(boxes * (scores > 0)[..., None], scores)

    def _best_of_level(
        self, objectness: Tensor, deltas: Tensor, stride: int, count: int, clip: tuple[int, int] | None
    ) -> tuple[Tensor, Tensor]:
        """Boxes (B, K, 4) and scores (B, K), best first, of the ``count`` best anchors or of all if they are fewer."""
        batch, _, height, width = objectness.shape
        scores = objectness.permute(0, 2, 3, 1).reshape(batch, -1).float().sigmoid()
        scores, index = scores.topk(min(count, scores.shape[1]), dim=1)
        moves = take(deltas.permute(0, 2, 3, 1).reshape(batch, -1, 4).float(), index)
        anchors = level_anchors(height, width, stride, objectness.device)[index]
        return decode_deltas(anchors, moves, DEVIATIONS, clip), scores
