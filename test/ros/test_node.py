"""The node in its own graph: images over DDS into tracks over DDS, through every state."""

from __future__ import annotations

import array
import itertools
import threading
from collections.abc import Sequence

import cv2
import numpy as np
import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from blobs import blob_pipeline, picture
from builtin_interfaces.msg import Time
from graph import wait_for_words, wait_until
from qdtrack.msg import TrackedDetectionArray
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, LabelInfo

from qdtrack_model.drawing.overlay import draw
from qdtrack_model.fitting import Letterbox, Preprocessor
from qdtrack_model.runtimes.cuda.jpeg import GpuPicture
from qdtrack_model.structures import Array
from qdtrack_ros.input.camera import Camera
from qdtrack_ros.node import TrackerNode
from qdtrack_ros.operation.monitor import Counts
from qdtrack_ros.output.conversions import image_message, tracks_from_message
from qdtrack_ros.world.ego_motion import ByImage

SUCCESS, ERROR = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.ERROR
RED, GREEN = (40, 40, 250), (40, 250, 40)


def header(number: int, rate: float = 25.0) -> Header:
    nanoseconds = 1_000_000_000_000_000_007 + round(number / rate * 1e9)
    stamp = Time(sec=nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000)
    return Header(stamp=stamp, frame_id="camera_optical_frame")


def walk(number: int) -> Array:
    """Two rectangles that move 4 px right and 2 px left an image."""
    return picture((40 + 4 * number, 100, 40, 80, RED), (500 - 2 * number, 120, 40, 80, GREEN))


class Bench:
    """A node under test with a camera before it and a listener behind it."""

    def __init__(self, **parameters: object) -> None:
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        self.node = TrackerNode(blob_pipeline, parameter_overrides=overrides)
        self.other = Node("bench")
        self.raw = self.other.create_publisher(Image, "image", qos_profile_sensor_data)
        self.jpeg = self.other.create_publisher(CompressedImage, "image/compressed", qos_profile_sensor_data)
        self.tracks: list[TrackedDetectionArray] = []
        self.other.create_subscription(TrackedDetectionArray, "tracker/tracks", self.tracks.append, 100)

    def start(self) -> None:
        self.node.start()
        wait_until(lambda: self.raw.get_subscription_count() + self.jpeg.get_subscription_count() > 1, "subscriptions")
        wait_until(lambda: self.other.count_publishers("tracker/tracks") > 0, "publisher of tracks")

    @property
    def camera(self) -> Camera:
        camera = self.node._cameras[0].camera
        assert camera is not None
        return camera

    @property
    def counts(self) -> Counts:
        return self.node._cameras[0].monitor.counts

    def send(self, image: Array, head: Header) -> TrackedDetectionArray:
        """Publish one image and wait for its tracks."""
        count = len(self.tracks)
        self.raw.publish(image_message(image, head))
        wait_until(lambda: len(self.tracks) > count, "tracks of an image")
        return self.tracks[-1]


def workers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "qdtrack-worker"]


def test_headers_boxes_and_ids_are_exact(bench: Bench) -> None:
    bench.start()
    messages = [bench.send(walk(number), header(number)) for number in range(8)]
    for number, message in enumerate(messages):
        assert message.header == header(number)
        assert (message.image_width, message.image_height) == (640, 360)
        left, right = sorted(message.tracks, key=lambda track: track.center_x)
        # The network sees half the size: a box is exact to one of its pixels.
        assert left.center_x == pytest.approx(60 + 4 * number, abs=2)
        assert right.center_y == pytest.approx(160, abs=2)
        assert left.size_y == pytest.approx(80, abs=4)
    ids = [tuple(t.id for t in sorted(m.tracks, key=lambda track: track.center_x)) for m in messages]
    assert len(set(ids)) == 1
    last = min(messages[-1].tracks, key=lambda track: track.center_x)
    assert last.age == pytest.approx(7 / 25, abs=1e-6)
    assert last.class_name == "pedestrian"
    assert last.velocity_x == pytest.approx(100, rel=0.3)


def test_empty_images_are_answered_too(bench: Bench) -> None:
    bench.start()
    assert bench.send(picture(), header(0)).tracks == []
    assert bench.send(picture(), header(1)).header == header(1)


