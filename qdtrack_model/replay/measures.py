"""What a run is judged by: scores where there is ground truth, and what tracks tell of themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from qdtrack_model.data.readers.mot import MotBoxes
from qdtrack_model.evaluation.by_frame import ByFrame, by_frame
from qdtrack_model.replay.sequence import ReplayedSequence
from qdtrack_model.replay.truth import Truth
from qdtrack_model.structures import Array

ALL = "all"
AWAY = 1.0  # seconds unseen after which a track that comes back was identified again
FLICKER = 0.2  # seconds: what is seen for a shorter time only flickers
SCORES = {  # name in reports -> name in files
    "MOTA": "mota", "IDF1": "idf1", "HOTA": "hota", "DetA": "deta", "AssA": "assa", "LocA": "loca",
}  # fmt: skip
COUNTS = {
    "IDSw": "id_switches", "FP": "false_positives", "FN": "false_negatives", "MT": "mostly_tracked",
    "ML": "mostly_lost", "Frag": "fragmentations", "objects": "objects",
}  # fmt: skip


def scored_classes(sequence: ReplayedSequence, names: Mapping[int, str]) -> dict[str, ByFrame]:
    """The scores of a sequence, of all classes together and of each class in its ground truth; empty without any.

    All together are scored as :func:`qdtrack_model.evaluation.evaluate` does; a class by its own boxes alone.
    """
    truth = sequence.truth
    if truth is None or not (truth.boxes.confidences != 0).any():
        return {}
    results = truth.scored(sequence.tracks)
    scored = {ALL: by_frame(truth.boxes, results)}
    classes = np.unique(truth.boxes.classes[truth.boxes.confidences != 0]).tolist()
    if len(classes) == 1 and (results.classes == classes[0]).all():
        return scored | {names.get(classes[0], f"class {classes[0]}"): scored[ALL]}
    for kind in classes:
        boxes = truth.boxes[(truth.boxes.confidences == 0) | (truth.boxes.classes == kind)]
        scored[names.get(kind, f"class {kind}")] = by_frame(boxes, results[results.classes == kind])
    return scored


def spells(frames: Array, ids: Array, known: Array) -> Array:
    """When tracks were seen without a break, (S, 3) int64 of id, place of the first and of the last frame in ``known``.

    Args:
        frames: (N,) number of the frame of each box.
        ids: (N,) of its track.
        known: (F,) numbers of all frames, growing.
    """
    places = np.searchsorted(known, frames)
    order = np.lexsort((places, ids))
    ids, places = ids[order], places[order]
    first = np.ones(len(ids), bool)
    first[1:] = (ids[1:] != ids[:-1]) | (places[1:] > places[:-1] + 1)
    last = np.roll(first, -1) if len(first) else first
    return np.stack([ids[first], places[first], places[last]], axis=1).astype(np.int64)


def of_tracks(sequence: ReplayedSequence, boxes: MotBoxes) -> dict[str, float]:
    """What tracks tell without ground truth.

    ``tracks`` and ``boxes`` are counts; ``median_seconds`` how long tracks last from their first box to their last;
    ``fragments`` how often a track is not seen for a while, ``reidentifications`` how often for more than AWAY seconds;
    ``flickers`` how often something is seen for less than FLICKER seconds, ``flickers_per_minute`` the same by time.
    """
    found = spells(boxes.frames, boxes.ids, sequence.frames)
    seconds, step = sequence.seconds, 1 / sequence.frame_rate if math.isfinite(sequence.frame_rate) else 0.0
    ids, starts, ends = found.T
    same = ids[1:] == ids[:-1]
    away = (seconds[starts[1:]] - seconds[ends[:-1]])[same] if len(found) else np.zeros(0)
    lasting = [seconds[ends[ids == one]].max() - seconds[starts[ids == one]].min() + step for one in np.unique(ids)]
    flickers = int((seconds[ends] - seconds[starts] + step < FLICKER - 1e-6).sum())
    minutes = (float(seconds[-1]) + step) / 60 if len(seconds) else 0.0
    return {
        "tracks": len(lasting), "boxes": len(boxes),
        "median_seconds": round(float(np.median(lasting)), 6) if lasting else 0.0,
        "fragments": int(same.sum()), "reidentifications": int((away > AWAY).sum()), "flickers": flickers,
        "flickers_per_minute": round(flickers / minutes, 6) if minutes else 0.0,
    }  # fmt: skip


def described(sequence: ReplayedSequence, scored: Mapping[str, ByFrame], names: Mapping[int, str]) -> dict[str, Any]:
    """Scores and what tracks tell of themselves, by class, ready for JSON."""
    tracks = {ALL: of_tracks(sequence, sequence.tracks)}
    for kind in np.unique(sequence.tracks.classes).tolist():
        tracks[names.get(kind, f"class {kind}")] = of_tracks(sequence, sequence.tracks[sequence.tracks.classes == kind])
    return {"scores": {name: parts.whole.to_mapping() for name, parts in scored.items()}, "tracks": tracks}


def truth_described(truth: Truth | None) -> dict[str, Any] | None:
    """Where ground truth came from and what of it was used, ready for JSON."""
    if truth is None:
        return None
    return {
        "source": truth.source, "frames": len(truth.frames), "boxes": len(truth.boxes), "left_out": dict(truth.left_out)
    }  # fmt: skip
