"""Axis-aligned boxes in NumPy: overlap and conversions. Boxes are x1 y1 x2 y2 unless a name says otherwise."""

from __future__ import annotations

import numpy as np

from qdtrack_model.structures import Array


def box_area(boxes: Array) -> Array:
    """Areas (N,) of boxes (N, 4); a box turned inside out has area 0."""
    return np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)


def box_iou(first: Array, second: Array) -> Array:
    """Intersection over union (N, M) of boxes (N, 4) and (M, 4); 0 where both are empty."""
    top_left = np.maximum(first[:, None, :2], second[None, :, :2])
    bottom_right = np.minimum(first[:, None, 2:], second[None, :, 2:])
    sides = np.maximum(bottom_right - top_left, 0)
    intersection = sides[..., 0] * sides[..., 1]
    union = box_area(first)[:, None] + box_area(second)[None, :] - intersection
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)


def xyxy_to_xywh(boxes: Array) -> Array:
    """Corners (N, 4) to left, top, width, height (N, 4), the columns of MOTChallenge files."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def xywh_to_xyxy(boxes: Array) -> Array:
    """Left, top, width, height (N, 4) to corners (N, 4)."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def box_centres(boxes: Array) -> Array:
    """Centres (N, 2) of boxes (N, 4)."""
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def scale_boxes(boxes: Array, scale: float, offset: tuple[float, float] = (0.0, 0.0)) -> Array:
    """Boxes after ``x -> scale * x + offset`` on both axes (offset is x, y)."""
    return boxes * scale + np.array([*offset, *offset], boxes.dtype)
