"""Where frames are to each other, how they turn, and what that does to an image; lengths in metres, time in seconds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from qdtrack_model.structures import Array

_LONGEST_GAP = 0.1  # seconds between two rates of turn; across a longer one nothing is known


@dataclass(frozen=True, eq=False)
class Pose:
    """Where a frame is in another one: what is at ``p`` in it is at ``rotation @ p + translation`` in the other.

    Args:
        rotation: (3, 3) float64.
        translation: (3,) float64 [m].
    """

    rotation: Array
    translation: Array

    @classmethod
    def of(cls, translation: tuple[float, float, float], quaternion: tuple[float, float, float, float]) -> Pose:
        """By x y z and the quaternion's x y z w, of any length.

        Raises:
            ValueError: a number is not finite, or the quaternion is zero.
        """
        numbers = np.array([*translation, *quaternion])
        if not np.isfinite(numbers).all() or not numbers[3:].any():
            raise ValueError(f"got translation {translation} and quaternion {quaternion}, expected finite numbers")
        return cls(Rotation.from_quat(numbers[3:]).as_matrix(), numbers[:3])

    @property
    def quaternion(self) -> Array:
        """The rotation as x y z w."""
        return np.asarray(Rotation.from_matrix(self.rotation).as_quat())

    @property
    def inverse(self) -> Pose:
        """Where the other frame is in this one."""
        return Pose(self.rotation.T, -self.rotation.T @ self.translation)

    def __matmul__(self, inner: Pose) -> Pose:
        """Where a frame that is at ``inner`` in this frame is in the other one."""
        return Pose(self.rotation @ inner.rotation, self.places(inner.translation[None])[0])

    def places(self, places: Array) -> Array:
        """Places (N, 3) in the other frame."""
        return np.asarray(places @ self.rotation.T + self.translation)

    def directions(self, directions: Array) -> Array:
        """Directions, sizes of steps or velocities (N, 3) along the axes of the other frame."""
        return np.asarray(directions @ self.rotation.T)

    def covariances(self, covariances: Array) -> Array:
        """Covariances of places (N, 3, 3) along the axes of the other frame."""
        return np.asarray(self.rotation @ covariances @ self.rotation.T)


def turn(stamps: Array, rates: Array, begin: int, end: int) -> Array | None:
    """How a gyroscope turned: (3, 3) from directions in its frame at one time to the same ones at another.

    Args:
        stamps: (S,) int64, rising [ns].
        rates: (S, 3) of turn around its axes [rad/s].
        begin: [ns].
        end: later [ns].

    Returns:
        None where the rates do not reach from ``begin`` to ``end``, or have a gap of more than 0.1 s there.
    """
    if len(stamps) < 2 or begin < stamps[0] or end > stamps[-1]:
        return None
    first, last = np.searchsorted(stamps, begin, "right"), np.searchsorted(stamps, end, "left")
    if np.diff(stamps[first - 1 : last + 1]).max(initial=0) > _LONGEST_GAP * 1e9:
        return None
    inner = np.concatenate([[begin], stamps[first:last], [end]])
    seconds = (inner - begin) * 1e-9
    known = (stamps - begin) * 1e-9
    at = np.stack([np.interp(seconds, known, rates[:, axis]) for axis in range(3)], axis=1)
    steps = Rotation.from_rotvec((at[1:] + at[:-1]) / 2 * np.diff(seconds)[:, None]).as_matrix()
    turned = np.eye(3)
    for step in steps:
        turned = turned @ step
    return np.asarray(turned.T)
