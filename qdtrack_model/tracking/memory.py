"""What a tracker remembers of its tracks: one array per property, one row per live track."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from qdtrack_model.structures import Array, Tracks, TrackState
from qdtrack_model.tracking.camera_motion import moved_boxes, moved_velocities
from qdtrack_model.tracking.gallery import Gallery

# Header seconds since 1970 are exact to a quarter of a microsecond in float64; spans are compared no finer.
CLOCK_RESOLUTION = 1e-6
_STATES = np.array([TrackState.TENTATIVE, TrackState.ACTIVE], np.uint8)  # seen once, more often


def check_frame(time: float, previous: float | None, embeddings: Array, size: int | None) -> None:
    """Raise ValueError for a frame that no tracker can continue with.

    Args:
        time: of the frame.
        previous: time of the frame before, None for the first.
        embeddings: (N, D) of its detections.
        size: the D of what is remembered, None where nothing is.
    """
    if not math.isfinite(time):
        raise ValueError(f"time: got {time}, expected a finite number in the unit of memory_span")
    if time == previous:
        raise ValueError(
            f"time: got {time} a second time; every frame needs its own: drop repeated frames, and give frames "
            "without a stamp the time of their arrival"
        )
    if len(embeddings) and size not in (None, embeddings.shape[1]):
        raise ValueError(
            f"embeddings: got {embeddings.shape[1]} dimensions, but the remembered tracks have {size}; "
            "reset the tracker when the network changes"
        )


class TrackMemory:
    """Live tracks in the order of their birth, and the clock and the id counter that go with them.

    To be configured before its first use.
    """

    ids: Array
    boxes: Array
    scores: Array
    labels: Array
    embeddings: Array
    velocities: Array
    first_seen: Array
    last_seen: Array
    hits: Array
    mean_scores: Array
    told_of: Array

    def __init__(self) -> None:
        self._gallery = Gallery()
        self.clear()

    def configure(
        self,
        span: float,
        momentum: float,
        velocity_momentum: float,
        min_hits: int = 1,
        report_score: float = 0.0,
        gallery: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """Set how it remembers.

        Args:
            span: a track unseen for so long is forgotten, in the unit of the times given to :meth:`advance`.
            momentum: weight of a new embedding in the remembered one, and least weight of a new score in the mean.
            velocity_momentum: weight of the newest velocity in the smoothed one.
            min_hits: detections from which on a track is told of.
            report_score: least mean score at which it is.
            gallery: span and score of the :class:`Gallery` in which forgotten tracks are kept.
        """
        self.span = span
        self.min_hits, self.report_score = min_hits, report_score
        self._gallery.span, self._gallery.score = gallery
        self.momentum = momentum
        self.velocity_momentum = velocity_momentum

    def clear(self, first_id: int = 0) -> None:
        """Forget tracks and time; the next track is number ``first_id``."""
        self.time: float | None = None
        self.next_id = first_id
        self._gallery.clear()
        self._allocate(embedding_size=0)

    def __len__(self) -> int:
        return self._count

    def _allocate(self, embedding_size: int, capacity: int = 64) -> None:
        def column(dtype: Any, *width: int) -> Array:
            return np.zeros((capacity, *width), dtype)

        self._store: dict[str, Array] = {
            "ids": column(np.int64),
            "boxes": column(np.float32, 4),
            "scores": column(np.float32),
            "labels": column(np.int64),
            "embeddings": column(np.float32, embedding_size),
            "velocities": column(np.float32, 2),
            "first_seen": column(np.float64),
            "last_seen": column(np.float64),
            "hits": column(np.int64),
            "mean_scores": column(np.float32),
            "told_of": column(bool),
        }
        self._resize(0)

    def _resize(self, count: int) -> None:
        """Let the public arrays show the first ``count`` rows of the store, which grows by doubling."""
        for name, column in self._store.items():
            if count > len(column):
                grown = np.zeros((max(count, 2 * len(column)), *column.shape[1:]), column.dtype)
                grown[: len(column)] = column
                self._store[name] = grown
            setattr(self, name, self._store[name][:count])
        self._count = count

    def advance(self, time: float, embeddings: Array) -> bool:
        """Move the clock to ``time`` and forget what is older than the span.

        Args:
            time: of the newest frame.
            embeddings: (N, D) of its detections.

        Returns:
            True where time ran backwards, so that everything but the id counter was forgotten.

        Raises:
            ValueError: the time is not finite or is that of the frame before, or D is not that of the memory;
                nothing has changed then.
        """
        back = self.time is not None and time < self.time
        alive = np.zeros(len(self), bool) if back else time - self.last_seen <= self.span + CLOCK_RESOLUTION
        size = self.embeddings.shape[1]
        check_frame(time, self.time, embeddings, size if alive.any() else None)
        if len(embeddings) and embeddings.shape[1] != size:
            self._allocate(embeddings.shape[1])
        elif back:
            self._keep(alive)
        else:
            self._forget(~alive)
        if back:
            self._gallery.clear()
        self.time = time
        return back

    def _forget(self, rows: Array) -> None:
        """Forget the rows of a boolean mask; those that were told of may be found again in the gallery."""
        told = rows & self.told_of & (self.hits > 1)
        if told.any():
            columns = (self.ids, self.labels, self.embeddings, self.first_seen, self.last_seen)
            self._gallery.add(*(column[told] for column in columns))
        self._keep(~rows)

    def _keep(self, rows: Array) -> None:
        """Forget all but the rows of a boolean mask."""
        if rows.all():
            return
        kept = np.flatnonzero(rows)
        for name in self._store:
            column = getattr(self, name)
            column[: len(kept)] = column[kept]
        self._resize(len(kept))

    def expire(self) -> None:
        """Forget the tracks whose time unseen has reached the span; row numbers change."""
        self._forget(self.gaps() >= self.span - CLOCK_RESOLUTION)

    def gaps(self) -> Array:
        """Time (T,) since each track was last seen."""
        gaps: Array = self.time - self.last_seen
        return gaps

    def move(self, homography: Array) -> None:
        """Move all places on with the camera, by where it maps the pixels of the frame before."""
        self.boxes[:], steps = moved_boxes(self.boxes, homography)
        self.velocities[:] = moved_velocities(self.velocities, steps)

    def born(self, boxes: Array, scores: Array, labels: Array, embeddings: Array) -> Array:
        """Start a track for each row of the given arrays, or go on with one of the gallery; returns their rows."""
        count, new = self._count, len(boxes)
        self._resize(count + new)
        rows = np.arange(count, count + new)
        ids, first_seen = self._gallery.find(labels, embeddings, float(self.time or 0.0))
        fresh = ids < 0
        ids[fresh] = self.next_id + np.arange(np.count_nonzero(fresh))
        self.ids[rows], self.first_seen[rows], self.last_seen[rows] = ids, first_seen, self.time
        self.boxes[rows], self.scores[rows], self.labels[rows] = boxes, scores, labels
        self.embeddings[rows] = embeddings
        self.velocities[rows] = 0
        self.hits[rows] = np.where(fresh, 1, max(self.min_hits, 2))
        self.mean_scores[rows] = scores
        self.told_of[rows] = ~fresh
        self.next_id += np.count_nonzero(fresh)
        return rows

    def seen(
        self, rows: Array, boxes: Array, scores: Array, labels: Array, embeddings: Array, hidden: Array | None = None
    ) -> None:
        """Continue tracks with new detections; those ``hidden`` (N,) leave the remembered embedding as it is."""
        gaps = self.time - self.last_seen[rows]
        weights = np.where(self.hits[rows] == 1, 1.0, self.velocity_momentum)
        moved = boxes - self.boxes[rows]
        newest = (moved[:, :2] + moved[:, 2:]) * (weights / (2 * gaps))[:, None]
        self.velocities[rows] = (1 - weights)[:, None] * self.velocities[rows] + newest
        self.boxes[rows], self.scores[rows], self.labels[rows] = boxes, scores, labels
        mixed = self.embeddings.take(rows, axis=0)
        mixed *= 1 - self.momentum
        mixed += self.momentum * embeddings
        if hidden is not None and hidden.any():
            mixed[hidden] = self.embeddings[rows[hidden]]
        self.embeddings[rows] = mixed
        self.last_seen[rows] = self.time
        self.hits[rows] += 1
        means = self.mean_scores[rows]
        self.mean_scores[rows] = means + np.maximum(1 / self.hits[rows], self.momentum) * (scores - means)

    def observed(self, rows: Array) -> Tracks:
        """The tracks of the given rows that are told of, all seen at this time, in that order; it is noted which."""
        rows = rows[(self.hits[rows] >= self.min_hits) & (self.mean_scores[rows] >= self.report_score)]
        self.told_of[rows] = True
        return self._tracks(rows, _STATES.take(self.hits[rows] > 1))

    def remembered(self) -> Tracks:
        """The tracks that were told of, and either are not seen at this time or score too little by now.

        Each has the box where it was last seen, moved on with the camera.
        """
        now = (self.last_seen == self.time) & (self.mean_scores >= self.report_score)
        rows = np.flatnonzero(self.told_of & ~now)
        return self._tracks(rows, np.full(len(rows), TrackState.LOST, np.uint8))

    def _tracks(self, rows: Array, states: Array) -> Tracks:
        now = self.time or 0.0
        return Tracks.trusted(
            ids=self.ids[rows],
            boxes=self.boxes[rows],
            scores=self.scores[rows],
            labels=self.labels[rows],
            embeddings=self.embeddings.take(rows, axis=0),
            velocities=self.velocities[rows],
            ages=now - self.first_seen[rows],
            unseen=now - self.last_seen[rows],
            states=states,
        )
