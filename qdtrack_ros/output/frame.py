"""One image and all that is known of it, as the outputs get it."""

from __future__ import annotations

from dataclasses import dataclass

from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from qdtrack_model.sensors.depth import Boxes3D
from qdtrack_model.structures import Tracks
from qdtrack_ros.input.source_image import SourceImage


@dataclass(frozen=True, eq=False)
class TrackedFrame:
    """What is published of one image.

    Attributes:
        header: of the image, unchanged.
        image: what the tracks are in.
        tracks: those seen in the image and to be published.
        lost: those remembered and to be published.
        info: the newest calibration of the camera, if it publishes one.
        boxes3d: where the tracks are in space, as far as it is known, in the frame of the image.
        placed: the same, in the frame ``frame`` that was asked for.
        frame: by its name.
    """

    header: Header
    image: SourceImage
    tracks: Tracks
    lost: Tracks
    info: CameraInfo | None = None
    boxes3d: Boxes3D | None = None
    placed: Boxes3D | None = None
    frame: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the image."""
        return self.image.size
