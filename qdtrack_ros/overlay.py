"""The overlay image: drawn and published only while somebody subscribes to it."""

from __future__ import annotations

from collections.abc import Sequence

from rclpy.lifecycle import LifecycleNode
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Image

from qdtrack_model.overlay import Trails, draw
from qdtrack_ros.conversions import image_message
from qdtrack_ros.frame import TrackedFrame


class OverlayPublisher:
    """Draws tracks and their trails; the trails start afresh when somebody begins to look."""

    def __init__(self, node: LifecycleNode, prefix: str, classes: Sequence[str]) -> None:
        self._node = node
        self._publisher = node.create_lifecycle_publisher(
            Image, f"{prefix}overlay", 2, qos_overriding_options=QoSOverridingOptions.with_default_policies()
        )
        self._classes = tuple(classes)
        self._trails: Trails | None = None
        self._length = 0

    def reset(self) -> None:
        """Forget the trails: the next ids are other objects."""
        self._trails = None

    def publish(self, frame: TrackedFrame, trail: int) -> None:
        """Publish the image with its tracks and trails of ``trail`` images, if there is a subscriber."""
        if self._publisher.get_subscription_count() == 0:
            self._trails = None
            return
        if self._trails is None or self._length != trail:
            self._trails, self._length = Trails(trail), trail
        self._trails.extend(frame.tracks)
        drawn = draw(frame.image, frame.tracks, self._classes, self._trails, first_id=0)  # the ids of the messages
        self._publisher.publish(image_message(drawn, frame.header))

    def close(self) -> None:
        """Remove the publisher."""
        self._node.destroy_lifecycle_publisher(self._publisher)
