"""How a camera moved from one tracked image to the next, by the parameter ``ego_motion``: images, gyroscope or tf."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from std_msgs.msg import Header

from qdtrack_model.sensors.camera_model import CameraModel, InvalidCameraInfo
from qdtrack_model.sensors.registration import Registration
from qdtrack_model.structures import Array
from qdtrack_ros.input.source_image import SourceImage
from qdtrack_ros.input.stamps import stamp_nanoseconds
from qdtrack_ros.world.gyroscope import Gyroscope
from qdtrack_ros.world.transforms import NoTransform, Transforms

WAIT = 0.05  # seconds that tracking waits for what tells the motion


class UnknownMotion(ValueError):
    """How the camera moved is not known; the text says why."""


class EgoMotion(Protocol):
    """Follows one camera."""

    def __call__(
        self, header: Header, image: SourceImage, boxes: Array, model: Callable[[], CameraModel]
    ) -> Array | None:
        """The homography (3, 3) from the tracked image before to this one, in pixels of the whole image.

        Args:
            header: of the image.
            image: its pixels.
            boxes: (N, 4) of what may move in it.
            model: gives the camera's calibration, or raises InvalidCameraInfo.

        Returns:
            None for the first image, and where the images themselves do not tell.

        Raises:
            UnknownMotion: what should tell the motion does not.
        """


class ByImage:
    """What the images show of it."""

    def __init__(self) -> None:
        self._registration = Registration()

    def __call__(
        self, header: Header, image: SourceImage, boxes: Array, model: Callable[[], CameraModel]
    ) -> Array | None:
        pixels = image.pixels if isinstance(image.pixels, np.ndarray) else image.whole
        return self._registration(pixels, image.size, boxes)


class ByRotation:
    """The camera's rotation, by whatever measures it; that it also drives is left out: far things show no more.

    Args:
        rotation: gives the way (3, 3) from directions in an optical frame at one stamp [ns] to the same at a later one,
            or raises UnknownMotion.
    """

    def __init__(self, rotation: Callable[[str, int, int], Array]) -> None:
        self._rotation = rotation
        self._before: int | None = None  # stamp of the image before [ns]

    def __call__(
        self, header: Header, image: SourceImage, boxes: Array, model: Callable[[], CameraModel]
    ) -> Array | None:
        stamp, before = stamp_nanoseconds(header), self._before
        self._before = stamp
        if before is None or stamp <= before:
            return None
        try:
            return model().homography(self._rotation(header.frame_id, before, stamp))
        except InvalidCameraInfo as error:
            raise UnknownMotion(str(error)) from None


def by_transforms(transforms: Transforms, fixed: str) -> Callable[[str, int, int], Array]:
    """Rotations of cameras against a frame that is fixed to the ground."""

    def rotation(frame: str, before: int, after: int) -> Array:
        try:
            first = transforms.pose(fixed, frame, before, WAIT)
            return transforms.pose(fixed, frame, after, WAIT).rotation.T @ first.rotation
        except NoTransform as error:
            raise UnknownMotion(f"no transform {error}") from None

    return rotation


def by_gyroscope(gyroscope: Gyroscope, transforms: Transforms | None) -> Callable[[str, int, int], Array]:
    """Rotations of cameras that are fixed to a gyroscope; tf tells how, where their frame is not its own."""

    def rotation(frame: str, before: int, after: int) -> Array:
        turned = gyroscope.turn(before, after, WAIT)
        if turned is None:
            raise UnknownMotion(f"{gyroscope.topic} has no rates of turn for the time between the images")
        if frame == gyroscope.frame:
            return turned
        frames = f"the gyroscope is in {gyroscope.frame!r}, the image in {frame!r}"
        if transforms is None:
            raise UnknownMotion(f"{frames}: tf2_ros, which knows how they are to each other, is not installed")
        try:
            mounted = transforms.pose(frame, gyroscope.frame, after, WAIT).rotation
        except NoTransform as error:
            raise UnknownMotion(f"{frames}: no transform {error}") from None
        return mounted @ turned @ mounted.T

    return rotation
