"""Which box shall learn which object: assignment by greatest overlap (arXiv 1506.01497)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from qdtrack_model.networks.box_coding import box_iou

NEGATIVE, NEITHER = -1, -2  # instead of the index of an object


@dataclass(frozen=True)
class AssignmentRule:
    """Overlaps (IoU) that decide.

    Args:
        positive: a box that overlaps an object by at least so much learns the object it overlaps most.
        negative: a box that overlaps every object by less is background.
        minimum: least overlap of a low-quality match.
        low_quality: an object also gets the boxes that overlap it most, of all boxes, whatever their own best is.
    """

    positive: float
    negative: float
    minimum: float = 0.0
    low_quality: bool = False


def assign(boxes: Tensor, truth: Tensor, ignored: Tensor, rule: AssignmentRule) -> tuple[Tensor, Tensor]:
    """Objects for boxes.

    A box that is no positive and overlaps an ignored region by at least ``rule.negative``, or lies in it with more
    than half of its area, is neither positive nor negative.

    Args:
        boxes: (N, 4).
        truth: (G, 4) boxes of the objects.
        ignored: (I, 4) regions where there may be objects that nobody has labelled.
        rule: the thresholds.

    Returns:
        (N,) int64, the index of the object, NEGATIVE or NEITHER; and (N,), the greatest overlap with an object.
    """
    assigned = boxes.new_full((len(boxes),), NEGATIVE, dtype=torch.int64)
    best = boxes.new_zeros(len(boxes))
    if not len(boxes):
        return assigned, best
    if len(ignored):
        inside = _shared(boxes, ignored) > 0.5
        assigned[(inside | (box_iou(boxes, ignored) >= rule.negative)).any(dim=1)] = NEITHER
    if len(truth):
        ious = box_iou(boxes, truth)  # (N, G)
        best, owner = ious.max(dim=1)
        assigned[best >= rule.negative] = NEITHER
        assigned = torch.where(best >= rule.positive, owner, assigned)
        if rule.low_quality:
            most = ious.max(dim=0).values  # (G,)
            tied = (ious == most) & (most >= rule.minimum) & (most > 0)
            # A box that is the best of several objects goes to the last of them, as in the public implementation.
            last = (tied * torch.arange(1, len(truth) + 1, device=boxes.device)).max(dim=1).values - 1
            assigned = torch.where(last >= 0, last, assigned)
    return assigned, best


def _shared(boxes: Tensor, regions: Tensor) -> Tensor:
    """The part (N, I) of the area of each box (N, 4) that lies in each region (I, 4)."""
    a, b = boxes[:, None], regions[None]
    sides = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    return sides.prod(dim=-1) / (boxes[:, 2:] - boxes[:, :2]).prod(dim=-1).clamp(min=1e-9)[:, None]
