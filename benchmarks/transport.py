"""Raw 1080p images between two processes, with Fast DDS as it comes and with config/node/fastdds_large_images.xml.

    python benchmarks/transport.py

A camera publishes images at 10 a second, the other process subscribes as the camera offers them. Both count; the
latency is the median from publishing until the subscriber has the message.
"""

from __future__ import annotations

import argparse
import array
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

PROFILE = Path(__file__).parents[1] / "config" / "node" / "fastdds_large_images.xml"
WIDTH, HEIGHT = 1920, 1080
PERIOD = 0.1  # seconds
PATIENCE = 3.0  # seconds after the last image
TOPIC = "transport/image"


def qos(reliability: str) -> QoSProfile:
    return QoSProfile(depth=5, reliability=ReliabilityPolicy[reliability.upper()])


def send(reliability: str, count: int) -> None:
    """The camera: publish ``count`` images, each stamped with the monotonic clock, which processes share."""
    node = Node("camera")
    publisher = node.create_publisher(Image, TOPIC, qos(reliability))
    message = Image(width=WIDTH, height=HEIGHT, step=3 * WIDTH, encoding="bgr8")
    message.data = array.array("B", bytes(3 * WIDTH * HEIGHT))
    while publisher.get_subscription_count() == 0:
        time.sleep(0.01)
    time.sleep(1.0)  # the subscriber knows the camera, too
    for _ in range(count):
        now = time.monotonic_ns()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(now, 10**9)
        publisher.publish(message)
        time.sleep(max(0.0, PERIOD - (time.monotonic_ns() - now) * 1e-9))
    time.sleep(PATIENCE)


def receive(reliability: str, count: int) -> None:
    """The tracker's side: print the latency [ms] of every image that comes."""
    node = Node("receiver")

    def received(message: Image) -> None:
        stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        print((time.monotonic_ns() - stamp) * 1e-6, flush=True)

    node.create_subscription(Image, TOPIC, received, qos(reliability))
    while True:
        rclpy.spin_once(node)


def measure(reliability: str, count: int, profile: bool) -> list[float]:
    """Latencies [ms] of the images that came."""
    environment = {name: value for name, value in os.environ.items() if name != "FASTDDS_DEFAULT_PROFILES_FILE"}
    if profile:
        environment["FASTDDS_DEFAULT_PROFILES_FILE"] = str(PROFILE)
    command = [sys.executable, __file__, "--count", str(count), "--reliability", reliability, "--role"]
    receiver = subprocess.Popen([*command, "receive"], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        subprocess.run([*command, "send"], env=environment, check=True)
    finally:
        receiver.kill()
    return [float(line) for line in receiver.communicate()[0].splitlines()]


def summary(latencies: list[float], count: int) -> str:
    """How many images came, and their median latency."""
    return f"{len(latencies)} of {count}" + (f", {statistics.median(latencies):.1f} ms" if latencies else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=60, help="images (default: 60)")
    parser.add_argument("--role", choices=("send", "receive"), help=argparse.SUPPRESS)
    parser.add_argument("--reliability", choices=("reliable", "best_effort"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.role:
        rclpy.init()
        (send if args.role == "send" else receive)(args.reliability, args.count)
        return
    print("| offered as | as it comes | with the profile | times as quick |\n|---|---|---|---|")
    for reliability in ("reliable", "best_effort"):
        plain, tuned = (measure(reliability, args.count, profile) for profile in (False, True))
        ratio = f"{statistics.median(plain) / statistics.median(tuned):.1f}" if plain and tuned else ""
        cells = [reliability.replace("_", " "), summary(plain, args.count), summary(tuned, args.count), ratio]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
