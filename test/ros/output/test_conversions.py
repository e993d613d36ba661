"""Images and tracks as messages, and back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from scenes import CLASSES, HEADER, tracks_at

from qdtrack_model.sensors.depth import Boxes3D
from qdtrack_model.structures import Tracks
from qdtrack_ros.input.source_image import image_array
from qdtrack_ros.output.conversions import (
    compressed_message,
    detections_message,
    image_message,
    objects_message,
    tracks_from_message,
    tracks_message,
)

RANDOM = np.random.default_rng(0)


def test_image_message_there_and_back() -> None:
    pixels = RANDOM.integers(0, 256, (6, 10, 3), dtype=np.uint8)
    made = image_message(pixels, HEADER)
    assert (made.header, made.encoding, made.step) == (HEADER, "bgr8", 30)
    assert np.array_equal(image_array(made), pixels)


def test_a_compressed_message_is_one_of_image_transport() -> None:
    pixels = cv2.GaussianBlur(RANDOM.integers(0, 256, (60, 80, 3), dtype=np.uint8), (9, 9), 3)
    made = compressed_message(pixels, HEADER)
    assert (made.header, made.format) == (HEADER, "bgr8; jpeg compressed bgr8")
    assert np.abs(image_array(made).astype(int) - pixels).mean() < 5


def two_tracks() -> Tracks:
    return Tracks(
        ids=np.array([3, 70_000_000_000]),
        boxes=np.array([[10.25, 20.5, 30.75, 60.125], [1900.1, 0, 1920, 33.3]]),
        scores=np.array([0.9, 0.6]),
        labels=np.array([0, 1]),
        embeddings=np.array([[1.0, 2.0], [3.0, 4.5]]),
        velocities=np.array([[-3.5, 0.25], [0, 12]]),
        ages=np.array([1.5, 0.04]),
        unseen=np.array([0.0, 0.2]),
        states=np.array([1, 2]),
    )


def test_tracks_message_there_and_back() -> None:
    tracks = two_tracks()
    made = tracks_message(tracks, HEADER, (1920, 1080), ("pedestrian", "vehicle"), embeddings=True)
    assert (made.header, made.image_width, made.image_height) == (HEADER, 1920, 1080)
    first = made.tracks[0]
    assert (first.center_x, first.center_y, first.size_x, first.size_y) == (20.5, 40.3125, 20.5, 39.625)
    assert [track.class_name for track in made.tracks] == ["pedestrian", "vehicle"]
    back = tracks_from_message(made)
    for name in ("ids", "boxes", "scores", "labels", "embeddings", "velocities", "ages", "unseen", "states"):
        assert np.array_equal(getattr(back, name), getattr(tracks, name)), name


def test_embeddings_only_when_asked_for() -> None:
    made = tracks_message(two_tracks(), HEADER, (1920, 1080), ("pedestrian", "vehicle"))
    assert all(len(track.embedding) == 0 for track in made.tracks)
    assert tracks_from_message(made).embeddings.shape == (2, 0)


def test_detections_message() -> None:
    made = detections_message(two_tracks(), HEADER)
    assert made.header == HEADER
    second = made.detections[1]
    assert second.header == HEADER
    assert second.id == "70000000000"
    assert second.results[0].hypothesis.class_id == "1"
    assert second.results[0].hypothesis.score == pytest.approx(0.6)
    assert second.bbox.center.position.x == pytest.approx(1910.05, abs=1e-4)
    assert second.bbox.size_y == pytest.approx(33.3, abs=1e-4)


@pytest.mark.parametrize("moving", [True, False])
def test_objects_in_space(moving: bool) -> None:
    tracks = tracks_at([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]], ids=[4, 9, 2])
    spread = np.tile(np.arange(9.0).reshape(3, 3), (2, 1, 1))
    known = {"velocities": np.array([[1.0, 2, 3], [4, 5, 6]]), "velocity_covariances": spread + 10} if moving else {}
    boxes = Boxes3D(
        np.array([0, 2]),
        np.array([[1.0, 2, 3], [4, 5, 6]]),
        np.ones((2, 3)),
        spread,
        np.array([0.6, 0, 0, 0.8]),
        **known,
    )
    message = objects_message(tracks, boxes, HEADER, CLASSES)
    assert message.header == HEADER and [one.id for one in message.objects] == [4, 2]
    last = message.objects[1]
    place, turn, speed = last.pose.pose.position, last.pose.pose.orientation, last.twist.twist.linear
    assert (place.x, place.y, place.z, turn.x, turn.w) == (4, 5, 6, 0.6, 0.8)
    assert (last.class_name, last.size.y) == ("pedestrian", 1)
    assert np.array_equal(np.reshape(last.pose.covariance, (6, 6))[:3, :3], spread[1])
    if moving:
        assert (speed.x, speed.y, speed.z) == (4, 5, 6)
        assert np.array_equal(np.reshape(last.twist.covariance, (6, 6))[:3, :3], spread[1] + 10)
    else:
        assert last.twist.covariance[0] == -1
