"""Tracks as markers: drawn on the image plane, where RViz's Camera display lays them over the image, and in space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Vector3
from rclpy.lifecycle import LifecycleNode
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from qdtrack_model.drawing.overlay import TRAIL_OPACITIES, Trails, captions, colour_of
from qdtrack_model.sensors.depth import Boxes3D
from qdtrack_model.sensors.image_plane import ImagePlane
from qdtrack_model.structures import Array
from qdtrack_ros.output.frame import TrackedFrame
from qdtrack_ros.output.picture import Picture
from qdtrack_ros.throttle import Throttle

_LIFETIME = Duration(sec=2)  # removes what a node that died has drawn
_LINE, _TEXT = 1 / 250, 1 / 30  # width of lines and height of letters [image heights]: seen in a small panel
_LINE_3D, _TEXT_3D = 0.04, 0.4  # the same in space [m]
_ABOVE = 0.8  # from an edge up to the middle of its label [heights of letters]
_ADVANCE = 0.6  # from one letter to the next [heights of letters]

_SIDES = [0, 1, 1, 2, 2, 3, 3, 0]  # the corners of a rectangle, in pairs joined by a line
_CORNERS_3D = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
_EDGES_3D = [corner for a in range(8) for bit in (1, 2, 4) if not a & bit for corner in (a, a | bit)]


class MarkersPublisher(Picture):
    """``markers``; without a calibration there are none, and the log says so."""

    def __init__(self, node: LifecycleNode, prefix: str, classes: Sequence[str]) -> None:
        self._classes = classes
        self._publisher = node.create_lifecycle_publisher(
            MarkerArray, f"{prefix}markers", 10, qos_overriding_options=QoSOverridingOptions.with_default_policies()
        )
        super().__init__(node, [self._publisher])
        self._complaints = Throttle(seconds=60.0)
        self._without_info = 0

    def publish(self, frame: TrackedFrame, trails: Trails) -> None:
        """Publish the markers of one frame."""
        if frame.info is None:
            self._without_info += 1
            if self._without_info > 1:  # the first image may be ahead of its camera_info
                self._complain("missing", "no camera_info has come; remap camera_info to the camera's")
            return
        try:
            plane = image_plane(frame.info, frame.size)
        except ValueError as error:
            self._complain("unusable", f"camera_info cannot be used: {error}")
            return
        self._publisher.publish(markers_message(frame, plane, trails, self._classes))

    def _complain(self, problem: str, why: str) -> None:
        if self._complaints.passes(problem):
            self._node.get_logger().warning(f"{self._publisher.topic_name} stays empty: {why}")


def image_plane(info: CameraInfo, size: tuple[int, int]) -> ImagePlane:
    """The plane on which RViz's Camera display shows an image of this ``size`` (width, height).

    As there, P belongs to the whole calibrated image, and the image is laid over its region of interest, or over all of
    it where there is none: images that are binned or scaled fit, too.

    Raises:
        ValueError: the camera is not calibrated.
    """
    region = info.roi
    offset, part = (0.0, 0.0), (info.width or size[0], info.height or size[1])
    if region.width and region.height:
        offset, part = (float(region.x_offset), float(region.y_offset)), (region.width, region.height)
    return ImagePlane(np.reshape(info.p, (3, 4)), offset, (part[0] / size[0], part[1] / size[1]))


def markers_message(frame: TrackedFrame, plane: ImagePlane, trails: Trails, classes: Sequence[str]) -> MarkerArray:
    """All that is to be seen of one frame, after the order to remove what was seen before.

    So it does not matter which messages get lost; RViz draws only when a whole message is in, and nothing flickers.
    Namespaces, which RViz can hide: ``boxes``, ``trails`` and ``ids`` on the plane, ``boxes_3d`` and ``ids_3d``.
    """
    texts = captions(frame.tracks, classes, _ADVANCE * _TEXT * frame.size[1])
    markers = [Marker(header=frame.header, action=Marker.DELETEALL)]
    markers.extend(_trails(frame, plane, trails))
    markers.extend(_boxes(frame, plane, texts))
    if frame.boxes3d is not None:
        markers.extend(_boxes_3d(frame, frame.boxes3d, texts))
    return MarkerArray(markers=markers)


def _trails(frame: TrackedFrame, plane: ImagePlane, trails: Trails) -> Iterator[Marker]:
    width = plane.length(_LINE * frame.size[1])
    for row, (identity, path) in enumerate(trails.paths.items()):
        shades = [_colour(identity, opacity) for opacity in TRAIL_OPACITIES]
        marker = _marker(frame.header, "trails", row, Marker.LINE_STRIP, Vector3(x=width))
        marker.points = _points(plane.points(path))
        marker.colors = [shades[step * len(shades) // len(path)] for step in range(len(path))]
        yield marker


def _boxes(frame: TrackedFrame, plane: ImagePlane, texts: Sequence[str]) -> Iterator[Marker]:
    boxes, ids, height = frame.tracks.boxes, frame.tracks.ids, frame.size[1]
    corners = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]  # (M, 4, 2)
    sides = plane.points(corners[:, _SIDES].reshape(-1, 2))
    yield from _segments(frame.header, "boxes", sides, ids, plane.length(_LINE * height))
    above = _ABOVE * _TEXT * height
    middles = np.column_stack([boxes[:, [0, 2]].mean(axis=1), np.maximum(boxes[:, 1] - above, above)])  # kept inside
    yield from _texts(frame.header, "ids", plane.points(middles), ids, texts, plane.length(_TEXT * height))


def _boxes_3d(frame: TrackedFrame, boxes: Boxes3D, texts: Sequence[str]) -> Iterator[Marker]:
    ids = frame.tracks.ids[boxes.rows]
    corners = boxes.centres[:, None] + boxes.sizes[:, None] * _CORNERS_3D  # (K, 8, 3)
    yield from _segments(frame.header, "boxes_3d", corners[:, _EDGES_3D].reshape(-1, 3), ids, _LINE_3D)
    places = boxes.centres - boxes.sizes * [0, 0.5, 0] - [0, _ABOVE * _TEXT_3D, 0]  # y points down
    yield from _texts(frame.header, "ids_3d", places, ids, [texts[row] for row in boxes.rows], _TEXT_3D)


def _segments(header: Header, namespace: str, ends: Array, ids: Array, width: float) -> Iterator[Marker]:
    """One marker for all: pairs of ``ends`` (S, 3) are joined, equally many for each id, in its colour."""
    if len(ids):
        marker = _marker(header, namespace, 0, Marker.LINE_LIST, Vector3(x=width))
        marker.points = _points(ends)
        share = len(ends) // len(ids)
        marker.colors = [colour for identity in ids.tolist() for colour in [_colour(identity)] * share]
        yield marker


def _texts(
    header: Header, namespace: str, places: Array, ids: Array, texts: Sequence[str], height: float
) -> Iterator[Marker]:
    for row, (place, identity, text) in enumerate(zip(_points(places), ids.tolist(), texts, strict=True)):
        marker = _marker(header, namespace, row, Marker.TEXT_VIEW_FACING, Vector3(z=height))
        marker.pose.position, marker.color, marker.text = place, _colour(identity), text
        yield marker


def _marker(header: Header, namespace: str, row: int, kind: int, scale: Vector3) -> Marker:
    return Marker(header=header, ns=namespace, id=row, type=kind, scale=scale, lifetime=_LIFETIME)


def _points(places: Array) -> list[Point]:
    return [Point(x=x, y=y, z=z) for x, y, z in places.tolist()]


def _colour(identity: int, opacity: float = 1.0) -> ColorRGBA:
    blue, green, red = colour_of(identity)
    return ColorRGBA(r=red / 255, g=green / 255, b=blue / 255, a=opacity)
