"""Tracks in the robot's world: in the frame that is asked for, at the stamp of their image, and how they move."""

from __future__ import annotations

import array
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from frames import BEGIN, CAMERA, camera, robot, tell, tell_mount
from graph import running, wait_until
from qdtrack.msg import TrackedObjectArray
from rclpy.time import Time
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vehicle import CENTRE, FOCAL, Vehicle
from vision_msgs.msg import Detection3DArray

from qdtrack_model.sensors.depth import Boxes3D
from qdtrack_model.structures import Array, Tracks
from qdtrack_ros.output.conversions import image_message
from qdtrack_ros.world.objects import Objects
from qdtrack_ros.world.transforms import NoTransform, Transforms


def header(second: float) -> Header:
    return Header(stamp=Time(nanoseconds=BEGIN + round(second * 1e9)).to_msg(), frame_id=CAMERA)


def tracks_of(count: int) -> Tracks:
    nothing = np.zeros(count)
    boxes = np.tile([0.0, 0, 1, 1], (count, 1))
    return Tracks(
        np.arange(count), boxes, nothing, nothing, np.zeros((count, 0)), boxes[:, :2], nothing, nothing, nothing
    )


def in_camera(places: Array, second: float, deviation: float = 0.03) -> Boxes3D:
    """Places (K, 3) in odom as the camera sees them."""
    origin, turn = camera(np.array(second))
    count = len(places)
    covariances = np.tile(np.eye(3) * deviation**2, (count, 1, 1))
    return Boxes3D(np.arange(count), turn.inv().apply(places - origin), np.ones((count, 3)), covariances)


def objects(tf: Any, target: str, fixed: str = "", span: float = 12.0) -> Objects:
    """Objects of a robot that has driven for so many seconds."""
    buffer = tf.Buffer(Time(seconds=int(span) + 1) - Time())
    tell_mount(buffer)
    tell(buffer, 0.0, span)
    transforms = Transforms(buffer, tf.TransformException, tf.ExtrapolationException)
    return Objects(SimpleNamespace(transforms=transforms, target=target, fixed=fixed, ground=None))  # type: ignore[arg-type]


THINGS = np.array([[20.0, 3, 0.5], [15, 8, 1.0], [30, -4, 2.0]])


def test_every_track_is_where_it_is_to_a_millimetre(tf: Any) -> None:
    world = objects(tf, "odom")
    for second in (np.arange(300) / 30 + 0.0071).tolist():
        found = world.placed(tracks_of(3), in_camera(THINGS, second), header(second))
        assert np.linalg.norm(found.centres - THINGS, axis=1).max() < 1e-3
    assert world.frame(header(0)) == "odom"
    _, turn = camera(np.array(second))
    assert (Rotation.from_quat(found.quaternion) * turn.inv()).magnitude() < 1e-3


def test_boxes_and_covariances_turn_along(tf: Any) -> None:
    seen = in_camera(THINGS, 1.0)
    long = np.tile(np.diag([0.01, 0.01, 4.0]), (3, 1, 1))  # along the camera's view
    boxes = Boxes3D(seen.rows, seen.centres, seen.sizes, long)
    found = objects(tf, "base_link").placed(tracks_of(3), boxes, header(1.0))
    for covariance in found.covariances:
        spread, axes = np.linalg.eigh(covariance)
        np.testing.assert_allclose(spread, [0.01, 0.01, 4.0], atol=1e-6)
        np.testing.assert_allclose(np.abs(axes[:, 2]), [np.cos(np.radians(10)), 0, np.sin(np.radians(10))], atol=1e-6)


def test_velocities_are_over_ground_along_the_axes_of_the_target(tf: Any) -> None:
    generator, walk = np.random.default_rng(0), np.array([[1.5, 0, 0], [0, -1.0, 0], [0, 0, 0]])
    world = objects(tf, "base_link", fixed="odom")
    for number in range(100):
        second = number / 10
        places = THINGS + walk * second
        noisy = in_camera(places + generator.normal(0, 0.03, places.shape), second)
        found = world.placed(tracks_of(3), noisy, header(second))
    origin, turn = robot(np.array(second))
    np.testing.assert_allclose(found.centres, turn.inv().apply(places - origin), atol=0.1)
    np.testing.assert_allclose(found.velocities, turn.inv().apply(walk), atol=0.4)
    assert np.linalg.norm(robot(np.array(second + 0.1))[0] - origin) > 0.2  # the robot itself drives
    deviations = np.sqrt(np.diagonal(found.velocity_covariances, axis1=1, axis2=2))
    assert (deviations > 0.05).all() and (deviations < 1.0).all()


