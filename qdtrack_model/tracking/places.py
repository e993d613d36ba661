"""Places and velocities of tracked objects in the world: a Kalman filter at constant velocity, all objects at once.

A page of NumPy rather than a library: filterpy holds one object at a time, and has had no release since 2018.
"""

from __future__ import annotations

import numpy as np

from qdtrack_model.structures import Array

_ACCELERATION = 2.0  # spectral density of what changes velocities [m^2/s^3]: 1.4 m/s in a second, one deviation
_FIRST_SPEED = 10.0  # deviation of the velocity of what was seen once [m/s]
_ALIKE = 0.3  # seconds in which the errors of places are alike: the same shadow, the same tilt of the camera
_GATE = 16.3  # squared Mahalanobis distance that 99.9 % of true places stay within: chi-squared, 3 degrees
_STUBBORN = 0.5  # seconds after which places that lie outside the gate are believed
_SPAN = 5.0  # seconds after which an object that was not seen is forgotten


class PlaceFilter:
    """Remembers objects by their track ids, in one frame that is fixed to the ground."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all objects."""
        self._time: float | None = None
        self._ids = np.zeros(0, np.int64)
        self._means = np.zeros((0, 6))
        self._covariances = np.zeros((0, 6, 6))
        self._seen = np.zeros(0)  # when an object's place was last believed

    def update(self, ids: Array, places: Array, covariances: Array, time: float) -> tuple[Array, Array]:
        """Take in the places of one image.

        Args:
            ids: (K,) of the tracks, each once.
            places: (K, 3) [m].
            covariances: (K, 3, 3) of the places [m^2].
            time: of the image [s]; less than before forgets everything.

        Returns:
            Means (K, 6), place and velocity, and covariances (K, 6, 6).
        """
        if self._time is not None and time < self._time:
            self.reset()
        elapsed = 0.0 if self._time is None else time - self._time
        self._time = time
        self._predict(elapsed)
        self._forget(time - self._seen < _SPAN)
        rows = self._rows(ids)
        noise = covariances * max(1.0, _ALIKE / elapsed if elapsed else 1.0)
        fresh, known = np.flatnonzero(rows < 0), np.flatnonzero(rows >= 0)
        believed = self._correct(rows[known], places[known], noise[known], time)
        lost = known[~believed & (time - self._seen[rows[known]] > _STUBBORN)]
        self._start(rows[lost], places[lost], covariances[lost], time)
        rows[fresh] = self._add(ids[fresh])
        self._start(rows[fresh], places[fresh], covariances[fresh], time)
        return self._means[rows], self._covariances[rows]

    def _rows(self, ids: Array) -> Array:
        """Where objects are remembered (K,), -1 where they are not."""
        order = np.argsort(self._ids)
        if not len(order):
            return np.full(len(ids), -1)
        found = order[np.searchsorted(self._ids, ids, sorter=order).clip(max=len(order) - 1)]
        return np.where(self._ids[found] == ids, found, -1)

    def _forget(self, kept: Array) -> None:
        self._ids, self._seen = self._ids[kept], self._seen[kept]
        self._means, self._covariances = self._means[kept], self._covariances[kept]

    def _predict(self, elapsed: float) -> None:
        transition = np.eye(6) + elapsed * np.eye(6, k=3)
        parts = [[elapsed**3 / 3, elapsed**2 / 2], [elapsed**2 / 2, elapsed]]
        self._means = self._means @ transition.T
        self._covariances = transition @ self._covariances @ transition.T + _ACCELERATION * np.kron(parts, np.eye(3))

    def _correct(self, rows: Array, places: Array, noise: Array, time: float) -> Array:
        """Correct the objects of some rows; which of the places (N,) were believed."""
        expected = self._covariances[rows][:, :3, :3] + noise
        apart = places - self._means[rows, :3]
        distances = np.einsum("ni,ni->n", apart, np.linalg.solve(expected, apart[:, :, None])[:, :, 0])
        believed = distances < _GATE
        rows, apart, expected = rows[believed], apart[believed], expected[believed]
        before = self._covariances[rows]
        gains = np.linalg.solve(expected, before[:, :3]).transpose(0, 2, 1)  # (N, 6, 3)
        self._means[rows] += (gains @ apart[:, :, None])[:, :, 0]
        after = before - gains @ before[:, :3]
        self._covariances[rows] = (after + after.transpose(0, 2, 1)) / 2
        self._seen[rows] = time
        return np.asarray(believed)

    def _add(self, ids: Array) -> Array:
        """Rows for new objects."""
        first, count = len(self._ids), len(ids)
        self._ids = np.concatenate([self._ids, ids])
        self._means = np.concatenate([self._means, np.zeros((count, 6))])
        self._covariances = np.concatenate([self._covariances, np.zeros((count, 6, 6))])
        self._seen = np.concatenate([self._seen, np.zeros(count)])
        return np.arange(first, first + count)

    def _start(self, rows: Array, places: Array, covariances: Array, time: float) -> None:
        """Begin anew with places alone."""
        self._means[rows] = np.concatenate([places, np.zeros_like(places)], axis=1)
        self._covariances[rows] = 0.0
        self._covariances[rows, :3, :3] = covariances
        self._covariances[rows, [[3], [4], [5]], [[3], [4], [5]]] = _FIRST_SPEED**2
        self._seen[rows] = time
