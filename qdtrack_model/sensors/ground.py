"""Where tracked objects are that stand on the ground, without depth: the ray through a box's foot meets the ground."""

from __future__ import annotations

import numpy as np

from qdtrack_model.sensors.camera_model import CameraModel
from qdtrack_model.sensors.depth import Boxes3D
from qdtrack_model.sensors.poses import Pose
from qdtrack_model.structures import Array

# Standard deviations of what the place depends on
_EDGE = 0.02  # of the edges of a box, as a share of its height, and
_PIXEL = 1.0  # of a pixel [px]
_ATTITUDE = np.radians(0.5)  # of the camera's pitch and roll: it rocks with its vehicle
_UNEVEN = 0.05  # of the ground [m]
_VAGUE = 0.5  # a place that is less exact than this share of its distance tells nothing


def on_the_ground(boxes: Array, camera: CameraModel, pose: Pose, height: float) -> Boxes3D:
    """Where the objects in boxes are if they stand on the ground.

    The pixels of a box's lower edge are worth the more metres the farther away it is: the deviation along the ray grows
    with the square of the distance.

    Args:
        boxes: (M, 4) x1 y1 x2 y2 in pixels of the camera's image.
        camera: geometry of the image.
        pose: of the camera in a frame whose z points up.
        height: of the ground in that frame [m].

    Returns:
        In the optical frame, those whose foot the image shows and whose ray meets the ground at a distance that is
        known to half of itself. A box is as deep as it is wide; its centre is above the foot.
    """
    boxes = boxes.astype(np.float64)
    feet = np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]], axis=1)
    step = 0.5
    rays, beside, below = (_rays(camera, feet + shift) for shift in ([0, 0], [step, 0], [0, step]))
    up = pose.rotation[2]  # along the axes of the camera
    fall = rays @ up
    with np.errstate(divide="ignore", invalid="ignore"):
        depths = (height - pose.translation[2]) / fall
        places = rays * depths[:, None]
        # The place moves by z (dr - r (up dr) / (up r)) for a step dr of the ray, by r / (up r) for one of the ground.
        along = rays / fall[:, None]
        steps = [((moved - rays) - along * ((moved - rays) @ up)[:, None]) / step for moved in (beside, below)]
    focal = np.array(camera.focal) / camera.binning
    deviations = np.hypot(_PIXEL + _EDGE * (boxes[:, 3:] - boxes[:, 1:2]), focal * _ATTITUDE)
    shifts = np.stack([steps[axis] * (depths * deviations[:, axis])[:, None] for axis in (0, 1)] + [along * _UNEVEN])
    with np.errstate(invalid="ignore", over="ignore"):
        covariances = np.einsum("ski,skj->kij", shifts, shifts)
        distances = np.linalg.norm(places, axis=1)
        exact = np.sqrt(np.trace(covariances, axis1=1, axis2=2)) < _VAGUE * distances
    shown = (boxes[:, 3] < camera.size[1] - 1) & (depths > 0) & np.isfinite(distances) & exact
    rows = np.flatnonzero(shown)
    top = _rays(camera, np.stack([feet[rows, 0], boxes[rows, 1]], axis=1))
    sides = _rays(camera, np.stack([boxes[rows, 2], feet[rows, 1]], axis=1)) - rays[rows]
    widths, heights = 2 * sides[:, 0] * depths[rows], (rays[rows] - top)[:, 1] * depths[rows]
    known = np.isfinite(widths) & np.isfinite(heights)
    rows, widths, heights = rows[known], widths[known], heights[known]
    return Boxes3D(
        rows,
        (places[rows] + up * heights[:, None] / 2).astype(np.float32),
        np.stack([widths, heights, widths], axis=1).astype(np.float32),
        covariances[rows].astype(np.float32),
    )


def _rays(camera: CameraModel, places: Array) -> Array:
    """Directions (N, 3) with z = 1 of places (N, 2) in the image."""
    return np.insert(camera.rays(places), 2, 1.0, axis=1)
