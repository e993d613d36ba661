"""Average precision where not every class is annotated everywhere: LVIS in frames, TAO in videos.

Gupta et al., "LVIS: A Dataset for Large Vocabulary Instance Segmentation", 2019, and Dave et al., "TAO: A Large-Scale
Benchmark for Tracking Any Object", 2020, as their public tools compute it. A *place* is a frame or a video; what is
found in it is a box or a track.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdtrack_model.data.readers.tao import Box
from qdtrack_model.structures import Array

MOST_BOXES = 300  # of an image, by score
TEN_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
AREAS = {"all": (0, 1e10), "small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10)}  # both ends included


@dataclass(frozen=True, eq=False)
class Cell:
    """One class in one place, where it is annotated or known to be absent.

    Args:
        category: its id.
        overlaps: (R, G) of results and objects, the results by falling score.
        scores: (R,) of the results.
        results_inside, objects_inside: range -> (R,) or (T, R) by threshold, (G,): which are of the sizes of this
            range; a result that is not and finds no object does not count.
        exhaustive: all objects of this class are annotated, so that a result without one is wrong.
    """

    category: int
    overlaps: Array
    scores: Array
    results_inside: Mapping[str, Array]
    objects_inside: Mapping[str, Array]
    exhaustive: bool


@dataclass(frozen=True, eq=False)
class Curve:
    """Of one class and one range of sizes: precision (T, 101) at each threshold and recall, last recall (T,)."""

    precision: Array
    recall: Array


def strongest(results: Sequence[Box]) -> list[Box]:
    """The results without those of an image beyond the ``MOST_BOXES`` of the highest scores."""
    by_image = defaultdict(list)
    for box in results:
        by_image[box.image].append(box)
    kept: list[Box] = []
    for boxes in by_image.values():
        few = len(boxes) <= MOST_BOXES
        kept += boxes if few else sorted(boxes, key=lambda box: box.score, reverse=True)[:MOST_BOXES]
    return kept


def intersections(first: Array, second: Array) -> Array:
    """Areas (..., N, M) that boxes (..., N, 4) and (..., M, 4), left, top, width, height, have in common."""
    ours, theirs = first[..., :, None, :], second[..., None, :, :]
    ends = np.minimum(ours[..., :2] + ours[..., 2:], theirs[..., :2] + theirs[..., 2:])
    return np.asarray(np.maximum(ends - np.maximum(ours[..., :2], theirs[..., :2]), 0).prod(axis=-1))


def within(values: Array, limits: tuple[float, float]) -> Array:
    """Which values lie in a range, both ends included."""
    return (values >= limits[0]) & (values <= limits[1])


def curves(cells: Iterable[Cell], thresholds: Array, name: str) -> dict[int, Curve]:
    """The curve of each class that has objects in the range ``name``; places in order."""
    by_class = defaultdict(list)
    for cell in cells:
        by_class[cell.category].append(cell)
    found = {}
    for category, part in sorted(by_class.items()):
        objects = sum(int(cell.objects_inside[name].sum()) for cell in part)
        if objects:
            found[category] = _curve(part, thresholds, name, objects)
    return found


def mean_precision(found: Iterable[Curve], threshold: int | None = None) -> float | None:
    """Average precision: the mean over classes, recalls and thresholds (or one, by its index); None without a class."""
    parts = [curve.precision if threshold is None else curve.precision[threshold] for curve in found]
    return float(np.mean(parts)) if parts else None


def mean_recall(found: Iterable[Curve]) -> float | None:
    """Average recall: the mean over classes and thresholds; None without a class."""
    parts = [curve.recall for curve in found]
    return float(np.mean(parts)) if parts else None


def by_category(found: Mapping[int, Curve], thresholds: Mapping[str, int | None]) -> dict[str, dict[str, Any]]:
    """Of each class the average precision at the thresholds (None: over all), under their names."""
    return {
        str(category): {name: mean_precision([curve], threshold) for name, threshold in thresholds.items()}
        for category, curve in found.items()
    }


def _curve(cells: Sequence[Cell], thresholds: Array, name: str, objects: int) -> Curve:
    """The curve over all places, of ``objects`` objects."""
    matches = [_match(cell, thresholds, name) for cell in cells]
    matched, counted = (np.concatenate(parts, axis=1) for parts in zip(*matches, strict=True))
    order = np.argsort(-np.concatenate([cell.scores for cell in cells]), kind="mergesort")
    right = np.cumsum((matched & counted)[:, order], axis=1, dtype=np.float64)
    wrong = np.cumsum((~matched & counted)[:, order], axis=1, dtype=np.float64)
    precision = np.zeros((len(thresholds), len(RECALLS)))
    for row, (true, false) in enumerate(zip(right, wrong, strict=True)):
        falling = np.maximum.accumulate((true / (false + true + np.spacing(1)))[::-1])[::-1]
        first = np.searchsorted(true / objects, RECALLS, side="left")
        reached = first < len(true)
        precision[row, reached] = falling[first[reached]]
    recall = right[:, -1] / objects if right.shape[1] else np.zeros(len(thresholds))
    return Curve(precision, recall)


def _match(cell: Cell, thresholds: Array, name: str) -> tuple[Array, Array]:
    """Which results (T, R) have an object, and which count, in the range ``name``.

    Each result, by falling score, takes the free object of the largest overlap, those inside the range before others.
    """
    inside, shape = cell.objects_inside[name], (len(thresholds), len(cell.scores))
    matched, counted = np.zeros(shape, bool), np.ones(shape, bool)
    free = np.ones((len(thresholds), len(inside)), bool)
    rows = np.arange(len(thresholds))
    for result, overlaps in enumerate(cell.overlaps if len(inside) else ()):
        near = free & (overlaps >= thresholds[:, None])
        first = (near & inside).any(axis=1)
        candidates = np.where(np.where(first[:, None], near & inside, near), overlaps, -1.0)
        best = len(inside) - 1 - candidates[:, ::-1].argmax(axis=1)  # of equal ones the last
        found = near.any(axis=1)
        matched[:, result] = found
        counted[:, result] = ~found | inside[best]
        free[rows[found], best[found]] = False
    excused = ~cell.results_inside[name] | (not cell.exhaustive)
    return matched, counted & (matched | ~excused)
