"""The protocol of LVIS v0.5 for boxes (https://www.lvisdataset.org), of lvis-api's ``LVISEval``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qdtrack_model.data.readers.tao import Annotations, Box, read_lvis, read_results
from qdtrack_model.evaluation.frames import EvaluationError
from qdtrack_model.evaluation.protocols import Report
from qdtrack_model.evaluation.protocols.average_precision import (
    AREAS,
    MOST_BOXES,
    TEN_THRESHOLDS,
    Cell,
    by_category,
    curves,
    intersections,
    mean_precision,
    mean_recall,
    strongest,
    within,
)
from qdtrack_model.structures import Array

AT_50, AT_75 = 0, 5  # of TEN_THRESHOLDS
SIZES = ("small", "medium", "large")
FREQUENCIES = ("r", "c", "f")


def evaluate(ground_truth: str | Path, results: str | Path) -> Report:
    """The official scores as fractions, -1 where there is nothing to find.

    Raises:
        DocumentError, EvaluationError: a file is broken or names what the ground truth has not.
    """
    truth = read_lvis(ground_truth)
    _check(truth, ground_truth)
    found = strongest(read_results(results, truth, tracks=False))
    cells = list(_cells(truth, found))
    ranges = {name: curves(cells, TEN_THRESHOLDS, name) for name in AREAS}
    every = ranges["all"]
    of = {
        letter: [curve for category, curve in every.items() if truth.categories[category] == letter]
        for letter in FREQUENCIES
    }
    means = {
        "AP": mean_precision(every.values()),
        "AP50": mean_precision(every.values(), AT_50),
        "AP75": mean_precision(every.values(), AT_75),
        **{f"AP{name[0]}": mean_precision(ranges[name].values()) for name in SIZES},
        **{f"AP{letter}": mean_precision(part) for letter, part in of.items()},
        f"AR@{MOST_BOXES}": mean_recall(every.values()),
        **{f"AR{name[0]}@{MOST_BOXES}": mean_recall(ranges[name].values()) for name in SIZES},
    }
    scores: dict[str, Any] = {name: -1.0 if mean is None else mean for name, mean in means.items()}
    table = [["", *scores], ["boxes", *(f"{100 * score:.2f}" for score in scores.values())]]
    scores["AP_by_category"] = by_category(every, {"AP": None, "AP50": AT_50, "AP75": AT_75})
    return Report(scores, table, [] if found else [f"{results}: no results: every object counts as missed"])


def _check(truth: Annotations, path: str | Path) -> None:
    """Raise for a class of unknown frequency, and for id 0, a match with which the official code takes for none."""
    for category, frequency in truth.categories.items():
        if frequency not in FREQUENCIES:
            raise EvaluationError(f"{path}: category {category}: frequency is {frequency!r}, expected r, c or f")
    for box in truth.boxes:
        if box.node["id"].integer() == 0:
            raise box.node["id"].error("ids from 1: the official code counts a match with 0 as wrong")


def _cells(truth: Annotations, found: Sequence[Box]) -> Iterator[Cell]:
    """Each class in each image where it has objects or is known to be absent; images in order."""
    objects, results = _by_image(truth, truth.boxes), _by_image(truth, found)
    for image, scope in sorted(truth.scopes.items()):
        for category in sorted(objects[image].keys() | (scope.negative & results[image].keys())):
            ours = sorted(results[image].get(category, []), key=lambda box: -box.score)
            theirs = objects[image].get(category, [])
            areas, sizes = (np.array([box.area for box in boxes]) for boxes in (ours, theirs))
            yield Cell(
                category,
                _overlaps(ours, theirs),
                np.array([box.score for box in ours]),
                {name: within(areas, limits) for name, limits in AREAS.items()},
                {name: within(sizes, limits) for name, limits in AREAS.items()},
                category not in scope.not_exhaustive,
            )


def _by_image(truth: Annotations, boxes: Sequence[Box]) -> dict[int, dict[int, list[Box]]]:
    """Boxes of known classes by image and class, without empty ones."""
    found: dict[int, dict[int, list[Box]]] = {image: {} for image in truth.scopes}
    for box in boxes:
        if box.area > 0 and box.category in truth.categories:
            found[box.image].setdefault(box.category, []).append(box)
    return found


def _overlaps(found: Sequence[Box], truth: Sequence[Box]) -> Array:
    """IoU (R, G)."""
    ours, theirs = (np.array([box.box for box in boxes]).reshape(-1, 4) for boxes in (found, truth))
    common = intersections(ours, theirs)
    union = (ours[:, 2] * ours[:, 3])[:, None] + theirs[:, 2] * theirs[:, 3] - common
    return np.divide(common, union, out=np.zeros_like(common), where=common > 0)
