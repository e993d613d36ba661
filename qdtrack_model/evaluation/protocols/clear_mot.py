"""CLEAR MOT and identity counts by motmetrics, as the protocols of BDD100K and Waymo add them up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from qdtrack_model.evaluation.metrics import motmetrics_values
from qdtrack_model.structures import Array

MOTMETRICS = {  # fields of Counts in order -> names there
    "objects": "num_objects", "matches": "num_detections", "false_positives": "num_false_positives",
    "misses": "num_misses", "switches": "num_switches", "fragmentations": "num_fragmentations",
    "mostly_tracked": "mostly_tracked", "partly_tracked": "partially_tracked", "mostly_lost": "mostly_lost",
    "id_true_positives": "idtp", "id_false_positives": "idfp", "id_false_negatives": "idfn",
}  # fmt: skip


@dataclass(frozen=True)
class Counts:
    """What is counted in some videos; sums are of all their objects together.

    Args:
        objects: boxes of ground truth.
        mostly_tracked: objects matched in 80 % of their frames or more; mostly lost: in less than 20 %.
        fragmentations: runs of misses between an object's first and last match.
        distance: sum of 1 - IoU of the matches.
    """

    objects: int = 0
    matches: int = 0
    false_positives: int = 0
    misses: int = 0
    switches: int = 0
    fragmentations: int = 0
    mostly_tracked: int = 0
    partly_tracked: int = 0
    mostly_lost: int = 0
    id_true_positives: int = 0
    id_false_positives: int = 0
    id_false_negatives: int = 0
    distance: float = 0.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(ours + theirs for ours, theirs in zip(astuple(self), astuple(other), strict=True)))

    @property
    def mota(self) -> float | None:
        """1 - (misses + false positives + switches) / objects; None without objects."""
        errors = self.misses + self.false_positives + self.switches
        return 1 - errors / self.objects if self.objects else None

    @property
    def motp(self) -> float | None:
        """Mean IoU of the matches; None without any."""
        return 1 - self.distance / self.matches if self.matches else None

    @property
    def idf1(self) -> float | None:
        """Harmonic mean of the precision and recall of identities; None without objects and results."""
        boxes = 2 * self.id_true_positives + self.id_false_positives + self.id_false_negatives
        return 2 * self.id_true_positives / boxes if boxes else None


def count(frames: Sequence[tuple[Array, Array, Array]]) -> Counts:
    """Count one class in one video: ids (T,), ids (R,) and distances (T, R) of each frame, NaN: no match."""
    if not any(len(truth) or len(found) for truth, found, _ in frames):
        return Counts()
    values = motmetrics_values(frames, [*MOTMETRICS.values(), "motp"])
    counts = {field: int(values[name]) for field, name in MOTMETRICS.items()}
    return Counts(**counts, distance=values["motp"] * counts["matches"] if counts["matches"] else 0.0)
