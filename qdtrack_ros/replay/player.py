"""Plays recorded messages into a running graph, at the pace of their bag times."""

from __future__ import annotations

import importlib
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy

Record = tuple[str, str, int, bytes]  # topic, type name, bag time [ns], CDR bytes


@dataclass(frozen=True)
class Sent:
    """A message that has just left."""

    topic: str
    stamp: int  # header stamp [ns]
    moment: float  # time.monotonic() just before it was published


class Player:
    """Publishes records of a bag as they stand: the bytes are never taken apart.

    Args:
        node: owner of the publishers.
        topics: topic in the bag -> (topic to publish on, type name); the types start with a header.
        rate: 1 for the recorded pace, 2 for twice as fast.
    """

    def __init__(self, node: Node, topics: Mapping[str, tuple[str, str]], rate: float = 1.0) -> None:
        # Reliable serves subscribers of both kinds; the depth holds what a slow reader has not fetched yet.
        qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
        self._rate = rate
        self._publishers: dict[str, Publisher[Any]] = {
            name: node.create_publisher(_message_class(kind), target, qos) for name, (target, kind) in topics.items()
        }

    @property
    def connected(self) -> bool:
        """Whether somebody listens to every topic."""
        return all(publisher.get_subscription_count() > 0 for publisher in self._publishers.values())

    def play(self, records: Iterable[Record]) -> Iterator[Sent]:
        """Publish every record of the known topics when it is due, and tell of each right after it left.

        Records are in the order of their times. One that is late (the caller was busy) leaves at once; the ones after
        it keep their own times.
        """
        begin: float | None = None
        first = 0
        for topic, _, moment, data in records:
            publisher = self._publishers.get(topic)
            if publisher is None:
                continue
            if begin is None:
                begin, first = time.monotonic(), moment
            due = begin + (moment - first) * 1e-9 / self._rate
            time.sleep(max(0.0, due - time.monotonic()))
            left = time.monotonic()
            publisher.publish(data)
            yield Sent(topic, header_stamp(data), left)


def header_stamp(data: bytes) -> int:
    """Stamp [ns] of a serialized message that starts with a header (CDR: 4 bytes of encapsulation, then the stamp)."""
    order = "<" if data[1] & 1 else ">"
    seconds, nanoseconds = struct.unpack_from(f"{order}iI", data, 4)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def _message_class(name: str) -> Any:
    """The class behind a type name such as ``sensor_msgs/msg/CompressedImage``."""
    package, _, kind = name.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), kind)
