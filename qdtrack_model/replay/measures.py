"""What a run is judged by: scores where there is ground truth, and what tracks tell of themselves."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from qdtrack_model.data.readers.mot import MotBoxes, join, read_mot_frames
from qdtrack_model.evaluation.by_frame import ByFrame, by_frame
from qdtrack_model.evaluation.frames import check_unique, scored_frame
from qdtrack_model.evaluation.scores import Scores
from qdtrack_model.evaluation.whole import Scoring
from qdtrack_model.replay.sequence import TRACKS, TRUTH, ReplayedSequence, Times, read_covered
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


def measured(folder: Path, names: Mapping[int, str]) -> tuple[dict[str, Any], dict[str, Scores]]:
    """What ``run.json`` tells of the files of a sequence, and its scores by class, as :func:`scored_classes` has them.

    The files go by frame by frame: memory grows with identities, not with boxes.

    Raises:
        MotError, EvaluationError, RunError: a file is broken.
    """
    times = Times.read(folder)
    tracks = _tracks_by_class(folder, times)
    of_truth = _classes_of_truth(folder)
    results = {kind for kind in tracks if isinstance(kind, int)}
    kinds: list[str | int] = [ALL, *of_truth] if of_truth else []
    alone = len(of_truth) == 1 and results <= set(of_truth)  # then the class is all there is
    scores = _scores(folder, [ALL] if alone else kinds, len(of_truth) > 1) if kinds else {}
    if alone:
        scores[of_truth[0]] = scores[ALL]

    def name(kind: str | int) -> str:
        return kind if isinstance(kind, str) else names.get(kind, f"class {kind}")

    told = {
        "frames": len(times.numbers),
        "frame_rate": round(times.rate, 3) if math.isfinite(times.rate) else None,
        "seconds": round(float(times.seconds[-1]), 6) if len(times.numbers) else 0.0,
        "scores": {name(kind): one.to_mapping() for kind, one in scores.items()},
        "tracks": {name(kind): one.told(times) for kind, one in tracks.items()},
    }
    return told, {name(kind): one for kind, one in scores.items()}


class _Spells:
    """When tracks were seen without a break, as their boxes come."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[int, int]] = {}
        self._closed: list[tuple[int, int, int]] = []
        self._boxes = 0

    def add(self, place: int, ids: Sequence[int]) -> None:
        """The tracks of the next frame."""
        self._boxes += len(ids)
        for one in ids:
            first, last = self._open.get(one, (place, place))
            if last < place - 1:
                self._closed.append((one, first, last))
                first = place
            self._open[one] = first, place

    def told(self, times: Times) -> dict[str, float]:
        """What tracks tell without ground truth.

        ``tracks`` and ``boxes`` are counts; ``median_seconds`` how long tracks last from their first box to their last;
        ``fragments`` how often a track is not seen for a while, ``reidentifications`` how often for more than AWAY
        seconds; ``flickers`` how often something is seen for less than FLICKER seconds, ``flickers_per_minute`` the
        same by time.
        """
        rows = sorted([*self._closed, *((one, *spell) for one, spell in self._open.items())])
        ids, starts, ends = np.array(rows, np.int64).reshape(-1, 3).T
        seconds, step = times.seconds, 1 / times.rate if math.isfinite(times.rate) else 0.0
        same = ids[1:] == ids[:-1]
        away = (seconds[starts[1:]] - seconds[ends[:-1]])[same] if len(rows) else np.zeros(0)
        begin, end = np.diff(ids, prepend=ids[:1] - 1) != 0, np.diff(ids, append=ids[-1:] + 1) != 0
        lasting = seconds[ends[end]] - seconds[starts[begin]] + step
        flickers = int((seconds[ends] - seconds[starts] + step < FLICKER - 1e-6).sum())
        minutes = (float(seconds[-1]) + step) / 60 if len(seconds) else 0.0
        return {
            "tracks": len(lasting), "boxes": self._boxes,
            "median_seconds": round(float(np.median(lasting)), 6) if len(lasting) else 0.0,
            "fragments": int(same.sum()), "reidentifications": int((away > AWAY).sum()), "flickers": flickers,
            "flickers_per_minute": round(flickers / minutes, 6) if minutes else 0.0,
        }  # fmt: skip


def _tracks_by_class(folder: Path, times: Times) -> dict[str | int, _Spells]:
    """Of all tracks together, and of those of each class."""
    found: dict[str | int, _Spells] = {ALL: _Spells()}
    for number, boxes in read_mot_frames(folder / TRACKS):
        place = int(np.searchsorted(times.numbers, number))
        found[ALL].add(place, boxes.ids.tolist())
        for kind in set(boxes.classes.tolist()):
            found.setdefault(kind, _Spells()).add(place, boxes.ids[boxes.classes == kind].tolist())
    return dict(sorted(found.items(), key=lambda one: -1 << 60 if isinstance(one[0], str) else one[0]))


def _classes_of_truth(folder: Path) -> list[int]:
    """The classes of which something is scored."""
    found: set[int] = set()
    if (folder / TRUTH).is_file():
        for _, boxes in read_mot_frames(folder / TRUTH):
            found.update(boxes.classes[boxes.confidences != 0].tolist())
    return sorted(found)


def _scores(folder: Path, kinds: Sequence[str | int], separate_classes: bool) -> dict[str | int, Scores]:
    """Scores by class."""
    found = {kind: Scoring() for kind in kinds}
    for step in (Scoring.meet, Scoring.associate):
        for number, truth, results in _side_by_side(folder):
            check_unique(truth[truth.confidences != 0], "ground truth")
            check_unique(results, "results")
            for kind, scoring in found.items():
                if kind == ALL:
                    frame = scored_frame(number, truth, results, separate_classes)
                else:
                    chosen = truth[(truth.confidences == 0) | (truth.classes == kind)]
                    frame = scored_frame(number, chosen, results[results.classes == kind], False)
                if len(frame.truth_ids) or len(frame.result_ids):
                    step(scoring, frame)
    return {kind: scoring.scores() for kind, scoring in found.items()}


def _side_by_side(folder: Path) -> Iterator[tuple[int, MotBoxes, MotBoxes]]:
    """Number, ground truth and tracks of each frame that is scored and has any of them."""
    nothing, covered = join([]), read_covered(folder)
    merged = heapq.merge(_frames_of(folder / TRUTH, 0), _frames_of(folder / TRACKS, 1), key=itemgetter(0))
    for number, parts in itertools.groupby(merged, itemgetter(0)):
        found = {side: boxes for _, side, boxes in parts}
        place = int(np.searchsorted(covered, number))
        if place == len(covered) or covered[place] != number:
            found.pop(1, None)  # tracks count only where somebody looked
        if found:
            yield number, found.get(0, nothing), found.get(1, nothing)


def _frames_of(path: Path, side: int) -> Iterator[tuple[int, int, MotBoxes]]:
    return ((number, side, boxes) for number, boxes in read_mot_frames(path))
