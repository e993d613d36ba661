"""Several cameras in one node: topics, memories and faults of their own, one network for all."""

from __future__ import annotations

import time
from collections.abc import Mapping
from threading import Event, current_thread
from typing import Any

import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from blobs import blob_pipeline, picture
from builtin_interfaces.msg import Time
from graph import wait_for_words, wait_until
from qdtrack.msg import TrackedDetectionArray
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from qdtrack_model.pipeline import Pipeline
from qdtrack_model.runtimes import Options
from qdtrack_model.structures import Array
from qdtrack_ros.input.source_image import SourceImage
from qdtrack_ros.node import TrackerNode
from qdtrack_ros.output.conversions import image_message

NAMES = ("front", "left", "rear")
RED = (40, 40, 250)


def header(camera: str, number: int) -> Header:
    return Header(stamp=Time(sec=1000, nanosec=number * 40_000_000), frame_id=f"{camera}_optical_frame")


def walk(number: int) -> Array:
    return picture((40 + 4 * number, 100, 40, 80, RED))


class Bench:
    """A node of three cameras, their drivers and a listener to each one's tracks."""

    def __init__(self, on_gpu: bool = False, **parameters: Any) -> None:
        values = {"cameras": list(NAMES), **parameters}
        self._on_gpu = on_gpu
        self.batches: list[int] = []
        self.node = TrackerNode(self._pipeline, parameter_overrides=[Parameter(k, value=v) for k, v in values.items()])
        self.other = Node("drivers")
        self.images = {
            name: self.other.create_publisher(Image, f"{name}/image", qos_profile_sensor_data) for name in NAMES
        }
        self.tracks: dict[str, list[TrackedDetectionArray]] = {name: [] for name in NAMES}
        for name, kept in self.tracks.items():
            self.other.create_subscription(TrackedDetectionArray, f"tracker/{name}/tracks", kept.append, 100)

    def _pipeline(self, weights: str, options: Options, tracker: Mapping[str, Any]) -> Pipeline:
        """As in every test, and with a note of how many images went through the network together."""
        pipeline = blob_pipeline(weights, options, tracker)
        pipeline.runtime.on_gpu = self._on_gpu
        infer = pipeline.runtime.infer
        pipeline.runtime.infer = lambda images: self.batches.append(len(images)) or infer(images)  # type: ignore
        return pipeline

    def start(self) -> None:
        self.node.start()
        wait_until(lambda: all(one.get_subscription_count() == 1 for one in self.images.values()), "subscriptions")
        topics = [f"tracker/{name}/tracks" for name in NAMES]
        wait_until(lambda: all(self.other.count_publishers(topic) == 1 for topic in topics), "publishers")
        self.batches.clear()

    def send(self, camera: str, image: Array, head: Header) -> TrackedDetectionArray:
        kept = self.tracks[camera]
        count = len(kept)
        self.images[camera].publish(image_message(image, head))
        wait_until(lambda: len(kept) > count, f"tracks of {camera}")
        return kept[-1]


def test_every_camera_has_topics_headers_and_ids_of_its_own(bench: Bench) -> None:
    bench.start()
    for number in range(3):
        for name in NAMES[: 1 + number]:
            assert bench.send(name, walk(number), header(name, number)).header == header(name, number)
    ages = {name: bench.tracks[name][-1].tracks[0].age for name in NAMES}
    assert ages == {"front": pytest.approx(0.08), "left": pytest.approx(0.04), "rear": 0.0}
    assert {track.id for kept in bench.tracks.values() for message in kept for track in message.tracks} == {0}


def test_one_camera_s_jump_back_and_silence_leave_the_others_alone(bench: Bench) -> None:
    bench.start()
    for number in range(50, 54):
        for name in NAMES:
            bench.send(name, walk(number - 50), header(name, number))
    assert bench.send("left", walk(0), header("left", 0)).tracks[0].id == 1
    assert bench.send("front", walk(4), header("front", 54)).tracks[0].id == 0
    assert bench.send("front", walk(4), header("front", 54 + 5)).tracks[0].age == pytest.approx(9 * 0.04)


