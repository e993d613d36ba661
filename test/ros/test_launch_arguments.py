"""What launch files start the node with for given arguments, tested where ROS brings no launch, too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from qdtrack_ros import launch_arguments
from qdtrack_ros.launch_arguments import (
    LAYOUTS,
    camera_names,
    enclave,
    input_names,
    node_parameters,
    remappings,
    rviz_remappings,
    truth,
)

CONFIG = Path(__file__).parents[2] / "config" / "node"


def tables() -> Iterator[tuple[str, launch_arguments.Arguments]]:
    for name, value in vars(launch_arguments).items():
        if name.isupper() and isinstance(value, dict):
            yield name, value


@pytest.mark.parametrize(("name", "table"), tables())
def test_every_argument_is_described(name: str, table: launch_arguments.Arguments) -> None:
    for argument, (default, description) in table.items():
        assert default is None or isinstance(default, str), argument
        assert description.endswith("."), argument


@pytest.mark.parametrize("image", ["/front/image_raw", "/front/image_raw/compressed"])
def test_the_topics_of_a_camera_follow_the_one_of_its_images(image: str) -> None:
    assert remappings({"image": image}, []) == {
        "image": "/front/image_raw",
        "image/compressed": "/front/image_raw/compressed",
        "image/ffmpeg": "/front/image_raw/ffmpeg",
        "image/foxglove": "/front/image_raw/foxglove",
        "camera_info": "/front/camera_info",
        "depth": "depth",
    }


def test_every_camera_has_its_topics() -> None:
    values = {"cameras": "front, left", "image": "/{camera}/image_raw", "camera_info": "/info/{camera}"}
    assert camera_names(values) == ["front", "left"]
    assert remappings(values, ["front", "left"]) == {
        "front/image": "/front/image_raw",
        "front/image/compressed": "/front/image_raw/compressed",
        "front/image/ffmpeg": "/front/image_raw/ffmpeg",
        "front/image/foxglove": "/front/image_raw/foxglove",
        "front/camera_info": "/info/front",
        "front/depth": "front/depth",
        "left/image": "/left/image_raw",
        "left/image/compressed": "/left/image_raw/compressed",
        "left/image/ffmpeg": "/left/image_raw/ffmpeg",
        "left/image/foxglove": "/left/image_raw/foxglove",
        "left/camera_info": "/info/left",
        "left/depth": "left/depth",
    }
    assert input_names(["front", "left"]) == list(remappings(values, ["front", "left"]))
    with pytest.raises(ValueError, match=r"'/image_raw' for 2 cameras, expected \{camera\} in it"):
        remappings({"image": "/image_raw"}, ["front", "left"])
    with pytest.raises(ValueError, match="expected the name of the camera"):
        remappings({"image": "/{camera}/image_raw"}, [])


def test_depth_is_taken_where_its_topic_is_given() -> None:
    values = {"image": "/{camera}/image_raw", "depth": "/{camera}/depth"}
    rules = remappings(values, ["front", "left"])
    assert (rules["front/depth"], rules["left/depth"]) == ("/front/depth", "/left/depth")
    assert node_parameters(values, ["front", "left"]) == {"cameras": ["front", "left"], "depth": True}
    assert node_parameters({"image": "/image", "depth": ""}, []) == {}


def test_only_what_is_given_wins_over_the_parameter_file() -> None:
    assert node_parameters({"weights": "", "runtime": " ", "precision": "", "autostart": ""}, []) == {}
    values = {"weights": "plaza", "runtime": "torch", "use_sim_time": "true", "autostart": "False"}
    expected = {"weights": "plaza", "runtime": "torch", "use_sim_time": True, "autostart": False}
    assert node_parameters(values, []) == expected
    assert (enclave({"enclave": ""}), enclave({"enclave": "/tracker"})) == ("/", "/tracker")


def test_a_bad_truth_value_is_named() -> None:
    with pytest.raises(ValueError, match="autostart: got 'maybe', expected true or false"):
        node_parameters({"autostart": "maybe"}, [])
    assert truth({"respawn": " TRUE "}, "respawn")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rviz_finds_every_topic_of_its_layouts(layout: str) -> None:
    shown = yaml.safe_load((CONFIG / f"{layout}.rviz").read_text())["Visualization Manager"]["Displays"]
    topics = {display["Topic"]["Value"] for display in shown if "Topic" in display}
    rules = rviz_remappings({"camera": "front", "image": "/front/image_raw"})
    assert topics | {"/camera_info", "/image/camera_info"} == set(rules)
    assert rules["/tracker/overlay"] == "tracker/front/overlay"
    assert rules["/image/camera_info"] == rules["/camera_info"] == "/front/camera_info"
    assert rviz_remappings({"image": "/image"})["/tracker/markers"] == "tracker/markers"
    with pytest.raises(ValueError, match="expected the name of the camera"):
        rviz_remappings({"image": "/{camera}/image_raw"})
