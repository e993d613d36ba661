"""Foxglove's annotations are in pixels of the image, as it counts them: from the outer corner of the first one."""

from __future__ import annotations

import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from foxglove_msgs.msg import PointsAnnotation
from scenes import CLASSES, HEADER, frame_of, tracks_at, trails_of

from qdtrack_model.drawing.overlay import Trails, colour_of
from qdtrack_model.structures import Tracks
from qdtrack_ros.output.annotations import annotations_message


def test_a_box_is_a_loop_through_its_corners() -> None:
    made = annotations_message(frame_of(tracks_at([[100.25, 60.5, 160.75, 180.125]], ids=[6])), Trails(9), CLASSES)
    (box,) = made.points
    assert (box.type, box.timestamp) == (PointsAnnotation.LINE_LOOP, HEADER.stamp)
    corners = [(100.25, 60.5), (160.75, 60.5), (160.75, 180.125), (100.25, 180.125)]
    assert [(point.x, point.y) for point in box.points] == corners
    colour = box.outline_color
    assert tuple(round(255 * value) for value in (colour.b, colour.g, colour.r)) == colour_of(6)
    assert (colour.a, box.fill_color.a) == (1.0, 0.0)


def test_labels_stand_on_their_boxes() -> None:
    tracks = tracks_at([[100.25, 60.5, 240.75, 180.125], [200, 1, 240, 50]], ids=[6, 70_000_000_000])
    first, second = annotations_message(frame_of(tracks), Trails(9), CLASSES).texts
    assert (first.text, second.text) == ("pedestrian 6", "70000000000")
    assert (first.position.x, first.position.y, first.timestamp) == (100.25, 60.5, HEADER.stamp)
    assert second.position.y == second.font_size, "at the upper edge the label is inside"


def test_trails_fade() -> None:
    moments = [tracks_at([[10 + step, 20, 30 + step, 80.5]], ids=[7]) for step in range(7)]
    trail, _ = annotations_message(frame_of(moments[-1]), trails_of(*moments), CLASSES).points
    assert (trail.type, trail.timestamp) == (PointsAnnotation.LINE_STRIP, HEADER.stamp)
    assert [(point.x, point.y) for point in trail.points] == [(20.0 + step, 80.5) for step in range(7)]
    opacities = [colour.a for colour in trail.outline_colors]
    assert len(opacities) == 6, "one for each piece between two points"
    assert opacities == sorted(opacities) and opacities[0] < opacities[-1]


def test_no_tracks_clear_the_picture() -> None:
    made = annotations_message(frame_of(Tracks.empty()), Trails(9), CLASSES)
    assert (made.points, made.texts, made.circles) == ([], [], [])
