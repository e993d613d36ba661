"""Keeps what a tracker node publishes, with the moment each message came."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticArray
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
    """Subscribes the tracks of a tracker node, and what it says of the time that they take.

    Args:
        node: owner of the subscriptions.
        tracker: full name of the tracker node.
        camera: which of several cameras; "" where there is one alone.

    Attributes:
        received: header stamp [ns] -> what came with it.
        last: ``time.monotonic()`` when the newest message came, 0 before the first.
        classes: class index -> name, of the classes met so far.
        processing: median of the seconds that the tracker was busy with an image, by its diagnostics; NaN before the
            first of them.
    """

    def __init__(self, node: Node, tracker: str, camera: str = "") -> None:
        self.received: dict[int, Received] = {}
        self.last = 0.0
        self.classes: dict[int, str] = {}
        self.processing = math.nan
        self._node, self._topic = node, f"{tracker}/{camera}/tracks" if camera else f"{tracker}/tracks"
        self._status = f"{tracker.strip('/')}: {camera or 'camera'}"
        node.create_subscription(TrackedDetectionArray, self._topic, self._keep, 100)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._read, 10)

    @property
    def connected(self) -> bool:
        """Whether somebody publishes the topic."""
        return self._node.count_publishers(self._topic) > 0

    def _read(self, message: DiagnosticArray) -> None:
        values = (pair for status in message.status if status.name == self._status for pair in status.values)
        for pair in values:
            if pair.key == "processing p50 [ms]":
                self.processing = 1e-3 * float(pair.value)

    def _keep(self, message: TrackedDetectionArray) -> None:
        self.last = time.monotonic()
        self.received[stamp_nanoseconds(message.header)] = Received(tracks_from_message(message), self.last)
        self.classes.update({track.class_id: track.class_name for track in message.tracks})
