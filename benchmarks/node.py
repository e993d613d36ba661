"""What the node costs besides the network: CPU for each image, latency, memory over time, and fairness of cameras.

    python benchmarks/node.py [--cameras 1] [--rate 30] [--size 1920x1080] [--minutes 10] [--busy 0]
                              [--gpu] [--raw] [--viewers]

The node runs in a process of its own with a network that does no work: it knows 20 moving objects by heart, and keeps
the worker waiting (not computing) for ``--busy`` milliseconds an image. With ``--gpu`` it passes for one on a GPU: the
node decodes the next image and publishes the one before meanwhile. Images are JPEGs of a synthetic street over DDS,
with ``--raw`` the pixels (bgr8; give both processes the profile of docs/launching.md). With ``--viewers`` somebody
looks at overlay, markers and annotations of every camera. What is measured: CPU time of the node's process by the
operating system's account, against decoding alone in the same run; its resident memory and the slope of it after a
warm-up of a tenth of the time; the tracks that came back, their latency from just before publishing to arrival, their
age when they were published by the node's own diagnostics, and whether their ids held.
"""

from __future__ import annotations

import argparse
import array
import os
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np

os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")  # a robot on the same network hears nothing of it

import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from foxglove_msgs.msg import ImageAnnotations
from qdtrack.msg import TrackedDetectionArray
from rclpy.executors import ExternalShutdownException, ShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from sides import sides
from std_msgs.msg import Header
from tqdm import tqdm
from visualization_msgs.msg import MarkerArray

from qdtrack_model.config import OneShotConfig, QuasiDenseConfig, from_mapping
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.runtimes import Options
from qdtrack_model.structures import Array, Detections
from qdtrack_model.synthetic import Scene, SceneConfig
from qdtrack_model.tracking import QuasiDenseTracker
from qdtrack_ros.input.stamps import stamp_nanoseconds
from qdtrack_ros.output.conversions import image_message
from qdtrack_ros.replay.process import NodeProcess

OBJECTS = 20
NAMESPACE = "/qdtrack_benchmark"


class IdleRuntime:
    """A network that knows the answer: objects side by side that sway, each with an appearance of its own."""

    name, device, memory, takes_gpu_images = "idle", "none", 0, False
    config = OneShotConfig(input_size=(352, 640))

    def __init__(self, busy: float, on_gpu: bool) -> None:
        self._busy, self.on_gpu = busy, on_gpu
        self._count = 0
        self._embeddings = np.eye(OBJECTS, 128, dtype=np.float32) * 8

    def warm_up(self) -> None:
        pass

    def infer(self, images: Array) -> list[Detections]:
        time.sleep(self._busy)
        self._count += len(images)
        left = 20 + 28 * np.arange(OBJECTS) + 10 * np.sin(self._count / 20)
        boxes = np.stack([left, np.full(OBJECTS, 100), left + 20, np.full(OBJECTS, 150)], axis=1)
        found = Detections(boxes, np.full(OBJECTS, 0.9), np.zeros(OBJECTS), self._embeddings)
        return [found] * len(images)

    def close(self) -> None:
        pass


def idle_pipeline(weights: str, options: Options, tracker: Mapping[str, Any]) -> Pipeline:
    """What stands in for `Pipeline.load`; ``weights``: milliseconds an image keeps the network busy, and where."""
    busy, place = weights.split("@")
    config = from_mapping(QuasiDenseConfig, {"memory_span": 1.0, "backdrop_span": 0.1, **tracker}, "tracker")
    return Pipeline(IdleRuntime(float(busy) / 1e3, place == "gpu"), QuasiDenseTracker(config))


