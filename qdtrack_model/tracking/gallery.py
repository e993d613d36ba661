"""Tracks that the memory has forgotten, to be found again by their appearance alone."""

from __future__ import annotations

import numpy as np

from qdtrack_model.structures import Array
from qdtrack_model.tracking.similarity import unit


class Gallery:
    """What forgotten tracks looked like, each until it is found again or too old.

    Args:
        span: how long after it was last seen a track may be found again; 0 keeps none.
        score: lowest cosine of two embeddings at which it is.
    """

    def __init__(self, span: float = 0.0, score: float = 0.0) -> None:
        self.span, self.score = span, score
        self.clear()

    def clear(self) -> None:
        """Forget all of them."""
        self._ids, self._labels = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._embeddings = np.zeros((0, 0), np.float32)
        self._first_seen, self._last_seen = np.zeros(0), np.zeros(0)

    def add(self, ids: Array, labels: Array, embeddings: Array, first_seen: Array, last_seen: Array) -> None:
        """Keep tracks (N,) with their remembered embeddings (N, D); those of another D are forgotten."""
        if not self.span or not len(ids):
            return
        if self._embeddings.shape[1] != embeddings.shape[1]:
            self.clear()
            self._embeddings = np.zeros((0, embeddings.shape[1]), np.float32)
        self._ids = np.concatenate([self._ids, ids])
        self._labels = np.concatenate([self._labels, labels])
        self._embeddings = np.concatenate([self._embeddings, unit(embeddings)])
        self._first_seen = np.concatenate([self._first_seen, first_seen])
        self._last_seen = np.concatenate([self._last_seen, last_seen])

    def find(self, labels: Array, embeddings: Array, time: float) -> tuple[Array, Array]:
        """Which track each detection is, of its class and the most alike pair first; what is found is taken out.

        Args:
            labels: (N,) of the detections.
            embeddings: (N, D).
            time: now.

        Returns:
            Ids (N,), -1 where none is found, and when each was first seen (N,).
        """
        ids, first_seen = np.full(len(labels), -1), np.full(len(labels), time)
        self._keep(time - self._last_seen <= self.span)
        if not len(self._ids) or self._embeddings.shape[1] != embeddings.shape[1]:
            return ids, first_seen
        cosines = unit(embeddings) @ self._embeddings.T
        cosines[labels[:, None] != self._labels] = -1
        taken = np.zeros(len(self._ids), bool)
        for row, entry in zip(*np.unravel_index(np.argsort(-cosines, axis=None), cosines.shape), strict=True):
            if cosines[row, entry] < self.score:
                break
            if ids[row] < 0 and not taken[entry]:
                ids[row], first_seen[row], taken[entry] = self._ids[entry], self._first_seen[entry], True
        self._keep(~taken)
        return ids, first_seen

    def _keep(self, rows: Array) -> None:
        self._ids, self._labels, self._embeddings = self._ids[rows], self._labels[rows], self._embeddings[rows]
        self._first_seen, self._last_seen = self._first_seen[rows], self._last_seen[rows]
