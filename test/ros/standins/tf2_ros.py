"""As much of tf2_ros as the tests need, where it is not installed: what it says of interpolation and failure is kept.

Written after the documentation of tf2; quaternions in plain numbers, beside and not by what is under test.
"""

from __future__ import annotations

import bisect
import math
import time as clock
from typing import Any

from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.time import Time


class TransformException(Exception):
    """No transform."""


class LookupException(TransformException):
    """No such frame."""


class ConnectivityException(TransformException):
    """Two trees of frames."""


class ExtrapolationException(TransformException):
    """Not at that time."""


def _times(a: tuple, b: tuple) -> tuple:
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (
        aw * bx + ax * bw + ay * bz - az * by, aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw, aw * bw - ax * bx - ay * by - az * bz,
    )  # fmt: skip


def _turned(q: tuple, p: tuple) -> tuple:
    return _times(_times(q, (*p, 0.0)), (-q[0], -q[1], -q[2], q[3]))[:3]


def _between(a: tuple, b: tuple, part: float) -> tuple:
    """Spherical linear interpolation."""
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    if dot < 0:
        a, dot = tuple(-x for x in a), -dot
    angle = math.acos(min(dot, 1.0))
    if angle < 1e-9:
        return b
    first, last = math.sin((1 - part) * angle) / math.sin(angle), math.sin(part * angle) / math.sin(angle)
    return tuple(first * x + last * y for x, y in zip(a, b, strict=True))


class Buffer:
    """Transforms of the last ten seconds, by child frame."""

    def __init__(self, cache_time: Duration | None = None, node: Any = None) -> None:
        self._span = 10_000_000_000 if cache_time is None else cache_time.nanoseconds
        self._parents: dict[str, str] = {}
        self._stamps: dict[str, list[int]] = {}
        self._poses: dict[str, list[tuple]] = {}
        self._static: set[str] = set()

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        child, stamp = transform.child_frame_id, Time.from_msg(transform.header.stamp).nanoseconds
        p, q = transform.transform.translation, transform.transform.rotation
        self._parents[child] = transform.header.frame_id
        stamps, poses = self._stamps.setdefault(child, []), self._poses.setdefault(child, [])
        if stamps and stamp < stamps[-1] - self._span:  # what is too old is left out
            return
        place = bisect.bisect(stamps, stamp)
        stamps.insert(place, stamp)
        poses.insert(place, ((p.x, p.y, p.z), (q.x, q.y, q.z, q.w)))
        while stamps[0] < stamps[-1] - self._span:
            del stamps[0], poses[0]

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        self.set_transform(transform, authority)
        self._static.add(transform.child_frame_id)

    def clear(self) -> None:
        for child in self._stamps.keys() - self._static:
            self._stamps[child].clear()
            self._poses[child].clear()

    def _pose(self, child: str, stamp: int) -> tuple:
        stamps, poses = self._stamps[child], self._poses[child]
        if child in self._static or (stamps and stamp == 0):  # 0 asks for the newest
            return poses[-1]
        if not stamps or not stamps[0] <= stamp <= stamps[-1]:
            way = "into the past" if stamps and stamp < stamps[0] else "into the future"
            raise ExtrapolationException(f"Lookup would require extrapolation {way}")
        after = bisect.bisect_left(stamps, stamp)
        if stamps[after] == stamp:
            return poses[after]
        part = (stamp - stamps[after - 1]) / (stamps[after] - stamps[after - 1])
        (p, q), (r, s) = poses[after - 1], poses[after]
        return tuple(x + (y - x) * part for x, y in zip(p, r, strict=True)), _between(q, s, part)

    def _to_root(self, frame: str, stamp: int) -> tuple[str, tuple, tuple]:
        if frame not in self._parents and frame not in self._parents.values():
            raise LookupException(f'"{frame}" passed to lookupTransform does not exist')
        place, turn = (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)
        while frame in self._parents:
            p, q = self._pose(frame, stamp)
            place = tuple(x + y for x, y in zip(_turned(q, place), p, strict=True))
            turn = _times(q, turn)
            frame = self._parents[frame]
        return frame, place, turn

    def lookup_transform(
        self, target_frame: str, source_frame: str, time: Time, timeout: Duration | None = None
    ) -> TransformStamped:
        give_up = clock.monotonic() + (0.0 if timeout is None else timeout.nanoseconds * 1e-9)
        while True:
            try:
                return self._lookup(target_frame, source_frame, time)
            except TransformException:
                if clock.monotonic() >= give_up:
                    raise
                clock.sleep(0.005)

    def _lookup(self, target: str, source: str, time: Time) -> TransformStamped:
        root, place, turn = self._to_root(source, time.nanoseconds)
        other, origin, q = self._to_root(target, time.nanoseconds)
        if root != other:
            raise ConnectivityException(f'"{target}" and "{source}" are not part of the same tree')
        back = (-q[0], -q[1], -q[2], q[3])
        found = TransformStamped(child_frame_id=source)
        found.header.frame_id, found.header.stamp = target, time.to_msg()
        p, r = found.transform.translation, found.transform.rotation
        p.x, p.y, p.z = _turned(back, tuple(x - y for x, y in zip(place, origin, strict=True)))
        r.x, r.y, r.z, r.w = _times(back, turn)
        return found


class TransformListener:
    """Hears nothing: tests fill the buffer themselves."""

    def __init__(self, buffer: Buffer, node: Any, *, spin_thread: bool = False) -> None:
        self.buffer = buffer

    def unregister(self) -> None:
        """Nothing to give back."""
