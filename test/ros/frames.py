"""A robot that drives and turns, what tf says of it, and where things are in truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped
from scipy.spatial.transform import Rotation

from qdtrack_model.structures import Array

BEGIN = 1_000_000_000_000  # ns
CAMERA = "camera_optical_frame"
# 1.2 m ahead of the robot's middle and 1.5 m high, looking forward and 10 degrees down
MOUNT = (np.array([1.2, 0.0, 1.5]), Rotation.from_euler("ZX", [-90, -100], degrees=True))


def transform(parent: str, child: str, stamp: int, place: Array, quaternion: Array) -> TransformStamped:
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 1_000_000_000)
    p, q = message.transform.translation, message.transform.rotation
    p.x, p.y, p.z = place.tolist()
    q.x, q.y, q.z, q.w = quaternion.tolist()
    return message


def robot(seconds: Array) -> tuple[Array, Rotation]:
    """Where a robot is in odom (N, 3) that goes up to 6 m/s, turns up to 20 degrees a second, and rocks."""
    t = np.asarray(seconds, np.float64)
    places = np.stack([40 * np.sin(0.15 * t), 25 * np.sin(0.21 * t), 0.02 * np.sin(2.1 * t)], axis=-1)
    angles = np.stack([1.5 * np.sin(0.23 * t), 0.02 * np.sin(1.7 * t), 0.015 * np.sin(1.3 * t)], axis=-1)
    return places, Rotation.from_euler("ZYX", angles)


def camera(seconds: Array) -> tuple[Array, Rotation]:
    """Where its camera is in odom, optical axes."""
    places, turns = robot(seconds)
    return places + turns.apply(MOUNT[0]), turns * MOUNT[1]


def tell_mount(buffer: Any) -> None:
    buffer.set_transform_static(transform("base_link", CAMERA, 0, MOUNT[0], MOUNT[1].as_quat()), "test")


def tell(buffer: Any, begin: float, end: float, rate: float = 50.0) -> None:
    """Tell a buffer where the robot is from one second since BEGIN to another."""
    seconds = np.arange(round(begin * rate), round(end * rate)) / rate
    places, turns = robot(seconds)
    for second, place, quaternion in zip(seconds.tolist(), places, turns.as_quat(), strict=True):
        buffer.set_transform(transform("odom", "base_link", BEGIN + round(second * 1e9), place, quaternion), "test")
