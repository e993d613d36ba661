"""Tracks in space: depth over DDS beside images over DDS, matched by stamp, only while somebody looks."""

from __future__ import annotations

import array
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from blobs import blob_pipeline, picture
from builtin_interfaces.msg import Time
from graph import wait_until
from qdtrack.msg import TrackedDetectionArray
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection3DArray
from visualization_msgs.msg import MarkerArray

from qdtrack_model.structures import Array
from qdtrack_ros.input import depth
from qdtrack_ros.input.camera import Camera
from qdtrack_ros.node import TrackerNode
from qdtrack_ros.operation.monitor import Counts
from qdtrack_ros.output.conversions import image_message

RED, GREEN = (40, 40, 250), (40, 250, 40)
LEFT, RIGHT = (100, 100, 80, 160), (420, 140, 60, 120)  # x, y, width, height
SCENE = picture((*LEFT, RED), (*RIGHT, GREEN))
K = [500.0, 0.0, 319.5, 0.0, 500.0, 179.5, 0.0, 0.0, 1.0]
P = [250.0, 0.0, 319.5, 0.0, 0.0, 250.0, 179.5, 0.0, 0.0, 0.0, 1.0, 0.0]
# Of the left rectangle at 7 m and the right one at 4 m: centres, and sizes in x and y
PLACES = {"left": ((-2.52, 0.0, 7.0), (1.12, 2.24)), "right": ((1.04, 0.16, 4.0), (0.48, 0.96))}


def header(number: float) -> Header:
    nanoseconds = 1_000_000_000_000 + round(number * 40_000_000)
    return Header(stamp=Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9), frame_id="camera_optical_frame")


def depth_of_the_scene() -> Array:
    metres = np.full((360, 640), 12.0, np.float32)
    for (x, y, width, height), distance in ((LEFT, 7.0), (RIGHT, 4.0)):
        metres[y : y + height, x : x + width] = distance
    return metres


def depth_message(number: float, metres: Array, encoding: str = "16UC1") -> Image:
    values = (metres * 1000).astype(np.uint16) if encoding == "16UC1" else metres.astype(np.float32)
    height, width = values.shape
    data = array.array("B", values.tobytes())
    return Image(
        header=header(number), height=height, width=width, encoding=encoding, step=values.strides[0], data=data
    )


class Bench:
    """A node that takes depth, its camera, and whoever looks."""

    def __init__(self, **parameters: Any) -> None:
        values = {"depth": True, **parameters}
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        self.node = TrackerNode(blob_pipeline, parameter_overrides=overrides)
        self.other = Node("bench")
        self.images = self.other.create_publisher(Image, "image", 10)
        self.depths = self.other.create_publisher(Image, "depth", 10)
        self.infos = self.other.create_publisher(CameraInfo, "camera_info", qos_profile_sensor_data)
        self.tracks: list[TrackedDetectionArray] = []
        self.other.create_subscription(TrackedDetectionArray, "tracker/tracks", self.tracks.append, 10)
        self.found: list[Detection3DArray] = []

    @property
    def camera(self) -> Camera:
        camera = self.node._cameras[0].camera
        assert camera is not None
        return camera

    @property
    def counts(self) -> Counts:
        return self.node._cameras[0].monitor.counts

    def start(self, look: bool = True, k: list[float] = K) -> None:
        self.node.start()
        if look:
            self.look(Detection3DArray, "detections_3d", self.found.append)
            wait_until(lambda: self.depths.get_subscription_count() == 1, "subscription of depth")
        wait_until(lambda: self.images.get_subscription_count() == 1, "subscription of images")
        wait_until(lambda: self.infos.get_subscription_count() == 1, "subscription of camera_info")
        info = CameraInfo(width=640, height=360, distortion_model="plumb_bob", k=k, p=P, d=[0.0] * 5)
        self.infos.publish(info)
        wait_until(lambda: self.camera.info == info, "camera_info")

    def look(self, kind: type[Any], topic: str, received: Callable[[Any], None]) -> None:
        self.other.create_subscription(kind, f"tracker/{topic}", received, 10)
        (publisher,) = (one for one in self.node.publishers if one.topic_name == f"/tracker/{topic}")
        wait_until(lambda: publisher.get_subscription_count() == 1, "the node to see the subscriber")

    def send_depth(self, message: Image) -> None:
        depths = self.camera.depth
        assert depths is not None
        self.depths.publish(message)
        wait_until(lambda: message.header in [one.header for one in depths._kept], "a depth image")

    def send(self, number: float, image: Array = SCENE) -> None:
        """Publish an image and wait until the node is done with it."""
        done = self.counts.tracked
        self.images.publish(image_message(image, header(number)))
        wait_until(lambda: self.counts.tracked > done, "an image to be tracked")

    def wait_without_depth(self, count: int) -> None:
        """Places in space are looked for beside tracking, and waited for."""
        wait_until(lambda: self.counts.without_depth == count, f"{count} images without depth")

    def locate(self, number: float) -> Detection3DArray:
        count = len(self.found)
        self.send(number)
        wait_until(lambda: len(self.found) > count, "detections in space")
        return self.found[-1]


