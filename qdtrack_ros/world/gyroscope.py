"""How the robot turns, by the rates of turn of its inertial sensor."""

from __future__ import annotations

import threading
from collections import deque

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Imu

from qdtrack_model.sensors.poses import turn
from qdtrack_model.sensors.stamps import Order, StampOrder
from qdtrack_model.structures import Array
from qdtrack_ros.input.stamps import stamp_nanoseconds

TOPIC = "imu"
_KEPT = 2000  # messages: two seconds at 1000/s
_QUEUE = 100  # messages that may wait for the executor, which handles each in some 0.1 ms


class Gyroscope:
    """Receives ``sensor_msgs/Imu`` on the topic ``imu``, and knows how its frame turned between two stamps.

    Args:
        node: owner of the subscription; its remappings apply.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._came = threading.Condition()
        self._stamps: deque[int] = deque(maxlen=_KEPT)
        self._rates: deque[tuple[float, float, float]] = deque(maxlen=_KEPT)
        self._order = StampOrder()
        self.frame = ""  # of the newest message
        self._subscription = node.create_subscription(
            Imu,
            TOPIC,
            self._received,
            QoSProfile(depth=_QUEUE, reliability=ReliabilityPolicy.BEST_EFFORT),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    @property
    def topic(self) -> str:
        """Where it listens, resolved."""
        return str(self._subscription.topic_name)

    def turn(self, begin: int, end: int, wait: float) -> Array | None:
        """From directions in its frame at one stamp to the same ones at a later one (3, 3); None where it is not known.

        Args:
            begin: [ns].
            end: [ns].
            wait: seconds that a message of that time or later is waited for.
        """
        with self._came:
            self._came.wait_for(lambda: bool(self._stamps) and self._stamps[-1] >= end, wait)
            stamps, rates = np.array(self._stamps, np.int64), np.array(self._rates).reshape(-1, 3)
        return turn(stamps, rates, begin, end)

    def close(self) -> None:
        """Stop listening."""
        self._node.destroy_subscription(self._subscription)

    def _received(self, message: Imu) -> None:
        stamp, rate = stamp_nanoseconds(message.header), message.angular_velocity
        rates = (rate.x, rate.y, rate.z)
        if message.angular_velocity_covariance[0] == -1 or not np.isfinite(rates).all():  # -1: it does not measure them
            return
        with self._came:
            order = self._order.judge(stamp)
            if order in (Order.REPEATED, Order.LATE):
                return
            if order is Order.BACK:
                self._stamps.clear()
                self._rates.clear()
            self._stamps.append(stamp)
            self._rates.append(rates)
            self.frame = message.header.frame_id
            self._came.notify_all()
