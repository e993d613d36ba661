"""Camera labels of the Waymo Open Dataset (https://waymo.com/open) as JSON, names as in its protocol buffers.

``segments[{context_name, frames[{timestamp_micros, camera_labels[{name, labels[{id, type, box}]}]}]}]``. The ``name``
of a camera is 1 to 5; a box has its centre ``center_x``, ``center_y``, its extent in x ``length``, and in y ``width``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qdtrack_model.data.documents import DocumentError, Node, read_json

TYPES = {0: "unknown", 1: "vehicle", 2: "pedestrian", 3: "sign", 4: "cyclist"}
CAMERAS = range(1, 6)


@dataclass(frozen=True)
class Label:
    """One box of a camera: the id of its object there, a class of TYPES, and x1 y1 x2 y2 in pixels."""

    identity: str
    category: str
    box: tuple[float, float, float, float]


Frame = dict[int, list[Label]]  # the labels of each camera
Segment = dict[int, Frame]  # the frames by timestamp in microseconds


def read_segments(path: str | Path) -> dict[str, Segment]:
    """The segments in a file, by name.

    Raises:
        DocumentError: the file is broken, a camera or a class is unknown, or a segment, frame or camera is there twice.
    """
    segments: dict[str, Segment] = {}
    for node in read_json(path)["segments"]:
        segment: Segment = {}
        _once(segments, node["context_name"].text(), node["context_name"])
        segments[node["context_name"].text()] = segment
        for frame in node["frames"]:
            time = frame["timestamp_micros"]
            _once(segment, time.integer(), time)
            segment[time.integer()] = _cameras(frame)
    return segments


def _once(known: dict[str, Segment] | Segment | Frame, key: str | int, node: Node) -> None:
    if key in known:
        raise DocumentError(f"{node.place}: {key} is there already")


def _cameras(frame: Node) -> Frame:
    cameras: Frame = {}
    for camera in frame["camera_labels"]:
        name = camera["name"]
        if name.integer() not in CAMERAS:
            raise name.error(f"{CAMERAS[0]} to {CAMERAS[-1]}")
        _once(cameras, name.integer(), name)
        cameras[name.integer()] = [_label(label) for label in camera.get("labels") or ()]
    return cameras


def _label(node: Node) -> Label:
    kind, box = node["type"], node["box"]
    if kind.integer() not in TYPES:
        raise kind.error(f"one of {', '.join(f'{number} ({name})' for number, name in TYPES.items())}")
    x, y, length, width = (box[name].number() for name in ("center_x", "center_y", "length", "width"))
    corners = (x - length / 2, y - width / 2, x + length / 2, y + width / 2)
    return Label(node["id"].identity(), TYPES[kind.integer()], corners)
