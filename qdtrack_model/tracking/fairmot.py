"""FairMOT's online tracker: appearance within a motion gate first, then overlap, then what was seen only once.

Paper: Zhang et al., FairMOT, IJCV 2021, section 3.4, after JDE (Wang et al., ECCV 2020). The order of the steps and
their numbers follow the public implementation, whose ids and boxes it reproduces with ``as_published``; unlike there
tracks of different classes never mix, the memory is a span of time, and ids do not run on into another tracker.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from qdtrack_model.boxes import box_iou
from qdtrack_model.config import FairMotConfig
from qdtrack_model.structures import Array, Detections, Tracks, TrackState
from qdtrack_model.tracking import kalman
from qdtrack_model.tracking.assignment import assign
from qdtrack_model.tracking.camera_motion import check_camera_motion
from qdtrack_model.tracking.memory import CLOCK_RESOLUTION, check_frame
from qdtrack_model.tracking.similarity import unit

_MOTION = 0.02  # weight of the motion's distance in the cost of a match, beside that of the appearance
_PIXEL = np.array([0.0, 0.0, 1.0, 1.0])  # the published overlap counts the pixels that boxes touch


@dataclass(eq=False)
class _Known:
    """Tracks, a row each, by rising id. ``states`` are those of :class:`TrackState`: seen once, confirmed, lost."""

    ids: Array
    labels: Array
    scores: Array
    embeddings: Array  # (T, D) at length 1
    means: Array  # (T, 8)
    covariances: Array  # (T, 8, 8)
    states: Array
    first_seen: Array
    last_seen: Array
    overdue: Array  # (T,) bool, lost for longer than the span: published, they live on for one more frame

    @classmethod
    def nothing(cls, size: int) -> _Known:
        n, whole = np.zeros(0), np.zeros(0, np.int64)
        return cls(whole, whole, n, np.zeros((0, size)), np.zeros((0, 8)), np.zeros((0, 8, 8)), whole, n, n, n > 0)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: Array) -> _Known:
        return _Known(*(getattr(self, f.name)[rows] for f in fields(self)))

    def followed_by(self, other: _Known) -> _Known:
        """These and then the other ones."""
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return _Known(*(np.concatenate(pair) for pair in pairs))

    def lost(self) -> Array:
        """Which (T,) are lost."""
        return np.asarray(self.states == TrackState.LOST)


class FairMotTracker:
    """Gives detections ids that hold over time; ids and time as in :class:`QuasiDenseTracker`.

    A track is reported from its second frame on (in the very first frame at once, if ``first_frame_confirmed``), with
    the box that its Kalman filter makes of all its detections.

    Args:
        config: limits and the span of the memory, in the unit of the ``time`` given to :meth:`update`.

    Example:
        >>> tracker = FairMotTracker(FairMotConfig(memory_span=30))
        >>> person = Detections([[10, 20, 50, 120]], [0.9], [0], [[1.0, 0.0]])
        >>> [int(tracker.update(person, time).ids[0]) for time in (0, 1, 2)]
        [0, 0, 0]
    """

    def __init__(self, config: FairMotConfig | None = None) -> None:
        self.configure(config or FairMotConfig())
        self.reset()

    def configure(self, config: FairMotConfig) -> None:
        """Go on with other settings; what is remembered stays, for as long as they say."""
        self.config = config

    @property
    def next_id(self) -> int:
        """The id of the next track that is new."""
        return self._next_id

    def reset(self, first_id: int = 0) -> None:
        """Forget everything, as if newly made; the next id is ``first_id`` (as published it is at least 1)."""
        self._known = _Known.nothing(0)
        self._time: float | None = None
        self._rate = 1.0  # steps of the motion in a unit of time
        self._next_id = max(first_id, 1 if self.config.as_published else 0)

    def update(self, detections: Detections, time: float, camera_motion: Array | None = None) -> Tracks:
        """Continue with the detections of one frame; call it for empty frames too, so that the memory ages.

        Args:
            detections: of this frame, in any order; those without an area are left out.
            time: of this frame, header seconds or frame number; less than that of the frame before means that time was
                turned back, and resets the memory.
            camera_motion: as for :meth:`QuasiDenseTracker.update`.

        Returns:
            The confirmed tracks observed in this frame.

        Raises:
            ValueError: ``time`` is not finite or is that of the frame before, the embeddings are of another dimension
                than those remembered, or ``camera_motion`` is no homography. The tracker is then as before.
        """
        if camera_motion is not None:
            check_camera_motion(camera_motion)
        first = self._advance(time, detections)
        known = self._known
        if camera_motion is not None and len(known):
            known.means, known.covariances = kalman.moved(known.means, known.covariances, camera_motion)
        strong = (detections.scores > self.config.min_score) & (detections.boxes[:, 2:] > detections.boxes[:, :2]).all(
            1
        )
        found = detections[strong]
        measured, embeddings = kalman.measurements(found.boxes), unit(found.embeddings.astype(np.float64))
        if not len(found):  # an empty frame may not say of what dimension its embeddings would be
            embeddings = np.zeros((0, self._known.embeddings.shape[1]))
        rows = self._match(found, measured, embeddings)
        self._continue(rows, found, measured, embeddings, time)
        self._start(np.flatnonzero(rows < 0), found, measured, embeddings, confirmed=first)
        self._forget(time)
        known = self._known
        return self._tracks(known[known.states == TrackState.ACTIVE])

    def remembered(self) -> Tracks:
        """The tracks not seen in the newest frame (state LOST), each with the box where it should be by now."""
        return self._tracks(self._known[self._known.lost()])

    def _advance(self, time: float, detections: Detections) -> bool:
        """Move on to ``time``; whether this frame confirms what it sees: the first one, where that is set."""
        before, known = self._time, self._known
        first = before is None or time < before
        span = np.inf if self.config.as_published else self.config.memory_span + CLOCK_RESOLUTION
        alive = np.zeros(len(known), bool) if before is None or first else time - known.last_seen <= span
        size = known.embeddings.shape[1]
        check_frame(time, before, detections.embeddings, size if alive.any() else None)
        self._known, self._time = known[alive], time
        if not alive.any():
            self._known = _Known.nothing(detections.embeddings.shape[1])
        elif before is not None:
            self._rate = self.config.frame_rate or 1 / (time - before)
            self._predict((time - before) * self._rate)
        return first and self.config.first_frame_confirmed

    def _predict(self, steps: float) -> None:
        """Move on what has been seen more than once; of the others nothing but a place is known."""
        known = self._known
        known.means[known.lost(), 7] = 0.0  # a lost one's size changes no more
        rows = known.states != TrackState.TENTATIVE
        known.means[rows], known.covariances[rows] = kalman.predict(known.means[rows], known.covariances[rows], steps)

    def _match(self, found: Detections, measured: Array, embeddings: Array) -> Array:
        """The row of the track that each detection (N,) continues, -1 for none."""
        config, known = self.config, self._known
        rows = np.full(len(found), -1)

        def stage(tracks: Array, costs: Array, limit: float) -> None:
            """Match among the tracks of some rows, by costs (T, N), what has not been matched yet."""
            tracks = np.setdiff1d(tracks, rows)
            left = np.flatnonzero(rows < 0)
            chosen, columns = assign(costs[tracks][:, left], limit)
            rows[left[columns]] = tracks[chosen]

        other = known.labels[:, None] != found.labels
        overlap = np.where(other, np.inf, 1 - self._overlaps(kalman.boxes_of(known.means), found.boxes))
        appearance = np.where(other, np.inf, self._costs(measured, embeddings))
        stage(np.flatnonzero(known.states != TrackState.TENTATIVE), appearance, config.embedding_limit)
        stage(np.flatnonzero(known.states == TrackState.ACTIVE), overlap, config.iou_limit)
        stage(np.flatnonzero(known.states == TrackState.TENTATIVE), overlap, config.tentative_limit)
        return rows

    def _costs(self, measured: Array, embeddings: Array) -> Array:
        """Costs (T, N) by appearance and a little by motion, infinite outside the motion's gate."""
        known = self._known
        products = known.embeddings @ embeddings.T
        if self.config.metric == "euclidean":
            distances = np.sqrt(np.maximum(2 - 2 * products, 0.0))  # of embeddings at length 1
        else:
            distances = np.maximum(1 - products, 0.0)
        apart = kalman.squared_distances(known.means, known.covariances, measured)
        return np.where(apart > kalman.GATE, np.inf, (1 - _MOTION) * distances + _MOTION * apart)

    def _overlaps(self, first: Array, second: Array) -> Array:
        """Intersection over union (N, M)."""
        around = _PIXEL if self.config.as_published else 0.0
        return box_iou(first + around, second.astype(np.float64) + around)

    def _continue(self, rows: Array, found: Detections, measured: Array, embeddings: Array, time: float) -> None:
        """Take in the detections of continued tracks; what is not continued is lost, or gone if it was seen once."""
        known = self._known
        seen = np.flatnonzero(rows >= 0)
        tracks = rows[seen]
        known.means[tracks], known.covariances[tracks] = kalman.correct(
            known.means[tracks], known.covariances[tracks], measured[seen]
        )
        momentum = self.config.momentum
        known.embeddings[tracks] = unit(momentum * known.embeddings[tracks] + (1 - momentum) * embeddings[seen])
        # As published: a track that was lost keeps its score for a frame.
        known.scores[tracks] = np.where(known.lost()[tracks], known.scores[tracks], found.scores[seen])
        known.last_seen[tracks] = time
        continued = np.zeros(len(known), bool)
        continued[tracks] = True
        once = known.states == TrackState.TENTATIVE
        known.states[:] = np.where(continued, TrackState.ACTIVE, TrackState.LOST)
        self._known = known[continued | ~once]

    def _start(self, rows: Array, found: Detections, measured: Array, embeddings: Array, confirmed: bool) -> None:
        """Start a track with each of the detections of the given rows."""
        count, times = len(rows), np.full(len(rows), self._time)
        means, covariances = kalman.start(measured[rows])
        born = _Known(
            np.arange(self._next_id, self._next_id + count), found.labels[rows], found.scores[rows].astype(np.float64),
            embeddings[rows], means, covariances,
            np.full(count, TrackState.ACTIVE if confirmed else TrackState.TENTATIVE, np.int64),
            times, times.copy(), np.zeros(count, bool),
        )  # fmt: skip
        self._next_id += count
        self._known = self._known.followed_by(born)

    def _forget(self, time: float) -> None:
        """Forget what has been lost for too long, and one of any two tracks, one lost, that are in one place."""
        known = self._known
        if self.config.as_published:
            gone = known.lost() & known.overdue
            known.overdue |= known.lost() & (time - known.last_seen > self.config.memory_span + CLOCK_RESOLUTION)
        else:
            gone = known.lost() & (time - known.last_seen >= self.config.memory_span - CLOCK_RESOLUTION)
        known = known[~gone]
        lost, seen = np.flatnonzero(known.lost()), np.flatnonzero(~known.lost())
        boxes, ages = kalman.boxes_of(known.means), known.last_seen - known.first_seen
        same = 1 - self._overlaps(boxes[seen], boxes[lost]) < self.config.duplicate_limit
        same &= known.labels[seen][:, None] == known.labels[lost]
        older = ages[seen][:, None] > ages[lost] + CLOCK_RESOLUTION
        kept = np.ones(len(known), bool)
        kept[lost[(same & older).any(axis=0)]] = False
        kept[seen[(same & ~older).any(axis=1)]] = False
        self._known = known[kept]

    def _tracks(self, known: _Known) -> Tracks:
        now, boxes = self._time or 0.0, kalman.boxes_of(known.means)
        once = known.first_seen == known.last_seen
        return Tracks.trusted(
            ids=known.ids,
            boxes=boxes if self.config.as_published else boxes.astype(np.float32),
            scores=known.scores.astype(np.float32),
            labels=known.labels,
            embeddings=known.embeddings.astype(np.float32),
            velocities=(known.means[:, 4:6] * self._rate).astype(np.float32),
            ages=now - known.first_seen,
            unseen=now - known.last_seen,
            states=np.where(once & ~known.lost(), TrackState.TENTATIVE, known.states).astype(np.uint8),
        )
