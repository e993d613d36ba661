"""The scores of scene scoring frame by frame: which frame cost what, and the scores of any choice of frames.

What is counted is what ``scores.py`` counts, the same numbers (CLEAR MOT by ``clear.py``). Identities (IDF1) and the
association of HOTA are decided once over all frames, so that the parts of the frames add up to the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from qdtrack_model.data.readers.mot import MotBoxes
from qdtrack_model.evaluation.clear import NONE, ClearMot
from qdtrack_model.evaluation.frames import EPSILON, MATCH_IOU, ScoredFrame, numbered, scored_frames
from qdtrack_model.evaluation.hota import THRESHOLDS, Hota, alignment_of
from qdtrack_model.evaluation.scores import Scores
from qdtrack_model.structures import Array

COUNTED = (
    "objects", "predictions", "false_positives", "false_negatives", "id_switches", "id_true_positives", "overlap",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Events:
    """What happened, a row each: numbers of frames, objects and tracks as in the files, int64.

    Args:
        matches: (M, 3) frame, object, track.
        switches: (S, 4) frame, object, track until then, track from then on.
        misses: (K, 2) frame, object.
        false_positives: (P, 2) frame, track.
    """

    matches: Array
    switches: Array
    misses: Array
    false_positives: Array


@dataclass(frozen=True, eq=False)
class ByFrame:
    """What each frame adds to the scores of a sequence.

    Args:
        frames: (F,) int64, their numbers.
        counts: (F, 7) float64, a column each of COUNTED.
        hota: (F, 19, 5) float64: matches, sum of their overlaps, and sums of their association, its recall and its
            precision, at each threshold.
        events: what happened.
        whole: the scores of all frames.
    """

    frames: Array
    counts: Array
    hota: Array
    events: Events
    whole: Scores

    def scores(self, times: Array) -> dict[str, float]:
        """The scores of a choice of frames, each taken ``times`` (F,) as often; those of no objects are NaN."""
        return scores_of(times @ self.counts, np.tensordot(times, self.hota, 1))


def scores_of(counts: Array, hota: Array) -> dict[str, float]:
    """The scores that follow from sums of ``ByFrame.counts`` (7,) and ``ByFrame.hota`` (19, 5); several sequences add
    up."""
    count = dict(zip(COUNTED, counts.tolist(), strict=True))
    objects, predictions = count["objects"], count["predictions"]
    if not objects:
        return dict.fromkeys(("mota", "idf1", "hota", "deta", "assa", "loca"), np.nan) | count
    wrong = count["false_negatives"] + count["false_positives"] + count["id_switches"]
    parts = _hota(hota, objects, predictions).by_name
    means = {name.lower(): float(np.mean(parts[name])) for name in ("HOTA", "DetA", "AssA", "LocA")}
    return {
        "mota": 1 - wrong / objects,
        "idf1": 2 * count["id_true_positives"] / (objects + predictions),
        **means,
        **count,
    }


def _hota(sums: Array, objects: float, predictions: float) -> Hota:
    matches, overlap, *association = sums.T
    shares = [part / np.maximum(1, matches) for part in association]
    return Hota(matches, objects - matches, predictions - matches, overlap, *shares)


def by_frame(ground_truth: MotBoxes, results: MotBoxes) -> ByFrame:
    """Score one sequence as :func:`qdtrack_model.evaluation.evaluate` does, frame by frame.

    Raises:
        EvaluationError: an id is twice in one frame, or no ground truth is scored.
    """
    frames = list(scored_frames(ground_truth, results))
    parts, objects, tracks = numbered(frames)
    counts = np.zeros((len(frames), len(COUNTED)))
    counts[:, 0] = [len(truth) for truth, _, _ in parts]
    counts[:, 1] = [len(found) for _, found, _ in parts]
    counts[:, 5] = _right_identities(parts, objects, tracks)
    events, shares, fragmentations = _clear(frames, counts)
    hota = _association(parts, objects, tracks)
    sums = counts.sum(0)
    count = dict(zip(COUNTED, sums.tolist(), strict=True))
    overlap = count.pop("overlap")
    mostly, lost = int((shares >= 0.8).sum()), int((shares < 0.2).sum())
    whole = Scores(
        **{name: int(value) for name, value in count.items()}, identities=objects, fragmentations=fragmentations,
        mostly_tracked=mostly, partly_tracked=objects - mostly - lost, mostly_lost=lost, overlap=overlap,
        parts=_hota(hota.sum(0), sums[0], sums[1]),
    )  # fmt: skip
    return ByFrame(np.array([frame.number for frame in frames], np.int64), counts, hota, events, whole)


def _clear(frames: Sequence[ScoredFrame], counts: Array) -> tuple[Events, Array, int]:
    """CLEAR MOT: fills its columns of ``counts``; what happened, matched share of each object, fragmentations."""
    clear = ClearMot()
    rows_of: list[list[Array]] = [[], [], [], []]
    for place, frame in enumerate(frames):
        found = clear.update(frame)
        objects, tracks = frame.truth_ids, frame.result_ids
        ours, theirs = objects[found.rows], tracks[found.columns]
        switched = (found.before != NONE) & (found.before != theirs)
        unmatched, wrong = np.ones(len(objects), bool), np.ones(len(tracks), bool)
        unmatched[found.rows], wrong[found.columns] = False, False
        overlap = frame.similarity[found.rows, found.columns].sum()
        counts[place, [2, 3, 4, 6]] = wrong.sum(), unmatched.sum(), switched.sum(), overlap
        for kind, row in enumerate((
            (ours, theirs), (ours[switched], found.before[switched], theirs[switched]), (objects[unmatched],),
            (tracks[wrong],),
        )):  # fmt: skip
            rows_of[kind].append(np.stack([np.full(len(row[0]), frame.number), *row], axis=1))
    tables = [
        np.concatenate([np.zeros((0, width), np.int64), *found])
        for width, found in zip((3, 4, 2, 2), rows_of, strict=True)
    ]
    return Events(*tables), clear.shares(), clear.fragmentations


def _right_identities(parts: Sequence[tuple[Array, Array, Array]], objects: int, tracks: int) -> Array:
    """Boxes (F,) of each frame that are right under the best one-to-one assignment of identities."""
    together = np.zeros((objects, tracks), np.int64)
    for truth, found, similarity in parts:
        together[np.ix_(truth, found)] += similarity >= MATCH_IOU - EPSILON
    rows, columns = linear_sum_assignment(-together)
    track_of = np.full(objects, -1)
    track_of[rows] = columns
    return np.array([
        ((track_of[truth][:, None] == found) & (similarity >= MATCH_IOU - EPSILON)).sum()
        for truth, found, similarity in parts
    ], np.float64)  # fmt: skip


def _association(parts: Sequence[tuple[Array, Array, Array]], objects: int, tracks: int) -> Array:
    """HOTA's sums (F, 19, 5) of each frame, see ``hota.py``."""
    alignment, seen, given = alignment_of(parts, objects, tracks)
    place: list[Array] = []
    pairs, overlaps = [np.zeros(0, np.int64)], [np.zeros(0)]
    for number, (truth, found, similarity) in enumerate(parts):
        rows, columns = linear_sum_assignment(-alignment[np.ix_(truth, found)] * similarity)
        place.append(np.full(len(rows), number))
        pairs.append(truth[rows] * tracks + found[columns])
        overlaps.append(similarity[rows, columns])
    where, kinds, overlap = (
        np.concatenate([np.zeros(0, np.int64), *place]),
        np.concatenate(pairs),
        np.concatenate(overlaps),
    )
    sums = np.zeros((len(parts), len(THRESHOLDS), 5))
    for at, threshold in enumerate(THRESHOLDS):
        counted = overlap >= threshold - EPSILON
        if not counted.any():
            continue
        names, index, together = np.unique(kinds[counted], return_inverse=True, return_counts=True)
        of_object, of_track = seen[names // tracks], given[names % tracks]
        shares = (together / (of_object + of_track - together), together / of_object, together / of_track)
        values = [np.ones(len(index)), overlap[counted], *(share[index] for share in shares)]
        for column, value in enumerate(values):
            sums[:, at, column] = np.bincount(where[counted], value, len(parts))
    return sums
