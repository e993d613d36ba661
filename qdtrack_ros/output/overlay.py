"""The overlay: the image with tracks drawn in."""

from __future__ import annotations

from collections.abc import Sequence

from rclpy.lifecycle import LifecycleNode
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image

from qdtrack_model.drawing.overlay import Trails, draw
from qdtrack_ros.output.conversions import compressed_message, image_message
from qdtrack_ros.output.frame import TrackedFrame
from qdtrack_ros.output.picture import Picture


class OverlayPublisher(Picture):
    """``overlay`` and ``overlay/compressed``, drawn once for both."""

    def __init__(self, node: LifecycleNode, prefix: str, classes: Sequence[str]) -> None:
        self._classes = classes
        overridable = QoSOverridingOptions.with_default_policies()
        self._raw = node.create_lifecycle_publisher(Image, f"{prefix}overlay", 2, qos_overriding_options=overridable)
        self._compressed = node.create_lifecycle_publisher(
            CompressedImage, f"{prefix}overlay/compressed", 2, qos_overriding_options=overridable
        )
        super().__init__(node, [self._raw, self._compressed])

    def publish(self, frame: TrackedFrame, trails: Trails) -> None:
        """Publish what is subscribed to."""
        drawn = draw(frame.image.whole, frame.tracks, self._classes, trails, first_id=0)  # the ids of the messages
        if self._raw.get_subscription_count() > 0:
            self._raw.publish(image_message(drawn, frame.header))
        if self._compressed.get_subscription_count() > 0:
            self._compressed.publish(compressed_message(drawn, frame.header))