def test_compressed_images_and_standard_detections(bench: Bench) -> None:
    detections: list[Detection2DArray] = []
    labels: list[LabelInfo] = []
    bench.other.create_subscription(Detection2DArray, "tracker/detections", detections.append, 10)
    bench.start()
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    bench.other.create_subscription(LabelInfo, "tracker/label_info", labels.append, latched)
    wait_until(lambda: labels != [], "label info that was published before")
    wait_until(lambda: bench.node.count_subscribers("tracker/detections") > 0, "subscriber of detections")
    data = array.array("B", cv2.imencode(".jpg", walk(0))[1].tobytes())
    bench.jpeg.publish(CompressedImage(header=header(0), format="jpeg", data=data))
    wait_until(lambda: len(bench.tracks) == 1 and len(detections) == 1, "tracks and detections")
    assert detections[0].header == header(0)
    assert all(detection.header == header(0) for detection in detections[0].detections)
    assert [d.id for d in detections[0].detections] == [str(track.id) for track in bench.tracks[0].tracks]
    names = {str(entry.class_id): entry.class_name for entry in labels[0].class_map}
    assert names[detections[0].detections[0].results[0].hypothesis.class_id] == "pedestrian"
    wait_until(lambda: len(labels) == 2, "label info with the camera's frame")
    assert [one.header.frame_id for one in labels] == ["", header(0).frame_id]
    assert labels[1].class_map == labels[0].class_map


class PicturesElsewhere(Preprocessor):
    """Decodes JPEGs as a GPU would: what the node gets of a picture are its size and whose it is."""

    decodes = True

    def decode(self, content: bytes) -> GpuPicture:  # type: ignore[override]
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        return GpuPicture(0, pixels.shape, 0, pixels)

    def __call__(self, images: Sequence[Array | GpuPicture]) -> tuple[Array, list[Letterbox]]:
        self.seen = [type(image) for image in images]
        return super().__call__([image.owner if isinstance(image, GpuPicture) else image for image in images])


@pytest.mark.parametrize("bench", [{}, {"ego_motion": "image"}], indirect=True, ids=["alone", "ego motion"])
def test_jpegs_decoded_on_the_gpu_are_tracked_and_drawn(bench: Bench) -> None:
    overlays: list[Image] = []
    bench.other.create_subscription(Image, "tracker/overlay", overlays.append, 10)
    bench.start()
    pipeline = bench.node._network.pipeline
    pipeline._preprocess = preprocess = PicturesElsewhere(pipeline.runtime.config)
    wait_until(lambda: bench.node.count_subscribers("tracker/overlay") > 0, "subscriber of overlays")
    for number in range(3):
        data = array.array("B", cv2.imencode(".jpg", walk(number))[1].tobytes())
        bench.jpeg.publish(CompressedImage(header=header(number), format="jpeg", data=data))
        wait_until(lambda n=number: len(bench.tracks) == n + 1, "tracks")
        by_image = isinstance(bench.node._cameras[0]._ego_motion, ByImage)
        assert preprocess.seen == [np.ndarray if by_image else GpuPicture]  # where its pixels are needed here, too
    assert [len(message.tracks) for message in bench.tracks] == [2, 2, 2]
    assert (bench.tracks[0].image_width, bench.tracks[0].image_height) == (640, 360)
    wait_until(lambda: len(overlays) > 0, "an overlay")
    assert (overlays[0].width, overlays[0].height) == (640, 360)


def test_only_the_topic_that_delivers_is_kept(bench: Bench) -> None:
    bench.start()
    bench.send(walk(0), header(0))
    wait_until(lambda: bench.jpeg.get_subscription_count() == 0, "the other topic to be let go")
    assert bench.raw.get_subscription_count() == 1


def test_known_publishers_are_subscribed_as_they_offer(bench: Bench) -> None:
    bench.other.destroy_publisher(bench.raw)
    bench.raw = bench.other.create_publisher(Image, "image", 10)

    def seen() -> list[str]:
        return [one.qos_profile.reliability.name for one in bench.node.get_publishers_info_by_topic("image")]

    wait_until(lambda: seen() == ["RELIABLE"], "the reliable publisher")
    bench.start()
    camera = bench.camera
    reliability = {name: held.reliability.name for name, held in camera._subscriptions.items()}
    assert (reliability["image"], reliability["image/compressed"]) == ("RELIABLE", "BEST_EFFORT")


