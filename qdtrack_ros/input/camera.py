"""One camera: its possible image topics and which of them is in use, calibration and depth."""

from __future__ import annotations

import posixpath
import time
from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from qdtrack_model.sensors.camera_model import CameraModel, InvalidCameraInfo
from qdtrack_ros.input.depth import DepthImages
from qdtrack_ros.input.source_image import ImageMessage
from qdtrack_ros.input.subscription import DEPTH, MatchedSubscription
from qdtrack_ros.input.video import VIDEO_TYPES

IMAGE_TOPICS: dict[str, type[Any]] = {"image": Image, "image/compressed": CompressedImage, **VIDEO_TYPES}
_VIDEO_DEPTH = 60  # packets that may wait for the executor: none of them can be done without
TRANSPORTS = {"raw": "image", "compressed": "image/compressed"}


class Camera:
    """Subscribes all of IMAGE_TOPICS and keeps the one that delivers first; ``camera_info``; ``depth``.

    All image topics are listened to until an image comes; then the others are let go, because receiving every picture
    twice costs more than decoding it. After a silence all are listened to again.

    Args:
        node: owner of the subscriptions; its remappings apply.
        name: of one camera of several, before each of its topics (``front/image``); "" where there is one alone.
        transport: ``raw`` or ``compressed`` where only this topic is to be listened to, else ``auto``.
        deliver: called in the executor's thread with every image message once :meth:`listen` was called; must return
            at once.
        count_lost: told how many more images were published and never came.
        depth: whether there are depth images, too, which :attr:`depth` receives when it is told to.
    """

    def __init__(
        self,
        node: Node,
        name: str,
        transport: str,
        deliver: Callable[[ImageMessage], None],
        count_lost: Callable[[int], None],
        depth: bool,
    ) -> None:
        self._node = node
        self.prefix = f"{name}/" if name else ""
        self._deliver, self._count_lost = deliver, count_lost
        self._subscriptions: dict[str, MatchedSubscription] = {}
        wanted = [TRANSPORTS[transport]] if transport in TRANSPORTS else list(IMAGE_TOPICS)
        self._names = {name: self._following(name) for name in wanted}
        self.topics = {name: node.resolve_topic_name(topic) for name, topic in self._names.items()}
        self.delivering: str | None = None  # which of the topics brought the latest image
        self.info: CameraInfo | None = None
        self._info = node.create_subscription(
            CameraInfo,
            self._following("camera_info"),
            self._calibrated,
            copy(qos_profile_sensor_data),  # overrides are written into it
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self.depth = DepthImages(node, f"{self.prefix}depth") if depth else None
        self._arrival = time.monotonic()

    def listen(self) -> None:
        """Subscribe to whichever of the image topics is not subscribed, as its publishers offer it."""
        for name, topic in self._names.items():
            if name not in self._subscriptions:
                deliver = partial(self._received, name)
                depth = _VIDEO_DEPTH if name in VIDEO_TYPES else DEPTH
                self._subscriptions[name] = MatchedSubscription(
                    self._node, IMAGE_TOPICS[name], topic, deliver, self._count_lost, depth
                )

    def _following(self, name: str) -> str:
        """What to subscribe for a topic of the camera: where only ``image`` is remapped the others follow it.

        So it is with image_transport: ``image:=/front/image_raw`` means ``/front/image_raw/compressed``, too, and
        ``/front/camera_info``.
        """
        image, own = f"{self.prefix}image", f"{self.prefix}{name}"
        moved = self._node.resolve_topic_name(image)
        stays = moved == self._node.resolve_topic_name(image, only_expand=True)
        remapped = self._node.resolve_topic_name(own) != self._node.resolve_topic_name(own, only_expand=True)
        if stays or remapped:
            return own
        beside = posixpath.join(posixpath.dirname(moved), name)
        return moved + name.removeprefix("image") if name.startswith("image/") else beside

    def match_publishers(self) -> None:
        """Follow publishers that came or changed since."""
        for subscription in self._subscriptions.values():
            subscription.match()

    def close(self) -> None:
        """Let all topics go."""
        for subscription in self._subscriptions.values():
            subscription.close()
        self._subscriptions.clear()
        self._node.destroy_subscription(self._info)
        if self.depth is not None:
            self.depth.close()

    def topic_of(self, message: ImageMessage) -> str:
        """The topic that a message of its type comes on, resolved."""
        return next(self.topics[name] for name, kind in IMAGE_TOPICS.items() if isinstance(message, kind))

    def model(self, rectified: bool, size: tuple[int, int]) -> CameraModel:
        """The calibration, for an image of this ``size`` (width, height) that was straightened or not.

        Raises:
            InvalidCameraInfo: there is none, or it does not say how the image came about.
        """
        if self.info is None:
            raise InvalidCameraInfo("camera_info: none has come; remap camera_info to the camera's")
        return CameraModel.from_info(self.info, rectified, size)

    @property
    def info_topic(self) -> str:
        """The topic of the calibration, resolved."""
        return str(self._info.topic_name)

    @property
    def listening(self) -> dict[str, QoSProfile]:
        """The image topics that are subscribed, resolved, and with which QoS."""
        return {self.topics[name]: held.qos for name, held in self._subscriptions.items()}

    @property
    def silence(self) -> float:
        """Seconds since the last image arrived, or since the camera was opened."""
        return time.monotonic() - self._arrival

    def incompatible(self) -> list[str]:
        """For every publisher that cannot be connected to: its topic and why, as DDS has it."""
        found = [text for subscription in self._subscriptions.values() for text in subscription.incompatible()]
        return sorted({*found, *(self.depth.incompatible() if self.depth is not None else [])})

    def _calibrated(self, message: CameraInfo) -> None:
        self.info = message

    def _received(self, name: str, message: ImageMessage) -> None:
        self._arrival = time.monotonic()
        if name not in self._subscriptions:
            return  # already under way when the topic was let go
        if len(self._subscriptions) > 1:
            self._keep_only(name)
        self.delivering = name
        self._deliver(message)

    def _keep_only(self, name: str) -> None:
        for other in [other for other in self._subscriptions if other != name]:
            self._subscriptions.pop(other).close()
        self._node.get_logger().info(f"receiving images on {self.topics[name]}")
