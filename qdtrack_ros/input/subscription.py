"""A subscription to images that asks for what their publishers offer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSPolicyKind, QoSProfile, ReliabilityPolicy, qos_check_compatible
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import MessageInfo, Subscription

from qdtrack_ros.input.losses import Losses

DEPTH = 5  # images that may wait for the executor, as in the QoS of sensor data


class MatchedSubscription:
    """Reliable where every publisher of the topic is, else best effort.

    Best effort connects to all publishers, but of images above some 500 KB the default transport then loses nearly
    every one; asking for lost parts again is what brings them through. A reliability set by ``qos_overrides`` is left
    alone.

    Args:
        node: owner of the subscription; its remappings apply.
        kind: type of the messages.
        name: of the topic.
        deliver: called in the executor's thread with every message.
        count_lost: told how many more messages were published and never came.
        depth: messages that may wait for the executor; of a video more, since none can be done without.
    """

    def __init__(
        self,
        node: Node,
        kind: type[Any],
        name: str,
        deliver: Callable[[Any], None],
        count_lost: Callable[[int], None] = lambda count: None,
        depth: int = DEPTH,
    ) -> None:
        self._node = node
        self._kind = kind
        self._name = name
        self._deliver = deliver
        self._count_lost = count_lost
        self._depth = depth
        self.topic: str = node.resolve_topic_name(name)
        override = f"qos_overrides.{self.topic}.subscription.reliability"
        self._overridden = override in node._parameter_overrides  # rclpy has no public way to see the undeclared
        self._held = self._subscribe(self._offered() or ReliabilityPolicy.BEST_EFFORT)

    @property
    def qos(self) -> QoSProfile:
        """What the topic is subscribed with."""
        return self._held.qos_profile

    @property
    def reliability(self) -> ReliabilityPolicy:
        """What is asked for."""
        return self._held.qos_profile.reliability

    def match(self) -> None:
        """Follow publishers that came or changed: subscribe anew where the reliability is not what they offer.

        An image on its way meanwhile may be lost.
        """
        offered = self._offered()
        if offered is None or offered == self.reliability or self._overridden:
            return
        self._node.get_logger().info(f"{self.topic}: subscribing {offered.name.lower()}, as it is offered")
        held, self._held = self._held, self._subscribe(offered)
        self._node.destroy_subscription(held)

    def incompatible(self) -> list[str]:
        """For every publisher that cannot be connected to: the topic and why, as DDS has it."""
        found = []
        for publisher in self._node.get_publishers_info_by_topic(self.topic):
            verdict, reason = qos_check_compatible(publisher.qos_profile, self._held.qos_profile)
            if verdict == QoSCompatibility.ERROR:
                found.append(f"{self.topic}: {reason.strip('; ').removeprefix('ERROR: ')}")
        return found

    def close(self) -> None:
        """Let the topic go."""
        self._node.destroy_subscription(self._held)

    def _offered(self) -> ReliabilityPolicy | None:
        """The reliability that suits every publisher; None where nobody is known to publish."""
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        if not publishers:
            return None
        reliable = all(one.qos_profile.reliability == ReliabilityPolicy.RELIABLE for one in publishers)
        return ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT

    def _subscribe(self, reliability: ReliabilityPolicy) -> Subscription[Any]:
        kinds = [QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH]
        if self._overridden:
            kinds.append(QoSPolicyKind.RELIABILITY)
        # Of this subscription alone: the next one begins anew wherever the publisher is by then.
        losses = Losses(self._count_lost)

        def received(message: Any, info: MessageInfo) -> None:
            losses.received(info)
            self._deliver(message)

        def subscribe(events: SubscriptionEventCallbacks | None) -> Subscription[Any]:
            return self._node.create_subscription(
                self._kind,
                self._name,
                received,
                QoSProfile(depth=self._depth, reliability=reliability),
                event_callbacks=events,
                qos_overriding_options=QoSOverridingOptions(kinds),
            )

        try:
            return subscribe(
                SubscriptionEventCallbacks(message_lost=lambda status: losses.reported(status.total_count_change))
            )
        except UnsupportedEventTypeError:  # not every middleware tells
            return subscribe(None)
