"""A node on a robot, and what surrounds it: camera, calibration, depth, inertial sensor, transforms."""

from __future__ import annotations

from typing import Any

from blobs import blob_pipeline
from graph import wait_until
from qdtrack.msg import TrackedDetectionArray
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image, Imu

from qdtrack_ros.node import TrackerNode
from qdtrack_ros.operation.monitor import Counts

FOCAL, CENTRE = 500.0, (319.5, 179.5)  # of images of 640x360


class Vehicle:
    """A bench whose node is on a robot."""

    def __init__(self, **parameters: Any) -> None:
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        self.node = TrackerNode(blob_pipeline, parameter_overrides=overrides)
        self.other = Node("bench")
        self.images = self.other.create_publisher(Image, "image", 10)
        self.depths = self.other.create_publisher(Image, "depth", 10)
        self.infos = self.other.create_publisher(CameraInfo, "camera_info", qos_profile_sensor_data)
        self.imu = self.other.create_publisher(Imu, "imu", 100)
        self.tracks: list[TrackedDetectionArray] = []
        self.other.create_subscription(TrackedDetectionArray, "tracker/tracks", self.tracks.append, 10)

    @property
    def counts(self) -> Counts:
        return self.node._cameras[0].monitor.counts

    @property
    def buffer(self) -> Any:
        assert self.node._world is not None and self.node._world.transforms is not None
        return self.node._world.transforms.buffer

    def start(self) -> None:
        """Activate the node and wait until it has heard of everything."""
        self.node.start()
        for publisher in (self.images, self.infos):
            wait_until(lambda one=publisher: one.get_subscription_count() == 1, "subscriptions")
        wait_until(lambda: self.node.count_subscribers("/tracker/tracks") == 1, "the test's own subscription")
        k = [FOCAL, 0.0, CENTRE[0], 0.0, FOCAL, CENTRE[1], 0.0, 0.0, 1.0]
        info = CameraInfo(width=640, height=360, distortion_model="plumb_bob", k=k, d=[0.0] * 5)
        self.infos.publish(info)
        camera = self.node._cameras[0].camera
        assert camera is not None
        wait_until(lambda: camera.info == info, "camera_info")

    def send(self, message: Image) -> None:
        """Publish an image and wait until it is tracked."""
        done = self.counts.tracked
        self.images.publish(message)
        wait_until(lambda: self.counts.tracked == done + 1, "an image to be tracked")
