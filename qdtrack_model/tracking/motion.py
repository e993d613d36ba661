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


def squared_distances(boxes: Array, predicted: Array, widening: Array) -> Array:
    """Squared distances (N, M) of detections from where tracks should be, 1 being about a box's size.

    The sum of three squares: how far the centres are apart in x and in y, in sizes of the predicted box (the root of
    its area, so that near and far objects are alike), and by how much the logarithms of the heights differ; divided
    by the square of ``widening``.

    Args:
        boxes: (N, 4) of detections.
        predicted: (M, 4) of tracks.
        widening: (M,) what counts as one box size for each track; grows with the time unseen.
    """
    centres, origins = box_centres(boxes), box_centres(predicted)
    sides = np.maximum(predicted[:, 2:] - predicted[:, :2], 1e-3)
    units = 1 / np.sqrt(sides[:, 0] * sides[:, 1])
    heights = np.log(np.maximum(boxes[:, 3] - boxes[:, 1], 1e-3))
    total = np.square(heights[:, None] - np.log(sides[:, 1]))
    for axis in (0, 1):
        apart = centres[:, axis, None] - origins[:, axis]
        apart *= units
        total += np.square(apart, out=apart)
    total /= np.square(widening, dtype=total.dtype)
    return np.asarray(total)


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
    ious = box_iou(boxes, predicted) * allowed
    rows, columns = np.nonzero(ious >= least)
    order = np.argsort(-ious[rows, columns], kind="stable")
    pairs: list[tuple[int, int]] = []
    free_rows, free_columns = set(rows.tolist()), set(columns.tolist())
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row in free_rows and column in free_columns:
            pairs.append((row, column))
            free_rows.remove(row)
            free_columns.remove(column)
    return pairs
