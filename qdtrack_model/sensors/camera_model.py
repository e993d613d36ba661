"""Where the pixels of a camera look, by the values of ``sensor_msgs/CameraInfo``; no ROS needed.

A rectified image is a pinhole's, described by P. A raw image is described by K and, where the lens bends, by D:
plumb_bob and rational_polynomial (Brown-Conrady), equidistant (Kannala-Brandt fisheye), computed by OpenCV.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np

from qdtrack_model.sensors.messages import shown
from qdtrack_model.structures import Array

_FISHEYE = "equidistant"
_COEFFICIENTS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), _FISHEYE: (4,)}
_STEPS = 50  # OpenCV takes five towards a ray and stops, in the corners of wide lenses two pixels off
_CLOSE = 0.02  # pixels off at which a ray is good; where none is, the lens puts no light


class InvalidCameraInfo(ValueError):
    """A camera_info that says nothing of use about the image."""


class Region(Protocol):
    """The fields of ``sensor_msgs/RegionOfInterest`` that matter here."""

    x_offset: int
    y_offset: int
    width: int
    height: int


class CameraInfo(Protocol):
    """The fields of ``sensor_msgs/CameraInfo`` that matter here."""

    width: int
    height: int
    distortion_model: str
    d: Any  # numbers, as many as the model asks for
    k: Any  # 9, row by row
    p: Any  # 12, row by row
    binning_x: int
    binning_y: int
    roi: Any  # Region


@dataclass(frozen=True)
class CameraModel:
    """The way from places in an image to directions in the optical frame: z forward, x right, y down (REP 103).

    Args:
        size: width and height of the image [px].
        focal: x and y [px].
        centre: x and y of the principal point [px], whole numbers at the middle of a pixel as OpenCV has them.
        distortion: coefficients in OpenCV's order; none for a pinhole.
        fisheye: whether they are those of an equidistant fisheye.
        binning: pixels of the sensor in one of the image, x and y: ``focal`` and ``centre`` count the sensor's.
        offset: x and y of the image's corner on the sensor [px].
    """

    size: tuple[int, int]
    focal: tuple[float, float]
    centre: tuple[float, float]
    distortion: tuple[float, ...] = ()
    fisheye: bool = False
    binning: tuple[int, int] = (1, 1)
    offset: tuple[int, int] = (0, 0)

    @classmethod
    def from_info(cls, info: CameraInfo, rectified: bool, size: tuple[int, int]) -> CameraModel:
        """The model of a camera's raw images, or of its ``rectified`` ones.

        The shift of P between the two cameras of a stereo pair is left out: directions are from this camera's own
        place, as in depth_image_proc.

        Args:
            info: what the camera says of itself.
            rectified: the image was straightened: P holds, and no distortion.
            size: width and height of the image [px].

        Raises:
            InvalidCameraInfo: not calibrated (zeros), an image of another size, numbers that are not finite, or a
                distortion that is not known.
        """
        focal, centre = _pinhole(*(("P", info.p) if rectified else ("K", info.k)))
        roi: Region = info.roi
        binning = (max(1, info.binning_x), max(1, info.binning_y))  # 0 means 1
        width, height = (roi.width or info.width) // binning[0], (roi.height or info.height) // binning[1]  # 0: all
        if (width, height) != size:
            raise InvalidCameraInfo(
                f"camera_info: of {width}x{height} pixels for an image of {size[0]}x{size[1]}, expected its own"
            )
        distortion = () if rectified else _distortion(info)
        fisheye = bool(distortion) and info.distortion_model == _FISHEYE
        return cls(size, focal, centre, distortion, fisheye, binning, (roi.x_offset, roi.y_offset))

    def rays(self, places: Array) -> Array:
        """Directions (N, 2) float64, x and y at z = 1, of places (N, 2) in the image [px].

        Places count from the outer corner of the top-left pixel, as boxes do. NaN where the lens puts no light.
        """
        sensor = places.astype(np.float64) * self.binning + self.offset - 0.5
        if not self.distortion or not len(sensor):
            return np.asarray((sensor - self.centre) / self.focal)
        undistorted = cv2.fisheye.undistortPoints if self.fisheye else cv2.undistortPoints
        rays = undistorted(sensor[:, None], self._matrix(), np.array(self.distortion))[:, 0]
        missed = np.arange(len(rays))
        with np.errstate(all="ignore"):  # where nothing is found the numbers may grow out of range
            for _ in range(_STEPS):
                off = sensor[missed] - self._distorted(rays[missed])
                far = ~(np.abs(off).max(axis=1) < _CLOSE)
                missed, off = missed[far], off[far]
                if not len(missed):
                    break
                rays[missed] += off / self.focal
        rays[missed] = np.nan
        return np.asarray(rays)

    def homography(self, turn: Array) -> Array:
        """Where places in the image are after the camera has turned: (3, 3), counted as in :meth:`rays`.

        As of a pinhole: what the lens bends is left out, which matters little for the small turn between two images.

        Args:
            turn: (3, 3) from directions in the optical frame before to the same ones after.
        """
        shift = np.append(0.5 - np.array(self.offset, np.float64), 0.0)[:, None] * [[0, 0, 1.0]]
        matrix = np.diag([*(1 / np.array(self.binning)), 1.0]) @ (self._matrix() + shift)
        return np.asarray(matrix @ turn @ np.linalg.inv(matrix))

    def _distorted(self, rays: Array) -> Array:
        """Where rays (N, 2) meet the sensor (N, 2) [px]."""
        points = np.insert(rays, 2, 1.0, axis=1)[:, None]
        project = cv2.fisheye.projectPoints if self.fisheye else cv2.projectPoints
        here = np.zeros(3)
        return np.asarray(project(points, here, here, self._matrix(), np.array(self.distortion))[0]).reshape(-1, 2)

    def _matrix(self) -> Array:
        (fx, fy), (cx, cy) = self.focal, self.centre
        return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def _pinhole(name: str, numbers: Any) -> tuple[tuple[float, float], tuple[float, float]]:
    """Focal lengths and principal point, x and y, in K or P."""
    matrix = np.reshape(numbers, (3, -1))
    (fx, cx), (fy, cy) = matrix[0, [0, 2]].tolist(), matrix[1, [1, 2]].tolist()
    if not np.isfinite(matrix).all():
        raise InvalidCameraInfo(f"camera_info: {name} is not finite: {matrix.tolist()}")
    if min(fx, fy) <= 0:
        raise InvalidCameraInfo(f"camera_info: the focal lengths in {name} are {fx:g} and {fy:g}: calibrate the camera")
    return (fx, fy), (cx, cy)


def _distortion(info: CameraInfo) -> tuple[float, ...]:
    """The coefficients, none where nothing is distorted."""
    numbers = tuple(float(value) for value in info.d)
    if not np.isfinite(numbers).all():
        raise InvalidCameraInfo(f"camera_info: D is not finite: {list(numbers)}")
    if not any(numbers) and info.distortion_model != _FISHEYE:  # a fisheye is one with zeros, too
        return ()
    counts = _COEFFICIENTS.get(info.distortion_model)
    if counts is None:
        raise InvalidCameraInfo(
            f"camera_info: distortion_model is {shown(info.distortion_model)}, expected one of"
            f" {', '.join(_COEFFICIENTS)}, or rectified images"
        )
    if len(numbers) not in counts:
        raise InvalidCameraInfo(
            f"camera_info: D has {len(numbers)} numbers, {info.distortion_model} has {' or '.join(map(str, counts))}"
        )
    return numbers
