"""Kalman filter of boxes at constant velocity, many at once.

A state is (centre x, centre y, width / height, height) and the change of each in a step; what is measured are the first
four. Noise is relative to the height, so that near and far objects are alike. Paper: Wojke et al., Simple Online and
Realtime Tracking with a Deep Association Metric (DeepSORT), ICIP 2017; the numbers are those of its public code.
"""

from __future__ import annotations

import numpy as np

from qdtrack_model.structures import Array
from qdtrack_model.tracking.camera_motion import magnification
from qdtrack_model.tracking.camera_motion import moved as moved_places

GATE = 9.4877  # squared Mahalanobis distance that 95 % of true measurements stay within: chi-squared, 4 degrees
_POSITION, _VELOCITY = 1 / 20, 1 / 160  # standard deviations in heights
_SMALLEST = 1e-3  # pixels: noise of a box without height would be none, and nothing could be divided by it


def measurements(boxes: Array) -> Array:
    """Centre, width / height and height (N, 4) float64 of boxes (N, 4) x1 y1 x2 y2 that have an area."""
    corners = boxes.astype(np.float64)
    sides = corners[:, 2:] - corners[:, :2]
    centres = corners[:, :2] + sides / 2
    return np.concatenate([centres, sides[:, :1] / sides[:, 1:], sides[:, 1:]], axis=1)


def boxes_of(means: Array) -> Array:
    """Boxes (N, 4) x1 y1 x2 y2 of states (N, 8)."""
    sides = np.stack([means[:, 2] * means[:, 3], means[:, 3]], axis=1)
    corner = means[:, :2] - sides / 2
    return np.concatenate([corner, corner + sides], axis=1)


def start(measured: Array) -> tuple[Array, Array]:
    """States (N, 8) at rest and their covariances (N, 8, 8), from the first measurements (N, 4)."""
    deviations = _deviations(measured[:, 3], (2 * _POSITION, 1e-2), (10 * _VELOCITY, 1e-5))
    return np.concatenate([measured, np.zeros_like(measured)], axis=1), _diagonal(deviations**2)


def predict(means: Array, covariances: Array, steps: float) -> tuple[Array, Array]:
    """States and covariances after a number of steps, which may be a fraction: the noise grows in proportion."""
    noise = _deviations(means[:, 3], (_POSITION, 1e-2), (_VELOCITY, 1e-5))
    transition = np.eye(8) + steps * np.eye(8, k=4)
    return means @ transition.T, transition @ covariances @ transition.T + steps * _diagonal(noise**2)


def moved(means: Array, covariances: Array, homography: Array) -> tuple[Array, Array]:
    """States (N, 8) and covariances (N, 8, 8), moved on with a camera that turned."""
    centres, steps = moved_places(means[:, :2], homography)
    maps = np.tile(np.eye(8), (len(means), 1, 1))
    maps[:, :2, :2] = maps[:, 4:6, 4:6] = steps
    maps[:, 3, 3] = maps[:, 7, 7] = magnification(steps)
    states = (maps @ means[:, :, None])[:, :, 0]
    states[:, :2] = centres
    return states, maps @ covariances @ maps.transpose(0, 2, 1)


def squared_distances(means: Array, covariances: Array, measured: Array) -> Array:
    """Squared Mahalanobis distances (N, M) of measurements (M, 4) from states (N, 8)."""
    apart = measured[None] - means[:, None, :4]  # (N, M, 4)
    solved = np.linalg.solve(_measured_covariances(means, covariances), apart.transpose(0, 2, 1))
    return np.asarray(np.einsum("nmk,nkm->nm", apart, solved))


def correct(means: Array, covariances: Array, measured: Array) -> tuple[Array, Array]:
    """States (N, 8) and covariances after a measurement (N, 4) of each."""
    expected = _measured_covariances(means, covariances)
    gains = np.linalg.solve(expected, covariances[:, :4]).transpose(0, 2, 1)  # (N, 8, 4)
    corrected = means + (gains @ (measured - means[:, :4])[..., None])[..., 0]
    return corrected, covariances - gains @ expected @ gains.transpose(0, 2, 1)


def _measured_covariances(means: Array, covariances: Array) -> Array:
    """Covariances (N, 4, 4) of the measurement that each state expects."""
    noise = _deviations(means[:, 3], (_POSITION, 1e-1))
    return np.asarray(covariances[:, :4, :4] + _diagonal(noise**2))


def _deviations(heights: Array, *pairs: tuple[float, float]) -> Array:
    """Standard deviations (N, 4 or 8), of lengths in heights and of the aspect ratio, for each of the pairs."""
    lengths = np.maximum(np.abs(heights), _SMALLEST)[:, None]
    columns = [(lengths * (length, length, 0, length) + (0, 0, aspect, 0)) for length, aspect in pairs]
    return np.concatenate(columns, axis=1)


def _diagonal(values: Array) -> Array:
    """Matrices (N, K, K) with the values (N, K) on their diagonals."""
    return np.asarray(values[:, :, None] * np.eye(values.shape[1]))
