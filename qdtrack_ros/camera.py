"""One camera: its two possible topics, which of them is in use, what is known of its stamps, and what was counted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from rclpy.node import Node
from rclpy.qos import QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from qdtrack_ros.conversions import stamp_nanoseconds

ImageMessage: TypeAlias = Image | CompressedImage
_TOPICS: dict[str, type[Any]] = {"image": Image, "image/compressed": CompressedImage}

_DEPTH = 5  # images that may wait for the executor, as in the QoS of sensor data


@dataclass
class Counts:
    """What became of the images since activation."""

    received: int = 0
    dropped: int = 0  # pushed out of the queue by newer ones
    repeated: int = 0  # came a second time with the same stamp
    unusable: int = 0  # broken, or the tracker failed on them
    tracked: int = 0

    def __str__(self) -> str:
        return (
            f"{self.received} images received, {self.tracked} tracked, {self.dropped} dropped,"
            f" {self.repeated} repeated, {self.unusable} unusable"
        )


class Camera:
    """Subscribes ``image`` and ``image/compressed`` and keeps the one that delivers first.

    Both are listened to until an image comes; then the other is let go, because receiving every picture twice costs
    more than decoding it. After a silence both are listened to again.

    Args:
        node: owner of the subscriptions; its remappings apply.
        deliver: called in the executor's thread with every image message once :meth:`listen` was called; must return
            at once.
    """

    def __init__(self, node: Node, deliver: Callable[[Camera, ImageMessage], None]) -> None:
        self._node = node
        self._deliver = deliver
        self._subscriptions: dict[str, Subscription[Any]] = {}
        self.counts = Counts()
        self.topics = {name: node.resolve_topic_name(name) for name in _TOPICS}
        self._latest_stamp: int | None = None
        self._arrival = time.monotonic()

    def listen(self) -> None:
        """Subscribe to whichever of the two topics is not subscribed, as its publishers offer it."""
        for name in _TOPICS:
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
            _TOPICS[name],
            name,
            lambda message: self._received(name, message),
            QoSProfile(depth=_DEPTH, reliability=reliability),
            qos_overriding_options=QoSOverridingOptions(kinds),
        )

    def _reliability_is_set(self, name: str) -> bool:
        return f"qos_overrides.{self.topics[name]}.subscription.reliability" in self._node._parameter_overrides

    def close(self) -> None:
        """Let both topics go."""
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    @property
    def silence(self) -> float:
        """Seconds since the last image arrived, or since the camera was opened."""
        return time.monotonic() - self._arrival

    def _received(self, name: str, message: ImageMessage) -> None:
        self._arrival = time.monotonic()
        if name not in self._subscriptions:
            return  # already under way when the topic was let go
        if len(self._subscriptions) > 1:
            self._keep_only(name)
        self.counts.received += 1
        self._deliver(self, message)

    def _keep_only(self, name: str) -> None:
        for other in [other for other in self._subscriptions if other != name]:
            self._node.destroy_subscription(self._subscriptions.pop(other))
        self._node.get_logger().info(f"receiving images on {self.topics[name]}")

    def step_of(self, header: Header) -> float | None:
        """Seconds from the previous image's stamp to this one's, negative for a jump back; None for the first."""
        stamp = stamp_nanoseconds(header)
        previous, self._latest_stamp = self._latest_stamp, stamp
        return None if previous is None else (stamp - previous) * 1e-9


def describe_silence(node: Node, camera: Camera) -> str:
    """Why there may be no images: who publishes on the camera's topics, and which image topics there are instead."""
    findings = []
    for name, topic in camera.topics.items():
        publishers = node.get_publishers_info_by_topic(topic)
        if not publishers:
            findings.append(f"{topic} has no publisher")
            continue
        wrong = {p.topic_type for p in publishers} - {_type_name(_TOPICS[name])}
        if wrong:
            findings.append(f"{topic} carries {', '.join(sorted(wrong))} instead of {_type_name(_TOPICS[name])}")
        else:
            kinds = sorted({f"{p.qos_profile.reliability.name.lower()}" for p in publishers})
            findings.append(f"{topic} has {len(publishers)} publisher(s), {' and '.join(kinds)}, and nothing came")
    others = _image_topics(node) - set(camera.topics.values())
    if others:
        findings.append(f"image topics seen: {', '.join(sorted(others))} (remap with -r image:=TOPIC)")
    return "; ".join(findings)


def _type_name(kind: type[Any]) -> str:
    return f"sensor_msgs/msg/{kind.__name__}"


def _image_topics(node: Node) -> set[str]:
    wanted = {_type_name(kind) for kind in _TOPICS.values()}
    own = f"{node.get_fully_qualified_name()}/"
    return {
        topic for topic, types in node.get_topic_names_and_types() if wanted & set(types) and not topic.startswith(own)
    }
