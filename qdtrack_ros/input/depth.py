"""Depth images beside a camera's images, and what they tell: received while they are wanted, found by stamp."""

from __future__ import annotations

import threading
import time

from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from qdtrack_model.sensors.camera_model import CameraModel
from qdtrack_model.sensors.depth import Boxes3D, depth_image, locate
from qdtrack_model.sensors.messages import InvalidImage
from qdtrack_model.sensors.stamps import Order, StampOrder
from qdtrack_model.structures import Array
from qdtrack_ros.input.stamps import stamp_nanoseconds
from qdtrack_ros.input.subscription import MatchedSubscription

KEPT = 8  # depth images, and images that wait for theirs: a quarter of a second of a usual camera
_DEADLINE = 0.25  # seconds that an image waits for a depth image of its time or a later one
_PATIENCE = 2.0  # seconds until a topic that was just subscribed is said to be silent


class DepthImages:
    """The newest depth images of a camera.

    Receiving a raw image costs more than all that is done with it here, so the topic is subscribed only while somebody
    wants it.

    Args:
        node: owner of the subscription; its remappings apply.
        name: of the topic.
    """

    def __init__(self, node: Node, name: str) -> None:
        self._node = node
        self._name = name
        self._subscription: MatchedSubscription | None = None
        self._begin = 0.0
        self._closed = True
        self._kept: tuple[Image, ...] = ()  # replaced, never changed: others read while the executor adds
        self._order = StampOrder()
        self._came = threading.Condition()
        self.topic: str = node.resolve_topic_name(name)

    def listen(self, wanted: bool) -> None:
        """Subscribe as the publishers offer it, or let the topic go."""
        if wanted and self._subscription is None:
            self._begin, self._closed = time.monotonic(), False
            self._subscription = MatchedSubscription(self._node, Image, self._name, self._received)
        elif wanted and self._subscription is not None:
            self._subscription.match()
        elif not wanted:
            self.close()

    @property
    def latest(self) -> Image | None:
        """The depth image that came last."""
        return self._kept[0] if self._kept else None

    @property
    def due(self) -> bool:
        """Whether depth may be asked for: some has come, or should have."""
        return bool(self._kept) or (self._subscription is not None and time.monotonic() - self._begin > _PATIENCE)

    def locate(self, boxes: Array, header: Header, camera: CameraModel, tolerance: float) -> Boxes3D:
        """Where boxes of an image are in space; waits a little for a depth image that is not older than the image.

        Of one that is older a nearer one may still come: where depth is computed from the images it always does.

        Args:
            boxes: (M, 4) x1, y1, x2, y2 in pixels of the image.
            header: of the image.
            camera: how the image came about.
            tolerance: largest distance of the depth image's stamp from that of the image [s].

        Raises:
            InvalidImage: there is no depth image of that time, or it is broken or not aligned with the image.
        """
        stamp = stamp_nanoseconds(header)
        with self._came:
            self._came.wait_for(lambda: self._closed or self._reaches(stamp), _DEADLINE)
        message = self._nearest(header, tolerance)
        if message.header.frame_id != header.frame_id:
            frames = f"{self.topic} has depth in {message.header.frame_id!r}, the image is in {header.frame_id!r}"
            text = f"{frames}: take the topic of depth that is registered to (aligned with) the image"
            raise InvalidImage("depth is not registered", text)
        return locate(boxes, depth_image(message), camera)

    def _reaches(self, stamp: int) -> bool:
        """Whether a depth image of this stamp [ns] or a later one has come."""
        return any(stamp_nanoseconds(image.header) >= stamp for image in self._kept)

    def _nearest(self, header: Header, tolerance: float) -> Image:
        """The depth image whose stamp is nearest, if it is near enough."""
        kept, stamp = self._kept, stamp_nanoseconds(header)
        if not kept:
            publishers = self._node.count_publishers(self.topic)
            raise InvalidImage("no depth", f"none has come on {self.topic}, which has {publishers} publisher(s)")
        found = min(kept, key=lambda image: abs(stamp_nanoseconds(image.header) - stamp))
        off = abs(stamp_nanoseconds(found.header) - stamp) * 1e-9
        if off > tolerance:
            text = f"the nearest on {self.topic} is {off:.3f} s off, depth_tolerance is {tolerance:g} s"
            raise InvalidImage("no depth", text)
        return found

    def incompatible(self) -> list[str]:
        """For every publisher that cannot be connected to: the topic and why."""
        return self._subscription.incompatible() if self._subscription is not None else []

    def close(self) -> None:
        """Let the topic and the images go."""
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None
        with self._came:
            self._kept = ()
            self._closed = True
            self._came.notify_all()

    def _received(self, message: Image) -> None:
        with self._came:
            # Nobody waits for depth while there is some of a later stamp: what was before a bag began anew must go.
            before = () if self._order.judge(stamp_nanoseconds(message.header)) is Order.BACK else self._kept
            self._kept = (message, *before[: KEPT - 1])  # the newest first: it is taken where stamps are equal
            self._came.notify_all()
