"""Tracks as Foxglove image annotations: lines and labels that its Image panel draws over the image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from foxglove_msgs.msg import Color, ImageAnnotations, Point2, PointsAnnotation, TextAnnotation
from rclpy.lifecycle import LifecycleNode
from rclpy.qos_overriding_options import QoSOverridingOptions

from qdtrack_model.drawing.overlay import TRAIL_OPACITIES, Colour, Trails, captions, colour_of, text_colour
from qdtrack_model.structures import Array
from qdtrack_ros.output.frame import TrackedFrame
from qdtrack_ros.output.picture import Picture

_LINE, _FONT = 1 / 400, 1 / 45  # thickness of lines and size of the font [image heights]
_ADVANCE = 0.6  # from one letter to the next [sizes of the font]


class AnnotationsPublisher(Picture):
    """``annotations``."""

    def __init__(self, node: LifecycleNode, prefix: str, classes: Sequence[str]) -> None:
        self._classes = classes
        self._publisher = node.create_lifecycle_publisher(
            ImageAnnotations,
            f"{prefix}annotations",
            10,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        super().__init__(node, [self._publisher])

    def publish(self, frame: TrackedFrame, trails: Trails) -> None:
        """Publish the annotations of one frame."""
        self._publisher.publish(annotations_message(frame, trails, self._classes))


def annotations_message(frame: TrackedFrame, trails: Trails, classes: Sequence[str]) -> ImageAnnotations:
    """The trails, boxes and labels of one frame, in pixels of its image.

    Each carries the frame's stamp; the message itself has one only from foxglove_msgs 3.2.5 on.
    """
    return ImageAnnotations(points=[*_trails(frame, trails), *_boxes(frame)], texts=list(_labels(frame, classes)))


def _trails(frame: TrackedFrame, trails: Trails) -> Iterator[PointsAnnotation]:
    for identity, path in trails.paths.items():
        shades = [_colour(colour_of(identity), opacity) for opacity in TRAIL_OPACITIES]
        pieces = len(path) - 1
        line = _line(frame, PointsAnnotation.LINE_STRIP, path)
        line.outline_colors = [shades[piece * len(shades) // pieces] for piece in range(pieces)]
        yield line


def _boxes(frame: TrackedFrame) -> Iterator[PointsAnnotation]:
    corners = frame.tracks.boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
    for identity, box in zip(frame.tracks.ids.tolist(), corners, strict=True):
        line = _line(frame, PointsAnnotation.LINE_LOOP, box)
        line.outline_color = _colour(colour_of(identity))
        yield line


def _line(frame: TrackedFrame, kind: int, pixels: Array) -> PointsAnnotation:
    points = [Point2(x=x, y=y) for x, y in pixels.tolist()]
    thickness = _LINE * frame.size[1]
    return PointsAnnotation(timestamp=frame.header.stamp, type=kind, points=points, thickness=thickness)


def _labels(frame: TrackedFrame, classes: Sequence[str]) -> Iterator[TextAnnotation]:
    size = _FONT * frame.size[1]
    tracks = frame.tracks
    texts = captions(tracks, classes, _ADVANCE * size)
    for identity, box, text in zip(tracks.ids.tolist(), tracks.boxes.tolist(), texts, strict=True):
        colour = colour_of(identity)
        yield TextAnnotation(
            timestamp=frame.header.stamp,
            position=Point2(x=box[0], y=max(box[1], size)),  # above the box where there is room
            text=text,
            font_size=size,
            text_color=_colour(text_colour(colour)),
            background_color=_colour(colour),
        )


def _colour(colour: Colour, opacity: float = 1.0) -> Color:
    blue, green, red = colour
    return Color(r=red / 255, g=green / 255, b=blue / 255, a=opacity)