def check_places(message: Detection3DArray) -> None:
    boxes = sorted((one.bbox for one in message.detections), key=lambda box: box.center.position.x)
    for box, (centre, size) in zip(boxes, PLACES.values(), strict=True):
        position = box.center.position
        # The network sees half the size: an edge is exact to one of its pixels, 3 cm at 7 m.
        assert (position.x, position.y, position.z) == pytest.approx(centre, abs=0.03)
        assert (box.size.x, box.size.y, box.size.z) == pytest.approx((*size, 0.0), abs=0.06)
        assert box.center.orientation.w == 1.0


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
def test_places_ids_and_headers(bench: Bench, encoding: str) -> None:
    bench.start()
    for number in range(3):
        bench.send_depth(depth_message(number, depth_of_the_scene(), encoding))
        message = bench.locate(number)
        assert message.header == header(number)
        assert all(one.header == header(number) for one in message.detections)
        check_places(message)
        wait_until(lambda n=number: len(bench.tracks) == n + 1, "tracks")
        flat = {str(track.id): track for track in bench.tracks[-1].tracks}
        for one in message.detections:
            assert one.results[0].hypothesis.class_id == str(flat[one.id].class_id)
            assert one.results[0].hypothesis.score == pytest.approx(flat[one.id].score)
            assert one.results[0].pose.pose == one.bbox.center
            assert np.sign(one.bbox.center.position.x) == np.sign(flat[one.id].center_x - 320)


LATE = {"one late": (0, 1), "two late": (0, 1, 2)}


@pytest.mark.parametrize("there", LATE.values(), ids=LATE)
def test_an_image_waits_for_its_depth(bench: Bench, there: tuple[int, ...]) -> None:
    """Each depth image shows the scene a metre further away: the wrong pair would move everything by one."""
    bench.start()
    bench.send_depth(depth_message(0, depth_of_the_scene()))
    bench.locate(0)
    last = len(there)
    for number in range(1, last + 1):
        bench.send(number)
    for number in range(1, last + 1):
        bench.send_depth(depth_message(number, depth_of_the_scene() + number))
    wait_until(lambda: len(bench.found) == last + 1, "places of every image")
    for number, message in enumerate(bench.found):
        assert message.header == header(number)
        depths = sorted(one.bbox.center.position.z for one in message.detections)
        assert depths == pytest.approx([4 + number, 7 + number], abs=0.05)
    assert bench.counts.without_depth == 0


def test_an_image_whose_depth_is_missing_gets_no_other(bench: Bench) -> None:
    """The depth images before and after it are as near as those of a camera of 25 images a second."""
    bench.start()
    bench.send_depth(depth_message(0, depth_of_the_scene() + 1))
    bench.send_depth(depth_message(2, depth_of_the_scene()))
    bench.send(1)
    bench.wait_without_depth(1)
    check_places(bench.locate(2))
    assert len(bench.found) == 1


