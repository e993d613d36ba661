"""Transforms at the stamps of images, by the interface that tf2's Buffer fulfils; by tf2 itself where it is here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from frames import BEGIN, CAMERA, camera, tell, tell_mount, transform

from qdtrack_ros.world.transforms import NoTransform, Transforms


@pytest.fixture
def transforms(tf: Any) -> Transforms:
    return Transforms(tf.Buffer(), tf.TransformException, tf.ExtrapolationException)


@pytest.mark.parametrize("every", [12, pytest.param(1, marks=pytest.mark.slow)])
def test_ten_minutes_are_exact_to_a_millimetre(transforms: Transforms, every: int) -> None:
    """Images at 30/s, transforms at 50/s: a thing 20 m before the camera is put where it is in odom."""
    moments = np.arange(0, 18_000, every) / 30 + 0.0123
    thing = np.array([[2.0, 0.5, 20.0]])
    places, turns = camera(moments)
    truth = turns.apply(np.tile(thing, (len(moments), 1))) + places
    tell_mount(transforms.buffer)
    found, told = np.empty_like(truth), -1.0
    for row, moment in enumerate(moments.tolist()):
        begin, told = max(told, np.floor(50 * moment - 1) / 50), np.ceil(50 * moment + 1) / 50
        tell(transforms.buffer, begin, told)  # only those around the image: making messages takes the time
        pose = transforms.pose("odom", CAMERA, BEGIN + round(moment * 1e9), 0.0)
        found[row] = pose.places(thing)[0]
    assert np.linalg.norm(found - truth, axis=1).max() < 1e-3
    assert np.linalg.norm(np.diff(truth, axis=0), axis=1).max() > 0.2  # where the image before had it


def test_what_is_not_known_is_never_guessed(transforms: Transforms) -> None:
    tell_mount(transforms.buffer)
    tell(transforms.buffer, 0.0, 1.0)
    for moment, late in ((0.99, True), (1.5, True), (-0.1, True)):
        with pytest.raises(NoTransform, match="from 'camera_optical_frame' to 'odom'") as told:
            transforms.pose("odom", CAMERA, BEGIN + round(moment * 1e9), 0.0)
        assert told.value.late is late
    with pytest.raises(NoTransform, match="from 'camera_optical_frame' to 'map'") as told:
        transforms.pose("map", CAMERA, BEGIN, 0.0)
    assert not told.value.late


def test_an_image_without_a_stamp_is_not_where_the_camera_is_now(transforms: Transforms) -> None:
    tell_mount(transforms.buffer)
    tell(transforms.buffer, 0.0, 1.0)
    with pytest.raises(NoTransform, match="from 'camera_optical_frame' to 'odom': the image has no stamp") as told:
        transforms.pose("odom", CAMERA, 0, 0.0)
    assert not told.value.late


def test_numbers_that_are_none_are_refused(transforms: Transforms) -> None:
    class Broken:
        def lookup_transform(self, *arguments: object, **more: object) -> object:
            return transform("odom", CAMERA, 0, np.array([np.nan, 0, 0]), np.array([0, 0, 0, 1.0]))

    broken = Transforms(Broken(), transforms.failure, transforms.late)
    with pytest.raises(NoTransform, match="expected finite numbers"):
        broken.pose("odom", CAMERA, BEGIN, 0.0)


def test_a_frame_is_where_it_is(transforms: Transforms) -> None:
    assert np.array_equal(transforms.pose(CAMERA, CAMERA, BEGIN, 0.0).rotation, np.eye(3))
