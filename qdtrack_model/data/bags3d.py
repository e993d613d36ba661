"""Boxes in space in bags: ``vision_msgs/Detection3DArray``, such as the node's ``detections_3d``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdtrack_model.data.bags import opened, stamp_of, typestore

ARRAY_3D = "vision_msgs/msg/Detection3DArray"


@dataclass(frozen=True)
class Box3D:
    """An object in space.

    Args:
        id: as it was published.
        name: of its most likely class.
        frame_id: the frame of all that follows.
        centre: x, y, z [m].
        turn: of the box about its centre, a quaternion x, y, z, w.
        size: side lengths [m].
    """

    id: str
    name: str
    frame_id: str
    centre: tuple[float, float, float]
    turn: tuple[float, float, float, float]
    size: tuple[float, float, float]


def read_boxes3d(path: Path) -> dict[float, tuple[Box3D, ...]]:
    """The boxes in space of all topics of a bag, by the seconds of their header stamps as ``read_images`` has them.

    Raises:
        BagError: the bag is broken.
    """
    found: dict[float, tuple[Box3D, ...]] = {}
    with opened(path) as reader:
        connections = [c for c in reader.connections if c.msgtype == ARRAY_3D]
        if not connections:
            return {}
        for _, _, raw in reader.messages(connections):
            message: Any = typestore().deserialize_cdr(raw, ARRAY_3D)
            boxes = tuple(_box(one, message.header.frame_id) for one in message.detections)
            time = stamp_of(raw) / 1e9
            found[time] = found.get(time, ()) + boxes
    return found


def _box(detection: Any, frame_id: str) -> Box3D:
    best = max((one.hypothesis for one in detection.results), key=lambda one: one.score, default=None)
    place, turn, size = detection.bbox.center.position, detection.bbox.center.orientation, detection.bbox.size
    return Box3D(
        detection.id,
        best.class_id if best else "",
        detection.header.frame_id or frame_id,
        (place.x, place.y, place.z),
        (turn.x, turn.y, turn.z, turn.w),
        (size.x, size.y, size.z),
    )