def test_an_image_waits_for_its_depth_after_a_bag_began_anew(bench: Bench) -> None:
    bench.start()
    bench.send_depth(depth_message(100, depth_of_the_scene() + 1))
    bench.locate(100)
    bench.send_depth(depth_message(0, depth_of_the_scene() + 1))
    bench.locate(0)
    bench.send(1)
    bench.send_depth(depth_message(1, depth_of_the_scene()))
    wait_until(lambda: len(bench.found) == 3 or bench.counts.without_depth > 0, "places of the image")
    check_places(bench.found[2])


def test_depth_of_another_frame_is_refused_by_name(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    bench.start()
    for number in range(2):
        message = depth_message(number, depth_of_the_scene())
        message.header.frame_id = "depth_optical_frame"
        bench.send_depth(message)
        bench.send(number)
    bench.wait_without_depth(2)
    assert bench.found == []
    told = "/depth has depth in 'depth_optical_frame', the image is in 'camera_optical_frame': take the topic of depth"
    assert capfd.readouterr().err.count(f"no places in space: depth is not registered: {told}") == 1


def test_how_exact_a_place_is(bench: Bench) -> None:
    bench.start()
    metres = depth_of_the_scene()
    metres[LEFT[1] : LEFT[1] + LEFT[3] : 2, LEFT[0] : LEFT[0] + LEFT[2]] += 0.4  # the left one is deep
    bench.send_depth(depth_message(0, metres))
    left, right = sorted(bench.locate(0).detections, key=lambda one: one.bbox.center.position.x)
    for one in (left, right):
        covariance = np.reshape(one.results[0].pose.covariance, (6, 6))[:3, :3]
        assert np.array_equal(covariance, covariance.T) and (np.linalg.eigvalsh(covariance) > 0).all()
        assert np.sqrt(covariance[2, 2]) > 0.0086 * one.bbox.center.position.z  # no depth is exact
    spreads = [np.sqrt(one.results[0].pose.covariance[14]) for one in (left, right)]
    assert spreads[0] == pytest.approx(np.hypot(0.4 / 3.29, 0.03 * 7.2 / 12**0.5), rel=0.1)
    assert spreads[1] == pytest.approx(0.03 * 4 / 12**0.5, rel=0.1)


def test_depth_of_half_the_size(bench: Bench) -> None:
    bench.start()
    bench.send_depth(depth_message(0, depth_of_the_scene()[::2, ::2].copy()))
    check_places(bench.locate(0))


def test_the_depth_of_the_time_is_taken(bench: Bench) -> None:
    bench.start()
    for number in range(12):
        bench.send_depth(depth_message(number, depth_of_the_scene() + (0 if number in (0, 7) else 1)))
    bench.send(0)  # its depth is kept no longer
    bench.wait_without_depth(1)
    assert bench.found == []
    check_places(bench.locate(7.3))


def test_depth_of_another_time_is_none(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    bench.start()
    bench.send_depth(depth_message(0, depth_of_the_scene()))
    bench.send(1)
    bench.wait_without_depth(1)
    text = "no places in space: no depth: the nearest on /depth is 0.040 s off, depth_tolerance is 0.02 s"
    assert text in capfd.readouterr().err
    assert bench.node.set_parameters([Parameter("depth_tolerance", value=0.2)])[0].successful
    bench.locate(2)


def test_tracks_without_depth_are_left_out(bench: Bench) -> None:
    bench.start()
    metres = depth_of_the_scene()
    metres[:, :320] = 0
    bench.send_depth(depth_message(0, metres))
    assert [one.bbox.center.position.x > 0 for one in bench.locate(0).detections] == [True]


def test_rectified_images_go_by_p(bench: Bench) -> None:
    bench.start()
    bench.send_depth(depth_message(0, depth_of_the_scene()))
    assert bench.node.set_parameters([Parameter("rectified", value=True)])[0].successful
    assert min(one.bbox.center.position.x for one in bench.locate(0).detections) == pytest.approx(-5.04, abs=0.06)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (
            depth_message(0, np.ones((480, 640))),
            "depth is not aligned: depth of 640x480 pixels for an image of 640x360",
        ),
        (Image(header=header(0), height=1, width=1, encoding="rgb8", step=3), "no depth: encoding 'rgb8', expected"),
        (Image(header=header(0), height=9, width=9, encoding="16UC1", step=18), "truncated: 0 bytes, 9x9 16UC1 needs"),
    ],
    ids=["another size", "no depth", "truncated"],
)
def test_depth_of_no_use_is_named_and_counted(
    bench: Bench, message: Image, text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    bench.start()
    bench.send_depth(message)
    for number in range(3):
        bench.send(number / 10)
    bench.wait_without_depth(3)
    assert "3 without depth" in str(bench.counts)
    assert capfd.readouterr().err.count(f"no places in space: {text}") == 1
    bench.send_depth(depth_message(3, depth_of_the_scene()))
    check_places(bench.locate(3))


def test_an_uncalibrated_camera_is_named(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    bench.start(k=[0.0] * 9)
    bench.send_depth(depth_message(0, depth_of_the_scene()))
    bench.send(0)
    bench.wait_without_depth(1)
    assert "no places in space: camera_info: the focal lengths in K are 0 and 0: calibrate" in capfd.readouterr().err


def test_depth_is_only_received_and_converted_while_somebody_looks(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted: list[Image] = []
    depth_image = depth.depth_image
    monkeypatch.setattr(depth, "depth_image", lambda message: converted.append(message) or depth_image(message))
    bench.start(look=False)
    bench.send(0)
    assert bench.depths.get_subscription_count() == 0 and bench.counts.without_depth == 0
    markers: list[MarkerArray] = []
    bench.look(MarkerArray, "markers", markers.append)
    wait_until(lambda: bench.depths.get_subscription_count() == 1, "subscription of depth")
    bench.send(1)  # before any depth has come
    bench.send_depth(depth_message(2, depth_of_the_scene()))
    bench.send(2)
    wait_until(lambda: len(markers) == 2, "markers")
    spaces = [{marker.ns for marker in message.markers} for message in markers]
    assert "boxes_3d" not in spaces[0] and "boxes_3d" in spaces[1]
    assert len(converted) == 1 and bench.counts.without_depth == 0
    for subscription in list(bench.other.subscriptions):
        if subscription.topic_name == "/tracker/markers":
            bench.other.destroy_subscription(subscription)
    wait_until(lambda: bench.depths.get_subscription_count() == 0, "the subscription of depth to be gone")


@pytest.mark.parametrize("bench", [{"depth": False}], indirect=True)
def test_without_the_parameter_there_is_neither_depth_nor_its_topic(bench: Bench) -> None:
    bench.start(look=False)
    bench.send(0)
    topics = [publisher.topic_name for publisher in bench.node.publishers]
    assert "/tracker/detections" in topics and "/tracker/detections_3d" not in topics


def test_depth_is_subscribed_as_it_is_offered(bench: Bench) -> None:
    bench.start()

    def offered() -> set[str]:
        return {one.qos_profile.reliability.name for one in bench.other.get_subscriptions_info_by_topic("depth")}

    wait_until(lambda: offered() == {"RELIABLE"}, "a reliable subscription")
    bench.other.destroy_publisher(bench.depths)
    bench.depths = bench.other.create_publisher(Image, "depth", qos_profile_sensor_data)
    wait_until(lambda: offered() == {"BEST_EFFORT"}, "a best-effort subscription")
    wait_until(lambda: bench.depths.get_subscription_count() == 1, "the new subscription")
    bench.send_depth(depth_message(0, depth_of_the_scene()))
    check_places(bench.locate(0))


def test_deactivating_lets_depth_go(bench: Bench) -> None:
    bench.start()
    bench.node.trigger_deactivate()
    wait_until(lambda: bench.depths.get_subscription_count() == 0, "the subscription of depth to be gone")
    bench.node.trigger_cleanup()
    assert "/tracker/detections_3d" not in [publisher.topic_name for publisher in bench.node.publishers]
