"""A camera driver as a process of its own: JPEGs of a red rectangle that moves, 25 a second, stamped by a clock.

``python driver.py TOPIC best_effort|reliable FIRST`` with the first stamp in seconds; runs until it is killed.
"""

from __future__ import annotations

import sys
import time

import rclpy
from blobs import jpeg_message, picture
from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

FRAME_ID = "driver_optical_frame"
PERIOD = 40_000_000  # ns


def main(topic: str, reliability: str, first: int) -> None:
    rclpy.init()
    publisher = Node("driver").create_publisher(
        CompressedImage, topic, QoSProfile(depth=5, reliability=ReliabilityPolicy[reliability.upper()])
    )
    number = 0
    while True:
        stamp = first * 10**9 + number * PERIOD
        header = Header(stamp=Time(sec=stamp // 10**9, nanosec=stamp % 10**9), frame_id=FRAME_ID)
        publisher.publish(jpeg_message(picture((40 + 2 * (number % 250), 100, 40, 80, (40, 40, 250))), header))
        number += 1
        time.sleep(PERIOD * 1e-9)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
