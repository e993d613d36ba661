"""Diagnostics and services over DDS: in every state, with cameras that work and do not, and with a full disk."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from blobs import PROGRAM, blob_pipeline, picture
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from graph import PATIENCE, running, spinning, wait_until
from qdtrack.msg import TrackedDetectionArray
from qdtrack.srv import Reset, SaveSnapshot
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection3DArray

from qdtrack_model.data import bags
from qdtrack_model.data.bags import read_images, read_raw
from qdtrack_model.structures import Array
from qdtrack_ros.node import TrackerNode
from qdtrack_ros.output.conversions import image_message
from qdtrack_ros.replay.process import NodeProcess

SUCCESS = TransitionCallbackReturn.SUCCESS
CAMERAS = ("front", "rear")


def header(number: int) -> Header:
    return Header(stamp=Time(sec=1000, nanosec=number * 40_000_000), frame_id="optical")


def walk(number: int) -> Array:
    return picture((40 + 4 * number, 100, 40, 80, (40, 40, 250)))


class Bench:
    """A node of two cameras, what they publish, and somebody who watches and calls."""

    def __init__(self, **parameters: Any) -> None:
        values = {"cameras": list(CAMERAS), "diagnostics.max_age": 0.0, **parameters}
        self.node = TrackerNode(blob_pipeline, parameter_overrides=[Parameter(k, value=v) for k, v in values.items()])
        self.other = Node("operator")
        self.images = {
            name: self.other.create_publisher(Image, f"{name}/image", qos_profile_sensor_data) for name in CAMERAS
        }
        self.info = self.other.create_publisher(CameraInfo, "front/camera_info", 10)
        self.statuses: list[dict[str, DiagnosticStatus]] = []
        self.tracks: list[TrackedDetectionArray] = []
        self.other.create_subscription(DiagnosticArray, "/diagnostics", self._told, 10)
        for name in CAMERAS:
            self.other.create_subscription(TrackedDetectionArray, f"tracker/{name}/tracks", self.tracks.append, 100)

    def _told(self, message: DiagnosticArray) -> None:
        self.statuses.append({status.name: status for status in message.status})

    def start(self) -> None:
        self.node.start()
        wait_until(lambda: all(one.get_subscription_count() == 1 for one in self.images.values()), "subscriptions")
        wait_until(lambda: self.info.get_subscription_count() == 1, "subscription of camera_info")
        wait_until(lambda: all(self.other.count_publishers(f"tracker/{c}/tracks") for c in CAMERAS), "publishers")

    def send(self, camera: str, number: int) -> TrackedDetectionArray:
        count = len(self.tracks)
        self.images[camera].publish(image_message(walk(number), header(number)))
        wait_until(lambda: len(self.tracks) > count, "tracks of an image")
        return self.tracks[-1]

    def status(self, part: str, *texts: str, begin: int | None = None) -> DiagnosticStatus:
        """The next status of a part whose message holds the texts, or the first one from ``begin`` on."""
        begin = len(self.statuses) if begin is None else begin
        name = f"tracker: {part}"

        def found() -> list[DiagnosticStatus]:
            told = [one[name] for one in self.statuses[begin:]]
            return [status for status in told if all(text in status.message for text in texts)]

        wait_until(lambda: bool(found()), f"{name} to say {texts}: it says {self.statuses[-1:]}")
        return found()[0]

    def call(self, kind: Any, name: str, **fields: str) -> Any:
        client = self.other.create_client(kind, name)
        wait_until(client.service_is_ready, f"service {name}")
        answer = client.call_async(kind.Request(**fields))
        wait_until(answer.done, f"the answer of {name}")
        self.other.destroy_client(client)
        return answer.result()

    def reset(self, camera: str = "") -> Reset.Response:
        return self.call(Reset, "tracker/reset", camera=camera)

    def snapshot(self, path: str | Path = "") -> SaveSnapshot.Response:
        return self.call(SaveSnapshot, "tracker/save_snapshot", path=str(path))


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    with running(Bench(snapshot_folder=str(tmp_path), **getattr(request, "param", {}))) as made:
        yield made


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}


# ---- diagnostics


def test_every_state_is_told(bench: Bench) -> None:
    assert bench.status("node", "unconfigured: not tracking").level == DiagnosticStatus.WARN
    assert bench.status("front", "the node is unconfigured").level == DiagnosticStatus.OK
    assert bench.node.trigger_configure() == SUCCESS
    status = bench.status("node", "inactive: not tracking")
    assert (values(status)["runtime"], values(status)["device"]) == ("blobs", "cpu")
    assert bench.node.trigger_activate() == SUCCESS
    assert bench.status("node", "active: ").level == DiagnosticStatus.OK
    assert bench.status("rear", "no image for").level == DiagnosticStatus.WARN
    bench.node.trigger_deactivate()
    assert bench.status("rear", "the node is inactive").level == DiagnosticStatus.OK
    bench.node.trigger_cleanup()
    assert values(bench.status("node", "unconfigured"))["runtime"] == ""


@pytest.mark.parametrize("bench", [{"weights": "broken"}], indirect=True)
def test_a_failed_transition_is_told_until_one_succeeds(bench: Bench) -> None:
    bench.node.trigger_configure()
    status = bench.status("node", "unconfigured: configure failed: broken: not a weights file")
    assert status.level == DiagnosticStatus.ERROR
    bench.node.set_parameters([Parameter("weights", value="blobs")])
    assert bench.node.trigger_configure() == SUCCESS
    assert values(bench.status("node", "inactive: not tracking"))["last failed transition"] == "none"


@pytest.mark.parametrize("bench", [{"silence_warning": 2.0}], indirect=True)
def test_each_camera_is_told_for_itself(bench: Bench) -> None:
    bench.start()
    broken = image_message(walk(0), header(0))
    broken.encoding = "16UC1"
    counts = bench.node._cameras[0].monitor.counts
    for number in range(60):
        if number == 30:  # after the counts were read once
            bench.images["front"].publish(broken)
            wait_until(lambda: counts.unusable == 1, "the broken image")
        bench.send("front", number)
        time.sleep(0.04)
    text = "images unusable: image not used: refused encoding: 16UC1 is depth"
    front = bench.status("front", "1 of the last", text, begin=0)
    assert front.level == DiagnosticStatus.WARN
    told = values(front)
    assert (told["topic"], told["transport"], told["publishers"]) == ("/front/image", "raw", "1")
    assert int(told["received"]) - int(told["tracked"]) >= int(told["unusable"]) == 1
    assert told["tracks"] == "1"
    assert float(told["rate in [1/s]"]) > 0 < float(told["rate out [1/s]"])
    assert 0 < float(told["network p50 [ms]"]) <= float(told["network p95 [ms]"])
    assert float(told["age at publish p50 [ms]"]) > 1e9  # stamped in 1970
    rear = bench.status("rear", "longer than silence_warning (2 s): /rear/image has 1 publisher(s), best_effort")
    assert rear.level == DiagnosticStatus.ERROR


def test_thresholds_are_parameters(bench: Bench) -> None:
    bench.start()
    new = {"diagnostics.max_age": 0.5, "diagnostics.min_rate": 1000.0}
    bench.node.set_parameters([Parameter(name, value=value) for name, value in new.items()])
    for number in range(30):
        bench.send("front", number)
        time.sleep(0.05)
    status = bench.status("front", "less than diagnostics.min_rate (1000); 5 % of tracks older than", "another clock")
    assert status.level == DiagnosticStatus.WARN


@pytest.mark.parametrize("bench", [{"qos_overrides./front/image.subscription.reliability": "reliable"}], indirect=True)
def test_incompatible_qos_is_told_by_name(bench: Bench) -> None:
    bench.node.start()
    status = bench.status("front", "incompatible QoS, /front/image: Best effort publisher and reliable subscription")
    assert status.level == DiagnosticStatus.ERROR
    assert "reliable, volatile, keep last 5" in values(status)["QoS"]


# ---- reset


def test_reset_begins_anew_with_new_ids(bench: Bench) -> None:
    assert bench.reset().message == "the node is not configured: there are no tracks"
    bench.start()
    for camera in CAMERAS:
        bench.send(camera, 0)
        assert bench.send(camera, 30).tracks[0].id == 1  # after 1.2 s nobody is remembered
    answer = bench.reset("front")
    assert (answer.success, answer.message) == (True, "tracks forgotten: front")
    assert [bench.send(camera, 31).tracks[0].id for camera in CAMERAS] == [2, 1]
    assert bench.reset().message == "tracks forgotten: front, rear"
    assert [bench.send(camera, 32).tracks[0].id for camera in CAMERAS] == [3, 2]
    answer = bench.reset("left")
    assert (answer.success, answer.message) == (False, "no camera 'left'; there are: front, rear")


@pytest.mark.parametrize("bench", [{}, {"handover_span": 1.0}], ids=["one by one", "handover"], indirect=True)
def test_ids_go_on_through_every_state(bench: Bench) -> None:
    bench.start()
    given = []
    for number in range(3):
        given += [bench.send(camera, number).tracks[0].id for camera in CAMERAS]
        bench.node.trigger_deactivate()
        bench.node.trigger_cleanup()
        bench.start()
    given += [bench.send(camera, 31).tracks[0].id for camera in CAMERAS]
    assert len(set(given[::2])) == len(set(given[1::2])) == 4, "an id came back"
    assert len({message.session for message in bench.tracks}) == 1


@pytest.mark.parametrize("bench", [{"cameras": [""]}], indirect=True)
def test_reset_of_the_only_camera(bench: Bench) -> None:
    bench.node.start()
    assert bench.reset().message == "tracks forgotten: the only camera"
    assert bench.reset("front").message == "no camera 'front'; there are: one without a name (pass '')"


# ---- snapshots


def test_a_snapshot_holds_what_came_and_what_was_published(bench: Bench, tmp_path: Path) -> None:
    assert "no image is kept" in bench.snapshot(tmp_path / "early").message
    bench.start()
    bench.info.publish(CameraInfo(header=header(0), width=640, height=360))
    wait_until(lambda: all(one.camera.info for one in bench.node._cameras[:1] if one.camera), "camera_info")
    sent = [bench.send("front", number) for number in range(3)]
    bench.images["front"].publish(image_message(walk(1), header(1)))  # late: kept, for it may be what went wrong
    bench.send("rear", 0)
    answer = bench.snapshot(tmp_path / "bag")
    assert (answer.success, answer.path) == (True, str(tmp_path / "bag"))
    assert answer.message == "frames written: 4 of front, 1 of rear"
    assert bench.send("front", 3).tracks  # it goes on
    records = list(read_raw(tmp_path / "bag"))
    topics = [topic for topic, *_ in records]
    assert {topic: topics.count(topic) for topic in topics} == {
        "/front/image": 4,
        "/front/camera_info": 1,
        "/tracker/front/tracks": 3,
        "/rear/image": 1,
        "/tracker/rear/tracks": 1,
    }
    tracks = [deserialize_message(raw, TrackedDetectionArray) for topic, *_, raw in records if "front/tracks" in topic]
    assert tracks == sent
    stamps = [stamp for _, stamp, _ in read_images(tmp_path / "bag", "/front/image")]
    assert stamps == pytest.approx([1000.0, 1000.04, 1000.08, 1000.04])
    parameters = yaml.safe_load((tmp_path / "bag" / "parameters.yaml").read_text())["/**"]["ros__parameters"]
    assert (parameters["cameras"], parameters["snapshot_frames"]) == (["front", "rear"], 100)
    about = yaml.safe_load((tmp_path / "bag" / "node.yaml").read_text())
    assert about["name"] == "/tracker" and "numpy" in about["versions"]


@pytest.mark.parametrize("bench", [{"depth": True}], indirect=True)
def test_a_snapshot_holds_the_depth_that_was_received(bench: Bench, tmp_path: Path) -> None:
    depth = bench.other.create_publisher(Image, "front/depth", 10)
    bench.other.create_subscription(Detection3DArray, "tracker/front/detections_3d", lambda message: None, 10)
    bench.start()
    wait_until(lambda: depth.get_subscription_count() == 1, "subscription of depth")
    message = image_message(picture(), header(0))
    depth.publish(message)
    camera = bench.node._cameras[0].camera
    assert camera is not None and camera.depth is not None
    wait_until(lambda: camera.depth.latest is not None, "depth")
    for number in range(2):
        bench.send("front", number)
    assert bench.snapshot(tmp_path / "bag").success
    held = [deserialize_message(raw, Image) for topic, *_, raw in read_raw(tmp_path / "bag") if topic == "/front/depth"]
    assert held == [message]


def test_tracking_goes_on_while_a_snapshot_is_written(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, disk, write = threading.Event(), threading.Event(), bags.write_raw

    def slow(*arguments: Any) -> None:
        begun.set()
        disk.wait(PATIENCE)
        write(*arguments)

    monkeypatch.setattr(bags, "write_raw", slow)
    bench.start()
    bench.send("front", 0)
    client = bench.other.create_client(SaveSnapshot, "tracker/save_snapshot")
    wait_until(client.service_is_ready, "the service")
    answer = client.call_async(SaveSnapshot.Request(path=str(tmp_path / "slow")))
    wait_until(begun.is_set, "the writer")
    assert writers() == ["qdtrack-snapshot"]
    assert bench.send("front", 1).tracks
    assert bench.reset().success
    assert bench.snapshot(tmp_path / "other").message == "a snapshot is being written: ask again when it is done"
    assert not answer.done()
    disk.set()
    wait_until(answer.done, "the answer")
    assert answer.result().message == "frames written: 1 of front"  # as they were when it was asked for
    wait_until(lambda: writers() == [], "the writer to be gone")


def writers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "qdtrack-snapshot"]


def test_snapshots_follow_their_parameters_and_end_with_cleanup(bench: Bench, tmp_path: Path) -> None:
    bench.start()
    for number in range(3):
        bench.send("front", number)
    bench.node.set_parameters([Parameter("snapshot_frames", value=2)])
    assert bench.node.trigger_deactivate() == SUCCESS
    assert bench.snapshot(tmp_path / "bag").message == "frames written: 2 of front"
    assert "is there already" in bench.snapshot(tmp_path / "bag").message
    bench.node.set_parameters([Parameter("snapshot_frames", value=0)])
    assert "no image is kept" in bench.snapshot(tmp_path / "none").message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bag"]


def test_a_full_disk_is_told_and_the_node_goes_on(tmp_path: Path) -> None:
    """The limit of a file's size stands for the end of the disk, in the node's own process."""
    operator = Node("operator")
    images = operator.create_publisher(Image, "/disk/image", 10)
    tracks: list[TrackedDetectionArray] = []
    operator.create_subscription(TrackedDetectionArray, "/disk/tracker/tracks", tracks.append, 100)
    client = operator.create_client(SaveSnapshot, "/disk/tracker/save_snapshot")

    def send(count: int) -> None:
        for _ in range(count):
            number = len(tracks)
            images.publish(image_message(walk(number % 50), header(number)))
            wait_until(lambda n=number: len(tracks) > n, "tracks of an image")

    def snapshot(name: str) -> SaveSnapshot.Response:
        answer = client.call_async(SaveSnapshot.Request(path=str(tmp_path / "bags" / name)))
        wait_until(answer.done, "the answer")
        return answer.result()

    values = {"weights": "blobs", "snapshot_folder": str(tmp_path)}
    with spinning(operator), NodeProcess(operator, "/disk", values, tmp_path / "log", PROGRAM) as process:
        process.change_state("configure")
        process.change_state("activate")
        wait_until(lambda: images.get_subscription_count() == 1 and client.service_is_ready(), "the node")
        wait_until(lambda: operator.count_publishers("/disk/tracker/tracks") == 1, "publisher")
        send(10)
        pid, usual = process.pid, resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (3_000_000, usual[1]))
        answer = snapshot("full")
        assert (answer.success, answer.path) == (False, "")
        assert answer.message == f"{tmp_path}/bags/full: cannot be written: File too large"
        assert list((tmp_path / "bags").iterdir()) == []
        send(5)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, usual)
        answer = snapshot("room")
        assert (answer.success, answer.message) == (True, "frames written: 15")
    assert len(list(read_images(tmp_path / "bags" / "room"))) == 15
    assert "Traceback" not in (tmp_path / "log").read_text()
