"""Pixels placed in front of a calibrated camera, for viewers that draw in space and look through the camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdtrack_model.structures import Array


@dataclass(frozen=True)
class ImagePlane:
    """The plane at ``depth`` in the optical frame (x right, y down, z forward) on which an image appears.

    Pixels count from the outer corner of the first one, as in boxes, and are taken as they are: RViz stretches an
    image over what ``projection`` maps to 0 ... width. (Calibrations count from the middle of the first pixel, so RViz
    shows measured points half a pixel off.)

    Args:
        projection: (3, 4) float64, camera coordinates to pixels of the calibrated image: P of
            ``sensor_msgs/CameraInfo``.
        offset: where in the calibrated image the image begins [calibrated pixels], x and y.
        scale: calibrated pixels for one of the image, x and y; more than 1 where pixels were binned.
        depth: distance from the camera [m].

    Raises:
        ValueError: ``projection`` has no focal length, as where a camera is not calibrated.
    """

    projection: Array
    offset: tuple[float, float] = (0.0, 0.0)
    scale: tuple[float, float] = (1.0, 1.0)
    depth: float = 1.0

    def __post_init__(self) -> None:
        focal = self.projection[[0, 1], [0, 1]]
        if not (np.isfinite(self.projection).all() and (focal > 0).all()):
            raise ValueError(f"projection: got focal lengths {focal.tolist()}, expected those of a calibrated camera")

    def points(self, pixels: Array) -> Array:
        """Points (N, 3) float64 [m] that are seen at the image's pixels (N, 2)."""
        p = self.projection
        calibrated = self.offset + pixels.astype(np.float64) * self.scale
        sides = ((calibrated - p[:2, 2]) * self.depth - p[:2, 3]) / p[[0, 1], [0, 1]]
        return np.column_stack([sides, np.full(len(sides), self.depth)])

    def length(self, pixels: float) -> float:
        """Metres on the plane that the image shows as so many pixels of its height."""
        return float(pixels * self.scale[1] * self.depth / self.projection[1, 1])
