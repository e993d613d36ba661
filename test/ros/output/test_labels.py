"""What tells the meaning of class ids."""

from __future__ import annotations

import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from scenes import CLASSES, HEADER

from qdtrack_ros.output.labels import ClassSource, label_info_message, vision_info_message


def test_label_info() -> None:
    made = label_info_message(CLASSES, HEADER, 0.25)
    assert made.header == HEADER
    assert [(entry.class_id, entry.class_name) for entry in made.class_map] == [(0, "pedestrian"), (1, "vehicle")]
    assert made.threshold == 0.25


def test_vision_info() -> None:
    made = vision_info_message(ClassSource(CLASSES, "one_shot", "street", version=3), HEADER)
    assert made.header == HEADER
    assert (made.method, made.database_location, made.database_version) == ("qdtrack one_shot", "street", 3)


def test_the_version_counts_changes() -> None:
    first = ClassSource().followed_by(CLASSES, "one_shot", "street")
    assert first.version == 1
    assert first.followed_by(CLASSES, "one_shot", "street") is first
    other = first.followed_by(("person",), "one_shot", "street")
    assert (other.classes, other.version) == (("person",), 2)
    assert other.followed_by(("person",), "one_shot", "plaza").version == 3
