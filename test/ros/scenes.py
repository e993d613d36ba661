"""Frames for the tests of what is drawn."""

from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from qdtrack_model.drawing.overlay import Trails
from qdtrack_model.structures import Tracks
from qdtrack_ros.input.source_image import SourceImage
from qdtrack_ros.output.conversions import image_message
from qdtrack_ros.output.frame import TrackedFrame

HEADER = Header(stamp=Time(sec=1_700_000_000, nanosec=123_456_789), frame_id="camera_optical_frame")
CLASSES = ("pedestrian", "vehicle")


def tracks_at(boxes: list[list[float]], ids: list[int] | None = None) -> Tracks:
    n = len(boxes)
    zero = np.zeros(n)
    ids_ = np.arange(n) if ids is None else ids
    return Tracks(ids_, boxes, zero + 0.9, zero, np.zeros((n, 0)), np.zeros((n, 2)), zero, zero, zero + 1)


def frame_of(tracks: Tracks, size: tuple[int, int] = (640, 360), **known: object) -> TrackedFrame:
    """A dark image of this size with tracks."""
    message = image_message(np.full((size[1], size[0], 3), 20, np.uint8), HEADER)
    return TrackedFrame(HEADER, SourceImage.read(message, (size[1], size[0])), tracks, Tracks.empty(), **known)  # type: ignore[arg-type]


def trails_of(*moments: Tracks, length: int = 10) -> Trails:
    trails = Trails(length)
    for tracks in moments:
        trails.extend(tracks)
    return trails


def calibration(width: int = 640, height: int = 360, **fields: object) -> CameraInfo:
    """A pinhole with everything off the simple case: unequal focal lengths, an off-centre principal point."""
    p = [510.5, 0.0, 331.25, 0.0, 0.0, 495.25, 170.75, 0.0, 0.0, 0.0, 1.0, 0.0]
    return CameraInfo(header=HEADER, width=width, height=height, p=p, **fields)
