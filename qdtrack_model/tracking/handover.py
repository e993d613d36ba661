"""Identity across cameras: who leaves one camera and enters another keeps the id. NumPy only."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field, replace

import numpy as np

from qdtrack_model.structures import Array, Tracks
from qdtrack_model.tracking.memory import CLOCK_RESOLUTION
from qdtrack_model.tracking.similarity import cosine, unit

_CLEARLY = 0.1  # by how much more two must be alike than either is with anybody else


@dataclass
class _Object:
    """What is known of an object, whichever cameras saw it."""

    label: int
    embedding_sum: Array  # (D,) sum of its embeddings, each at length 1
    camera: str  # that saw it last
    last_seen: float


@dataclass
class _Camera:
    """The newest frame of one camera."""

    time: float
    identities: dict[int, int] = field(default_factory=dict)  # of the tracks that its tracker sees or remembers
    seen: set[int] = field(default_factory=set)  # of those that it sees


class Handover:
    """Gives the tracks of several cameras ids that are unique over all of them, and hands ids over.

    Which id a track has is decided when it is born, and never changes. It gets that of an object which another camera
    saw last, at most ``span`` ago, which no camera sees any more, which is of its class, and whose mean embedding is
    more like the new track's than ``score``, and clearly more than that of anybody else whom other cameras saw in that
    time. If there is no such object, the id is new.

    An object that two cameras see at once has two ids: by appearance alone it could not be told from two objects
    that look alike, which would then be one. No camera ever has one id twice, neither seen nor remembered.

    Args:
        span: in the unit of the times given to :meth:`update`, which must be of one clock for all cameras.
        score: cosine of two embeddings, in [-1, 1].
        first_id: of the first object.

    Attributes:
        next_id: the id of the next object that is new.

    Its methods may be called from several threads.
    """

    def __init__(self, span: float, score: float, first_id: int = 0) -> None:
        self._span = span + CLOCK_RESOLUTION
        self._score = score
        self._cameras: dict[str, _Camera] = {}
        self._objects: dict[int, _Object] = {}  # by id
        self.next_id = first_id
        self._lock = threading.Lock()

    def reset(self, camera: str) -> None:
        """Forget what a camera saw, because its tracker was reset; its next tracks get new ids."""
        with self._lock:
            self._clear(camera)

    def update(self, camera: str, seen: Tracks, lost: Tracks, time: float) -> tuple[Tracks, Tracks]:
        """The tracks of one camera's newest frame, with ids that hold for all cameras.

        Args:
            camera: its name.
            seen: what its tracker sees in the frame.
            lost: everything that it remembers beside them.
            time: of the frame; less than that of the frame before forgets what this camera saw, as the tracker does.
        """
        with self._lock:
            return self._update(camera, seen, lost, time)

    def _update(self, camera: str, seen: Tracks, lost: Tracks, time: float) -> tuple[Tracks, Tracks]:
        if camera in self._cameras and time < self._cameras[camera].time:
            self._clear(camera)
        here = self._cameras.setdefault(camera, _Camera(time))
        here.time, here.seen = time, set()
        alive = [*seen.ids.tolist(), *lost.ids.tolist()]
        here.identities = {one: here.identities[one] for one in alive if one in here.identities}
        embeddings = unit(np.concatenate([seen.embeddings, lost.embeddings]) if len(lost) else seen.embeddings)
        self._identify(camera, np.array(alive), np.concatenate([seen.labels, lost.labels]), embeddings)
        named = replace(seen, ids=np.array([here.identities[one] for one in seen.ids.tolist()], np.int64))
        for identity, embedding in zip(named.ids.tolist(), embeddings, strict=False):
            known = self._objects[identity]
            known.embedding_sum += embedding
            known.camera, known.last_seen = camera, time
        here.seen = set(named.ids.tolist())
        self._forget()
        return named, replace(lost, ids=np.array([here.identities[one] for one in lost.ids.tolist()], np.int64))

    def _identify(self, camera: str, ids: Array, labels: Array, embeddings: Array) -> None:
        """Give an identity to every track that has none."""
        here = self._cameras[camera]
        rows = np.array([row for row, one in enumerate(ids.tolist()) if one not in here.identities], np.intp)
        if not len(rows):
            return
        taken = self._taken_over(camera, labels[rows], embeddings[rows])
        for position, row in enumerate(rows.tolist()):
            identity = taken.get(position)
            if identity is None:
                identity = self.next_id
                self.next_id += 1
                nothing = np.zeros_like(embeddings[row])
                self._objects[identity] = _Object(int(labels[row]), nothing, camera, here.time)
            here.identities[int(ids[row])] = identity

    def _taken_over(self, camera: str, labels: Array, embeddings: Array) -> dict[int, int]:
        """The ids that new tracks of the given classes (N,) and embeddings (N, D) take over, by their position."""
        now = self._cameras[camera].time
        recent = {
            identity: known
            for identity, known in self._objects.items()
            if known.camera != camera and abs(now - known.last_seen) <= self._span
        }
        if not recent:
            return {}
        similarity = cosine(embeddings, np.array([known.embedding_sum for known in recent.values()]))
        similarity[labels[:, None] != [known.label for known in recent.values()]] = -1.0
        present = set(self._cameras[camera].identities.values()).union(*(one.seen for one in self._cameras.values()))
        gone = [identity not in present and known.last_seen <= now for identity, known in recent.items()]
        pairs = _unmistakable(similarity, self._score)
        return {row: list(recent)[column] for row, column in pairs if gone[column]}

    def _clear(self, camera: str) -> None:
        self._cameras.pop(camera, None)
        for known in self._objects.values():
            if known.camera == camera:
                known.last_seen = -math.inf
        self._forget()

    def _forget(self) -> None:
        """Forget the objects that no camera remembers and that have been out of sight for longer than the span."""
        alive = {identity for camera in self._cameras.values() for identity in camera.identities.values()}
        self._objects = {
            identity: known
            for identity, known in self._objects.items()
            if identity in alive
            or (known.camera in self._cameras and self._cameras[known.camera].time - known.last_seen <= self._span)
        }


def _unmistakable(similarity: Array, score: float) -> list[tuple[int, int]]:
    """The places in a matrix (N, M) above ``score`` that clearly lead both their row and their column."""
    places = []
    for row, column in np.argwhere(similarity > score).tolist():
        rivals = np.concatenate([np.delete(similarity[row], column), np.delete(similarity[:, column], row)])
        if similarity[row, column] - rivals.max(initial=-1.0) >= _CLEARLY:
            places.append((row, column))
    return places
