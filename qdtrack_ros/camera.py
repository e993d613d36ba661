"""One camera: its two possible image topics, which of them is in use, its calibration, and what was counted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from rclpy.node import Node
from rclpy.qos import (
    QoSCompatibility,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
    qos_profile_sensor_data,
)
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

ImageMessage: TypeAlias = Image | CompressedImage
IMAGE_TOPICS: dict[str, type[Any]] = {"image": Image, "image/compressed": CompressedImage}

_DEPTH = 5  # images that may wait for the executor, as in the QoS of sensor data


@dataclass
class Counts:
    """What became of the images since activation."""

    received: int = 0
    dropped: int = 0  # pushed out of the queue by newer ones
    repeated: int = 0  # came a second time with the same stamp
    late: int = 0  # came after an image with a newer stamp
    unusable: int = 0  # broken, or the tracker failed on them
    tracked: int = 0

    def __str__(self) -> str:
        return (
            f"{self.received} images received, {self.tracked} tracked, {self.dropped} dropped,"
            f" {self.late} late, {self.repeated} repeated, {self.unusable} unusable"
        )


class Camera:
    """Subscribes ``image`` and ``image/compressed`` and keeps the one that delivers first; and ``camera_info``.

    Both image topics are listened to until an image comes; then the other is let go, because receiving every picture
    twice costs more than decoding it. After a silence both are listened to again.

    Args:
        node: owner of the subscriptions; its remappings apply.
        name: of one camera of several, before each of its topics (``front/image``); "" where there is one alone.
        deliver: called in the executor's thread with every image message once :meth:`listen` was called; must return
            at once.
    """

    def __init__(self, node: Node, name: str, deliver: Callable[[ImageMessage], None]) -> None:
        self._node = node
        self.prefix = f"{name}/" if name else ""
        self._deliver = deliver
        self._subscriptions: dict[str, Subscription[Any]] = {}
        self.counts = Counts()
        self.topics = {name: node.resolve_topic_name(self.prefix + name) for name in IMAGE_TOPICS}
        self.info: CameraInfo | None = None
        self._info = node.create_subscription(
            CameraInfo, f"{self.prefix}camera_info", self._calibrated, qos_profile_sensor_data
        )
        self._arrival = time.monotonic()

    def listen(self) -> None:
        """Subscribe to whichever of the two topics is not subscribed, as its publishers offer it."""
        for name in IMAGE_TOPICS:
            if name not in self._subscriptions:
                self._subscribe(name, self._offered(name) or ReliabilityPolicy.BEST_EFFORT)

    def match_publishers(self) -> None:
        """Follow publishers that came or changed since: subscribe anew where the reliability is not what they offer.

        An image on its way meanwhile may be lost. A reliability set by ``qos_overrides`` is left alone.
        """
        for name, held in list(self._subscriptions.items()):
            offered = self._offered(name)
            if offered is None or offered == held.qos_profile.reliability or self._reliability_is_set(name):
                continue
            self._node.get_logger().info(f"{self.topics[name]}: subscribing {offered.name.lower()}, as it is offered")
            self._subscribe(name, offered)
            self._node.destroy_subscription(held)

    def _offered(self, name: str) -> ReliabilityPolicy | None:
        """Reliable where every publisher of the topic is, else best effort; None where nobody is known to publish.

        Best effort connects to all publishers, but of images above some 500 KB the default transport then loses
        nearly every one; asking for lost parts again is what brings them through.
        """
        publishers = self._node.get_publishers_info_by_topic(self.topics[name])
        if not publishers:
            return None
        reliable = all(one.qos_profile.reliability == ReliabilityPolicy.RELIABLE for one in publishers)
        return ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT

    def _subscribe(self, name: str, reliability: ReliabilityPolicy) -> None:
        kinds = [QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH]
        if self._reliability_is_set(name):
            kinds.append(QoSPolicyKind.RELIABILITY)
        self._subscriptions[name] = self._node.create_subscription(
            IMAGE_TOPICS[name],
            self.prefix + name,
            lambda message: self._received(name, message),
            QoSProfile(depth=_DEPTH, reliability=reliability),
            qos_overriding_options=QoSOverridingOptions(kinds),
        )

    def _reliability_is_set(self, name: str) -> bool:
        return f"qos_overrides.{self.topics[name]}.subscription.reliability" in self._node._parameter_overrides

    def close(self) -> None:
        """Let all topics go."""
        for subscription in (*self._subscriptions.values(), self._info):
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    @property
    def silence(self) -> float:
        """Seconds since the last image arrived, or since the camera was opened."""
        return time.monotonic() - self._arrival

    def incompatible(self) -> list[str]:
        """For every publisher that cannot be connected to: its topic and why, as DDS has it."""
        found = []
        for name, held in self._subscriptions.items():
            for publisher in self._node.get_publishers_info_by_topic(self.topics[name]):
                verdict, reason = qos_check_compatible(publisher.qos_profile, held.qos_profile)
                if verdict == QoSCompatibility.ERROR:
                    found.append(f"{self.topics[name]}: {reason.strip('; ').removeprefix('ERROR: ')}")
        return sorted(set(found))

    def _calibrated(self, message: CameraInfo) -> None:
        self.info = message

    def _received(self, name: str, message: ImageMessage) -> None:
        self._arrival = time.monotonic()
        if name not in self._subscriptions:
            return  # already under way when the topic was let go
        if len(self._subscriptions) > 1:
            self._keep_only(name)
        self.counts.received += 1
        self._deliver(message)

    def _keep_only(self, name: str) -> None:
        for other in [other for other in self._subscriptions if other != name]:
            self._node.destroy_subscription(self._subscriptions.pop(other))
        self._node.get_logger().info(f"receiving images on {self.topics[name]}")
