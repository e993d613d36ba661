"""The launch files, where ROS brings launch: arguments described, topics remapped, and really run."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("launch", reason="needs a ROS distribution's launch (there is none on PyPI)")
pytest.importorskip("launch_ros", reason="needs a ROS distribution's launch_ros (there is none on PyPI)")
pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

import launch
from drivers import Drivers, street
from graph import PATIENCE, spinning, wait_until
from launched import ROOT, alive, launched
from rosbags.rosbag2 import Reader

from qdtrack_model.data.bags import BagFrame, write_bag
from qdtrack_ros.launch_arguments import LAYOUTS, node_parameters, remappings, rviz_remappings

FILES = {path.name: path for path in sorted((ROOT / "launch").glob("*.launch.py"))}


def description(name: str) -> Any:
    specification = importlib.util.spec_from_file_location(name.partition(".")[0], FILES[name])
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.generate_launch_description()


def made(name: str, **arguments: str) -> tuple[Any, launch.LaunchContext]:
    """The node action that a launch file makes of these arguments, or of others that stand around it; its context."""
    context = launch.LaunchContext()
    context.launch_configurations.update(arguments)
    actions: list[Any] = []
    for entity in description(name).entities:
        actions += [entity] if isinstance(entity, launch.actions.ExecuteProcess) else entity.visit(context) or []
    (node,) = [action for action in actions if isinstance(action, launch.actions.ExecuteProcess)]
    node._perform_substitutions(context)
    return node, context


def own_parameters(node: Any) -> Any:
    """What is in the parameter file of the arguments, the second one."""
    (_, own) = [Path(file).read_text() for file, _ in node._Node__expanded_parameter_arguments]
    return yaml.safe_load(own)["/**"]["ros__parameters"]


def argument(made: tuple[Any, launch.LaunchContext], name: str) -> str:
    """What follows this name on the command line, whose substitutions are performed one by one."""
    node, context = made
    names = [getattr(part[0], "text", "") for part in node.cmd]
    return launch.utilities.perform_substitutions(context, node.cmd[names.index(name) + 1])


# ---- what they say


@pytest.mark.parametrize("name", FILES)
def test_every_argument_is_described(name: str) -> None:
    arguments = {argument.name: argument.description for argument in description(name).get_launch_arguments()}
    assert {"namespace", "image", "image_compressed", "camera_info"} <= set(arguments)
    assert name == "rviz.launch.py" or "params_file" in arguments
    assert name == "replay.launch.py" or "use_sim_time" in arguments
    assert all(text.endswith(".") for text in arguments.values())


def test_the_node_is_made_as_the_arguments_say() -> None:
    values = {"cameras": "front, left", "image": "/{camera}/image_raw", "depth": "/{camera}/depth"}
    values |= {"namespace": "here", "use_sim_time": "true"}
    node, _ = made("multi_camera.launch.py", **values)
    assert dict(node.expanded_remapping_rules) == remappings(values, ["front", "left"])
    assert node.expanded_node_namespace == "/here"
    assert own_parameters(node) == node_parameters(values, ["front", "left"])
    rviz, _ = made("rviz.launch.py", camera="front", image="/front/image_raw")
    assert dict(rviz.expanded_remapping_rules) == rviz_remappings({"camera": "front", "image": "/front/image_raw"})


def test_what_launch_files_around_ours_have_set_is_none_of_its_arguments() -> None:
    node, _ = made("tracker.launch.py", cameras="front,left", camera="rear", image="/front/image_raw")
    assert dict(node.expanded_remapping_rules) == remappings({"image": "/front/image_raw"}, [])
    assert own_parameters(node) == {"use_sim_time": False}
    of_rviz = description("tracker.launch.py").entities[-1]
    assert list(of_rviz.launch_arguments) == [("camera", "")]
    replay = made("replay.launch.py", bag="bag", image="/image", enclave="/other", autostart="true")
    assert argument(replay, "--enclave") == "/"


@pytest.mark.parametrize("name", ["tracker.launch.py", "rviz.launch.py"])
def test_print_shows_the_node(name: str) -> None:
    shown = launch.LaunchIntrospector().format_launch_description(description(name))
    assert "OpaqueFunction" not in shown
    assert "ExecuteProcess(cmd=[" in shown


@pytest.mark.parametrize("name", LAYOUTS)
def test_rviz_has_a_layout_for_each_kind_of_frame(name: str, tmp_path: Path) -> None:
    def layout_of(layout: str) -> str:
        rviz = made("rviz.launch.py", layout=layout, frame="map")
        assert argument(rviz, "-f") == "map"
        return argument(rviz, "-d")

    assert Path(layout_of(name)).samefile(ROOT / "config" / "node" / f"{name}.rviz")
    (tmp_path / "own.rviz").touch()
    assert layout_of(str(tmp_path / "own.rviz")) == str(tmp_path / "own.rviz")
    with pytest.raises(ValueError, match="layout: got 'sideways', expected optical, z_up or the path of a file"):
        layout_of("sideways")


# ---- what they do


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
        run.process.wait(PATIENCE)
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
        assert run.process.wait(PATIENCE) == 0
        assert re.search("configure failed: .*'broken'", run.text())
        assert "Traceback" not in run.text()
        assert not any(alive(pid) for pid in run.nodes())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ros2") is None, reason="needs a ROS distribution's `ros2 bag`")
def test_a_bag_is_replayed_and_its_tracks_are_recorded(tmp_path: Path) -> None:
    pytest.importorskip("rosbag2_py", reason="needs a ROS distribution's rosbag2")
    write_bag(tmp_path / "bag", [BagFrame(street())] * 25, frame_rate=25.0, storage="sqlite3")
    arguments = {"bag": str(tmp_path / "bag"), "image": "/camera/image", "record": str(tmp_path / "tracks")}
    with launched("replay.launch.py", tmp_path / "log", **arguments) as run:
        assert run.process.wait(60) == 0
        assert "25 images received, 25 tracked" in run.text()
        assert "Traceback" not in run.text()
    with Reader(tmp_path / "tracks") as recorded:
        counts = {connection.topic: connection.msgcount for connection in recorded.connections}
    assert counts["/replay/tracker/tracks"] == counts["/replay/tracker/detections"] == 25
    assert counts["/replay/tracker/label_info"] == 2  # without and with the frame of the images
