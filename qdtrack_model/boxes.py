"""Axis-aligned boxes (N, 4) in NumPy, x1 y1 x2 y2: areas, centres, overlap."""

from __future__ import annotations

import numpy as np

from qdtrack_model.structures import Array


def box_area(boxes: Array) -> Array:
    """Areas (N,) of boxes (N, 4); a box turned inside out has area 0."""
    return np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)


def box_iou(first: Array, second: Array) -> Array:
    """Intersection over union (N, M) of boxes (N, 4) and (M, 4); 0 where both are empty."""
    x1, y1, x2, y2 = first.T[:, :, None]
    u1, v1, u2, v2 = np.ascontiguousarray(second.T)
    # One coordinate at a time: four times as fast as broadcasting over (N, M, 2).
    width = np.maximum(np.minimum(x2, u2) - np.maximum(x1, u1), 0)
    height = np.maximum(np.minimum(y2, v2) - np.maximum(y1, v1), 0)
    intersection = width * height
    union = box_area(first)[:, None] + box_area(second)[None, :] - intersection
    return intersection / np.maximum(union, np.finfo(union.dtype).tiny)


def box_centres(boxes: Array) -> Array:
    """Centres (N, 2) of boxes (N, 4)."""
    return (boxes[:, :2] + boxes[:, 2:]) / 2