class Process:
    """CPU time and memory of a process, by the operating system's account."""

    def __init__(self, pid: int) -> None:
        self._folder = Path("/proc") / str(pid)

    def cpu(self) -> float:
        """Seconds of all its threads, user and system."""
        return _seconds(self._folder)

    def threads(self) -> dict[str, float]:
        """Seconds of its threads, by what they do: callbacks of rclpy, tracking, DDS."""
        seconds = dict.fromkeys(("callbacks", "tracking", "DDS"), 0.0)
        for task in (self._folder / "task").iterdir():
            with suppress(OSError):  # it has ended meanwhile
                name = (task / "comm").read_text()
                doing = (
                    "DDS" if name.startswith("dds.") else "callbacks" if task.name == self._folder.name else "tracking"
                )
                seconds[doing] += _seconds(task)
        return seconds

    def memory(self) -> float:
        """Resident MB."""
        return int((self._folder / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _seconds(folder: Path) -> float:
    """User and system time of the process or thread whose folder in /proc this is."""
    fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Receiver:
    """The tracks of one camera: how many came, how late, and which ids they had."""

    def __init__(self, node: Node, topic: str) -> None:
        self.sent: dict[int, float] = {}
        self.latencies: list[float] = []
        self.ids: set[int] = set()
        node.create_subscription(TrackedDetectionArray, topic, self._keep, 100)

    def _keep(self, message: TrackedDetectionArray) -> None:
        left = self.sent.pop(stamp_nanoseconds(message.header), None)
        if left is not None:
            self.latencies.append(time.monotonic() - left)
            self.ids.update(track.id for track in message.tracks)


class Ages:
    """Age of the tracks when the node published them, as its diagnostics have it: median and 95 % [ms]."""

    def __init__(self, node: Node) -> None:
        self.latest: dict[str, tuple[str, str]] = {}
        node.create_subscription(DiagnosticArray, "/diagnostics", self._keep, 10)

    def _keep(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            if "age at publish p50 [ms]" in values:
                ages = (values["age at publish p50 [ms]"], values["age at publish p95 [ms]"])
                self.latest[status.name.rpartition(" ")[2]] = ages


def look(node: Node, name: str) -> None:
    """Subscribe to all pictures of a camera."""
    kinds: dict[str, type[Any]] = {"overlay": Image, "markers": MarkerArray, "annotations": ImageAnnotations}
    for topic, kind in kinds.items():
        node.create_subscription(kind, f"tracker/{name}/{topic}", lambda message: None, 2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, default=1)
    parser.add_argument("--rate", type=float, default=30.0, help="images a second of each camera")
    parser.add_argument("--size", type=sides, default="1920x1080", metavar="WIDTHxHEIGHT", help="of the images")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--busy", type=float, default=0.0, help="milliseconds that the network takes for an image")
    parser.add_argument("--gpu", action="store_true", help="two images in hand, as where the network is on a GPU")
    parser.add_argument("--raw", action="store_true", help="images as pixels, not as JPEGs")
    parser.add_argument("--viewers", action="store_true", help="look at overlay, markers and annotations")
    args = parser.parse_args()
    jpegs = street_jpegs(args.size)
    shown = "{}x{}".format(*args.size)
    print(f"{args.cameras} x {args.rate:g} images/s, {shown}, {np.mean([len(j) for j in jpegs]) / 1e3:.0f} KB each")
    rclpy.init()
    node = Node("driver", namespace=NAMESPACE)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    thread = threading.Thread(target=_spin, args=[executor], daemon=True)
    thread.start()
    try:
        run(args, node, jpegs)
    finally:
        executor.shutdown(2.0)
        thread.join(2.0)
        rclpy.try_shutdown()
    return 0


def _spin(executor: SingleThreadedExecutor) -> None:
    with suppress(ExternalShutdownException, ShutdownException):
        executor.spin()


def street_jpegs(size: tuple[int, int], count: int = 24) -> list[bytes]:
    """Pictures of a synthetic street as JPEGs, of (width, height)."""
    scene = Scene(SceneConfig(seed=7))
    images = (cv2.resize(scene.frame(4 * number).image, size) for number in range(count))
    return [cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes() for image in images]


def message_of(jpeg: bytes, raw: bool) -> Image | CompressedImage:
    """A picture as a camera publishes it."""
    if raw:
        return image_message(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), Header())
    return CompressedImage(format="jpeg", data=array.array("B", jpeg))


def calibration(width: int, height: int) -> CameraInfo:
    """A pinhole camera, without which there are no markers."""
    middle = (float(width), 0.0, width / 2, 0.0, 0.0, float(width), height / 2, 0.0, 0.0, 0.0, 1.0, 0.0)
    return CameraInfo(width=width, height=height, p=middle)


def decoding_time(jpegs: Sequence[bytes]) -> float:
    """CPU seconds that decoding one picture takes."""
    begin = time.process_time()
    for data in jpegs:
        cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return (time.process_time() - begin) / len(jpegs)


def run(args: argparse.Namespace, node: Node, jpegs: Sequence[bytes]) -> None:
    """Start the node, drive it, print what was measured."""
    names = [f"camera{number}" for number in range(args.cameras)]
    kind, topic = (Image, "image") if args.raw else (CompressedImage, "image/compressed")
    publishers = [node.create_publisher(kind, f"{name}/{topic}", qos_profile_sensor_data) for name in names]
    infos = [node.create_publisher(CameraInfo, f"{name}/camera_info", qos_profile_sensor_data) for name in names]
    receivers = [Receiver(node, f"tracker/{name}/tracks") for name in names]
    ages = Ages(node)
    messages = [message_of(data, args.raw) for data in jpegs]
    info = calibration(*args.size)
    parameters = {"cameras": names, "weights": f"{args.busy}@{'gpu' if args.gpu else 'cpu'}"}
    with (
        tempfile.TemporaryDirectory() as folder,
        NodeProcess(node, NAMESPACE, parameters, Path(folder) / "log", (__file__, "--node")) as process,
    ):
        process.change_state("configure")
        process.change_state("activate")
        process.wait(lambda: all(p.get_subscription_count() for p in publishers), "subscribe", 20)
        if args.viewers:
            for name in names:
                look(node, name)
        time.sleep(1.0)
        usage = Process(process.pid)
        total, warm = round(args.minutes * 60 * args.rate), round(args.minutes * 6 * args.rate)
        samples: list[tuple[float, float]] = []
        begin = time.monotonic()
        for number in tqdm(range(total), unit="image", mininterval=1.0):
            if number == warm:
                cpu, threads, since = usage.cpu(), usage.threads(), [len(one.latencies) for one in receivers]
            message = messages[number % len(messages)]
            for place, (publisher, receiver) in enumerate(zip(publishers, receivers, strict=True)):
                due = begin + (number + place / len(publishers)) / args.rate  # cameras out of step, as they are
                time.sleep(max(0.0, due - time.monotonic()))
                stamp = time.time_ns()
                message.header = Header(stamp=Time(sec=stamp // 10**9, nanosec=stamp % 10**9), frame_id=names[place])
                receiver.sent[stamp] = time.monotonic()
                infos[place].publish(info)
                publisher.publish(message)
            if number >= warm and number % max(1, round(args.rate)) == 0:
                samples.append((time.monotonic(), usage.memory()))
        time.sleep(0.5)
        cpu = usage.cpu() - cpu
        parts = {doing: seconds - threads[doing] for doing, seconds in usage.threads().items()}
        process.change_state("deactivate")
        report(args, cpu, parts, since, receivers, samples, decoding_time(jpegs))
        for name, (middle, high) in ages.latest.items():
            print(f"age at publish            {middle} ms median, {high} p95: {name}")
        for line in process.last_lines().splitlines():
            if "stopped: " in line:
                print(line.split("]: ")[-1])


def report(
    args: argparse.Namespace,
    cpu: float,
    parts: Mapping[str, float],
    since: Sequence[int],
    receivers: Sequence[Receiver],
    samples: Sequence[tuple[float, float]],
    decoding: float,
) -> None:
    """Print the table."""
    counts = [len(one.latencies) - before for one, before in zip(receivers, since, strict=True)]
    latencies = np.concatenate([one.latencies[before:] for one, before in zip(receivers, since, strict=True)]) * 1e3
    seconds, memory = np.array(samples).T
    slope = np.polyfit((seconds - seconds[0]) / 60, memory, 1)[0] if len(samples) > 1 else float("nan")
    share = cpu / sum(counts) * 1e3
    print(f"CPU of the node           {share:.2f} ms an image, {share / (decoding * 1e3):.2f}x decoding it alone")
    print(
        f"  of its threads          {', '.join(f'{doing} {1e3 * s / sum(counts):.2f}' for doing, s in parts.items())}"
    )
    print(f"  decoding alone          {decoding * 1e3:.2f} ms")
    print(f"latency                   {np.median(latencies):.1f} ms median, {np.percentile(latencies, 95):.1f} p95")
    print(f"memory                    {memory[0]:.0f} MB, then {memory[-1]:.0f}; {slope:+.2f} MB a minute")
    print(f"tracks came back for      {', '.join(str(count) for count in counts)} images")
    print(f"slowest / fastest camera  {min(counts) / max(counts):.3f}")
    print(f"ids                       {', '.join(str(len(one.ids)) for one in receivers)} for {OBJECTS} objects")


if __name__ == "__main__":
    if "--node" in sys.argv:
        from qdtrack_ros.node import main as run_node

        sys.exit(run_node(sys.argv, idle_pipeline))
    sys.exit(main())
