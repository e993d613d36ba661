"""The scores of a sequence of any length: memory grows with pairs of identities that ever met, not with frames.

The numbers are those of ``by_frame.py``, which also tells which frame cost what and holds them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from qdtrack_model.evaluation.clear import NONE, ClearMot
from qdtrack_model.evaluation.frames import EPSILON, MATCH_IOU, ScoredFrame
from qdtrack_model.evaluation.hota import THRESHOLDS, Hota
from qdtrack_model.evaluation.scores import Scores
from qdtrack_model.structures import Array

_WAITING = 1 << 16  # entries of a tally that are not yet added up
_TRACKS = 32  # bits of a pair's key that are its track
_BINS = 5  # bits of a key that are how many thresholds an overlap reaches


class Tally:
    """Sums by whole numbers.

    Args:
        width: how many values belong to each.
    """

    def __init__(self, width: int) -> None:
        self._keys, self._values = np.zeros(0, np.int64), np.zeros((0, width))
        self._waiting: list[tuple[Array, Array]] = []
        self._count = 0

    def add(self, keys: Array, values: Array) -> None:
        """Add (N, width) values to the sums of (N,) keys."""
        self._waiting.append((keys, values))
        self._count += len(keys)
        if self._count > _WAITING:
            self.sums()

    def sums(self) -> tuple[Array, Array]:
        """The keys (K,), growing, and their sums (K, width)."""
        if self._waiting:
            keys = np.concatenate([self._keys, *(keys for keys, _ in self._waiting)])
            values = np.concatenate([self._values, *(values for _, values in self._waiting)])
            self._keys, places = np.unique(keys, return_inverse=True)
            columns = [np.bincount(places, column, len(self._keys)) for column in values.T]
            self._values, self._waiting, self._count = np.stack(columns, axis=1), [], 0
        return self._keys, self._values


class _Numbers:
    """Numbers of ids in the order of their first meeting, and in how many frames each is."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._frames: list[int] = []

    def count(self, ids: Array) -> None:
        """Meet the ids of a frame."""
        for one in ids.tolist():
            number = self._numbers.setdefault(one, len(self._frames))
            if number == len(self._frames):
                self._frames.append(0)
            self._frames[number] += 1

    def __call__(self, ids: Array) -> Array:
        """The numbers of ids that were met."""
        return np.array([self._numbers[one] for one in ids.tolist()], np.int64)

    @property
    def frames(self) -> Array:
        """By number."""
        return np.array(self._frames, np.float64)


def whole(frames: Callable[[], Iterable[ScoredFrame]]) -> Scores:
    """Score a sequence.

    Args:
        frames: gives the frames in order, the same each of the two times that it is called.
    """
    scoring = Scoring()
    for frame in frames():
        scoring.meet(frame)
    for frame in frames():
        scoring.associate(frame)
    return scoring.scores()