def test_reliability_follows_the_publishers(bench: Bench) -> None:
    bench.start()
    bench.other.destroy_publisher(bench.raw)
    reliable = bench.other.create_publisher(Image, "image", 10)
    bench.raw = reliable

    def offered() -> set[str]:
        found = bench.other.get_subscriptions_info_by_topic("image")
        return {one.qos_profile.reliability.name for one in found}

    wait_until(lambda: offered() == {"RELIABLE"}, "a reliable subscription")
    sent = itertools.count()

    def tracked() -> bool:  # not the first image: the two ends of a connection find each other one after the other
        reliable.publish(image_message(walk(0), header(next(sent))))
        return bench.tracks != []

    wait_until(tracked, "tracks")
    assert bench.tracks[0].header in [header(number) for number in range(next(sent))]


RELIABLE = {"qos_overrides./image.subscription.reliability": "reliable", "silence_warning": 2.0}


@pytest.mark.parametrize("bench", [RELIABLE], indirect=True)
def test_a_publisher_that_cannot_be_connected_to_is_explained(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    bench.node.start()
    said = wait_for_words(capfd, "no image for")
    assert "incompatible QoS, /image: Best effort publisher and reliable subscription" in said


@pytest.mark.parametrize("bench", [{"queue_size": 16}], indirect=True)
def test_a_broken_image_is_named_once(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    bench.start()
    broken = image_message(walk(1), header(1))
    broken.encoding = "16UC1"
    for _ in range(3):
        bench.raw.publish(broken)
    wait_until(lambda: bench.counts.unusable == 3, "three unusable images")
    text = capfd.readouterr().err
    assert text.count("image not used: refused encoding: 16UC1 is depth") == 1


@pytest.mark.parametrize("bench", [{"queue_size": 16}], indirect=True)
def test_broken_images_leave_the_node_alive(bench: Bench) -> None:
    bench.start()
    bench.send(walk(0), header(0))
    good = image_message(walk(1), header(1))
    for name, value in (("encoding", "16UC1"), ("width", 0), ("height", 0), ("data", good.data[:1000])):
        broken = image_message(walk(1), header(1))
        setattr(broken, name, value)
        bench.raw.publish(broken)
    bench.raw.publish(Image())
    wait_until(lambda: bench.counts.unusable == 5, "five unusable images")
    message = bench.send(walk(1), header(1))
    assert len(message.tracks) == 2
    assert [track.id for track in message.tracks] == [track.id for track in bench.tracks[0].tracks]


def test_overlay_only_while_subscribed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    import qdtrack_ros.output.overlay as overlay

    drawn = []
    draw = overlay.draw
    monkeypatch.setattr(overlay, "draw", lambda *a, **k: drawn.append(1) or draw(*a, **k))
    bench.start()
    bench.send(walk(0), header(0))
    assert drawn == []
    images: list[Image] = []
    subscription = bench.other.create_subscription(Image, "tracker/overlay", images.append, 5)
    wait_until(lambda: bench.node.count_subscribers("tracker/overlay") > 0, "subscriber of the overlay")
    bench.send(walk(1), header(1))
    wait_until(lambda: len(images) == 1, "an overlay image")
    assert images[0].header == header(1)
    assert (images[0].encoding, images[0].width, images[0].height) == ("bgr8", 640, 360)
    pixels = np.frombuffer(images[0].data, np.uint8).reshape(360, 640, 3)
    assert (pixels != walk(1)).any()
    bench.other.destroy_subscription(subscription)
    wait_until(lambda: bench.node.count_subscribers("tracker/overlay") == 0, "the subscriber to be gone")
    before = len(drawn)
    bench.send(walk(2), header(2))
    bench.send(walk(3), header(3))
    assert len(drawn) == before


def test_trails_start_afresh_with_the_ids(bench: Bench) -> None:
    images: list[Image] = []
    bench.other.create_subscription(Image, "tracker/overlay", images.append, 5)
    bench.start()
    wait_until(lambda: bench.node.count_subscribers("tracker/overlay") > 0, "subscriber of the overlay")
    for number in range(5):
        bench.send(walk(10 * number), header(number))
        wait_until(lambda count=number + 1: len(images) == count, "an overlay image")
    assert bench.node.trigger_deactivate() == SUCCESS
    assert bench.node.trigger_activate() == SUCCESS
    wait_until(lambda: bench.raw.get_subscription_count() == 1, "subscription")
    tracks = tracks_from_message(bench.send(walk(0), header(9)))
    wait_until(lambda: len(images) == 6, "an overlay image")
    expected = draw(walk(0), tracks, ("pedestrian", "vehicle"), first_id=0)
    assert np.array_equal(np.frombuffer(images[-1].data, np.uint8).reshape(360, 640, 3), expected)


def test_stamps_that_run_back_start_afresh(bench: Bench) -> None:
    bench.start()
    for number in range(100, 105):
        bench.send(walk(number - 100), header(number))
    again = bench.send(walk(0), header(0))
    assert again.header == header(0)
    assert all(track.age == 0.0 for track in again.tracks)
    assert len(again.tracks) == 2


def test_an_image_out_of_order_is_left_out_and_counted(bench: Bench) -> None:
    bench.start()
    bench.send(walk(0), header(0))
    first = bench.send(walk(2), header(2))
    bench.raw.publish(image_message(walk(1), header(1)))
    wait_until(lambda: bench.counts.late == 1, "the late image")
    last = bench.send(walk(3), header(3))
    assert [message.header for message in bench.tracks] == [header(0), header(2), header(3)]
    assert {track.id for track in last.tracks} == {track.id for track in first.tracks}
    assert last.tracks[0].age > first.tracks[0].age


def test_the_same_image_twice_is_answered_once(bench: Bench) -> None:
    bench.start()
    bench.send(walk(0), header(0))
    bench.raw.publish(image_message(walk(0), header(0)))
    bench.send(walk(1), header(1))
    assert [message.header for message in bench.tracks] == [header(0), header(1)]


@pytest.mark.parametrize("bench", [{}, {"use_sim_time": True}], ids=["clock", "no clock"], indirect=True)
def test_images_without_stamps_are_tracked_by_arrival(bench: Bench) -> None:
    bench.start()
    first = bench.send(walk(0), Header(frame_id="cam"))
    second = bench.send(walk(1), Header(frame_id="cam"))
    assert second.header == Header(frame_id="cam")
    assert {track.id for track in first.tracks} == {track.id for track in second.tracks}
    assert second.tracks[0].age > 0


def test_transitions_in_order_leave_nothing_behind(bench: Bench) -> None:
    node = bench.node
    for _ in range(2):
        assert node.trigger_configure() == SUCCESS
        assert workers() == []
        assert node._network is not None
        pipeline = node._network.pipeline
        assert node.trigger_activate() == SUCCESS
        assert workers() == ["qdtrack-worker"]
        wait_until(lambda: bench.raw.get_subscription_count() == 1, "subscription")
        wait_until(lambda: bench.other.count_publishers("tracker/tracks") == 1, "publisher")
        bench.send(walk(0), header(0))
        assert node.trigger_deactivate() == SUCCESS
        assert workers() == []
        wait_until(lambda: bench.raw.get_subscription_count() == 0, "the subscription to be gone")
        assert node.trigger_cleanup() == SUCCESS
        assert pipeline.runtime.closed
        wait_until(lambda: bench.other.count_publishers("tracker/tracks") == 0, "the publisher to be gone")
    assert node.trigger_configure() == SUCCESS
    assert node.trigger_activate() == SUCCESS
    assert node.trigger_shutdown() == SUCCESS
    assert workers() == []


@pytest.mark.parametrize("bench", [{"weights": "broken"}], indirect=True)
def test_a_failed_configure_can_be_mended(bench: Bench) -> None:
    assert bench.node.trigger_configure() == ERROR
    assert bench.node._network is None
    result = bench.node.set_parameters([Parameter("weights", value="blobs")])[0]
    assert result.successful, result.reason
    assert bench.node.trigger_configure() == SUCCESS


def test_parameters_that_shape_the_output(bench: Bench) -> None:
    bench.start()
    assert bench.send(walk(0), header(0)).tracks[0].embedding == array.array("f")
    bench.node.set_parameters([Parameter("publish_embeddings", value=True), Parameter("publish_lost", value=True)])
    assert len(bench.send(walk(1), header(1)).tracks[0].embedding) == 3
    lost = bench.send(picture(), header(2)).tracks
    assert [(track.state, track.time_since_seen) for track in lost] == [(2, pytest.approx(1 / 25, abs=1e-6))] * 2
    bench.node.set_parameters([Parameter("min_score", value=0.95)])
    assert bench.send(walk(3), header(3)).tracks == []
    assert bench.send(picture(), header(4)).tracks == []  # what is not published is not published as lost either


def test_labels_follow_the_lowest_score(bench: Bench) -> None:
    labels: list[LabelInfo] = []
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    bench.other.create_subscription(LabelInfo, "tracker/label_info", labels.append, latched)
    bench.start()
    wait_until(lambda: len(labels) == 1, "label info")
    assert bench.node.set_parameters([Parameter("min_score", value=1)])[0].successful
    wait_until(lambda: len(labels) == 2, "new label info")
    assert [one.threshold for one in labels] == [0.0, 1.0]
