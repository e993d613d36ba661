"""What a one-shot network should say about an image: its heatmap, and what is at chosen places.

Heatmaps follow CornerNet (arXiv 1808.01244) and Objects as Points (arXiv 1904.07850).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from qdtrack_model.boxes import gaussian_radius
from qdtrack_model.data.samples import IGNORED, LabelledImage
from qdtrack_model.networks.one_shot import STRIDE
from qdtrack_model.structures import Array

# Values of `CentreTargets.identity` that are no id: no object, a row left over, an object of unknown identity.
BACKGROUND, UNUSED, UNKNOWN = -1, -2, -3


def draw_gaussian(heat: Array, column: int, row: int, radius: int) -> None:
    """Raise ``heat`` (H, W), in place, to a Gaussian bump of height 1 at (column, row) that ends at ``radius``."""
    height, width = heat.shape
    sigma = (2 * radius + 1) / 6
    left, right = max(0, column - radius), min(width, column + radius + 1)
    top, bottom = max(0, row - radius), min(height, row + radius + 1)
    x = np.arange(left, right) - column
    y = np.arange(top, bottom)[:, None] - row
    bump = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    np.maximum(heat[top:bottom, left:right], bump, out=heat[top:bottom, left:right])


@dataclass(frozen=True, eq=False)
class CentreTargets:
    """What to learn from one image of h x w cells, K places of which are looked at closely.

    Args:
        heat: (C, h, w) float32, the heatmap.
        ignored: (C, h, w) bool, cells that count for nothing in the heatmap of a class.
        index: (K,) int64, flat cell indices of the places.
        boxes: (K, 4) float32, x1 y1 x2 y2 in cells, of the object that each place describes.
        identity: (K,) int64, the object's id, or UNKNOWN; BACKGROUND where there is none, UNUSED in rows left over.
    """

    heat: Array
    ignored: Array
    index: Array
    boxes: Array
    identity: Array


def centre_targets(
    labelled: LabelledImage, class_count: int, places: int, per_object: int, random: np.random.Generator
) -> CentreTargets:
    """Targets for one image.

    Quasi-dense: an object is described at its centre and at places around it, ``per_object`` in all; a quarter as
    many places of background join in, so that what is nothing is told apart too. A random choice of ``places``
    remains where there are more.
    """
    objects = labelled.objects
    height, width = labelled.image.shape[0] // STRIDE, labelled.image.shape[1] // STRIDE
    heat = np.zeros((class_count, height, width), np.float32)
    ignored, background = np.zeros((class_count, height, width), bool), np.ones((height, width), bool)
    boxes, known = objects.boxes / STRIDE, objects.labels != IGNORED
    for box, label in zip(objects.open_boxes / STRIDE, objects.open_labels, strict=True):
        ignored[label][_cells(box)] = True
    for box, label in zip(boxes[known], objects.labels[known], strict=True):
        ignored[label][_cells(box)] = False  # within its box nothing but the object itself is to be found
    for box in boxes[~known]:
        down, across = _cells(box)
        ignored[:, down, across] = True
        background[down, across] = False
    rows: list[tuple[Array, Array, int]] = []  # cells, box, identity
    for box, label, number in zip(boxes[known], objects.labels[known], objects.ids[known], strict=True):
        centre, sides = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        column, row = np.minimum(centre.astype(int), (width - 1, height - 1))
        radius = max(0, int(gaussian_radius(math.ceil(sides[1]), math.ceil(sides[0]))))
        draw_gaussian(heat[label], column, row, radius)
        near = slice(max(0, row - radius), row + radius + 1), slice(max(0, column - radius), column + radius + 1)
        ignored[label][near] = False
        x1, y1, x2, y2 = box.astype(int)
        background[y1 : y2 + 1, x1 : x2 + 1] = False
        around = (centre + random.uniform(-0.18, 0.18, (per_object - 1, 2)) * sides).astype(int)
        points = np.concatenate([[[column, row]], np.clip(around, 0, (width - 1, height - 1))])
        rows.append((np.unique(points[:, 1] * width + points[:, 0]), box, int(number) if number >= 0 else UNKNOWN))
    empty = np.flatnonzero(background)
    if len(empty):
        rows.append((random.choice(empty, places // 4), np.zeros(4), BACKGROUND))
    return CentreTargets(heat, ignored, *_fill(rows, places, random))


def beside_centres(index: Array, sizes: Array, directions: Array, shape: tuple[int, int]) -> Array:
    """Places within the same objects, where the pairwise ranking loss takes its positives.

    Half a Gaussian radius, here of a quarter of the usual width, beside the centre, to one of four sides; the centre
    itself where the object is small.

    Args:
        index: (N,) int64, flat cell indices of the centres.
        sizes: (N, 2) width, height of the objects in cells.
        directions: (N, 2) 0 or 1: up or down instead of across; to the greater coordinate instead of the lesser.
        shape: height, width of the map.

    Returns:
        (N,) int64 flat cell indices.
    """
    pixels = np.round(STRIDE * sizes)
    radii = [int(0.25 * max(0.0, gaussian_radius(math.ceil(h), math.ceil(w)))) for w, h in pixels.tolist()]
    steps = np.array([radius // 2 for radius in radii], np.int64) * (2 * directions[:, 1].astype(np.int64) - 1)
    down = directions[:, 0].astype(bool)
    rows, columns = np.divmod(np.asarray(index, np.int64), shape[1])
    rows = np.clip(rows + steps * down, 0, shape[0] - 1)
    columns = np.clip(columns + steps * ~down, 0, shape[1] - 1)
    return np.asarray(rows * shape[1] + columns)


def _cells(box: Array) -> tuple[slice, slice]:
    """The rows and columns that a box (4,) in cells touches."""
    x1, y1, x2, y2 = box
    return slice(int(y1), math.ceil(y2)), slice(int(x1), math.ceil(x2))


def _fill(rows: list[tuple[Array, Array, int]], places: int, random: np.random.Generator) -> tuple[Array, Array, Array]:
    """Index, boxes and identity of exactly ``places`` rows: chosen at random or padded with UNUSED."""
    index, boxes = np.zeros(places, np.int64), np.zeros((places, 4), np.float32)
    identity = np.full(places, UNUSED, np.int64)
    if rows:
        cells = np.concatenate([cells for cells, _, _ in rows])
        owner = np.repeat(np.arange(len(rows)), [len(cells) for cells, _, _ in rows])
        chosen = random.permutation(len(cells))[:places]
        index[: len(chosen)] = cells[chosen]
        boxes[: len(chosen)] = np.stack([box for _, box, _ in rows])[owner[chosen]]
        identity[: len(chosen)] = np.array([number for _, _, number in rows])[owner[chosen]]
    return index, boxes, identity