class Scoring:
    """Scores a sequence that goes by twice: all its frames :meth:`meet`, then all :meth:`associate`."""

    def __init__(self) -> None:
        self._clear, self._objects, self._tracks = ClearMot(), _Numbers(), _Numbers()
        self._met, self._reached = Tally(2), Tally(2)
        self._counts = np.zeros(5)  # objects, predictions, matches, switches, overlap

    def meet(self, frame: ScoredFrame) -> None:
        """Match a frame as CLEAR MOT does, and note which identities are together and how well they agree."""
        self._objects.count(frame.truth_ids)
        self._tracks.count(frame.result_ids)
        matched = self._clear.update(frame)
        now = frame.result_ids[matched.columns]
        switches = ((matched.before != NONE) & (matched.before != now)).sum()
        overlap = frame.similarity[matched.rows, matched.columns].sum()
        self._counts += (len(frame.truth_ids), len(frame.result_ids), len(now), switches, overlap)
        keys, similarity, (rows, columns) = self._pairs(frame)
        union = frame.similarity.sum(1)[rows] + frame.similarity.sum(0)[columns] - similarity
        shares = np.divide(similarity, union, out=np.zeros_like(union), where=union > EPSILON)
        self._met.add(keys, np.stack([shares, similarity >= MATCH_IOU - EPSILON], axis=1))

    def associate(self, frame: ScoredFrame) -> None:
        """Match a frame as HOTA does; matches of a pair are added up by the thresholds that they reach."""
        keys, similarity, where = self._pairs(frame)
        places, weights = np.zeros(frame.similarity.shape, np.int64), np.zeros(frame.similarity.shape)
        places[where] = np.searchsorted(self._known, keys)
        weights[where] = self._alignment[places[where]] * similarity
        rows, columns = linear_sum_assignment(-weights)
        overlaps = frame.similarity[rows, columns]
        bins = np.searchsorted(THRESHOLDS - EPSILON, overlaps, side="right")
        self._reached.add((places[rows, columns] << _BINS) | bins, np.stack([np.ones(len(rows)), overlaps], axis=1))

    @cached_property
    def _known(self) -> Array:
        """Keys of the pairs that met."""
        return self._met.sums()[0]

    @cached_property
    def _frames(self) -> tuple[Array, Array]:
        """In how many frames the object and the track of each pair are."""
        return self._objects.frames[self._known >> _TRACKS], self._tracks.frames[self._known & ((1 << _TRACKS) - 1)]

    @cached_property
    def _alignment(self) -> Array:
        """How well each pair agrees over all frames."""
        (seen, given), common = self._frames, self._met.sums()[1][:, 0]
        return common / np.maximum(seen + given - common, EPSILON)

    def _pairs(self, frame: ScoredFrame) -> tuple[Array, Array, tuple[Array, Array]]:
        """Keys (P,) of the pairs that overlap in a frame, their overlaps, and where they are in it."""
        rows, columns = np.nonzero(frame.similarity)
        keys = (self._objects(frame.truth_ids)[rows] << _TRACKS) | self._tracks(frame.result_ids)[columns]
        return keys, frame.similarity[rows, columns], (rows, columns)

    def scores(self) -> Scores:
        """The scores of all frames."""
        total, predictions, matches, switches, overlap = self._counts.tolist()
        shares = self._clear.shares()
        mostly, lost = int((shares >= 0.8).sum()), int((shares < 0.2).sum())
        return Scores(
            objects=int(total), predictions=int(predictions), identities=len(shares), id_switches=int(switches),
            false_positives=int(predictions - matches), false_negatives=int(total - matches),
            fragmentations=self._clear.fragmentations, mostly_tracked=mostly,
            partly_tracked=len(shares) - mostly - lost, mostly_lost=lost,
            id_true_positives=_right_identities(self._known, self._met.sums()[1][:, 1]), overlap=overlap,
            parts=self._association(total, predictions),
        )  # fmt: skip

    def _association(self, total: float, predictions: float) -> Hota:
        """HOTA at each threshold, see ``hota.py``."""
        found, values = self._reached.sums()
        pairs, bins = found >> _BINS, found & ((1 << _BINS) - 1)
        seen, given = self._frames
        columns = []
        for place in range(len(THRESHOLDS)):
            counted = bins > place
            together = np.bincount(pairs[counted], values[counted, 0], len(self._known))
            matches = together.sum()
            shares = (together / (seen + given - together), together / seen, together / given)
            means = [float((together * share).sum()) / max(matches, 1) for share in shares]
            overlap = values[counted, 1].sum()
            columns.append([matches, total - matches, predictions - matches, overlap, *means])
        return Hota(*np.array(columns).T)


def _right_identities(keys: Array, together: Array) -> int:
    """Boxes that are right under the best one-to-one assignment of identities, which is one of each group of objects
    and tracks that have anything to do with each other."""
    real = together > 0
    keys, together = keys[real], together[real]
    if not len(keys):
        return 0
    (objects, rows), (tracks, columns) = (
        np.unique(part, return_inverse=True) for part in (keys >> _TRACKS, keys & ((1 << _TRACKS) - 1))
    )
    size = len(objects) + len(tracks)
    graph = coo_array((together, (rows, columns + len(objects))), shape=(size, size))
    _, groups = connected_components(graph, directed=False)
    order = np.argsort(groups[rows], kind="stable")
    right = 0.0
    for group in np.split(order, np.flatnonzero(np.diff(groups[rows[order]])) + 1):
        (ours, row), (theirs, column) = (np.unique(part[group], return_inverse=True) for part in (rows, columns))
        table = np.zeros((len(ours), len(theirs)))
        table[row, column] = together[group]
        right += table[linear_sum_assignment(-table)].sum()
    return int(right)
