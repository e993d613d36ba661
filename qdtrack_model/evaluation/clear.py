"""CLEAR MOT frame by frame: Bernardin and Stiefelhagen, "Evaluating Multiple Object Tracking Performance: The CLEAR MOT
Metrics", 2008.

What is counted is what motmetrics counts, without its table of events: an object keeps its last result across any gap,
the rest is matched by the largest sum of overlaps from .5 on. Memory holds what is known of each object.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from qdtrack_model.evaluation.frames import EPSILON, MATCH_IOU, ScoredFrame
from qdtrack_model.structures import Array

NONE = np.iinfo(np.int64).min


@dataclass(frozen=True, eq=False)
class Matched:
    """The matches of a frame.

    Args:
        rows: (M,) places of the objects.
        columns: (M,) places of their tracks.
        before: (M,) ids of the tracks that the objects had until then; NONE for the first.
    """

    rows: Array
    columns: Array
    before: Array


@dataclass
class _Object:
    """What is known of an object: its last track, frames it was in, matches, misses since the last match."""

    last: int = NONE
    seen: int = 0
    matched: int = 0
    missed: int = 0


class ClearMot:
    """Matches frame after frame.

    Attributes:
        fragmentations: how often an object was matched again after misses.
    """

    def __init__(self) -> None:
        self._objects: dict[int, _Object] = {}
        self.fragmentations = 0

    def update(self, frame: ScoredFrame) -> Matched:
        """Match the next frame."""
        objects = [self._objects.setdefault(one, _Object()) for one in frame.truth_ids.tolist()]
        last = np.array([one.last for one in objects], np.int64)
        rows, columns = _assigned(frame.similarity, last, frame.result_ids)
        for one in objects:
            one.seen += 1
            one.missed += 1
        for row, track in zip(rows.tolist(), frame.result_ids[columns].tolist(), strict=True):
            one = objects[row]
            self.fragmentations += one.matched > 0 and one.missed > 1
            one.last, one.matched, one.missed = track, one.matched + 1, 0
        return Matched(rows, columns, last[rows])

    def shares(self) -> Array:
        """The matched share of the frames of each object."""
        return np.array([one.matched / one.seen for one in self._objects.values()])


def _assigned(similarity: Array, last: Array, found: Array) -> tuple[Array, Array]:
    """Rows and columns of the matches: first every object with its ``last`` track (T,) where that is among those
    ``found`` (R,) and overlaps it, then the rest with the largest sum of overlaps."""
    free = np.where(similarity >= MATCH_IOU - EPSILON, similarity, 0)
    kept = []
    for row, column in np.argwhere((last[:, None] == found) & (free > 0)).tolist():
        if free[row, column] > 0:  # two objects may have had one track: the first one keeps it
            kept.append((row, column))
            free[row], free[:, column] = 0, 0
    # As many matches as possible come before their overlap, as motmetrics has it.
    rows, columns = linear_sum_assignment(-np.where(free > 0, free + min(free.shape), 0))
    real = free[rows, columns] > 0
    pairs = np.array(kept, np.int64).reshape(-1, 2)
    return np.concatenate([pairs[:, 0], rows[real]]), np.concatenate([pairs[:, 1], columns[real]])
