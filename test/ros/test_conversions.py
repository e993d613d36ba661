"""Messages to arrays and back: exact pixels, and every broken message refused by name."""

from __future__ import annotations

import array

import cv2
import numpy as np
import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from qdtrack_model.structures import Tracks
from qdtrack_ros.conversions import (
    InvalidImage,
    detections_message,
    image_array,
    image_message,
    label_info_message,
    stamp_nanoseconds,
    stamp_seconds,
    tracks_from_message,
    tracks_message,
)

HEADER = Header(stamp=Time(sec=1_700_000_000, nanosec=123_456_789), frame_id="camera_optical_frame")
RANDOM = np.random.default_rng(0)


def message(pixels: np.ndarray, encoding: str, padding: int = 0) -> Image:
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, -1)
    padded = np.concatenate([rows, np.full((height, padding), 77, np.uint8)], axis=1)
    data = array.array("B", padded.tobytes())
    return Image(header=HEADER, height=height, width=width, encoding=encoding, step=padded.shape[1], data=data)


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(
    ("encoding", "channels", "order"),
    [
        ("bgr8", 3, [0, 1, 2]),
        ("rgb8", 3, [2, 1, 0]),
        ("bgra8", 4, [0, 1, 2]),
        ("rgba8", 4, [2, 1, 0]),
    ],
)
def test_colour_encodings(encoding: str, channels: int, order: list[int], padding: int) -> None:
    pixels = RANDOM.integers(0, 256, (7, 11, channels), dtype=np.uint8)
    assert np.array_equal(image_array(message(pixels, encoding, padding)), pixels[:, :, order])


@pytest.mark.parametrize("padding", [0, 3])
def test_grey(padding: int) -> None:
    pixels = RANDOM.integers(0, 256, (5, 9, 1), dtype=np.uint8)
    assert np.array_equal(image_array(message(pixels, "mono8", padding)), pixels[:, :, 0])


def test_the_usual_encoding_is_not_copied() -> None:
    source = message(np.zeros((4, 6, 3), np.uint8), "bgr8")
    view = image_array(source)
    source.data[0] = 200
    assert view[0, 0, 0] == 200


def test_last_row_may_lack_its_padding() -> None:
    source = message(np.ones((4, 6, 3), np.uint8), "bgr8", padding=6)
    source.data = source.data[:-6]
    assert image_array(source).sum() == 4 * 6 * 3


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"encoding": "16UC1"}, "unknown encoding: '16UC1', expected one of bgr8"),
        ({"encoding": ""}, "unknown encoding: ''"),
        ({"width": 0}, "impossible size: 0x4"),
        ({"height": 0}, "impossible size: 6x0"),
        ({"width": 4_000_000_000}, "impossible size: 4000000000x4"),
        ({"step": 17}, "impossible step: 17 bytes for a row of 6 pixels"),
        ({"step": 4_294_967_295}, "truncated: 72 bytes"),
        ({"data": array.array("B")}, "truncated: 0 bytes, 6x4 bgr8 needs 72"),
        ({"data": array.array("B", bytes(71))}, "truncated: 71 bytes"),
    ],
)
def test_broken_images_are_named(change: dict, text: str) -> None:
    source = message(np.zeros((4, 6, 3), np.uint8), "bgr8")
    for name, value in change.items():
        setattr(source, name, value)
    with pytest.raises(InvalidImage) as caught:
        image_array(source)
    assert str(caught.value).startswith(text)


def compressed(data: bytes, kind: str = "jpeg") -> CompressedImage:
    return CompressedImage(header=HEADER, format=kind, data=array.array("B", data))


def test_compressed_images() -> None:
    pixels = cv2.GaussianBlur(RANDOM.integers(0, 256, (60, 80, 3), dtype=np.uint8), (9, 9), 3)
    assert np.array_equal(image_array(compressed(cv2.imencode(".png", pixels)[1].tobytes(), "png")), pixels)
    decoded = image_array(compressed(cv2.imencode(".jpg", pixels)[1].tobytes()))
    assert np.abs(decoded.astype(int) - pixels).mean() < 4


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_truncated_jpeg_is_refused(share: float) -> None:
    data = cv2.imencode(".jpg", RANDOM.integers(0, 256, (60, 80, 3), dtype=np.uint8))[1].tobytes()
    with pytest.raises(InvalidImage, match="truncated JPEG"):
        image_array(compressed(data[: int(share * len(data))]))


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff\xd9", b"not an image at all", bytes(1000)])
def test_compressed_rubbish_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidImage):
        image_array(compressed(data))


def test_stamps() -> None:
    assert stamp_nanoseconds(HEADER) == 1_700_000_000_123_456_789
    assert stamp_seconds(HEADER) == pytest.approx(1_700_000_000.123456789, abs=1e-6)


def test_image_message_there_and_back() -> None:
    pixels = RANDOM.integers(0, 256, (6, 10, 3), dtype=np.uint8)
    made = image_message(pixels, HEADER)
    assert (made.header, made.encoding, made.step) == (HEADER, "bgr8", 30)
    assert np.array_equal(image_array(made), pixels)


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


def test_label_info() -> None:
    made = label_info_message(("pedestrian", "vehicle"), HEADER, 0.25)
    assert [(entry.class_id, entry.class_name) for entry in made.class_map] == [(0, "pedestrian"), (1, "vehicle")]
    assert made.threshold == 0.25
