"""Tracking of a recording that is at hand as a whole: better labels than a robot can have while it drives.

1. The online tracker goes through the recording twice, forwards and backwards. What both passes say, or one says and
   the other does not contradict, makes tracklets; where they disagree a tracklet ends. Backwards, an object is found
   before the first detection that is sure enough to start it.
2. Tracklets are linked over gaps by appearance and motion, all at once: the one-to-one assignment of ends to
   beginnings of least cost, over short gaps first, so that longer tracklets with better means decide on longer gaps.
3. Short gaps are interpolated.

What the values below were chosen on stands in docs/training.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from qdtrack_model.structures import Array, Detections, Tracks
from qdtrack_model.tracking.assignment import assign
from qdtrack_model.tracking.similarity import unit

ROUNDS = (0.5, 1.5, 2.0)  # longest gaps [s] that are linked one after the other
REACH, REACH_GROWTH = 0.5, 1.0  # box sizes from where it should be that an object may begin again; more each second
COAST = 1.5  # [s] after which an object that nobody sees is taken to stand still
FIT_SPAN = 0.6  # [s] at the end of a tracklet from which its velocity is taken
SIZE_RATIO = 1.5  # by which the size of an object may change over a gap
MOST_COST = 1.1  # of a link: distance / reach + 1 - cosine
INTERPOLATED = 0.6  # [s] longest gap that gets boxes
LEAST_LENGTH = 0.5  # [s] what is seen for less is taken for a mistake

Follow = Callable[[Detections, float], Tracks]  # `update` of an online tracker


@dataclass(frozen=True, eq=False)
class Trajectory:
    """One object.

    Args:
        frames: (M,) places in the recording, counted from 0, in order.
        boxes: (M, 4) x1 y1 x2 y2 in pixels.
        scores: (M,) of the detections, 0 where a box is interpolated.
        label: class index.
    """

    frames: Array
    boxes: Array
    scores: Array
    label: int


@dataclass(frozen=True, eq=False)
class _Recording:
    """All detections (N,) in the order of frames, embeddings of length 1; ``moments`` (F,) are those of the frames."""

    moments: Array
    frames: Array
    boxes: Array
    scores: Array
    labels: Array
    embeddings: Array

    @property
    def times(self) -> Array:
        """(N,) in seconds."""
        return np.asarray(self.moments[self.frames])

    @property
    def centres(self) -> Array:
        """(N, 2) in pixels."""
        return np.asarray((self.boxes[:, :2] + self.boxes[:, 2:]) / 2)

    @property
    def sizes(self) -> Array:
        """(N,) square root of the area."""
        return np.sqrt(np.maximum((self.boxes[:, 2:] - self.boxes[:, :2]).prod(axis=1), 1.0))


def track_offline(
    detections: Sequence[Detections], times: Sequence[float], follow: Callable[[], Follow], least_score: float = 0.4
) -> list[Trajectory]:
    """The objects of a recording.

    Args:
        detections: of each frame.
        times: of the frames in seconds, growing.
        follow: gives the ``update`` of a new online tracker, whose tracks have the boxes of its detections.
        least_score: objects whose detections score less in the mean are taken for mistakes.
    """
    found = _gathered(detections, times)
    if not len(found.frames):
        return []
    forwards = _ids(detections, times, follow())
    last = times[-1]
    backwards = _ids(detections[::-1], [last - time for time in times[::-1]], follow())
    backwards = np.concatenate(np.split(backwards, np.cumsum([len(part) for part in detections[::-1]])[:-1])[::-1])
    successors = agreed(_successors(forwards), _successors(backwards))
    tracklets = _chains(successors, (forwards >= 0) | (backwards >= 0))
    for gap in ROUNDS:
        tracklets = _linked(tracklets, found, gap)
    return [_trajectory(rows, found) for rows in tracklets if _is_object(rows, found, least_score)]


def _gathered(detections: Sequence[Detections], times: Sequence[float]) -> _Recording:
    shown = [part for part in detections if len(part)] or [Detections.empty()]
    return _Recording(
        moments=np.asarray(times, float),
        frames=np.repeat(np.arange(len(detections)), [len(part) for part in detections]),
        boxes=np.concatenate([part.boxes for part in shown]),
        scores=np.concatenate([part.scores for part in shown]),
        labels=np.concatenate([part.labels for part in shown]),
        embeddings=unit(np.concatenate([part.embeddings for part in shown])),
    )


def _ids(detections: Sequence[Detections], times: Sequence[float], follow: Follow) -> Array:
    """The id (N,) that an online tracker gives each detection; -1 where it gives none."""
    parts = [np.zeros(0, np.int64)]
    for part, time in zip(detections, times, strict=True):
        tracks, ids = follow(part, time), np.full(len(part), -1)
        if len(tracks) and len(part):
            rows = np.abs(tracks.boxes[:, None] - part.boxes).sum(axis=2).argmin(axis=1)
            ids[rows] = tracks.ids
        parts.append(ids)
    return np.concatenate(parts)


def _successors(ids: Array) -> Array:
    """Of each detection (N,) the next one in time with the same id; -1 where there is none."""
    successors, order = np.full(len(ids), -1), np.argsort(ids, kind="stable")
    order = order[ids[order] >= 0]
    same = ids[order[:-1]] == ids[order[1:]]
    successors[order[:-1][same]] = order[1:][same]
    return successors


def agreed(forwards: Array, backwards: Array) -> Array:
    """The successors (N,) that both passes give, and those of one that the other does not contradict; -1 for none."""
    taken = np.where(forwards == backwards, forwards, -1)
    for ours, theirs in ((forwards, backwards), (backwards, forwards)):
        reached = np.zeros(len(ours), bool)
        reached[theirs[theirs >= 0]] = True
        alone = np.flatnonzero((ours >= 0) & (theirs < 0))
        alone = alone[~reached[ours[alone]]]
        taken[alone] = ours[alone]
    return taken


def _chains(successors: Array, used: Array) -> list[Array]:
    """The detections of each tracklet, in time."""
    first = used.copy()
    first[successors[successors >= 0]] = False
    chains = []
    for row in np.flatnonzero(first).tolist():
        chain = [row]
        while successors[chain[-1]] >= 0:
            chain.append(int(successors[chain[-1]]))
        chains.append(np.array(chain))
    return chains


def _linked(tracklets: list[Array], found: _Recording, longest: float) -> list[Array]:
    """Tracklets joined over gaps of at most ``longest`` seconds."""
    if not tracklets:
        return []
    rows, columns = assign(_costs(tracklets, found, longest), MOST_COST)
    after = dict(zip(rows.tolist(), columns.tolist(), strict=True))
    joined = []
    for first in sorted(set(range(len(tracklets))) - set(after.values())):
        parts, last = [tracklets[first]], first
        while last in after:
            last = after[last]
            parts.append(tracklets[last])
        joined.append(np.concatenate(parts))
    return joined


def _costs(tracklets: list[Array], found: _Recording, longest: float) -> Array:
    """What it costs (T, T) that a tracklet goes on as another; infinite where it cannot."""
    first, last = (np.array([rows[end] for rows in tracklets]) for end in (0, -1))
    means = unit(np.stack([found.embeddings[rows].mean(axis=0) for rows in tracklets]))
    cosines = means @ means.T
    gaps = found.times[first] - found.times[last][:, None]
    labels = np.array([_label(rows, found) for rows in tracklets])
    sizes = found.sizes
    ratios = np.abs(np.log(sizes[last][:, None] / sizes[first]))
    possible = (gaps > 0) & (gaps <= longest) & (cosines > 0) & (labels[:, None] == labels)
    possible &= ratios < np.log(SIZE_RATIO)
    distances = _distances(tracklets, found, first, last, gaps) / np.sqrt(sizes[last][:, None] * sizes[first])
    shares = distances / (REACH + REACH_GROWTH * np.maximum(gaps, 0))
    return np.where(possible & (shares < 1), shares + 1 - cosines, np.inf)


def _distances(tracklets: list[Array], found: _Recording, first: Array, last: Array, gaps: Array) -> Array:
    """Pixels (T, T) between where a tracklet goes and where another begins, as the one or the other moves."""
    centres, times = found.centres, found.times
    leaving, coming = (np.stack([_velocity(rows, end, centres, times) for rows in tracklets]) for end in (-1, 0))
    moving = np.clip(gaps, 0, COAST)[..., None]
    way = centres[first] - centres[last][:, None]
    misses = [np.linalg.norm(way - velocity * moving, axis=2) for velocity in (leaving[:, None], coming[None])]
    return np.asarray(np.minimum(*misses))


def _velocity(rows: Array, end: int, centres: Array, times: Array) -> Array:
    """Pixels a second (2,) at the first (0) or last (-1) detection of a tracklet."""
    near = rows[np.abs(times[rows] - times[rows[end]]) <= FIT_SPAN]
    if len(near) < 3:
        return np.zeros(2)
    moments = times[near] - times[near].mean()
    return np.asarray(moments @ (centres[near] - centres[near].mean(axis=0)) / (moments @ moments))


def _label(rows: Array, found: _Recording) -> int:
    return int(np.bincount(found.labels[rows]).argmax())


def _is_object(rows: Array, found: _Recording, least_score: float) -> bool:
    length = found.times[rows[-1]] - found.times[rows[0]]
    return bool(length >= LEAST_LENGTH and found.scores[rows].mean() >= least_score)


def _trajectory(rows: Array, found: _Recording) -> Trajectory:
    """The detections of an object, and boxes in the short gaps between them."""
    known, moments = found.frames[rows], found.moments
    frames = np.arange(known[0], known[-1] + 1)
    before = known[np.searchsorted(known, frames, side="right") - 1]
    behind = known[np.searchsorted(known, frames)]
    frames = frames[moments[behind] - moments[before] <= INTERPOLATED]
    frames = np.union1d(frames, known)
    boxes = [np.interp(moments[frames], moments[known], found.boxes[rows, side]) for side in range(4)]
    scores = np.zeros(len(frames))
    scores[np.searchsorted(frames, known)] = found.scores[rows]
    return Trajectory(frames, np.stack(boxes, axis=1), scores, _label(rows, found))
