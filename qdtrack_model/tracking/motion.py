"""Where remembered objects should be by now: a spatial prior for people who look alike.

Appearance alone cannot tell two people in the same uniform apart, and gives a far away stranger the id of somebody
who left. Both are settled by where a track can be: it coasts on with its last velocity, slowing down, since what an
object did becomes less telling with time, and the allowed distance from there widens.
"""

from __future__ import annotations

import numpy as np

from qdtrack_model.boxes import box_centres, box_iou
from qdtrack_model.structures import Array


def predict_boxes(boxes: Array, velocities: Array, gaps: Array, decay: float) -> Array:
    """Boxes (M, 4) moved on for the time since they were seen, their size kept.

    Args:
        boxes: (M, 4) where last seen.
        velocities: (M, 2) of the centres, pixels per unit of time.
        gaps: (M,) time since.
        decay: time constant of the slowing down; the farthest an object goes is ``decay * velocity``.
    """
    moved = velocities * (decay * -np.expm1(-gaps / decay))[:, None]
    return np.asarray(boxes + np.tile(moved, 2), boxes.dtype)


def box_distances(boxes: Array, predicted: Array) -> Array:
    """Distances (N, M): of the centres in sizes of the predicted box, and of the logarithms of the heights.

    The size is the root of the area, so that 1 means the same near and far. Both parts add as squares.
    """
    centres, origins = box_centres(boxes), box_centres(predicted)
    sides = np.maximum(predicted[:, 2:] - predicted[:, :2], 1e-3)
    size = np.sqrt(sides[:, 0] * sides[:, 1])
    height = np.log(np.maximum(boxes[:, 3] - boxes[:, 1], 1e-3))
    across = (centres[:, 0, None] - origins[:, 0]) / size
    down = (centres[:, 1, None] - origins[:, 1]) / size
    growth = height[:, None] - np.log(sides[:, 1])
    return np.asarray(np.sqrt(across**2 + down**2 + growth**2))


def recover_by_overlap(boxes: Array, predicted: Array, allowed: Array, least: float) -> list[tuple[int, int]]:
    """Pairs (detection, track), each used once, by falling overlap of at least ``least``.

    What appearance leaves over, mostly people half hidden, is where their motion says they should be.
    Paper: Zhang et al., ByteTrack, ECCV 2022 (the second association).

    Args:
        boxes: (N, 4) of detections left over.
        predicted: (M, 4) of tracks left over.
        allowed: (N, M) boolean, pairs to consider.
        least: least intersection over union, above 0.
    """
    overlaps = box_iou(boxes, predicted) * allowed
    rows, columns = np.nonzero(overlaps >= least)
    order = np.argsort(-overlaps[rows, columns], kind="stable")
    pairs: list[tuple[int, int]] = []
    free_rows, free_columns = set(rows.tolist()), set(columns.tolist())
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row in free_rows and column in free_columns:
            pairs.append((row, column))
            free_rows.remove(row)
            free_columns.remove(column)
    return pairs
