"""A node in a process of its own, a camera before it and a listener behind it."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from blobs import PROGRAM, jpeg_message
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from graph import PATIENCE
from qdtrack.msg import TrackedDetectionArray
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from qdtrack_model.structures import Array
from qdtrack_ros.output.conversions import image_message
from qdtrack_ros.replay.process import NodeProcess

SECOND = 1_000_000_000


def header(nanoseconds: int, frame_id: str = "rig") -> Header:
    return Header(stamp=Time(sec=nanoseconds // SECOND, nanosec=nanoseconds % SECOND), frame_id=frame_id)


_RIGS = itertools.count()


class Rig:
    """A node in its own process with a camera before it and a listener behind it."""

    def __init__(
        self, log: Path, reliable: bool = True, program: Sequence[str] = PROGRAM, **parameters: object
    ) -> None:
        self.program = program
        self.other = Node("rig")
        # Of its own: DDS counts on a node that was killed, in a test before, for another 20 s.
        self.namespace = f"/rig{next(_RIGS)}"
        self.tracks: list[TrackedDetectionArray] = []
        self.other.create_subscription(
            TrackedDetectionArray, f"{self.namespace}/tracker/tracks", self.tracks.append, 200
        )
        self.statuses: list[DiagnosticStatus] = []  # of the node, not of its camera
        self.other.create_subscription(DiagnosticArray, "/diagnostics", self._told, 10)
        self.camera = self.other.create_publisher(Image, f"{self.namespace}/image", 20)
        self.jpeg = self.other.create_publisher(CompressedImage, f"{self.namespace}/image/compressed", 20)
        self._parameters = {"weights": "blobs", **parameters}
        if reliable:  # from the start: else the node follows the publishers, and may lose an image on the way
            for topic in ("image", "image/compressed"):
                self._parameters[f"qos_overrides.{self.namespace}/{topic}.subscription.reliability"] = "reliable"
        self._log = log

    def _told(self, message: DiagnosticArray) -> None:
        name = f"{self.namespace.strip('/')}/tracker: node"
        self.statuses += [status for status in message.status if status.name == name]

    def process(self) -> NodeProcess:
        """The node, unconfigured, to be entered."""
        return NodeProcess(self.other, self.namespace, self._parameters, self._log, self.program)

    def command(self) -> list[str]:
        """What starts a node that starts itself, as launch would have it."""
        return [sys.executable, *self.program, "--ros-args", "-r", f"__ns:={self.namespace}"]

    @contextmanager
    def node(self) -> Iterator[NodeProcess]:
        """The node, active."""
        with self.process() as process:
            process.change_state("configure")
            process.change_state("activate")
            process.wait(
                lambda: self.other.count_publishers(f"{self.namespace}/tracker/tracks") == 1, "publish", PATIENCE
            )
            yield process

    def send(self, image: Array, head: Header, compressed: bool = False) -> TrackedDetectionArray:
        """An image, again and again until its tracks come: the first ones may pass before the node has connected."""
        before = len(self.tracks)
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            if compressed:
                self.jpeg.publish(jpeg_message(image, head))
            else:
                self.camera.publish(image_message(image, head))
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                for message in self.tracks[before:]:
                    if message.header == head:
                        return message
                time.sleep(0.005)
        raise AssertionError(f"no tracks of {head}")


def ids(message: TrackedDetectionArray) -> set[int]:
    return {track.id for track in message.tracks}
