"""Axis-aligned boxes (N, 4) in NumPy, x1 y1 x2 y2: areas, centres, overlap, the border of an image, tolerance."""

from __future__ import annotations

import math

import numpy as np

from qdtrack_model.structures import Array


def box_area(boxes: Array) -> Array:
    """Areas (N,) of boxes (N, 4); a box turned inside out has area 0."""
    return np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)


def box_iou(first: Array, second: Array) -> Array:
    """Intersection over union (N, M) of boxes (N, 4) and (M, 4); 0 where both are empty."""
    if not len(first) or not len(second):
        return np.zeros((len(first), len(second)), np.result_type(first, second))
    # The edges of an intersection, counted outward, are the lesser of both boxes' own; x and y at once.
    ours, theirs = _outward(first)[:, :, None], _outward(second)[:, None, :]
    sides = np.minimum(ours[:2], theirs[:2])
    sides += np.minimum(ours[2:], theirs[2:])
    np.maximum(sides, np.zeros_like(sides), out=sides)  # an array is faster than a scalar here
    intersection = sides[0] * sides[1]
    tiny = np.finfo(sides.dtype).tiny  # two empty boxes overlap by 0 / tiny
    union = np.maximum(box_area(first), tiny)[:, None] + box_area(second)
    union -= intersection
    return np.asarray(np.divide(intersection, union, out=intersection))


def _outward(boxes: Array) -> Array:
    """The edges (4, N) of boxes (N, 4), counted outward: right, bottom, minus left, minus top."""
    edges = np.empty((4, len(boxes)), boxes.dtype)
    edges[:2] = boxes.T[2:]
    np.negative(boxes.T[:2], out=edges[2:])
    return edges


def clip_boxes(boxes: Array, size: tuple[int, int]) -> Array:
    """Boxes (N, 4) that end at the border of an image of this ``size`` (width, height)."""
    return np.clip(boxes, 0, np.array([*size, *size], boxes.dtype))


def box_centres(boxes: Array) -> Array:
    """Centres (N, 2) of boxes (N, 4)."""
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def gaussian_radius(height: float, width: float, overlap: float = 0.7) -> float:
    """The distance by which both corners of a box may move while the IoU stays at least ``overlap``.

    The smallest over three cases (both corners inside, both outside, one of each), with the roots as CornerNet's
    public code takes them: published results rest on these radii.
    """
    total, area = height + width, height * width
    shifted = (total + math.sqrt(total**2 - 4 * area * (1 - overlap) / (1 + overlap))) / 2
    inside = (2 * total + math.sqrt(4 * total**2 - 16 * (1 - overlap) * area)) / 2
    outside = (-2 * overlap * total + math.sqrt(4 * overlap**2 * total**2 + 16 * overlap * (1 - overlap) * area)) / 2
    return min(shifted, inside, outside)
