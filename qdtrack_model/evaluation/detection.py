"""How well objects are found in single images: average precision of a class, as COCO's public evaluation computes it.

Lin et al., "Microsoft COCO: Common Objects in Context", 2014.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from qdtrack_model.boxes import box_area, box_iou
from qdtrack_model.evaluation.protocols.average_precision import TEN_THRESHOLDS, Cell, curves, mean_precision
from qdtrack_model.structures import Array, Detections

MOST_DETECTIONS = 100  # of an image, by score
EVERY_SIZE = "all"


@dataclass(frozen=True, eq=False)
class JudgedImage:
    """One image as it is scored for one class, of which every object in it has a box.

    Args:
        boxes: (N, 4) of the class.
        ignored: (M, 4) regions, detections in which are neither right nor wrong.
        found: (K, 4) detections of the class.
        scores: (K,) of the detections.
    """

    boxes: Array
    ignored: Array
    found: Array
    scores: Array


def judged(boxes: Array, labels: Array, detections: Detections, label: int) -> JudgedImage:
    """The part of an image that class ``label`` is scored by; labels below 0 are ignored objects."""
    own = detections.labels == label
    return JudgedImage(boxes[labels == label], boxes[labels < 0], detections.boxes[own], detections.scores[own])


@dataclass(frozen=True)
class Precision:
    """Average precision of one class as fractions; None where there is no object.

    Args:
        ap50: at IoU .5.
        ap: mean over IoU .5 to .95.
        objects: scored objects.
        images: scored images.
    """

    ap50: float | None
    ap: float | None
    objects: int
    images: int


def average_precision(images: Iterable[JudgedImage]) -> Precision:
    """Average precision of one class over images."""
    cells = [_cell(image) for image in images]
    found = curves(cells, TEN_THRESHOLDS, EVERY_SIZE).values()
    objects = sum(cell.overlaps.shape[1] for cell in cells)
    return Precision(mean_precision(found, 0), mean_precision(found), objects, len(cells))


def _cell(image: JudgedImage) -> Cell:
    order = np.argsort(-image.scores, kind="stable")[:MOST_DETECTIONS]
    found, objects = image.found[order].astype(np.float64), image.boxes.astype(np.float64)
    excused = _covered(found, image.ignored.astype(np.float64)) >= TEN_THRESHOLDS[:, None]
    return Cell(
        0, box_iou(found, objects), image.scores[order], {EVERY_SIZE: ~excused},
        {EVERY_SIZE: np.ones(len(objects), bool)}, exhaustive=True,
    )  # fmt: skip


def _covered(boxes: Array, regions: Array) -> Array:
    """The largest part (N,) of each box (N, 4) that lies in one of the regions (M, 4)."""
    corners = np.concatenate([
        np.maximum(boxes[:, None, :2], regions[:, :2]), np.minimum(boxes[:, None, 2:], regions[:, 2:])
    ], axis=2)  # (N, M, 4)  # fmt: skip
    common = box_area(corners.reshape(-1, 4)).reshape(len(boxes), len(regions))
    areas = np.maximum(box_area(boxes), np.finfo(np.float64).tiny)
    return np.asarray((common / areas[:, None]).max(axis=1, initial=0))