def test_without_a_fixed_frame_nothing_is_known_of_velocities(tf: Any) -> None:
    found = objects(tf, "base_link").placed(tracks_of(3), in_camera(THINGS, 1.0), header(1.0))
    assert found.velocities is None


def test_frames_and_times_that_tf_does_not_know(tf: Any) -> None:
    seen = in_camera(THINGS, 1.0)
    for target, second, late in (("map", 1.0, False), ("odom", 13.0, True)):
        with pytest.raises(NoTransform) as told:
            objects(tf, target).placed(tracks_of(3), seen, header(second))
        assert told.value.late is late


# ---- over DDS


class Seeing(Vehicle):
    """A robot that sees people who stand in odom."""

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.found: list[Detection3DArray] = []

    def look(self) -> None:
        self.start()
        tell_mount(self.buffer)
        self.other.create_subscription(Detection3DArray, "tracker/detections_3d", self.found.append, 10)
        wait_until(lambda: self.node.count_subscribers("/tracker/detections_3d") == 1, "the test's own subscription")
        wait_until(lambda: self.node._cameras[0].publishers.wants_space, "the node to see the subscriber")

    def see(self, second: float, feet: Array, depth: bool) -> None:
        """Show people who stand at places (K, 3) in odom."""
        origin, turn = camera(np.array(second))
        image, metres = np.full((360, 640, 3), 20, np.uint8), np.full((360, 640), 30.0, np.float32)
        for number, foot in enumerate(feet):
            low, high = turn.inv().apply(np.array([foot, foot + UP * 1.7]) - origin)
            (left, bottom), (_, top) = (place[:2] / place[2] * FOCAL + CENTRE for place in (low, high))
            half = 0.3 * FOCAL / low[2]
            part = (slice(round(top), round(bottom)), slice(round(left - half), round(left + half)))
            image[part] = [(40, 40, 250), (40, 250, 40)][number]
            metres[part] = (low[2] + high[2]) / 2
        if depth:
            data = array.array("B", metres.tobytes())
            depths = self.node._cameras[0].camera.depth
            self.depths.publish(
                Image(header=header(second), height=360, width=640, encoding="32FC1", step=2560, data=data)
            )
            wait_until(lambda: depths.latest is not None and depths.latest.header == header(second), "a depth image")
        self.send(image_message(image, header(second)))


UP = np.array([0.0, 0.0, 1.0])
FEET = np.array([[9.0, 1.0, 0.0], [12.0, -1.0, 0.0]])


def seeing(**parameters: Any) -> AbstractContextManager[Seeing]:
    return running(Seeing(**parameters))


def header_in_odom(second: float) -> Header:
    return Header(stamp=header(second).stamp, frame_id="odom")


def places_of(message: Detection3DArray) -> Array:
    """Centres (K, 3), the farthest to the left in odom first."""
    centres = [one.bbox.center.position for one in message.detections]
    return np.array(sorted(([p.x, p.y, p.z] for p in centres), key=lambda place: -place[1]))


def test_depth_in_odom_at_the_stamp_of_the_image(tf: Any, capfd: pytest.CaptureFixture[str]) -> None:
    with seeing(depth=True, target_frame="odom") as bench:
        bench.look()
        tell(bench.buffer, 0.0, 0.5)
        wait_until(lambda: bench.depths.get_subscription_count() == 1, "subscription of depth")
        for number in range(4):
            bench.see(number * 0.1 + 0.013, FEET, depth=True)
            wait_until(lambda count=number + 1: len(bench.found) == count, "places")
            message = bench.found[-1]
            assert (message.header.frame_id, message.header.stamp) == ("odom", header(number * 0.1 + 0.013).stamp)
            # The network sees half the pixels: an edge is exact to one of them, 4 cm at 10 m. The robot goes 60 cm.
            np.testing.assert_allclose(places_of(message), FEET + UP * 0.85, atol=0.12)
            turn = message.detections[0].bbox.center.orientation
            expected = camera(np.array(number * 0.1 + 0.013))[1]
            assert (Rotation.from_quat([turn.x, turn.y, turn.z, turn.w]) * expected.inv()).magnitude() < 1e-3
        bench.see(0.6, FEET, depth=True)  # later than what tf has told
        wait_until(lambda: bench.counts.late_transforms == 1, "a late transform to be counted")
        assert (len(bench.found), bench.counts.missing_transforms, bench.counts.without_depth) == (4, 0, 0)
    assert "no places in space: no transform from 'camera_optical_frame' to 'odom'" in capfd.readouterr().err


