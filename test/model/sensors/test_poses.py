"""Frames to each other, and a gyroscope's way from one time to another."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from qdtrack_model.sensors.poses import Pose, turn

SOMEWHERE = Pose.of((1.0, -2.0, 3.0), (0.1, -0.2, 0.3, 0.9))
PLACES = np.random.default_rng(0).normal(size=(5, 3))


def test_a_pose_and_its_inverse_lead_back():
    np.testing.assert_allclose(SOMEWHERE.inverse.places(SOMEWHERE.places(PLACES)), PLACES, atol=1e-12)
    both = SOMEWHERE @ SOMEWHERE.inverse
    np.testing.assert_allclose(both.rotation, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(both.translation, 0, atol=1e-12)


def test_poses_follow_each_other():
    other = Pose.of((0.5, 0.0, 0.0), (0.0, 0.0, 1.0, 1.0))
    np.testing.assert_allclose((SOMEWHERE @ other).places(PLACES), SOMEWHERE.places(other.places(PLACES)), atol=1e-12)
    np.testing.assert_allclose(other.places(np.array([[1.0, 0, 0]])), [[0.5, 1.0, 0.0]], atol=1e-12)


def test_covariances_turn_with_what_they_are_of():
    spread = np.diag([4.0, 1.0, 0.25])
    samples = np.random.default_rng(1).multivariate_normal(np.zeros(3), spread, 50_000)
    np.testing.assert_allclose(
        SOMEWHERE.covariances(spread[None])[0], np.cov(SOMEWHERE.directions(samples).T), atol=0.06
    )


@pytest.mark.parametrize("quaternion", [(0.0, 0.0, 0.0, 0.0), (0.0, float("nan"), 0.0, 1.0)])
def test_what_is_no_rotation_is_refused(quaternion):
    with pytest.raises(ValueError, match="expected finite numbers"):
        Pose.of((0.0, 0.0, 0.0), quaternion)


def spinning(rate: float = 200.0) -> tuple:
    """Stamps, rates and the exact orientations of a body that turns about an axis that turns itself."""
    seconds = np.arange(0, 2, 1 / rate)

    def orientation(t):
        return Rotation.from_euler("ZYX", np.stack([0.8 * np.sin(t), 0.3 * np.sin(2 * t), 0.2 * t], axis=-1))

    tick = 1e-5
    rates = (orientation(seconds - tick).inv() * orientation(seconds + tick)).as_rotvec() / (2 * tick)
    return (seconds * 1e9).astype(np.int64), rates, orientation


@pytest.mark.parametrize(("begin", "end"), [(0.5, 0.6), (0.5012, 0.5987), (0.1, 1.9), (0.5001, 0.5002)])
def test_rates_add_up_to_the_turn(begin, end):
    stamps, rates, orientation = spinning()
    found = turn(stamps, rates, round(begin * 1e9), round(end * 1e9))
    exact = orientation(np.array(end)).inv() * orientation(np.array(begin))
    assert (Rotation.from_matrix(found) * exact.inv()).magnitude() < 1e-4


def test_nothing_is_said_of_times_that_the_rates_do_not_reach():
    stamps, rates, _ = spinning()
    assert turn(stamps, rates, -1, 10**8) is None
    assert turn(stamps, rates, 10**9, 2 * 10**9) is None
    assert turn(stamps[:1], rates[:1], 0, 0) is None
    kept = (stamps < 5 * 10**8) | (stamps > 7 * 10**8)
    assert turn(stamps[kept], rates[kept], 4 * 10**8, 8 * 10**8) is None
    assert turn(stamps[kept], rates[kept], 8 * 10**8, 9 * 10**8) is not None
