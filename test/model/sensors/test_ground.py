"""Objects on the ground by their feet alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from qdtrack_model.sensors.camera_model import CameraModel
from qdtrack_model.sensors.ground import on_the_ground
from qdtrack_model.sensors.poses import Pose
from qdtrack_model.structures import Array

CAMERA = CameraModel((1280, 720), (900.0, 900.0), (639.5, 359.5))
BENT = CameraModel((1280, 720), (900.0, 900.0), (639.5, 359.5), (-0.2, 0.05, 0.0, 0.0, 0.0))


def mounted(pitch: float = 8.0, roll: float = 0.0, height: float = 1.6) -> Pose:
    """A camera that looks along x of a frame whose z points up; angles in degrees, down and to the right."""
    turn = Rotation.from_euler("ZYX", [20, pitch, roll], degrees=True) * Rotation.from_euler(
        "ZX", [-90, -90], degrees=True
    )
    return Pose(turn.as_matrix(), np.array([2.0, -1.0, height]))


def boxes_of(camera: CameraModel, pose: Pose, feet: Array, height: float = 1.7, width: float = 0.5) -> Array:
    """Boxes around upright things on the ground, by projection with the lens taken for a pinhole."""
    up, left = np.array([0, 0, height]), pose.rotation[:, 0] * width / 2
    corners = [feet - left, feet + left, feet + up]
    low, right, top = (pose.inverse.places(places) for places in corners)
    pixels = [places[:, :2] / places[:, 2:] * camera.focal + camera.centre + 0.5 for places in (low, right, top)]
    return np.stack([pixels[0][:, 0], pixels[2][:, 1], pixels[1][:, 0], pixels[0][:, 1]], axis=1)


FEET = np.array([[10.0, 3, 0.0], [18, 8, 0], [26, 5, 0]])


@pytest.mark.parametrize("pose", [mounted(), mounted(3.0, 2.0, 2.5)])
def test_feet_are_where_they_stand(pose: Pose) -> None:
    found = on_the_ground(boxes_of(CAMERA, pose, FEET), CAMERA, pose, 0.0)
    assert found.rows.tolist() == [0, 1, 2]
    centres = pose.places(found.centres)
    np.testing.assert_allclose(centres[:, :2], FEET[:, :2], atol=0.15)
    np.testing.assert_allclose(centres[:, 2], 0.85, atol=0.1)
    np.testing.assert_allclose(found.sizes, np.tile([0.5, 1.7, 0.5], (3, 1)), atol=0.12)


def test_the_ground_may_be_elsewhere() -> None:
    pose = mounted()
    lower = FEET - [0, 0, 0.4]
    found = on_the_ground(boxes_of(CAMERA, pose, lower), CAMERA, pose, -0.4)
    np.testing.assert_allclose(pose.places(found.centres)[:, :2], FEET[:, :2], atol=0.15)


def test_it_is_the_less_exact_the_farther_away() -> None:
    pose = mounted()
    feet = np.array([[2 + 8.0, -1, 0], [2 + 16, -1, 0], [2 + 32, -1, 0]])
    found = on_the_ground(boxes_of(CAMERA, pose, feet), CAMERA, pose, 0.0)
    deviations = np.sqrt(np.trace(found.covariances, axis1=1, axis2=2))
    assert 3 < deviations[1] / deviations[0] < 5 and 3 < deviations[2] / deviations[1] < 5
    assert (np.linalg.eigvalsh(found.covariances) > -1e-6).all()


def test_the_covariance_is_that_of_errors_in_box_and_attitude() -> None:
    pose, generator = mounted(), np.random.default_rng(0)
    box = boxes_of(CAMERA, pose, FEET[1:2])
    found = on_the_ground(box, CAMERA, pose, 0.0)
    edge = 1 + 0.02 * (box[0, 3] - box[0, 1])
    places = []
    for _ in range(600):
        tilt = Rotation.from_rotvec([np.radians(generator.normal(0, 0.5)), 0, 0]).as_matrix()
        moved = box.copy()
        moved[0, 3] += generator.normal(0, edge)
        moved[0, [0, 2]] += generator.normal(0, np.hypot(edge, 900 * np.radians(0.5)))
        one = on_the_ground(moved, CAMERA, Pose(pose.rotation @ tilt, pose.translation), generator.normal(0, 0.05))
        places.append(one.centres[0])
    spread = np.sqrt(np.diag(np.cov(np.transpose(places))))
    expected = np.sqrt(np.diag(found.covariances[0]))
    np.testing.assert_allclose(expected, spread, rtol=0.2, atol=0.03)


@pytest.mark.parametrize(
    ("box", "why"),
    [
        ((600, 400, 640, 720), "cut by the border"),
        ((600, 100, 640, 200), "above the horizon"),
        ((600, 230, 604, 240), "at the horizon"),
    ],
)
def test_what_tells_nothing_is_left_out(box: tuple, why: str) -> None:
    assert len(on_the_ground(np.array([box], np.float32), CAMERA, mounted(), 0.0)) == 0, why


def test_a_bent_lens_is_straightened() -> None:
    pose = mounted()
    straight = boxes_of(CAMERA, pose, FEET[:1])
    bent = straight.copy()
    for column in (0, 2):
        for row in (1, 3):
            ray = CAMERA.rays(np.array([[straight[0, column], straight[0, row]]]))
            place = BENT._distorted(ray)[0] + 0.5
            bent[0, column], bent[0, row] = place
    found = on_the_ground(bent, BENT, pose, 0.0)
    np.testing.assert_allclose(pose.places(found.centres)[:, :2], FEET[:1, :2], atol=0.3)
    assert len(on_the_ground(np.zeros((0, 4)), BENT, pose, 0.0)) == 0
