"""Higher-order tracking accuracy: Luiten et al., "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking",
2020.

Equal to TrackEval's, which a test holds it against and which cannot be a dependency: it asks for opencv-python, which
would overwrite the headless OpenCV. At each threshold a of overlap S the matches TP(a) count, and how often each pair
of object and track is matched, c(i, j), against how often the two are there, n(i) and n(j).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import linear_sum_assignment

from qdtrack_model.evaluation.frames import EPSILON, ScoredFrame, numbered
from qdtrack_model.structures import Array

THRESHOLDS = np.arange(0.05, 0.99, 0.05)  # 19 of them


@dataclass(frozen=True, eq=False)
class Hota:
    """Counts and scores at each of THRESHOLDS, each (19,).

    Args:
        matches: true positives.
        misses: boxes of the ground truth without a match.
        false_positives: boxes of the results without a match.
        overlap: sum of the overlaps of all matches.
        association: mean over the matches of c / (n(i) + n(j) - c); AssA.
        recall: the same of c / n(i); AssRe.
        precision: the same of c / n(j); AssPr.
    """

    matches: Array
    misses: Array
    false_positives: Array
    overlap: Array
    association: Array
    recall: Array
    precision: Array

    @cached_property
    def by_name(self) -> dict[str, Array]:
        """All scores (19,) by their usual names; those of no matches are 0, but for a localisation of 1."""
        tp, fn, fp = self.matches, self.misses, self.false_positives
        detection = tp / np.maximum(1, tp + fn + fp)
        found, right = tp / np.maximum(1, tp + fn), tp / np.maximum(1, tp + fp)
        located = np.divide(self.overlap, tp, out=np.ones(len(tp)), where=tp > 0)
        return {
            "HOTA": np.sqrt(detection * self.association), "DetA": detection, "AssA": self.association,
            "DetRe": found, "DetPr": right, "AssRe": self.recall, "AssPr": self.precision,
            "LocA": located, "OWTA": np.sqrt(found * self.association),
        }  # fmt: skip


def alignment_of(parts: Sequence[tuple[Array, Array, Array]], objects: int, tracks: int) -> tuple[Array, Array, Array]:
    """How well objects and tracks agree over all frames (objects, tracks), and in how many each of them is."""
    common, seen, given = np.zeros((objects, tracks)), np.zeros(objects), np.zeros(tracks)
    for truth, found, similarity in parts:
        union = similarity.sum(0) + similarity.sum(1)[:, None] - similarity
        common[np.ix_(truth, found)] += np.divide(similarity, union, out=np.zeros_like(union), where=union > EPSILON)
        seen[truth] += 1
        given[found] += 1
    return common / np.maximum(seen[:, None] + given - common, EPSILON), seen, given


def hota(frames: Sequence[ScoredFrame]) -> Hota:
    """The scores of one sequence."""
    parts, objects, tracks = numbered(frames)
    alignment, seen, given = alignment_of(parts, objects, tracks)
    pairs, overlaps = [np.zeros(0, np.int64)], [np.zeros(0)]
    for truth, found, similarity in parts:
        rows, columns = linear_sum_assignment(-alignment[np.ix_(truth, found)] * similarity)
        pairs.append(truth[rows] * tracks + found[columns])
        overlaps.append(similarity[rows, columns])
    return _at_thresholds(np.concatenate(pairs), np.concatenate(overlaps), seen, given)


def _at_thresholds(pairs: Array, overlaps: Array, seen: Array, given: Array) -> Hota:
    """Scores of the assigned pairs (M,), numbered object * tracks + track, and their overlaps (M,)."""
    columns: list[list[float]] = []
    for threshold in THRESHOLDS:
        counted = overlaps >= threshold - EPSILON
        kinds, counts = np.unique(pairs[counted], return_counts=True)
        total = int(counts.sum())
        of_object, of_track = seen[kinds // max(len(given), 1)], given[kinds % max(len(given), 1)]
        shares = (counts / (of_object + of_track - counts), counts / of_object, counts / of_track)
        means = [float((counts * share).sum()) / max(total, 1) for share in shares]
        columns.append([total, seen.sum() - total, given.sum() - total, overlaps[counted].sum(), *means])
    return Hota(*np.array(columns).T)


def combine(parts: Sequence[Hota]) -> Hota:
    """Several sequences as one: counts are summed, and association is weighted with the matches."""
    counts = [
        sum(getattr(part, name) for part in parts) for name in ("matches", "misses", "false_positives", "overlap")
    ]
    weighted = [
        sum(getattr(part, name) * part.matches for part in parts) / np.maximum(1, counts[0])
        for name in ("association", "recall", "precision")
    ]
    return Hota(*counts, *weighted)
