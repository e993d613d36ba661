"""Boxes x1 y1 x2 y2 in torch: regression deltas, overlap, and non-maximum suppression without a loop over boxes.

Everything has static shapes and consists of operations that every exporter knows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from qdtrack_model.networks.constants import constant

LARGEST_STEP = math.log(1000 / 16)  # of the logarithm of width and height, so that exp() stays finite
# A box's fate is settled after as many steps as its chain of "suppressed by a suppressed one" is long. Crowded random
# boxes needed 9 at most; an exported graph, which cannot stop when nothing changes any more, always does so many.
NMS_STEPS = 16


def encode_deltas(boxes: Tensor, targets: Tensor, deviations: Sequence[float]) -> Tensor:
    """The deltas (..., 4) that move ``boxes`` onto ``targets``: centre shift over size, log of the size ratio."""
    size, target_size = boxes[..., 2:] - boxes[..., :2], targets[..., 2:] - targets[..., :2]
    shift = (targets[..., :2] + targets[..., 2:] - boxes[..., :2] - boxes[..., 2:]) / 2 / size
    return torch.cat([shift, (target_size / size).log()], dim=-1) / constant(deviations, boxes.device, boxes.dtype)


def decode_deltas(
    boxes: Tensor, deltas: Tensor, deviations: Sequence[float], clip: tuple[int, int] | None = None
) -> Tensor:
    """Boxes (..., 4) moved by deltas (..., 4).

    Args:
        boxes: (..., 4).
        deltas: (..., 4), as :func:`encode_deltas` makes them.
        deviations: the four numbers that deltas are multiplied with.
        clip: (height, width) of the image to clip to, or None.
    """
    deltas = deltas * constant(deviations, deltas.device, deltas.dtype)
    size = boxes[..., 2:] - boxes[..., :2]
    centre = (boxes[..., :2] + boxes[..., 2:]) * 0.5 + size * deltas[..., :2]
    half = size * deltas[..., 2:].clamp(-LARGEST_STEP, LARGEST_STEP).exp() * 0.5
    moved = torch.cat([centre - half, centre + half], dim=-1)
    if clip is None:
        return moved
    limits = constant([clip[1], clip[0], clip[1], clip[0]], moved.device, moved.dtype)
    return torch.minimum(moved.clamp(min=0), limits)


def box_iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union (..., N, M) of boxes (..., N, 4) and (..., M, 4); 0 where both are empty."""
    # Coordinate by coordinate: on whole rows of M, where operations on pairs of numbers would be ten times as slow.
    left, top, right, bottom = first[..., :, None, :].unbind(dim=-1)
    left_b, top_b, right_b, bottom_b = second[..., None, :, :].unbind(dim=-1)
    # In place: memory for thousands by thousands of numbers costs more than the arithmetic.
    width = torch.minimum(right, right_b).sub_(torch.maximum(left, left_b)).clamp_(min=0)
    height = torch.minimum(bottom, bottom_b).sub_(torch.maximum(top, top_b)).clamp_(min=0)
    intersection = width.mul_(height)
    union = ((right - left) * (bottom - top) + (right_b - left_b) * (bottom_b - top_b)).sub_(intersection)
    return intersection.div_(union.clamp_(min=1e-9))


def nms(boxes: Tensor, valid: Tensor, threshold: float, groups: Tensor | None = None) -> Tensor:
    """Which boxes greedy non-maximum suppression keeps.

    A box is kept when no kept better one overlaps it by more than ``threshold``; starting from "all kept", this rule
    is applied to all boxes at once until it holds.

    Args:
        boxes: (..., N, 4), best first.
        valid: (..., N) bool, boxes that take part.
        threshold: greatest overlap of two kept boxes.
        groups: (..., N), boxes of different groups (classes) do not suppress each other.

    Returns:
        (..., N) bool.
    """
    count = boxes.shape[-2]
    rival = box_iou(boxes, boxes) > threshold  # (..., N, N): row is overlapped by column
    rival &= torch.ones(count, count, dtype=torch.bool, device=boxes.device).tril(-1)
    if groups is not None:
        rival &= groups[..., :, None] == groups[..., None, :]
    # Counting kept rivals as a matrix-vector product is far quicker than any() over booleans. All stays 0 or 1: one
    # less the number of kept rivals is above 0 only where there is none.
    weights = rival.to(torch.float32).reshape(-1, count, count)
    taking_part = valid.to(torch.float32).reshape(-1, count, 1)
    exporting = torch.compiler.is_compiling()
    kept = taking_part
    for _ in range(NMS_STEPS if exporting else count):
        before, kept = kept, F.relu(taking_part - torch.bmm(weights, kept))
        if not exporting and torch.equal(kept, before):
            break
    return (kept > 0).reshape(valid.shape)


def take(rows: Tensor, index: Tensor) -> Tensor:
    """The rows (B, K, D) of ``rows`` (B, N, D) at ``index`` (B, K)."""
    return rows.gather(1, index[..., None].expand(-1, -1, rows.shape[-1]))
