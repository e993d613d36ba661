"""Transforms between frames at the stamp of an image, as tf2's Buffer has them: interpolated, never extrapolated."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

from geometry_msgs.msg import TransformStamped
from rclpy.clock import ClockType
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time

from qdtrack_model.sensors.poses import Pose


class Buffer(Protocol):
    """What is asked of ``tf2_ros.Buffer``."""

    def lookup_transform(
        self, target_frame: str, source_frame: str, time: Time, timeout: Duration = ...
    ) -> TransformStamped:
        """Where the source frame is in the target frame at a time; waits for it, and raises where it does not come."""

    def clear(self) -> None:
        """Forget all transforms but the static ones."""


class NoTransform(ValueError):
    """Where a frame is at the time of an image is not known; the text says why.

    Attributes:
        late: both frames are known, but not at that time (yet); else they are not connected.
    """

    def __init__(self, text: str, late: bool) -> None:
        super().__init__(text)
        self.late = late


def tf_is_here() -> bool:
    """Whether tf2_ros is installed: it comes with a ROS distribution alone."""
    return find_spec("tf2_ros") is not None


@dataclass(frozen=True, eq=False)
class Transforms:
    """Asks a buffer.

    Args:
        buffer: of the transforms.
        failure: what the buffer raises where it has no transform.
        late: the kind of it that it raises where it has none at that time.
        listener: what fills the buffer.
    """

    buffer: Buffer
    failure: type[Exception]
    late: type[Exception]
    listener: Any = None

    @classmethod
    def of(cls, node: Node) -> Transforms:
        """What tf tells the node, in the executor's thread; parameters are refused where tf2_ros is not here."""
        import tf2_ros

        buffer = tf2_ros.Buffer()  # given a node, it makes a service there that nobody can remove again
        return cls(
            buffer,
            tf2_ros.TransformException,
            tf2_ros.ExtrapolationException,
            tf2_ros.TransformListener(buffer, node, spin_thread=False),
        )

    def pose(self, target: str, source: str, stamp: int, wait: float) -> Pose:
        """Where the frame ``source`` is in ``target`` at a stamp.

        Args:
            target: frame.
            source: frame.
            stamp: [ns].
            wait: seconds that a transform of that time is waited for.

        Raises:
            NoTransform: it is not known.
        """
        if target == source:
            return Pose.of((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
        if stamp == 0:  # the buffer would give the newest it has
            raise NoTransform(f"from {source!r} to {target!r}: the image has no stamp", late=False)
        moment = Time(nanoseconds=stamp, clock_type=ClockType.ROS_TIME)
        try:
            found = self.buffer.lookup_transform(target, source, moment, timeout=Duration(seconds=wait)).transform
            place, turn = found.translation, found.rotation
            return Pose.of((place.x, place.y, place.z), (turn.x, turn.y, turn.z, turn.w))
        except self.failure as error:
            raise NoTransform(f"from {source!r} to {target!r}: {error}", isinstance(error, self.late)) from None
        except ValueError as error:
            raise NoTransform(f"from {source!r} to {target!r}: {error}", late=False) from None

    def forget(self) -> None:
        """Forget all but what is static: time was set back, and to the buffer what comes now would be too old."""
        self.buffer.clear()

    def close(self) -> None:
        """Stop listening."""
        if self.listener is not None:
            self.listener.unregister()
