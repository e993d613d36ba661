"""What is remembered of the image, moved on with the camera: a turn shifts everything, whatever stands or walks.

Between two images of a camera that turns, every place of the first is in the second where a homography maps it to; of
one that also drives, far places are. Boxes and velocities are moved by it before anything is matched, so that motion in
the memory is that of the objects alone. Paper: Aharon et al., BoT-SORT, arXiv 2206.14651 (camera motion compensation).
"""

from __future__ import annotations

import numpy as np

from qdtrack_model.boxes import box_centres
from qdtrack_model.structures import Array

_IN_SIGHT = 0.2  # least cosine, about, of what a place turns by; what turns farther is left where it is


def check_camera_motion(homography: Array) -> None:
    """Raise ValueError unless this is an invertible matrix (3, 3) of finite numbers."""
    if homography.shape != (3, 3) or not np.isfinite(homography).all() or abs(np.linalg.det(homography)) < 1e-12:
        raise ValueError(
            f"camera_motion: got {homography.tolist()}, expected an invertible 3x3 matrix: from pixels of the frame"
            " before to pixels of this one"
        )


def moved(places: Array, homography: Array) -> tuple[Array, Array]:
    """Where a homography maps places (N, 2), and how it maps small steps there: (N, 2) and (N, 2, 2), float64.

    What would turn out of sight, and with it to infinity, stays where it is.
    """
    matrix = homography / np.cbrt(np.linalg.det(homography))
    full = places @ matrix[:, :2].T + matrix[:, 2]
    weights = full[:, 2:]
    seen = weights[:, 0] > _IN_SIGHT
    weights = np.where(seen[:, None], weights, 1.0)
    ends = full[:, :2] / weights
    steps = (matrix[:2, :2] - ends[:, :, None] * matrix[2, :2]) / weights[:, :, None]
    return np.where(seen[:, None], ends, places), np.where(seen[:, None, None], steps, np.eye(2))


def magnification(steps: Array) -> Array:
    """By how much (N,) lengths grow where small steps are mapped by (N, 2, 2).

    One number for both sides of a box: people stay upright when the camera rolls, and boxes that were laid around
    turned boxes would grow with every shake.
    """
    return np.sqrt(np.abs(np.linalg.det(steps)))


def moved_boxes(boxes: Array, homography: Array) -> tuple[Array, Array]:
    """Boxes (N, 4) moved with the camera, their shape kept, and how small steps are mapped there (N, 2, 2)."""
    corners = boxes.astype(np.float64)
    centres, steps = moved(box_centres(corners), homography)
    halves = (corners[:, 2:] - corners[:, :2]) / 2 * magnification(steps)[:, None]
    return np.asarray(np.concatenate([centres - halves, centres + halves], axis=1), boxes.dtype), steps


def moved_velocities(velocities: Array, steps: Array) -> Array:
    """Velocities (N, 2) of places where small steps are mapped by (N, 2, 2)."""
    return np.asarray((steps @ velocities[:, :, None])[:, :, 0], velocities.dtype)
