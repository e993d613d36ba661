"""A camera that turns before things that stand: what the node is told of the turn, and what it makes of it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from blobs import blob_pipeline
from builtin_interfaces.msg import Time
from frames import BEGIN, CAMERA, transform
from graph import running, wait_until
from rclpy.parameter import Parameter
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import Image, Imu
from std_msgs.msg import Header
from vehicle import CENTRE, FOCAL, Vehicle

from qdtrack_ros.node import TrackerNode
from qdtrack_ros.output.conversions import image_message

PERIOD = 100_000_000  # ns between images
RATE = np.radians(15.0)  # of turn, to the right: things move to the left by 13 px an image
TEXTURE = np.random.default_rng(3).integers(0, 130, (45, 400, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)


def header(number: int, frame: str = CAMERA) -> Header:
    stamp = BEGIN + number * PERIOD
    return Header(stamp=Time(sec=stamp // 10**9, nanosec=stamp % 10**9), frame_id=frame)


def seen(number: int) -> Image:
    """Two things far away, before a wall of dark patches that moves as they do."""
    angle = RATE * number * PERIOD * 1e-9
    column = FOCAL * np.tan(np.radians(20) - angle) + CENTRE[0]
    image = TEXTURE[:, round(800 - column) : round(800 - column) + 640].copy()
    for left, top, colour in ((column - 20, 120, (40, 40, 250)), (column - 120, 200, (40, 250, 40))):
        image[top : top + 60, round(left) : round(left) + 40] = colour
    return image_message(image, header(number))


class Turning(Vehicle):
    """One that turns before things that stand."""

    def show(self, number: int) -> None:
        self.send(seen(number))

    def turn(self, number: int, frame: str = CAMERA) -> None:
        """Publish rates of turn up to an image, and wait until they are known."""
        gyroscope = self.node._world._gyroscope if self.node._world is not None else None
        assert gyroscope is not None
        for step in range(-4, 1):
            self.imu.publish(rates(BEGIN + number * PERIOD + step * PERIOD // 5, frame))
        wait_until(lambda: BEGIN + number * PERIOD in gyroscope._stamps, "rates of turn")

    def speed(self) -> float:
        """How fast the things are in the image, beside the camera [px/s]."""
        wait_until(lambda: len(self.tracks) == self.counts.tracked, "tracks")
        assert len(self.tracks[-1].tracks) == 2
        return max(abs(track.velocity_x) for track in self.tracks[-1].tracks)


def bench_with(**parameters: Any) -> AbstractContextManager[Turning]:
    return running(Turning(**parameters))


def test_the_images_tell() -> None:
    with bench_with(ego_motion="image") as bench:
        bench.start()
        for number in range(5):
            bench.show(number)
        assert bench.speed() < 15


def test_without_it_everything_moves() -> None:
    with bench_with() as bench:
        bench.start()
        for number in range(3):
            bench.show(number)
        assert bench.speed() > 100


def rates(nanoseconds: int, frame: str = CAMERA) -> Imu:
    message = Imu(header=Header(stamp=Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9), frame_id=frame))
    message.angular_velocity.y = RATE  # around the axis that points down: to the right
    return message


def test_a_gyroscope_tells() -> None:
    with bench_with(ego_motion="imu") as bench:
        bench.start()
        wait_until(lambda: bench.imu.get_subscription_count() == 1, "subscription of imu")
        for number in range(4):
            bench.turn(number)
            bench.show(number)
        assert bench.counts.without_motion == 0
        assert bench.speed() < 15


def test_a_rate_of_turn_that_comes_late_does_not_undo_those_before() -> None:
    with bench_with(ego_motion="imu") as bench:
        bench.start()
        wait_until(lambda: bench.imu.get_subscription_count() == 1, "subscription of imu")
        bench.turn(0)
        bench.show(0)
        bench.turn(1)
        bench.imu.publish(rates(BEGIN + PERIOD // 2))
        bench.turn(2)
        bench.show(1)
        assert bench.counts.without_motion == 0


def test_a_gyroscope_that_is_silent_is_told_and_counted(capfd: pytest.CaptureFixture[str]) -> None:
    with bench_with(ego_motion="imu") as bench:
        bench.start()
        for number in range(3):
            bench.show(number)
        assert bench.counts.without_motion == 2
    told = "how the camera turned is not known: /imu has no rates of turn for the time between the images"
    assert capfd.readouterr().err.count(told) == 1


def test_tracks_can_be_asked_for_while_a_motion_is_waited_for() -> None:
    """What tells it comes through the executor: where that waited for the tracks, it would not come."""
    with bench_with(ego_motion="image") as bench:
        bench.start()
        [camera] = bench.node._cameras
        free: list[bool] = []

        def motion(*_: object) -> None:
            free.append(camera._tracking.acquire(timeout=5))
            if free[-1]:
                camera._tracking.release()

        camera._ego_motion = motion  # type: ignore[assignment]
        bench.show(0)
        assert free == [True]


def test_a_gyroscope_in_another_frame_needs_tf(capfd: pytest.CaptureFixture[str]) -> None:
    with bench_with(ego_motion="imu") as bench:
        bench.start()
        wait_until(lambda: bench.imu.get_subscription_count() == 1, "subscription of imu")
        for number in range(2):
            bench.turn(number, "imu_link")
            bench.show(number)
        assert bench.counts.without_motion == 1
    assert "the gyroscope is in 'imu_link', the image in 'camera_optical_frame'" in capfd.readouterr().err


def test_tf_tells(tf: Any) -> None:
    with bench_with(ego_motion="tf", fixed_frame="odom") as bench:
        bench.start()
        for number in range(4):
            turn = Rotation.from_rotvec([0, RATE * number * PERIOD * 1e-9, 0]).as_quat()
            bench.buffer.set_transform(transform("odom", CAMERA, BEGIN + number * PERIOD, np.zeros(3), turn), "test")
            bench.show(number)
        assert bench.counts.without_motion == 0
        assert bench.speed() < 15
        bench.show(4)  # of which tf says nothing
        assert bench.counts.without_motion == 1


def test_tf_without_a_fixed_frame_is_refused_at_configure(capfd: pytest.CaptureFixture[str]) -> None:
    bench = Turning(ego_motion="tf")
    with running(bench):
        bench.node.start()
        wait_until(lambda: bool(bench.node.failure), "a refusal")
        assert "ego_motion: tf needs fixed_frame" in bench.node.failure


def test_a_frame_is_refused_in_one_line_where_tf2_is_not_installed() -> None:
    if __import__("importlib.util").util.find_spec("tf2_ros") is not None:
        pytest.skip("tf2_ros is installed")
    from qdtrack_model.config import ConfigError

    with pytest.raises(ConfigError, match=r"^fixed_frame: got 'odom', which needs tf2_ros, .* not installed here$"):
        TrackerNode(blob_pipeline, parameter_overrides=[Parameter("fixed_frame", value="odom")])
