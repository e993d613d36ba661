"""The layouts of RViz, as far as files tell: every display finds its topic, and every panel its place in the window."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from blobs import blob_pipeline
from rclpy.parameter import Parameter
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    LivelinessPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)
from scenes import CLASSES, calibration, frame_of, tracks_at, trails_of
from sensor_msgs.msg import CompressedImage, Image
from visualization_msgs.msg import MarkerArray

from qdtrack_model.sensors.depth import Boxes3D
from qdtrack_ros.node import TrackerNode
from qdtrack_ros.output.markers import image_plane, markers_message

CONFIG = Path(__file__).parents[2] / "config" / "node"
Layout = dict[str, Any]


@pytest.fixture(params=["optical", "z_up"])
def layout(request: pytest.FixtureRequest) -> Layout:
    return read(request.param)


def read(name: str) -> Layout:
    return yaml.safe_load((CONFIG / f"{name}.rviz").read_text(encoding="utf-8"))


def displays(layout: Layout) -> dict[str, Layout]:
    return {one["Name"]: one for one in layout["Visualization Manager"]["Displays"]}


def kind(display: Layout) -> str:
    return display["Class"].removeprefix("rviz_default_plugins/")


@pytest.fixture(scope="module")
def node() -> Iterator[TrackerNode]:
    """A node that is active, without a namespace and with everything it can publish."""
    node = TrackerNode(blob_pipeline, parameter_overrides=[Parameter("depth", value=True)])
    node.start()
    yield node
    node.close()
    node.destroy_node()


def test_every_display_finds_its_topic(layout: Layout, node: TrackerNode) -> None:
    published = {one.topic_name: one for one in node.publishers}
    taken = {one.topic_name: one for one in node.subscriptions}
    shown = {name: one for name, one in displays(layout).items() if "Topic" in one}
    assert {kind(one) for one in shown.values()} == {"Camera", "Image", "MarkerArray"}
    for name, display in shown.items():
        wanted = display["Topic"]
        topic, compressed = wanted["Value"], wanted["Value"].endswith("/compressed")
        message = MarkerArray if kind(display) == "MarkerArray" else CompressedImage if compressed else Image
        # What the node takes from a camera, RViz takes as well; all else comes from the node.
        known = (taken if kind(display) == "Camera" else published)[topic]
        assert known.msg_type is message, name
        if topic in published:
            asked = QoSProfile(
                depth=wanted["Depth"],
                history=HistoryPolicy[wanted["History Policy"].upper().replace(" ", "_")],
                reliability=ReliabilityPolicy[wanted["Reliability Policy"].upper().replace(" ", "_")],
                durability=DurabilityPolicy[wanted["Durability Policy"].upper()],
                liveliness=LivelinessPolicy.AUTOMATIC,
            )
            (offered,) = node.get_publishers_info_by_topic(topic)
            verdict, reason = qos_check_compatible(offered.qos_profile, asked)
            assert verdict == QoSCompatibility.OK, f"{name}: {reason}"


def docks(layout: Layout) -> dict[str, bool]:
    """The panels with a place in the window, and whether they show.

    QMainWindow::saveState writes for a panel a marker, its name in UTF-16 behind its length in bytes, and flags.
    """
    state = bytes.fromhex(layout["Window Geometry"]["QMainWindow State"])
    found = {}
    for marker in re.finditer(rb"\xfb\x00\x00\x00(.)", state, re.DOTALL):
        end = marker.end() + marker[1][0]
        found[state[marker.end() : end].decode("utf-16-be")] = bool(state[end] & 1)
    return found


def test_every_panel_has_its_place(layout: Layout) -> None:
    """A display without one gets it from RViz, in one column with all others, and is switched on by it."""
    expected = {panel["Name"]: True for panel in layout["Panels"]}
    expected |= {name: one["Enabled"] for name, one in displays(layout).items() if kind(one) in ("Camera", "Image")}
    assert docks(layout) == expected


def test_no_side_of_the_window_is_hidden(layout: Layout) -> None:
    """RViz reads both keys into a variable that it does not initialise."""
    geometry = layout["Window Geometry"]
    assert geometry["Hide Left Dock"] is geometry["Hide Right Dock"] is False


def test_nothing_that_is_shown_needs_plugins(layout: Layout) -> None:
    """RViz aborts where a display asks for a transport of images that is not installed."""
    shown = [one["Topic"]["Value"] for one in displays(layout).values() if one["Enabled"] and "Topic" in one]
    assert shown
    assert not [topic for topic in shown if topic.rpartition("/")[2] in ("compressed", "compressedDepth", "theora")]


def test_markers_in_space_do_not_clutter_the_image(layout: Layout) -> None:
    tracks = tracks_at([[100, 60, 240, 180]])
    space = Boxes3D(np.array([0]), np.array([[0, 0, 5.0]]), np.array([[1, 1, 1.0]]), np.zeros((1, 3, 3)))
    frame = frame_of(tracks, info=calibration(), boxes3d=space)
    assert frame.info is not None
    moments = trails_of(tracks, tracks_at([[110, 60, 250, 180]]))
    message = markers_message(frame, image_plane(frame.info, frame.size), moments, CLASSES)
    published = {marker.ns for marker in message.markers if marker.ns}
    arrays = {name: one for name, one in displays(layout).items() if kind(one) == "MarkerArray"}
    assert all(set(one["Namespaces"]) == published for one in arrays.values()), "a namespace that is not named is shown"
    shown = {name: {space for space, on in one["Namespaces"].items() if on} for name, one in arrays.items()}
    assert shown == {"Tracks": {"boxes", "ids", "trails"}, "Tracks in space": {"boxes_3d", "ids_3d"}}
    for camera in (one for one in displays(layout).values() if kind(one) == "Camera"):
        others = displays(layout).keys() - {camera["Name"]}
        assert camera["Visibility"] == {name: name == "Tracks" for name in others} | {"Value": True}


def test_the_layouts_differ_in_what_their_frames_ask_for() -> None:
    optical, z_up = read("optical"), read("z_up")
    frames = []
    for one in (optical, z_up):
        manager = one["Visualization Manager"]
        frames.append(manager["Global Options"].pop("Fixed Frame"))
        grid = displays(one)["Grid"]
        frames.append(grid.pop("Plane"))
        del grid["Offset"], manager["Views"]["Current"]
    assert frames == ["camera_optical_frame", "XZ", "base_link", "XY"]
    assert optical == z_up
