"""What travels between the stages: detections of one image, tracks of one moment.

Both are frozen and check shapes and types once, where they are made, so that no later stage has to.
Boxes are ``(x1, y1, x2, y2)`` in pixels of the source image, float32, edges rather than pixel indices:
the box of a whole 1280x720 image is ``(0, 0, 1280, 720)``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class TrackState(IntEnum):
    """Life of a track; the values are those of ``msg/TrackedDetection.msg``."""

    TENTATIVE = 0  # seen once
    ACTIVE = 1  # seen again since
    LOST = 2  # remembered, not seen in the newest frame or scoring too little by now


def _checked(name: str, value: object, dtype: Any, shape: tuple[int | None, ...]) -> Array:
    """Return ``value`` as a C-contiguous array of ``dtype`` and ``shape`` (None: any length) or raise ValueError."""
    try:
        array = np.ascontiguousarray(value, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: expected numbers of type {np.dtype(dtype)}: {error}") from None
    if array.size == 0 and array.ndim < len(shape):
        array = array.reshape([0 if n is None else n for n in shape])
    if array.ndim != len(shape) or any(n not in (None, m) for n, m in zip(shape, array.shape, strict=True)):
        wanted = tuple("any" if n is None else n for n in shape)
        raise ValueError(f"{name}: expected shape {wanted}, got {array.shape}")
    # A finite sum of squares, the cheaper question, has finite terms; one that is not may only be too large.
    if array.dtype.kind == "f" and not (np.isfinite(np.vdot(array, array)) or np.isfinite(array).all()):
        row = int(np.argwhere(~np.isfinite(array))[0][0])
        raise ValueError(f"{name}: row {row} is not finite: {array[row]}; drop such rows before tracking")
    return array


@dataclass(frozen=True, eq=False)
class Detections:
    """What the network saw in one image.

    Args:
        boxes: (N, 4) float32, x1 y1 x2 y2 in source pixels.
        scores: (N,) float32 in 0..1.
        labels: (N,) int64 class indices.
        embeddings: (N, D) float32; D may be 0 where nothing is known of appearance.

    Raises:
        ValueError: lengths differ, a shape is wrong, or a number is not finite.
    """

    boxes: Array
    scores: Array
    labels: Array
    embeddings: Array

    def __post_init__(self) -> None:
        boxes = _checked("boxes", self.boxes, np.float32, (None, 4))
        count = len(boxes)
        object.__setattr__(self, "boxes", boxes)
        object.__setattr__(self, "scores", _checked("scores", self.scores, np.float32, (count,)))
        object.__setattr__(self, "labels", _checked("labels", self.labels, np.int64, (count,)))
        object.__setattr__(self, "embeddings", _checked("embeddings", self.embeddings, np.float32, (count, None)))

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: Array | slice) -> Detections:
        """The detections of the given rows (a slice, a boolean mask or indices)."""
        return Detections(self.boxes[rows], self.scores[rows], self.labels[rows], self.embeddings[rows])

    @classmethod
    def empty(cls, embedding_size: int = 0) -> Detections:
        """No detections, with embeddings of the given width."""
        return cls(np.zeros((0, 4)), np.zeros(0), np.zeros(0), np.zeros((0, embedding_size)))


@dataclass(frozen=True, eq=False)
class Tracks:
    """Tracks at one moment, one row each.

    Args:
        ids: (M,) int64, unique, counted up from 0 by each tracker.
        boxes: (M, 4) float32, x1 y1 x2 y2 in source pixels.
        scores: (M,) float32 in 0..1, of the last detection.
        labels: (M,) int64 class indices.
        embeddings: (M, D) float32, as remembered.
        velocities: (M, 2) float32, motion of the box centre in pixels per unit of time, beside that of the
            camera where it is known.
        ages: (M,) float64, time since the first detection.
        unseen: (M,) float64, time since the last detection; 0 when seen in this frame.
        states: (M,) uint8, values of :class:`TrackState`.

    Times are in the unit of the ``time`` given to the tracker.
    """

    ids: Array
    boxes: Array
    scores: Array
    labels: Array
    embeddings: Array = field(repr=False)
    velocities: Array
    ages: Array
    unseen: Array
    states: Array

    def __post_init__(self) -> None:
        ids = _checked("ids", self.ids, np.int64, (None,))
        count = len(ids)
        object.__setattr__(self, "ids", ids)
        object.__setattr__(self, "boxes", _checked("boxes", self.boxes, np.float32, (count, 4)))
        object.__setattr__(self, "scores", _checked("scores", self.scores, np.float32, (count,)))
        object.__setattr__(self, "labels", _checked("labels", self.labels, np.int64, (count,)))
        object.__setattr__(self, "embeddings", _checked("embeddings", self.embeddings, np.float32, (count, None)))
        object.__setattr__(self, "velocities", _checked("velocities", self.velocities, np.float32, (count, 2)))
        object.__setattr__(self, "ages", _checked("ages", self.ages, np.float64, (count,)))
        object.__setattr__(self, "unseen", _checked("unseen", self.unseen, np.float64, (count,)))
        object.__setattr__(self, "states", _checked("states", self.states, np.uint8, (count,)))

    @classmethod
    def trusted(cls, **columns: Array) -> Tracks:
        """Tracks from columns known to be as described: checking them again would cost the tracker time."""
        tracks = object.__new__(cls)
        tracks.__dict__.update(columns)
        return tracks

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: Array | slice) -> Tracks:
        """The tracks of the given rows (a slice, a boolean mask or indices)."""
        return Tracks(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @classmethod
    def empty(cls, embedding_size: int = 0) -> Tracks:
        """No tracks, with embeddings of the given width."""
        n = np.zeros(0)
        return cls(n, np.zeros((0, 4)), n, n, np.zeros((0, embedding_size)), np.zeros((0, 2)), n, n, n)
