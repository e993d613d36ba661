"""The camera's motion by the images alone, against views whose motion is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from qdtrack_model.sensors.registration import Registration
from qdtrack_model.structures import Array
from qdtrack_model.synthetic import Scene, SceneConfig
from qdtrack_model.synthetic.camera import homography

NOTHING = np.zeros((0, 4))
SIZE = (640, 360)


def wall(seed: int = 0) -> Array:
    """A grey picture with corners everywhere."""
    noise = np.random.default_rng(seed).integers(0, 256, (90, 160)).astype(np.uint8)
    return cv2.resize(noise, SIZE, interpolation=cv2.INTER_CUBIC)


def worst(found: Array, true: Array) -> float:
    """How far apart [px] two homographies move places near the border, at most."""
    places = np.array([[[40.0, 40], [600, 40], [600, 320], [40, 320]]])
    return float(np.abs(cv2.perspectiveTransform(places, found) - cv2.perspectiveTransform(places, true)).max())


TURN = np.array([[0.998, -0.02, 14.0], [0.02, 1.003, -6.0], [1e-5, -2e-5, 1.0]])


def turned(image: Array, matrix: Array = TURN) -> Array:
    """The picture after a motion that maps places, which count from the outer corner of the first pixel, so."""
    half = np.array([[1.0, 0, 0.5], [0, 1.0, 0.5], [0, 0, 1.0]])
    return cv2.warpPerspective(image, np.linalg.inv(half) @ matrix @ half, SIZE, borderMode=cv2.BORDER_REFLECT)


@pytest.mark.parametrize("colours", [False, True])
def test_finds_the_motion_of_the_picture(colours):
    pictures = [wall(), turned(wall())]
    if colours:
        pictures = [cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR) for picture in pictures]
    register = Registration()
    assert register(pictures[0], SIZE, NOTHING) is None
    assert worst(register(pictures[1], SIZE, NOTHING), TURN) < 0.3


@pytest.mark.parametrize("size", [(1280, 720), (320, 180)])
def test_counts_in_pixels_of_the_size_it_is_told(size):
    register, scale = Registration(), size[0] / SIZE[0]
    for picture in (wall(), turned(wall())):
        found = register(cv2.resize(picture, (960, 540)), size, NOTHING)
    zoom = np.diag([scale, scale, 1.0])
    assert worst(np.linalg.inv(zoom) @ found @ zoom, TURN) < 0.5


def test_what_was_detected_has_no_vote():
    before, other = wall(), wall(1)
    after = turned(before)
    x1, y1, x2, y2 = box = (60, 30, 600, 330)  # most of the picture, and it stays where it is
    for picture in (before, after):
        picture[y1:y2, x1:x2] = other[y1:y2, x1:x2]
    told, untold = Registration(), Registration()
    for picture in (before, after):
        found, misled = told(picture, SIZE, np.array([box])), untold(picture, SIZE, NOTHING)
    assert worst(found, TURN) < 1.0
    assert misled is None or worst(misled, TURN) > 5


@pytest.mark.parametrize(
    "after", [np.full((360, 640), 90, np.uint8), wall(1), wall()[:180]], ids=["blank", "another scene", "another shape"]
)
def test_nothing_is_said_where_nothing_can_be_known(after):
    register = Registration()
    register(wall(), SIZE, NOTHING)
    assert register(after, SIZE, NOTHING) is None
    register.reset()
    assert register(wall(), SIZE, NOTHING) is None


def test_follows_the_turning_camera_of_the_synthetic_street():
    scene, register = Scene(SceneConfig(frames=20, frame_rate=10, size=SIZE, camera="turning")), Registration()
    for number in (9, 10):
        frame = scene.frame(number)
        found = register(frame.image, SIZE, frame.truth.boxes)
    far = homography(scene.camera(9), scene.camera(10))
    assert worst(np.eye(3), far) > 10
    assert worst(found, far) < 2
