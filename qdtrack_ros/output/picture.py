"""What is drawn of every image for people to look at."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from rclpy.lifecycle import LifecycleNode, LifecyclePublisher

from qdtrack_model.drawing.overlay import Trails
from qdtrack_ros.output.frame import TrackedFrame


class Picture(ABC):
    """One way of drawing tracks.

    Args:
        node: owner of the publishers.
        publishers: that show it; nothing is drawn that nobody subscribes to.
    """

    def __init__(self, node: LifecycleNode, publishers: Sequence[LifecyclePublisher]) -> None:
        self._node = node
        self._publishers = publishers

    @property
    def wanted(self) -> bool:
        """Whether somebody subscribes."""
        return any(publisher.get_subscription_count() > 0 for publisher in self._publishers)

    @abstractmethod
    def publish(self, frame: TrackedFrame, trails: Trails) -> None:
        """Draw and publish one frame; ``trails`` end in it."""

    def close(self) -> None:
        """Remove the publishers."""
        for publisher in self._publishers:
            self._node.destroy_lifecycle_publisher(publisher)
