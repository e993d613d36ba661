"""Directions of pixels: every kind of camera_info there and back, and those of no use refused by name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from qdtrack_model.sensors.camera_model import CameraModel, InvalidCameraInfo
from qdtrack_model.structures import Array

SIZE = (1280, 720)
K = [610.0, 0.0, 643.0, 0.0, 605.0, 357.0, 0.0, 0.0, 1.0]
P = [580.0, 0.0, 640.5, -70.0, 0.0, 581.0, 360.5, 0.0, 0.0, 0.0, 1.0, 0.0]
PLUMB_BOB = [-0.3, 0.1, 0.001, -0.001, -0.01]
# As of a depth camera whose five steps in OpenCV end two pixels off
RATIONAL = [0.5, -2.6, 0.0007, -0.0003, 1.5, 0.38, -2.4, 1.45]
FISHEYE = [-0.02, 0.005, -0.003, 0.0005]


def info(**values: Any) -> Any:
    usual = {
        "width": SIZE[0], "height": SIZE[1], "distortion_model": "plumb_bob", "d": [0.0] * 5, "k": K, "p": P,
        "binning_x": 0, "binning_y": 0, "roi": SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0),
    }  # fmt: skip
    return SimpleNamespace(**(usual | values))


def grid() -> Array:
    """Directions (N, 2) over the whole of such a camera's view."""
    return np.stack(np.meshgrid(np.linspace(-0.9, 0.9, 19), np.linspace(-0.55, 0.55, 11)), axis=-1).reshape(-1, 2)


def seen_at(rays: Array, model: str, coefficients: list[float]) -> Array:
    """Where OpenCV puts the directions, in pixels that count from the image's corner."""
    points, here = np.insert(rays, 2, 1.0, axis=1)[:, None], np.zeros(3)
    project = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
    matrix = np.reshape(K, (3, 3))
    return project(points, here, here, matrix, np.array(coefficients))[0].reshape(-1, 2) + 0.5


@pytest.mark.parametrize(
    ("model", "coefficients"),
    [
        ("plumb_bob", [0.0] * 5),
        ("", []),
        ("plumb_bob", PLUMB_BOB),
        ("plumb_bob", PLUMB_BOB[:4]),
        ("rational_polynomial", RATIONAL),
        ("equidistant", FISHEYE),
        ("equidistant", [0.0] * 4),
    ],
)
def test_the_way_there_is_the_way_back(model: str, coefficients: list[float]) -> None:
    camera = CameraModel.from_info(info(distortion_model=model, d=coefficients), False, SIZE)
    places = seen_at(grid(), model, coefficients)
    assert camera.rays(places) == pytest.approx(grid(), abs=0.02 / 150)  # 0.02 pixels, where they are widest
    assert camera.rays(places[:0]).shape == (0, 2)


def test_a_rectified_image_goes_by_p_alone() -> None:
    camera = CameraModel.from_info(info(distortion_model="unheard of", d=[9.0]), True, SIZE)
    assert camera.rays(np.array([[641.0, 361.0], [641.0 + 580, 361.0 - 581]])) == pytest.approx(
        np.array([[0, 0], [1, -1]])
    )


def test_binning_and_region() -> None:
    whole = CameraModel.from_info(info(distortion_model="plumb_bob", d=PLUMB_BOB), False, SIZE)
    region = SimpleNamespace(x_offset=200, y_offset=100, width=640, height=480)
    part = info(distortion_model="plumb_bob", d=PLUMB_BOB, roi=region, binning_x=2, binning_y=4)
    camera = CameraModel.from_info(part, False, (320, 120))
    assert camera.rays(np.array([[0.0, 0.0], [320, 120]])) == pytest.approx(
        whole.rays(np.array([[200.0, 100], [840, 580]]))
    )


def test_places_that_the_lens_never_fills_have_no_direction() -> None:
    camera = CameraModel.from_info(info(distortion_model="equidistant", d=FISHEYE), False, SIZE)
    inside, outside = camera.rays(np.array([[100.0, 360.0], [643.0 + 605 * 1.6, 357.0]]))
    assert np.isfinite(inside).all() and np.isnan(outside).all()


@pytest.mark.parametrize(
    ("values", "rectified", "text"),
    [
        ({"k": [0.0] * 9}, False, "camera_info: the focal lengths in K are 0 and 0: calibrate the camera"),
        ({"p": [0.0] * 12}, True, "camera_info: the focal lengths in P are 0 and 0: calibrate the camera"),
        ({"k": [np.nan] * 9}, False, "camera_info: K is not finite: [[nan"),
        ({"p": [np.inf] * 12}, True, "camera_info: P is not finite: [[inf"),
        ({"d": [np.nan] * 5}, False, "camera_info: D is not finite: [nan"),
        ({"width": 0}, False, "camera_info: of 0x720 pixels for an image of 1280x720, expected its own"),
        ({"binning_x": 2}, True, "camera_info: of 640x720 pixels for an image of 1280x720"),
        ({"d": [0.1] * 3}, False, "camera_info: D has 3 numbers, plumb_bob has 4 or 5"),
        (
            {"distortion_model": "x" * 99, "d": [0.1]},
            False,
            f"camera_info: distortion_model is '{'x' * 40}...', expected one of plumb_bob, rational_polynomial, equidi",
        ),
    ],
)
def test_camera_infos_of_no_use_are_refused(values: dict[str, Any], rectified: bool, text: str) -> None:
    with pytest.raises(InvalidCameraInfo) as caught:
        CameraModel.from_info(info(**values), rectified, SIZE)
    assert str(caught.value).startswith(text)


def test_where_places_are_after_the_camera_has_turned() -> None:
    region = SimpleNamespace(x_offset=200, y_offset=100, width=640, height=480)
    camera = CameraModel.from_info(info(roi=region, binning_x=2, binning_y=4), True, (320, 120))
    turn = Rotation.from_euler("yxz", [4, -2, 3], degrees=True).as_matrix()
    places = np.array([[0.0, 0], [100, 60], [320, 120]])
    moved = np.insert(places, 2, 1.0, axis=1) @ camera.homography(turn).T
    moved = moved[:, :2] / moved[:, 2:]
    directions = np.insert(camera.rays(places), 2, 1.0, axis=1) @ turn.T
    assert camera.rays(moved) == pytest.approx(directions[:, :2] / directions[:, 2:])
