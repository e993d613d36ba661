"""Which topics a camera takes: those beside its images where only these are remapped, and one of the two if told so."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from blobs import blob_pipeline
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data

from qdtrack_ros.input.camera import Camera
from qdtrack_ros.node import TrackerNode

BOTH = ("image", "image/compressed")


@pytest.mark.parametrize(
    ("rules", "topics", "info"),
    [
        ([], ["/image", "/image/compressed"], "/camera_info"),
        (["image:=/front/image_raw"], ["/front/image_raw", "/front/image_raw/compressed"], "/front/camera_info"),
        (
            ["image:=/front/image_raw", "image/compressed:=/jpeg", "camera_info:=/info"],
            ["/front/image_raw", "/jpeg"],
            "/info",
        ),
        (["image/compressed:=/jpeg"], ["/image", "/jpeg"], "/camera_info"),
        (["__ns:=/robot", "image:=eye"], ["/robot/eye", "/robot/eye/compressed"], "/robot/camera_info"),
    ],
    ids=["none", "image", "all", "compressed", "relative"],
)
def test_topics_follow_the_image(rules: list[str], topics: list[str], info: str) -> None:
    arguments = ["--ros-args", *(word for rule in rules for word in ("-r", rule))]
    camera, node = opened(cli_args=arguments)
    assert [camera.topics[name] for name in BOTH] == topics
    assert set(topics) <= set(camera.listening)
    assert camera.info_topic == info
    node.close()
    node.destroy_node()


@pytest.mark.parametrize(("transport", "topics"), [("raw", ["/image"]), ("compressed", ["/image/compressed"])])
def test_one_transport_can_be_chosen(transport: str, topics: list[str]) -> None:
    camera, node = opened(parameter_overrides=[Parameter("image_transport", value=transport)])
    assert list(camera.listening) == topics
    node.close()
    node.destroy_node()


def test_the_qos_of_every_topic_can_be_overridden() -> None:
    topics = {"/camera_info": "subscription", "/tracker/label_info": "publisher", "/diagnostics": "publisher"}
    overrides = [Parameter(f"qos_overrides.{topic}.{kind}.depth", value=7) for topic, kind in topics.items()]
    _, node = opened(parameter_overrides=overrides)
    held = {one.topic_name: one.qos_profile.depth for one in (*node.publishers, *node.subscriptions)}
    assert {topic: held[topic] for topic in topics} == dict.fromkeys(topics, 7)
    assert qos_profile_sensor_data.depth == 5, "another camera of the process keeps its own"
    node.close()
    node.destroy_node()


def opened(**arguments: Any) -> tuple[Camera, TrackerNode]:
    """The camera of an active node."""
    node = TrackerNode(blob_pipeline, **arguments)
    node.start()
    camera = node._cameras[0].camera
    assert camera is not None
    return camera, node
