"""The launch files, where ROS brings launch: arguments described, topics remapped, and really run."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("launch", reason="needs a ROS distribution's launch (there is none on PyPI)")
pytest.importorskip("launch_ros", reason="needs a ROS distribution's launch_ros (there is none on PyPI)")
pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

import launch
from blobs import picture
from graph import spinning, wait_until
from launched import ROOT, alive, launched, make_prefix
from qdtrack.msg import TrackedDetectionArray
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rosbags.rosbag2 import Reader
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from qdtrack_model.data.bags import BagFrame, write_bag
from qdtrack_ros import launching
from qdtrack_ros.output.conversions import image_message

FILES = {path.name: path for path in sorted((ROOT / "launch").glob("*.launch.py"))}


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The package is found, and its program is the node with a network that is right by construction."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AMENT_PREFIX_PATH", make_prefix(tmp_path_factory.mktemp("prefix")))
        yield


def description(name: str) -> Any:
    specification = importlib.util.spec_from_file_location(name.partition(".")[0], FILES[name])
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.generate_launch_description()


def made(name: str, **arguments: str) -> Any:
    """The node action that a launch file makes of these arguments, and its context."""
    context = launch.LaunchContext()
    context.launch_configurations.update(arguments)
    actions: list[Any] = []
    for entity in description(name).entities:
        actions += entity.visit(context) or []
    (node,) = [action for action in actions if isinstance(action, launch.actions.ExecuteProcess)]
    node._perform_substitutions(context)
    return node


def remappings(name: str, **arguments: str) -> dict[str, str]:
    return dict(made(name, **arguments).expanded_remapping_rules)


# ---- what they say


@pytest.mark.parametrize("name", FILES)
def test_every_argument_is_described(name: str) -> None:
    arguments = {argument.name: argument.description for argument in description(name).get_launch_arguments()}
    assert {"namespace", "image", "image_compressed", "camera_info"} <= set(arguments)
    assert name == "rviz.launch.py" or "params_file" in arguments
    assert name == "replay.launch.py" or "use_sim_time" in arguments
    assert all(text.endswith(".") for text in arguments.values())


@pytest.mark.parametrize("image", ["/front/image_raw", "/front/image_raw/compressed"])
def test_the_topics_of_a_camera_follow_the_one_of_its_images(image: str) -> None:
    assert remappings("tracker.launch.py", image=image) == {
        "image": "/front/image_raw",
        "image/compressed": "/front/image_raw/compressed",
        "camera_info": "/front/camera_info",
    }


def test_depth_is_taken_where_its_topic_is_given() -> None:
    given = {"cameras": "front, left", "image": "/{camera}/image_raw", "depth": "/{camera}/depth"}
    rules = remappings("multi_camera.launch.py", **given)
    assert {name: rules[name] for name in ("front/depth", "left/depth")} == {
        "front/depth": "/front/depth",
        "left/depth": "/left/depth",
    }
    node = made("tracker.launch.py", depth="/depth")
    assert dict(node.expanded_remapping_rules)["depth"] == "/depth"
    assert any("depth: true" in Path(file).read_text() for file, _ in node._Node__expanded_parameter_arguments)


def test_every_camera_has_its_topics() -> None:
    given = {"cameras": "front, left", "image": "/{camera}/image_raw", "camera_info": "/info/{camera}"}
    assert remappings("multi_camera.launch.py", **given) == {
        "front/image": "/front/image_raw",
        "front/image/compressed": "/front/image_raw/compressed",
        "front/camera_info": "/info/front",
        "left/image": "/left/image_raw",
        "left/image/compressed": "/left/image_raw/compressed",
        "left/camera_info": "/info/left",
    }
    with pytest.raises(ValueError, match=r"'/image_raw' for 2 cameras, expected \{camera\} in it"):
        made("multi_camera.launch.py", cameras="front left", image="/image_raw")
    with pytest.raises(ValueError, match="expected the name of the camera"):
        made("rviz.launch.py", image="/{camera}/image_raw")


def test_a_bad_truth_value_is_named() -> None:
    with pytest.raises(ValueError, match="autostart: got 'maybe', expected true or false"):
        made("tracker.launch.py", autostart="maybe")


def test_rviz_finds_every_topic_of_its_layout() -> None:
    layout = yaml.safe_load((ROOT / "config" / "node" / "optical.rviz").read_text())
    topics = {
        display["Topic"]["Value"] for display in layout["Visualization Manager"]["Displays"] if "Topic" in display
    }
    rules = remappings("rviz.launch.py", camera="front", image="/front/image_raw")
    assert topics | {"/camera_info", "/image/camera_info"} == set(rules)
    assert rules["/tracker/overlay"] == "tracker/front/overlay"
    assert rules["/image/camera_info"] == rules["/camera_info"] == "/front/camera_info"


@pytest.mark.parametrize("name", launching.LAYOUTS)
def test_rviz_has_a_layout_for_each_kind_of_frame(name: str, tmp_path: Path) -> None:
    def layout_of(layout: str) -> str:
        command = [str(part[0].text) for part in made("rviz.launch.py", layout=layout, frame="map").cmd]
        assert command[command.index("-f") + 1] == "map"
        return command[command.index("-d") + 1]

    assert Path(layout_of(name)).samefile(ROOT / "config" / "node" / f"{name}.rviz")
    (tmp_path / "own.rviz").touch()
    assert layout_of(str(tmp_path / "own.rviz")) == str(tmp_path / "own.rviz")
    with pytest.raises(ValueError, match="layout: got 'sideways', expected optical, z_up or the path of a file"):
        layout_of("sideways")


# ---- what they do


class Drivers:
    """A node with a camera driver for each of some topics, and a listener to each of some topics of tracks."""

    def __init__(self, images: list[str], tracks: list[str]) -> None:
        self.node = Node("drivers")
        self._publishers = [self.node.create_publisher(Image, topic, qos_profile_sensor_data) for topic in images]
        self.received: dict[str, list[TrackedDetectionArray]] = {topic: [] for topic in tracks}
        for topic, kept in self.received.items():
            self.node.create_subscription(TrackedDetectionArray, topic, kept.append, 10)
        self.node.create_timer(0.1, self._drive)

    def _drive(self) -> None:
        header = Header(stamp=self.node.get_clock().now().to_msg(), frame_id="camera")
        for publisher in self._publishers:
            publisher.publish(image_message(picture((100, 100, 40, 80, (40, 40, 250)))[:180, :320], header))

    def wait(self, count: int = 3) -> None:
        """Wait for a few further messages of tracks on every topic."""
        before = {topic: len(kept) for topic, kept in self.received.items()}
        for topic, kept in self.received.items():
            wait_until(lambda kept=kept, topic=topic: len(kept) >= before[topic] + count, f"tracks on {topic}", 30.0)
            assert len(kept[-1].tracks) == 1


def test_respawn(tmp_path: Path) -> None:
    """Killed with -9 the node comes back and tracks; Ctrl-C ends everything and is not followed by a respawn."""
    drivers = Drivers(["/front/image_raw"], ["/perception/tracker/tracks"])
    with (
        spinning(drivers.node),
        launched("tracker.launch.py", tmp_path / "log", image="/front/image_raw", namespace="perception") as run,
    ):
        drivers.wait()
        (first,) = run.nodes()
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: len(run.nodes()) == 2, "the node to be started again")
        drivers.wait()
        assert run.interrupt() == 0
        assert not any(alive(pid) for pid in run.nodes())
        assert len(run.nodes()) == 2
        assert f"process has finished cleanly [pid {run.nodes()[1]}]" in run.text()
        assert "Traceback" not in run.text()


def test_without_respawn_the_launch_ends_with_the_node(tmp_path: Path) -> None:
    with launched("tracker.launch.py", tmp_path / "log", respawn="false") as run:
        wait_until(lambda: "active: waiting for images" in run.text(), "the node to be active")
        os.kill(run.nodes()[0], signal.SIGKILL)
        run.process.wait(10)
        assert len(run.nodes()) == 1


def test_one_node_for_several_cameras(tmp_path: Path) -> None:
    drivers = Drivers(["/front/image_raw", "/left/image_raw"], ["/tracker/front/tracks", "/tracker/left/tracks"])
    with (
        spinning(drivers.node),
        launched("multi_camera.launch.py", tmp_path / "log", cameras="front,left", image="/{camera}/image_raw") as run,
    ):
        drivers.wait()
        assert run.interrupt() == 0
        assert len(run.nodes()) == 1
        assert "Traceback" not in run.text()


def test_a_replay_ends_where_the_tracker_cannot_be_configured(tmp_path: Path) -> None:
    with launched("replay.launch.py", tmp_path / "log", bag="none", image="/image", weights="broken") as run:
        assert run.process.wait(20) == 0
        assert "configure failed: broken: not a weights file" in run.text()
        assert "Traceback" not in run.text()
        assert not any(alive(pid) for pid in run.nodes())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ros2") is None, reason="needs a ROS distribution's `ros2 bag`")
def test_a_bag_is_replayed_and_its_tracks_are_recorded(tmp_path: Path) -> None:
    pytest.importorskip("rosbag2_py", reason="needs a ROS distribution's rosbag2")
    images = [picture((40 + 4 * number, 100, 40, 80, (40, 40, 250))) for number in range(25)]
    write_bag(tmp_path / "bag", map(BagFrame, images), frame_rate=25.0, storage="sqlite3")
    arguments = {"bag": str(tmp_path / "bag"), "image": "/camera/image", "record": str(tmp_path / "tracks")}
    with launched("replay.launch.py", tmp_path / "log", **arguments) as run:
        assert run.process.wait(60) == 0
        assert "25 images received, 25 tracked" in run.text()
        assert "Traceback" not in run.text()
    with Reader(tmp_path / "tracks") as recorded:
        counts = {connection.topic: connection.msgcount for connection in recorded.connections}
    assert counts["/replay/tracker/tracks"] == counts["/replay/tracker/detections"] == 25
    assert counts["/replay/tracker/label_info"] == 1
