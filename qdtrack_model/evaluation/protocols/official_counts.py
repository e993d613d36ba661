"""CLEAR MOT and identity counts by the rules of MOTChallenge's official code (TrackEval), which differ from
motmetrics'.

Of CLEAR MOT: an object keeps its track before any better overlap if the two were matched in the frame before, a frame
without either changes nothing, and mostly tracked means more than 80 % of its frames. See Bernardin and Stiefelhagen,
"Evaluating Multiple Object Tracking Performance: The CLEAR MOT Metrics", 2008, and Ristani et al., 2016.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from scipy.optimize import linear_sum_assignment

from qdtrack_model.evaluation.frames import EPSILON, MATCH_IOU, ScoredFrame, numbered
from qdtrack_model.structures import Array

CONTINUED = 1000  # what the pair of the frame before is worth, against an overlap of at most 1
NONE = -1


@dataclass(frozen=True)
class Clear:
    """CLEAR MOT of one sequence, or of several by ``+``.

    Args:
        matches: true positives.
        misses: boxes of the ground truth without a match.
        false_positives: boxes of the results without a match.
        switches: matches of an object with another track than the last one, however long ago.
        mostly_tracked: objects matched in more than 80 % of their frames.
        partly_tracked: objects matched in 20 to 80 % of their frames.
        mostly_lost: all others.
        fragmentations: times an object is matched again after a frame in which it was not.
        frames: in all, but 0 where there are no results or no objects.
        overlap: sum of the overlaps of all matches.
        nothing: whether there are no results, or no objects, for which the official code gives no ratios.
    """

    matches: int = 0
    misses: int = 0
    false_positives: int = 0
    switches: int = 0
    mostly_tracked: int = 0
    partly_tracked: int = 0
    mostly_lost: int = 0
    fragmentations: int = 0
    frames: int = 0
    overlap: float = 0.0
    nothing: bool = False

    def __add__(self, other: Clear) -> Clear:
        sums = {field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(Clear)}
        return Clear(**{**sums, "nothing": False})

    def to_mapping(self) -> dict[str, float | int]:
        """Counts and ratios by their official names."""
        tp, fn, fp, switches = self.matches, self.misses, self.false_positives, self.switches
        objects, tracked = max(1, tp + fn), max(1, self.mostly_tracked + self.partly_tracked + self.mostly_lost)
        ratios = {
            "MOTA": (tp - fp - switches) / objects, "MOTP": self.overlap / max(1, tp), "MODA": (tp - fp) / objects,
            "CLR_Re": tp / objects, "CLR_Pr": tp / max(1, tp + fp), "MTR": self.mostly_tracked / tracked,
            "PTR": self.partly_tracked / tracked, "MLR": self.mostly_lost / tracked,
            "sMOTA": (self.overlap - fp - switches) / objects, "CLR_F1": tp / max(1, tp + 0.5 * fn + 0.5 * fp),
            "FP_per_frame": fp / max(1, self.frames),
            "MOTAL": (tp - fp - (math.log10(switches) if switches else 0)) / objects,
        }  # fmt: skip
        if self.nothing:
            ratios = dict.fromkeys(ratios, 0.0) | {"MLR": 1.0}
        return {
            "CLR_TP": tp, "CLR_FN": fn, "CLR_FP": fp, "IDSW": switches, "MT": self.mostly_tracked,
            "PT": self.partly_tracked, "ML": self.mostly_lost, "Frag": self.fragmentations, "CLR_Frames": self.frames,
            "MOTP_sum": self.overlap, **ratios,
        }  # fmt: skip


def clear(frames: Sequence[ScoredFrame]) -> Clear:
    """CLEAR MOT of one sequence."""
    parts, objects, tracks = numbered(frames)
    if not objects or not tracks:
        misses, wrong = (sum(len(part[side]) for part in parts) for side in (0, 1))
        return Clear(misses=misses, false_positives=wrong, mostly_lost=objects, nothing=True)
    last, before = np.full(objects, NONE), np.full(objects, NONE)  # track of each object: ever, and in the frame before
    seen, matched, begun = np.zeros(objects, np.int64), np.zeros(objects, np.int64), np.zeros(objects, np.int64)
    false_positives = switches = 0
    overlap = 0.0
    for truth, found, similarity in parts:
        seen[truth] += 1
        if not len(truth) or not len(found):
            false_positives += len(found)
            continue
        rows, columns = _assigned(similarity, before[truth][:, None] == found)
        ours, theirs = truth[rows], found[columns]
        switches += int(((last[ours] != NONE) & (last[ours] != theirs)).sum())
        begun[ours] += before[ours] == NONE
        before[:] = NONE
        before[ours] = last[ours] = theirs
        matched[ours] += 1
        false_positives += len(found) - len(rows)
        overlap += float(similarity[rows, columns].sum())
    shares = matched / np.maximum(seen, 1)
    mostly, lost = int((shares > 0.8).sum()), int((shares < 0.2).sum())
    return Clear(
        matches=int(matched.sum()),
        misses=int((seen - matched).sum()),
        false_positives=false_positives,
        switches=switches,
        mostly_tracked=mostly,
        partly_tracked=objects - mostly - lost,
        mostly_lost=lost,
        fragmentations=int(np.maximum(begun - 1, 0).sum()),
        frames=len(parts),
        overlap=overlap,
    )


def _assigned(similarity: Array, continued: Array) -> tuple[Array, Array]:
    """Rows and columns of the best one-to-one assignment of overlaps (T, R) from .5, ``continued`` pairs first."""
    value = np.where(similarity >= MATCH_IOU - EPSILON, CONTINUED * continued + similarity, 0)
    rows, columns = linear_sum_assignment(-value)
    pairs = value[rows, columns] > EPSILON
    return rows[pairs], columns[pairs]


@dataclass(frozen=True)
class Identity:
    """Boxes under the best one-to-one assignment of objects and tracks: right, missed, wrong; several by ``+``."""

    right: int = 0
    missed: int = 0
    wrong: int = 0

    def __add__(self, other: Identity) -> Identity:
        return Identity(self.right + other.right, self.missed + other.missed, self.wrong + other.wrong)

    def to_mapping(self) -> dict[str, float | int]:
        """Counts and ratios by their official names."""
        tp, fn, fp = self.right, self.missed, self.wrong
        ratios = {"IDR": tp / max(1, tp + fn), "IDP": tp / max(1, tp + fp), "IDF1": tp / max(1, tp + (fn + fp) / 2)}
        return {"IDTP": tp, "IDFN": fn, "IDFP": fp, **ratios}


def identity(frames: Sequence[ScoredFrame]) -> Identity:
    """Identity counts of one sequence; an overlap counts from exactly .5 on."""
    parts, objects, tracks = numbered(frames)
    together = np.zeros((objects, tracks), np.int64)
    for truth, found, similarity in parts:
        together[np.ix_(truth, found)] += similarity >= MATCH_IOU
    right = int(together[linear_sum_assignment(-together)].sum())
    shown, given = (sum(len(part[side]) for part in parts) for side in (0, 1))
    return Identity(right, shown - right, given - right)
