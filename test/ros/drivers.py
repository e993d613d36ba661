"""Cameras on a street, and who listens to what is tracked there: for nodes with the shipped weights."""

from __future__ import annotations

from functools import cache

from graph import wait_until
from qdtrack.msg import TrackedDetectionArray
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from qdtrack_model.structures import Array
from qdtrack_model.synthetic.config import SceneConfig
from qdtrack_model.synthetic.scene import Scene
from qdtrack_ros.output.conversions import image_message


@cache
def street() -> Array:
    """An image of people and cars that are plain to see."""
    return Scene(SceneConfig(seed=7, frames=1, size=(640, 360))).frame(0).image


class Drivers:
    """A node with a camera driver for each of some topics, and a listener to each of some topics of tracks."""

    def __init__(self, images: list[str], tracks: list[str]) -> None:
        self.node = Node("drivers")
        self._publishers = [self.node.create_publisher(Image, topic, qos_profile_sensor_data) for topic in images]
        self.received: dict[str, list[TrackedDetectionArray]] = {topic: [] for topic in tracks}
        for topic, kept in self.received.items():
            self.node.create_subscription(TrackedDetectionArray, topic, kept.append, 10)
        self.node.create_timer(0.1, self._drive)

    def _drive(self) -> None:
        header = Header(stamp=self.node.get_clock().now().to_msg(), frame_id="camera")
        for publisher in self._publishers:
            publisher.publish(image_message(street(), header))

    def wait(self, count: int = 3) -> None:
        """Wait for a few further messages of tracks on every topic."""
        before = {topic: len(kept) for topic, kept in self.received.items()}
        for topic, kept in self.received.items():
            wait_until(lambda kept=kept, topic=topic: len(kept) >= before[topic] + count, f"tracks on {topic}")
            assert kept[-1].tracks, f"nothing tracked on {topic}"
