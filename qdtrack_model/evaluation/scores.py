"""The scores of one sequence, and of several together, by the rules of scene scoring (``frames.py``).

MOTA, MOTP, ID switches: Bernardin and Stiefelhagen, "Evaluating Multiple Object Tracking Performance: The CLEAR MOT
Metrics", 2008. IDF1: Ristani et al., 2016 (both by motmetrics). HOTA, DetA, AssA: Luiten et al., 2020 (``hota.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from qdtrack_model.data.readers.mot import MotBoxes
from qdtrack_model.evaluation import hota
from qdtrack_model.evaluation.frames import EPSILON, MATCH_IOU, ScoredFrame, scored_frames
from qdtrack_model.evaluation.metrics import motmetrics_values
from qdtrack_model.structures import Array

COUNTS = {
    "num_objects": "objects", "num_predictions": "predictions", "num_unique_objects": "identities",
    "num_switches": "id_switches", "num_false_positives": "false_positives", "num_misses": "false_negatives",
    "num_fragmentations": "fragmentations", "mostly_tracked": "mostly_tracked",
    "partially_tracked": "partly_tracked", "mostly_lost": "mostly_lost", "idtp": "id_true_positives",
}  # fmt: skip
_PARTS = tuple(part.name for part in fields(hota.Hota))


@dataclass(frozen=True)
class Scores:
    """Counts, and the scores that follow from them as fractions (1 is perfect; MOTA can be below 0).

    Args:
        objects: scored ground-truth boxes.
        predictions: result boxes that count (those on ignored ground truth do not).
        identities: scored ground-truth identities; mostly tracked: matched in 80 % of their frames or more, mostly
            lost: in less than 20 %, partly tracked: the rest.
        id_true_positives: boxes right under the best one-to-one assignment of identities.
        overlap: sum of the IoU of all matched pairs.
        parts: of HOTA, at each threshold.
    """

    objects: int
    predictions: int
    identities: int
    id_switches: int
    false_positives: int
    false_negatives: int
    fragmentations: int
    mostly_tracked: int
    partly_tracked: int
    mostly_lost: int
    id_true_positives: int
    overlap: float
    parts: hota.Hota = field(repr=False, compare=False)

    @property
    def mota(self) -> float:
        """1 - (misses + false positives + switches) / objects."""
        return 1 - (self.false_negatives + self.false_positives + self.id_switches) / self.objects

    @property
    def motp(self) -> float:
        """Mean IoU of the matched pairs; 0 without any."""
        return self.overlap / max(self.objects - self.false_negatives, 1)

    @property
    def idf1(self) -> float:
        """Share of boxes with the right identity: harmonic mean of its precision and recall."""
        return 2 * self.id_true_positives / (self.objects + self.predictions)

    @property
    def hota(self) -> float:
        """Higher-order tracking accuracy, mean over IoU thresholds .05 to .95."""
        return float(np.mean(self.parts.by_name["HOTA"]))

    @property
    def deta(self) -> float:
        """Detection accuracy, mean over thresholds."""
        return float(np.mean(self.parts.by_name["DetA"]))

    @property
    def assa(self) -> float:
        """Association accuracy, mean over thresholds."""
        return float(np.mean(self.parts.by_name["AssA"]))

    @property
    def loca(self) -> float:
        """Localisation accuracy, mean over thresholds."""
        return float(np.mean(self.parts.by_name["LocA"]))

    def to_mapping(self) -> dict[str, float | int]:
        """All scores and counts by name, ready for JSON."""
        scores = {
            name: round(float(getattr(self, name)), 6)
            for name in ("mota", "motp", "idf1", "hota", "deta", "assa", "loca")
        }
        return scores | {name: int(getattr(self, name)) for name in COUNTS.values()}

    def to_state(self) -> dict[str, Any]:
        """All that :func:`combine` needs, exactly, ready for JSON."""
        counts = {name: int(getattr(self, name)) for name in COUNTS.values()}
        parts = {name: getattr(self.parts, name).tolist() for name in _PARTS}
        return {**counts, "overlap": float(self.overlap), "parts": parts}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Scores:
        """What :meth:`to_state` gave.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        parts = hota.Hota(**{name: np.array(state["parts"][name]) for name in _PARTS})
        return cls(**{**state, "parts": parts})


def _distances(frame: ScoredFrame) -> Array:
    """1 - IoU (T, R), NaN below the overlap of a match."""
    return np.where(frame.similarity >= MATCH_IOU - EPSILON, 1 - frame.similarity, np.nan)


def evaluate(ground_truth: MotBoxes, results: MotBoxes) -> Scores:
    """Score one sequence at IoU .5 (HOTA over all thresholds).

    No results at all is a valid answer: everything is missed.

    Raises:
        EvaluationError: an id is twice in one frame, or no ground truth is scored.
    """
    frames = list(scored_frames(ground_truth, results))
    values = motmetrics_values(
        ((frame.truth_ids, frame.result_ids, _distances(frame)) for frame in frames),
        [*COUNTS, "motp", "num_detections"],
    )
    counts = {ours: int(values[theirs]) for theirs, ours in COUNTS.items()}
    matched = int(values["num_detections"])
    overlap = (1 - values["motp"]) * matched if matched else 0.0
    return Scores(**counts, overlap=overlap, parts=hota.hota(frames))


def combine(parts: Sequence[Scores]) -> Scores:
    """The scores of several sequences taken as one: counts are summed, then divided."""
    sums = {name: sum(getattr(part, name) for part in parts) for name in COUNTS.values()}
    return Scores(
        **sums, overlap=sum(part.overlap for part in parts), parts=hota.combine([part.parts for part in parts])
    )
