"""The overlay image: drawn and published only while somebody subscribes to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rclpy.publisher import Publisher
from std_msgs.msg import Header

from qdtrack_model.overlay import Trails, draw
from qdtrack_model.structures import Array, Tracks
from qdtrack_ros.conversions import image_message


class OverlayPublisher:
    """Draws tracks and their trails; the trails start afresh when somebody begins to look."""

    def __init__(self, publisher: Publisher[Any], classes: Sequence[str]) -> None:
        self._publisher = publisher
        self._classes = tuple(classes)
        self._trails: Trails | None = None
        self._length = 0

    def reset(self) -> None:
        """Forget the trails: the next ids are other objects."""
        self._trails = None

    def publish(self, image: Array, tracks: Tracks, header: Header, trail: int) -> None:
        """Publish the image with its tracks and trails of ``trail`` images, if there is a subscriber."""
        if self._publisher.get_subscription_count() == 0:
            self._trails = None
            return
        if self._trails is None or self._length != trail:
            self._trails, self._length = Trails(trail), trail
        drawn = draw(image, tracks, self._classes, self._trails, first_id=0)  # the ids of the messages
        self._publisher.publish(image_message(drawn, header))