def test_a_bag_that_loops_brings_transforms_anew(tf: Any) -> None:
    """tf2 leaves out what is more than ten seconds older than what it has."""
    with seeing(ground=True, target_frame="odom") as bench:
        bench.look()
        tell(bench.buffer, 14.8, 15.2)
        bench.see(15.0, FEET, depth=False)
        wait_until(lambda: len(bench.found) == 1, "places")
        bench.see(0.0, FEET, depth=False)
        tell(bench.buffer, 0.0, 0.4)
        bench.see(0.2, FEET, depth=False)
        wait_until(lambda: bool(bench.found) and bench.found[-1].header == header_in_odom(0.2), "places after the loop")


def test_people_on_the_ground_without_depth(tf: Any) -> None:
    with seeing(ground=True, target_frame="base_link") as bench:
        bench.look()
        tell(bench.buffer, 0.0, 0.5)
        bench.see(0.2, FEET, depth=False)
        wait_until(lambda: len(bench.found) == 1, "places")
        origin, turn = robot(np.array(0.2))
        expected = turn.inv().apply(FEET - origin) + UP * 0.85
        assert bench.found[0].header.frame_id == "base_link"
        np.testing.assert_allclose(places_of(bench.found[0]), expected, atol=1.0)  # a pixel of the network is 0.5 m
        for one in bench.found[0].detections:
            covariance = np.reshape(one.results[0].pose.covariance, (6, 6))[:2, :2]
            assert 0.3 < np.sqrt(np.trace(covariance)) < 3.0


def test_objects_that_stand_have_no_velocity(tf: Any) -> None:
    with seeing(ground=True, target_frame="base_link", fixed_frame="odom") as bench:
        bench.look()
        found: list[TrackedObjectArray] = []
        bench.other.create_subscription(TrackedObjectArray, "tracker/objects", found.append, 10)
        wait_until(lambda: bench.node.count_subscribers("/tracker/objects") == 1, "the test's own subscription")
        tell(bench.buffer, 0.0, 1.0)
        for number in range(8):
            bench.see(number * 0.1, FEET, depth=False)
            wait_until(lambda count=number + 1: len(bench.found) == count, "places")
        wait_until(lambda: bool(found) and found[-1].header == bench.found[-1].header, "objects")
        assert {one.id for one in found[-1].objects} == {int(one.id) for one in bench.found[-1].detections}
        for one in found[-1].objects:
            speed, spread = one.twist.twist.linear, np.reshape(one.twist.covariance, (6, 6))[:3, :3]
            apart = np.array([speed.x, speed.y, speed.z])
            # The robot drives at 6 m/s: in its own eyes they come towards it.
            assert np.linalg.norm(apart) < 3 and apart @ np.linalg.solve(spread, apart) < 16


def test_a_frame_that_tf_does_not_know_is_counted_as_missing(tf: Any) -> None:
    with seeing(ground=True, target_frame="nowhere") as bench:
        bench.look()
        bench.see(0.0, FEET, depth=False)
        wait_until(lambda: bench.counts.missing_transforms == 1, "a missing transform to be counted")
        assert not bench.found


def test_the_ground_is_that_of_a_frame() -> None:
    bench = Vehicle(ground=True)
    with running(bench):
        bench.node.start()
        wait_until(lambda: bool(bench.node.failure), "a refusal")
        assert "ground: true needs target_frame" in bench.node.failure


def test_a_frame_without_places_in_it_is_told(tf: Any, capfd: pytest.CaptureFixture[str]) -> None:
    with seeing(target_frame="odom") as bench:
        bench.start()
    assert "target_frame: odom has no effect: set depth or ground" in capfd.readouterr().err