@pytest.mark.parametrize("bench", [{"silence_warning": 2.0}], indirect=True)
def test_a_silent_camera_is_not_advised_to_take_the_topic_of_another(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    bench.other.create_publisher(Image, "rear_camera/image_raw", 1)
    bench.start()
    said = wait_for_words(capfd, "left: no image for")
    assert "image topics seen: /rear_camera/image_raw (remap with -r left/image:=TOPIC)" in said


@pytest.mark.parametrize("bench", [{"batch": 3}], indirect=True)
def test_a_broken_image_spoils_nothing_of_its_batch(bench: Bench) -> None:
    bench.start()
    broken = image_message(walk(0), header("left", 0))
    broken.encoding = "16UC1"
    bench.images["left"].publish(broken)
    bench.send("front", walk(0), header("front", 0))
    bench.send("rear", walk(0), header("rear", 0))
    counts = {camera.name: camera.monitor.counts for camera in bench.node._cameras}
    assert [(counts[name].tracked, counts[name].unusable) for name in NAMES] == [(1, 0), (0, 1), (1, 0)]


@pytest.mark.parametrize("bench", [{"batch": 3, "queue_size": 8}], indirect=True)
def test_images_that_coincide_go_through_the_network_together(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    read, readers = SourceImage.read, []
    monkeypatch.setattr(SourceImage, "read", lambda *args: readers.append(current_thread().name) or read(*args))
    bench.start()
    for number in range(5):
        messages = {name: image_message(walk(number), header(name, number)) for name in NAMES}
        for name in NAMES:
            bench.images[name].publish(messages[name])
        wait_until(lambda n=number: all(len(kept) == n + 1 for kept in bench.tracks.values()), "tracks of all")
    assert sum(bench.batches) == 15
    assert max(bench.batches) > 1  # how many exactly is up to the machine's timing
    in_threads = [name.startswith("qdtrack-decoder") for name in readers]
    assert sum(in_threads) == sum(count for count in bench.batches if count > 1)
    for name in NAMES:
        assert [message.header for message in bench.tracks[name]] == [header(name, number) for number in range(5)]


@pytest.mark.parametrize("bench", [{"on_gpu": True, "queue_size": 8}, {"queue_size": 8}], indirect=True, ids=str)
def test_a_gpu_computes_while_the_next_image_is_decoded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    read, decoded = SourceImage.read, []
    monkeypatch.setattr(SourceImage, "read", lambda *args: decoded.append(args[0]) or read(*args))
    bench.start()
    runtime, computing, done = bench.node._network.pipeline.runtime, Event(), Event()
    infer = runtime.infer
    monkeypatch.setattr(runtime, "infer", lambda images: computing.set() or (done.wait(30) and infer(images)))
    bench.images["front"].publish(image_message(walk(0), header("front", 0)))
    assert computing.wait(30)
    for number, name in enumerate(("left", "front", "left"), start=1):
        bench.images[name].publish(image_message(walk(number), header(name, number)))
    received = {camera.name: camera.monitor.counts for camera in bench.node._cameras}
    wait_until(lambda: received["front"].received == received["left"].received == 2, "the images")
    wait_until(lambda: len(decoded) >= 1 + runtime.on_gpu, "images to be decoded")
    time.sleep(0.1)  # no more will be
    assert len(decoded) == 1 + runtime.on_gpu
    done.set()
    wait_until(lambda: len(bench.tracks["front"]) == len(bench.tracks["left"]) == 2, "tracks of all")
    for name, numbers in (("front", (0, 2)), ("left", (1, 3))):
        assert [message.header for message in bench.tracks[name]] == [header(name, number) for number in numbers]
        assert {track.id for message in bench.tracks[name] for track in message.tracks} == {0}
        [camera] = [camera for camera in bench.node._cameras if camera.name == name]
        wait_until(lambda counts=camera.monitor.counts: counts.tracked == 2, "both to be counted")


def test_transitions_remove_every_camera_s_topics(bench: Bench) -> None:
    for _ in range(2):
        bench.start()
        assert bench.node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
        assert bench.node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
        wait_until(lambda: not any(one.get_subscription_count() for one in bench.images.values()), "no subscription")
        wait_until(lambda: bench.other.count_publishers("tracker/left/tracks") == 0, "no publisher")
