"""What the node draws for people: only what somebody looks at, under exact headers, on the right pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from blobs import BlobRuntime, picture
from builtin_interfaces.msg import Time
from foxglove_msgs.msg import ImageAnnotations
from graph import running, wait_until
from qdtrack.msg import TrackedDetectionArray
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, VisionInfo
from visualization_msgs.msg import Marker, MarkerArray

from qdtrack_model.config import QuasiDenseConfig
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.runtimes import Options
from qdtrack_model.structures import Array, Detections
from qdtrack_model.tracking import QuasiDenseTracker
from qdtrack_ros.input.source_image import image_array
from qdtrack_ros.node import TrackerNode
from qdtrack_ros.output import annotations, markers, overlay, publishers
from qdtrack_ros.output.conversions import image_message, tracks_from_message

RED = (40, 40, 250)
PINHOLE = [400.0, 0.0, 320.0, 0.0, 0.0, 400.0, 180.0, 0.0, 0.0, 0.0, 1.0, 0.0]
TOPICS: dict[str, type[Any]] = {
    "tracks": TrackedDetectionArray,
    "detections": Detection2DArray,
    "overlay": Image,
    "overlay/compressed": CompressedImage,
    "markers": MarkerArray,
    "annotations": ImageAnnotations,
}


class SubpixelRuntime(BlobRuntime):
    """Measures one bright rectangle by what its edges leave of their pixels."""

    def infer(self, images: Array) -> list[Detections]:
        return [self._measured(image[:, :, 2]) for image in images]

    @staticmethod
    def _measured(red: Array) -> Detections:
        rows, columns = np.nonzero(red > 140)
        if len(rows) == 0:
            return Detections.empty(1)
        row, column = (rows.min() + rows.max()) // 2, (columns.min() + columns.max()) // 2
        x1, x2 = _edges(red[row, columns.min() - 4 : columns.max() + 5]) + columns.min() - 4
        y1, y2 = _edges(red[rows.min() - 4 : rows.max() + 5, column]) + rows.min() - 4
        return Detections(np.array([[x1, y1, x2, y2]]), np.array([0.9]), np.zeros(1), np.ones((1, 1)))


def _edges(profile: Array) -> Array:
    share = (profile - float(profile[0])) / (float(profile.max()) - float(profile[0]))
    middle = (share * (np.arange(len(share)) + 0.5)).sum() / share.sum()
    return np.array([middle - share.sum() / 2, middle + share.sum() / 2])


def subpixel_pipeline(weights: str, options: Options, tracker: Mapping[str, Any]) -> Pipeline:
    return Pipeline(SubpixelRuntime(), QuasiDenseTracker(QuasiDenseConfig()))


class WholeRuntime(SubpixelRuntime):
    """Knows of objects what lies beyond the border of the image: 200 pixels of it on the left and below."""

    config = replace(SubpixelRuntime.config, clip_boxes=False)

    def infer(self, images: Array) -> list[Detections]:
        return [replace(seen, boxes=seen.boxes + np.array([-200, 0, 0, 200])) for seen in super().infer(images)]


def whole_pipeline(weights: str, options: Options, tracker: Mapping[str, Any]) -> Pipeline:
    return Pipeline(WholeRuntime(), QuasiDenseTracker(QuasiDenseConfig()))


def rectangle(width: int, height: int, box: tuple[float, float, float, float]) -> Array:
    """A rectangle with edges between pixels: these are as bright as it covers them."""
    x, y = np.arange(width), np.arange(height)
    covered = np.outer(
        np.clip(np.minimum(y + 1, box[3]) - np.maximum(y, box[1]), 0, 1),
        np.clip(np.minimum(x + 1, box[2]) - np.maximum(x, box[0]), 0, 1),
    )
    return np.repeat(np.round(20 + 230 * covered).astype(np.uint8)[:, :, None], 3, axis=2)


class Bench:
    """A node, its camera, and whoever looks."""

    def __init__(self, pipeline: Callable[..., Pipeline]) -> None:
        self.node = TrackerNode(pipeline, parameter_overrides=[Parameter("trail", value=5)])
        self.other = Node("bench")
        self.images = self.other.create_publisher(Image, "image", qos_profile_sensor_data)
        self.infos = self.other.create_publisher(CameraInfo, "camera_info", qos_profile_sensor_data)
        self._number = 0

    def start(self) -> None:
        self.node.start()
        wait_until(lambda: self.images.get_subscription_count() > 0, "subscription of images")

    def look(self, topic: str) -> list[Any]:
        """Subscribe; what comes is appended to the list."""
        received: list[Any] = []
        self.other.create_subscription(TOPICS[topic], f"tracker/{topic}", received.append, 10)
        (publisher,) = (one for one in self.node.publishers if one.topic_name == f"/tracker/{topic}")
        wait_until(lambda: publisher.get_subscription_count() == 1, "the node to see the subscriber")
        return received

    def calibrate(self, info: CameraInfo) -> None:
        camera = self.node._cameras[0].camera
        assert camera is not None
        wait_until(lambda: self.infos.get_subscription_count() > 0, "subscription of camera_info")
        self.infos.publish(info)
        wait_until(lambda: camera.info == info, "camera_info")

    def send(self, image: Array) -> Header:
        """Publish one image and wait until the node is done with it, and with its pictures."""
        camera = self.node._cameras[0]
        counts, showing = camera.monitor.counts, camera._showing
        assert showing is not None
        self._number += 1
        header = Header(stamp=Time(sec=1000, nanosec=self._number * 40_000_007), frame_id="camera_optical_frame")
        done = counts.tracked
        self.images.publish(image_message(image, header))
        wait_until(lambda: counts.tracked > done, "an image to be tracked")
        pictures = showing._pictures
        wait_until(lambda: pictures.waiting("") == 0 and pictures.busy == 0, "its pictures")
        return header


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with running(Bench(getattr(request, "param", subpixel_pipeline))) as made:
        made.start()
        yield made


def wait_for(received: list[Any]) -> Any:
    wait_until(lambda: len(received) > 0, "a message")
    return received[-1]


def test_nothing_is_computed_that_nobody_subscribes_to(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def noted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given, **named: made.append(name) or function(*given, **named)

    for module, name in (
        (publishers, "tracks_message"), (publishers, "detections_message"), (publishers, "Trails"), (overlay, "draw"),
        (overlay, "image_message"), (overlay, "compressed_message"), (markers, "markers_message"),
        (annotations, "annotations_message"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, noted(name, getattr(module, name)))
    bench.calibrate(CameraInfo(width=640, height=360, p=PINHOLE))

    def computed(image: Array) -> list[str]:
        made.clear()
        bench.send(image)
        return sorted(set(made))

    image = picture((100, 100, 40, 80, RED))
    assert computed(image) == []
    expected: set[str] = set()
    for topic, names in {
        "tracks": {"tracks_message"},
        "detections": {"detections_message"},
        "overlay/compressed": {"draw", "compressed_message", "Trails"},
        "overlay": {"image_message"},
        "markers": {"markers_message"},
        "annotations": {"annotations_message"},
    }.items():
        bench.look(topic)
        expected |= names
        computed(image)  # trails begin with this one
        assert computed(image) == sorted(expected - {"Trails"}), topic
    assert made.count("draw") == 1, "drawn once for both overlays"


def test_headers_are_those_of_the_image(bench: Bench) -> None:
    received = {topic: bench.look(topic) for topic in TOPICS}
    bench.calibrate(CameraInfo(header=Header(frame_id="other"), width=640, height=360, p=PINHOLE))
    header = bench.send(picture((100, 100, 40, 80, RED)))
    for topic in ("tracks", "detections", "overlay", "overlay/compressed"):
        assert wait_for(received[topic]).header == header, topic
    assert all(marker.header == header for marker in wait_for(received["markers"]).markers)
    made = wait_for(received["annotations"])
    assert {one.timestamp.nanosec for one in [*made.points, *made.texts]} == {header.stamp.nanosec}


def test_both_overlays_show_the_same(bench: Bench) -> None:
    raw, compressed = bench.look("overlay"), bench.look("overlay/compressed")
    bench.send(picture((100, 100, 40, 80, RED)))
    assert wait_for(compressed).format == "bgr8; jpeg compressed bgr8"
    difference = image_array(wait_for(raw)).astype(int) - image_array(wait_for(compressed))
    assert np.abs(difference).mean() < 2


def test_pictures_share_their_trails(bench: Bench) -> None:
    bench.look("overlay")
    for step in range(4):
        bench.send(picture((100 + 2 * step, 100, 40, 80, RED)))
    received = bench.look("annotations")
    bench.send(picture((108, 100, 40, 80, RED)))
    trail = wait_for(received).points[0]
    assert len(trail.points) == 5, "from before somebody looked here, as long as `trail` says"


def test_tracks_that_are_gone_vanish(bench: Bench) -> None:
    received = bench.look("markers")
    bench.calibrate(CameraInfo(width=640, height=360, p=PINHOLE))
    bench.send(picture((100, 100, 40, 80, RED)))
    assert [marker.ns for marker in wait_for(received).markers] == ["", "boxes", "ids"]
    bench.send(picture())
    wait_until(lambda: len(received) == 2, "markers of an empty image")
    assert [marker.action for marker in received[1].markers] == [Marker.DELETEALL]


def test_markers_without_calibration_are_explained_once(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    received = bench.look("markers")
    for _ in range(5):
        bench.send(picture())
    bench.calibrate(CameraInfo(width=640, height=360))
    for _ in range(3):
        bench.send(picture())
    assert received == []
    text = capfd.readouterr().err
    assert text.count("/tracker/markers stays empty: no camera_info has come") == 1
    assert text.count("/tracker/markers stays empty: camera_info cannot be used: projection: got focal lengths") == 1


def test_vision_info_is_latched_and_counts_other_weights(bench: Bench) -> None:
    received: list[VisionInfo] = []
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    bench.other.create_subscription(VisionInfo, "tracker/vision_info", received.append, latched)
    first = wait_for(received)
    assert (first.method, first.database_version) == ("qdtrack one_shot", 1)
    for weights, version in (("plaza", 2), ("plaza", 2)):
        bench.node.trigger_deactivate()
        bench.node.trigger_cleanup()
        assert bench.node.set_parameters([Parameter("weights", value=weights)])[0].successful
        count = len(received)
        bench.node.start()
        wait_until(lambda count=count: len(received) > count, "vision info of other weights")
        assert (received[-1].database_location, received[-1].database_version) == (weights, version)


# ---- the right pixels

BOX = (200.25, 100.5, 260.75, 220.125)


def corners(box: Array) -> Array:
    """As the markers join them, side by side."""
    return box[[0, 1, 2, 1, 2, 1, 2, 3, 2, 3, 0, 3, 0, 3, 0, 1]].reshape(-1, 2)


def projected(marker: Marker, p: Array) -> Array:
    """Where P sees the points of a marker."""
    points = np.array([[point.x, point.y, point.z, 1.0] for point in marker.points]) @ p.T
    return points[:, :2] / points[:, 2:]


def published_boxes(bench: Bench, image: Array, info: CameraInfo) -> Array:
    """The box (4,) that every topic agrees on."""
    received = {topic: bench.look(topic) for topic in ("tracks", "detections", "markers", "annotations")}
    bench.calibrate(info)
    bench.send(image)
    (box,) = tracks_from_message(wait_for(received["tracks"])).boxes.astype(float)
    (standard,) = wait_for(received["detections"]).detections
    middle, size = standard.bbox.center.position, (standard.bbox.size_x, standard.bbox.size_y)
    np.testing.assert_allclose([middle.x, middle.y, *size], [*(box[:2] + box[2:]) / 2, *box[2:] - box[:2]], atol=1e-3)
    loop = wait_for(received["annotations"]).points[0]
    np.testing.assert_allclose([(p.x, p.y) for p in loop.points], corners(box)[::2], atol=1e-3)
    sides = next(marker for marker in wait_for(received["markers"]).markers if marker.ns == "boxes")
    np.testing.assert_allclose(projected(sides, info.p.reshape(3, 4)), corners(box), atol=0.01)
    return box


@pytest.mark.parametrize(
    ("size", "tolerance"),  # where pixels do not fall on pixels, interpolation weighs them unequally
    [((640, 384), 0.05), ((640, 360), 0.05), ((360, 768), 0.05), ((641, 384), 0.25)],
    ids=["resized", "letterbox below", "letterbox beside", "sides rounded"],
)
def test_boxes_are_exact_through_the_fitting(bench: Bench, size: tuple[int, int], tolerance: float) -> None:
    info = CameraInfo(width=size[0], height=size[1], p=PINHOLE)
    box = published_boxes(bench, rectangle(*size, BOX), info)
    np.testing.assert_allclose(box, BOX, atol=tolerance)


@pytest.mark.parametrize("bench", [whole_pipeline], indirect=True)
def test_every_topic_ends_boxes_at_the_border_of_the_image(bench: Bench) -> None:
    info = CameraInfo(width=640, height=384, p=PINHOLE)
    box = published_boxes(bench, rectangle(640, 384, BOX), info)
    np.testing.assert_allclose(box, [0, BOX[1], BOX[2], 384], atol=0.05)


@pytest.mark.parametrize("bench", [whole_pipeline], indirect=True)
def test_what_lies_beyond_the_border_is_remembered(bench: Bench) -> None:
    bench.node.set_parameters([Parameter("publish_lost", value=True)])
    received = bench.look("tracks")
    bench.send(rectangle(640, 384, BOX))
    bench.send(np.zeros((384, 640, 3), np.uint8))
    wait_until(lambda: len(received) == 2, "both messages")
    seen, lost = (tracks_from_message(message).boxes for message in received)
    np.testing.assert_allclose(seen, [[0, BOX[1], BOX[2], 384]], atol=0.05)
    np.testing.assert_array_equal(lost, seen)
    (remembered,) = bench.node._cameras[0].tracker.remembered().boxes
    np.testing.assert_allclose(remembered, [BOX[0] - 400, *BOX[1:3], BOX[3] + 400], atol=0.05)


def test_boxes_and_markers_are_exact_on_a_rectified_image(bench: Bench) -> None:
    size = (640, 384)
    k = np.array([[380.0, 0, 330], [0, 375, 190], [0, 0, 1]])
    d = np.array([-0.28, 0.09, 0.001, -0.0005, 0.0])
    p, _ = cv2.getOptimalNewCameraMatrix(k, d, size, 0)
    # What the lens makes of a picture that is right by P: each of its pixels looks where undistortion says.
    pixels = np.stack(np.meshgrid(np.arange(size[0]), np.arange(size[1])), axis=-1).reshape(-1, 1, 2).astype(np.float64)
    sources = cv2.undistortPoints(pixels, k, d, P=p).reshape(size[1], size[0], 2).astype(np.float32)
    ideal = rectangle(*size, BOX)
    raw = cv2.remap(ideal, sources[:, :, 0], sources[:, :, 1], cv2.INTER_LINEAR)
    rectified = cv2.remap(raw, *cv2.initUndistortRectifyMap(k, d, None, p, size, cv2.CV_32FC1), cv2.INTER_LINEAR)
    info = CameraInfo(
        width=size[0], height=size[1], distortion_model="plumb_bob", d=d.tolist(), k=k.ravel().tolist(),
        r=np.eye(3).ravel().tolist(), p=np.column_stack([p, np.zeros(3)]).ravel().tolist(),
    )  # fmt: skip
    assert np.abs(raw.astype(int) - ideal).max() > 100, "the lens bends"
    box = published_boxes(bench, rectified, info)
    np.testing.assert_allclose(box, BOX, atol=0.05)
