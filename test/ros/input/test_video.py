"""Video over DDS into the node: each packet is decoded in order, and its picture has its own stamp."""

from __future__ import annotations

import array
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from blobs import BlobRuntime, blob_pipeline, picture
from builtin_interfaces.msg import Time
from graph import running, wait_until
from qdtrack.msg import TrackedDetectionArray
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from std_msgs.msg import Header

from qdtrack_model.sensors.messages import InvalidImage
from qdtrack_model.structures import Array
from qdtrack_ros.input.video import VIDEO_TYPES, VideoInput
from qdtrack_ros.node import TrackerNode

from ...encoded_video import encoded

if len(VIDEO_TYPES) < 2:
    pytest.skip("the messages of video are not built here (make setup)", allow_module_level=True)
RED = (40, 40, 250)
CLIP = [picture((40 + 4 * number, 100, 40, 80, RED)) for number in range(14)]  # key frames are 0, 6 and 12
PERIOD = 40_000_000


def header(number: int) -> Header:
    return Header(stamp=Time(sec=1000, nanosec=7 + number * PERIOD), frame_id="camera")


def message(topic: str, number: int, data: bytes) -> Any:
    head, content = header(number), array.array("B", data)
    if topic == "image/ffmpeg":
        return VIDEO_TYPES[topic](header=head, width=640, height=360, encoding="h264;yuv420p;bgr8;bgr8", data=content)
    return VIDEO_TYPES[topic](timestamp=head.stamp, frame_id=head.frame_id, format="h264", data=content)


class Bench:
    """A node with an encoder of one kind before it and a listener behind it."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.node = TrackerNode(blob_pipeline, parameter_overrides=[Parameter("queue_size", value=1)])
        self.other = Node("encoder")
        self.video = self.other.create_publisher(VIDEO_TYPES[topic], topic, QoSProfile(depth=60))
        self.tracks: list[TrackedDetectionArray] = []
        self.other.create_subscription(TrackedDetectionArray, "tracker/tracks", self.tracks.append, 100)

    def start(self) -> None:
        self.node.start()
        wait_until(lambda: self.video.get_subscription_count() > 0, "subscription")
        wait_until(lambda: self.other.count_publishers("tracker/tracks") > 0, "publisher of tracks")

    @property
    def counts(self) -> Any:
        return self.node._cameras[0].monitor.counts

    def send(self, number: int, data: bytes) -> None:
        """Publish a packet and wait until the node is done with it."""
        done = self.counts.tracked + self.counts.unusable
        self.video.publish(message(self.topic, number, data))
        wait_until(lambda: self.counts.tracked + self.counts.unusable > done, f"packet {number}")


@pytest.fixture(params=sorted(VIDEO_TYPES))
def bench(request: pytest.FixtureRequest, domain: int) -> Iterator[Bench]:
    with running(Bench(request.param)) as made:
        made.start()
        yield made


def test_a_video_is_tracked_from_a_key_frame_on_and_after_a_loss_from_the_next(bench: Bench) -> None:
    for number, data in enumerate(encoded(CLIP)):
        if number not in (0, 1, 9):  # the node comes too late, and a packet is lost
            bench.send(number, data)
    tracked = [6, 7, 8, 12, 13]
    wait_until(lambda: len(bench.tracks) == len(tracked), "tracks")
    assert [one.header for one in bench.tracks] == [header(number) for number in tracked]
    for number, one in zip(tracked, bench.tracks, strict=True):
        [track] = one.tracks
        assert track.center_x == pytest.approx(60 + 4 * number, abs=2)  # its own picture, not the one before or after
    counts = bench.counts
    assert (counts.tracked, counts.unusable, counts.interruptions) == (5, 6, 1)
    assert str(counts).endswith("1 interruptions of the video")


def given(clip: list[Array]) -> list[Any]:
    return [message("image/foxglove", number, data) for number, data in enumerate(encoded(clip))]


def column(image: Array) -> float:
    [blob] = BlobRuntime._blobs(image).boxes
    return float(blob[0])


def test_pictures_that_are_passed_over_are_decoded_all_the_same() -> None:
    video, packets = VideoInput(), given(CLIP)
    for number, packet in enumerate(packets):
        video.add(packet, number)
    for number in (0, 4, 5, 13):
        taken = video.take(packets[number])
        assert taken[-1] == (packets[number], number)
        assert column(video.picture(taken)) == pytest.approx(40 + 4 * number, abs=2)
    assert video.interruptions == 0


def test_who_is_too_far_behind_waits_for_a_key_frame() -> None:
    video, packets = VideoInput(), given(CLIP)
    video.add(packets[0], 0)
    for _ in range(300):  # more than are kept: the key frame is gone
        video.add(packets[1], 1)
    with pytest.raises(InvalidImage, match="no key frame"):
        video.picture(video.take(packets[1]))
