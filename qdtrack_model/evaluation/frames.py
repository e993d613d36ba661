"""What scene scoring scores: ground truth and results of each frame with their overlaps, ignored boxes taken out.

These are rules of our own for ground truth of any classes, no benchmark's. Boxes of confidence 0 are ignored, whatever
their class: results that match one are neither right nor wrong and disappear, then the ignored boxes do. Every class
with another confidence is scored. MOTChallenge's rules differ, see ``protocols/motchallenge.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from qdtrack_model.boxes import box_iou
from qdtrack_model.data.readers.mot import MotBoxes
from qdtrack_model.structures import Array

MATCH_IOU = 0.5
EPSILON = np.finfo(np.float64).eps  # an overlap of exactly one half is a match, rounding or not


class EvaluationError(ValueError):
    """Ground truth and results that cannot be compared; the text says why."""


@dataclass(frozen=True, eq=False)
class ScoredFrame:
    """One frame: ids (T,) of the ground truth, ids (R,) of the results, similarity (T, R) as IoU, and its number where
    that matters."""

    truth_ids: Array
    result_ids: Array
    similarity: Array
    number: int = 0


def check_unique(boxes: MotBoxes, what: str) -> None:
    """Raise EvaluationError where an id is twice in a frame: no metric is defined then."""
    pairs, counts = np.unique(np.stack([boxes.frames, boxes.ids]), axis=1, return_counts=True)
    if (counts > 1).any():
        frame, identity = pairs[:, counts > 1][:, 0]
        raise EvaluationError(f"{what}: id {identity} is {counts.max()} times in frame {frame}, expected once")


def numbered(frames: Sequence[ScoredFrame]) -> tuple[list[tuple[Array, Array, Array]], int, int]:
    """The frames with ids counted from 0, as (truth (T,), results (R,), similarity (T, R)), and how many ids there are
    of either."""
    nothing = np.zeros(0, np.int64)
    truth_ids = np.unique(np.concatenate([nothing, *(frame.truth_ids for frame in frames)]))
    result_ids = np.unique(np.concatenate([nothing, *(frame.result_ids for frame in frames)]))
    parts = [
        (np.searchsorted(truth_ids, f.truth_ids), np.searchsorted(result_ids, f.result_ids), f.similarity)
        for f in frames
    ]
    return parts, len(truth_ids), len(result_ids)


def rows_by_frame(boxes: MotBoxes) -> dict[int, Array]:
    """The rows of each frame that has any, in the order of the file."""
    order = np.argsort(boxes.frames, kind="stable")
    frames, starts = np.unique(boxes.frames[order], return_index=True)
    return dict(zip(frames.tolist(), np.split(order, starts)[1:], strict=True))


def _similarity(truth: MotBoxes, scored: Array, results: MotBoxes, separate_classes: bool) -> Array:
    """IoU (T, R); 0 between a scored box and a result of another class."""
    similarity = box_iou(truth.boxes, results.boxes)
    if separate_classes:
        known = results.classes > 0
        differ = truth.classes[:, None] != results.classes[None, :]
        similarity[differ & known[None, :] & scored[:, None]] = 0
    return similarity


def results_on(chosen: Array, similarity: Array) -> Array:
    """Which results (R,) the best one-to-one matching of overlaps (T, R) from .5 gives to the chosen boxes (T,)."""
    overlap = np.where(similarity >= MATCH_IOU - EPSILON, similarity, 0)
    rows, columns = linear_sum_assignment(-overlap)
    matched = overlap[rows, columns] > 0
    found = np.zeros(similarity.shape[1], bool)
    found[columns[matched & chosen[rows]]] = True
    return found


def scored_frames(ground_truth: MotBoxes, results: MotBoxes) -> Iterator[ScoredFrame]:
    """The frames in which anything is left to score, in order.

    Ground truth of confidence 0 is ignored, all other is scored. Where several classes are scored, a result with a
    class (above 0) can only match its own.

    Raises:
        EvaluationError: a scored id is twice in one frame, or no ground truth is scored.
    """
    all_scored = ground_truth.confidences != 0
    check_unique(ground_truth[all_scored], "ground truth")  # what is ignored may share the id of what is unknown
    check_unique(results, "results")
    if not all_scored.any():
        raise EvaluationError(f"ground truth: none of its {len(ground_truth)} boxes is scored (confidence not 0)")
    separate_classes = len(np.unique(ground_truth.classes[all_scored])) > 1
    truth_rows, result_rows = rows_by_frame(ground_truth), rows_by_frame(results)
    nothing = np.zeros(0, np.int64)
    for frame in sorted(truth_rows.keys() | result_rows.keys()):
        truth = ground_truth[truth_rows.get(frame, nothing)]
        found = scored_frame(frame, truth, results[result_rows.get(frame, nothing)], separate_classes)
        if len(found.truth_ids) or len(found.result_ids):
            yield found


def scored_frame(number: int, truth: MotBoxes, results: MotBoxes, separate_classes: bool) -> ScoredFrame:
    """One frame of :func:`scored_frames`, in which nothing may be left to score."""
    scored = truth.confidences != 0
    similarity = _similarity(truth, scored, results, separate_classes)
    kept = ~results_on(~scored, similarity)
    return ScoredFrame(truth.ids[scored], results.ids[kept], similarity[np.ix_(scored, kept)], number)
