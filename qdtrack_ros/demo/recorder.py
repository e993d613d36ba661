"""Keeps what a tracker node publishes, with the moment each message came."""

from __future__ import annotations

import time
from dataclasses import dataclass

from qdtrack.msg import TrackedDetectionArray
from rclpy.node import Node

from qdtrack_model.structures import Tracks
from qdtrack_ros.input.stamps import stamp_nanoseconds
from qdtrack_ros.output.conversions import tracks_from_message


@dataclass(frozen=True)
class Received:
    """One message of tracks: ``moment`` is the ``time.monotonic()`` of its arrival."""

    tracks: Tracks
    moment: float


class Recorder:
    """Subscribes a topic of tracks.

    Attributes:
        received: header stamp [ns] -> what came with it.
        last: ``time.monotonic()`` when the newest message came, 0 before the first.
        classes: class index -> name, of the classes met so far.
    """

    def __init__(self, node: Node, topic: str) -> None:
        self.received: dict[int, Received] = {}
        self.last = 0.0
        self.classes: dict[int, str] = {}
        self._node, self._topic = node, topic
        node.create_subscription(TrackedDetectionArray, topic, self._keep, 100)

    @property
    def connected(self) -> bool:
        """Whether somebody publishes the topic."""
        return self._node.count_publishers(self._topic) > 0

    def _keep(self, message: TrackedDetectionArray) -> None:
        self.last = time.monotonic()
        self.received[stamp_nanoseconds(message.header)] = Received(tracks_from_message(message), self.last)
        self.classes.update({track.class_id: track.class_name for track in message.tracks})
