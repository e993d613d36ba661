"""The SROS 2 policy holds exactly what a live node uses: whatever is missing or too much is named."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built messages: run through `make test`")

from blobs import blob_pipeline
from graph import spinning, wait_until
from rclpy.node import Node
from rclpy.parameter import Parameter

from qdtrack_ros.input.video import VIDEO_TOPICS, VIDEO_TYPES
from qdtrack_ros.node import TrackerNode

POLICY = Path(__file__).parents[2] / "config" / "node" / "sros2" / "qdtrack.policy.xml"
NAMESPACE = "/guarded"  # the graph may still know a tracker of another test, which has ended, by the usual name
SINCE_JAZZY = {("service reply", f"{NAMESPACE}/tracker/get_type_description")}
ABSENT = {("topic subscribe", f"{NAMESPACE}/{topic}") for topic in VIDEO_TOPICS if topic not in VIDEO_TYPES}

Use = tuple[str, str]  # what is done, name of the topic or service


def allowed() -> list[Use]:
    """What the policy allows, by the names of a node in NAMESPACE."""
    profile = ElementTree.parse(POLICY).getroot().find("enclaves/enclave[@path='/tracker']/profiles/profile")
    assert profile is not None
    assert profile.get("ns") == "/"
    namespace, node = f"{NAMESPACE}/", profile.get("node", "")
    uses = []
    for group in profile:
        (action,) = group.attrib
        assert group.attrib[action] == "ALLOW"
        for entry in group:
            text = (entry.text or "").replace("~", f"{namespace}{node}", 1)
            uses.append((f"{entry.tag} {action}", text if text.startswith("/") else namespace + text))
    return uses


def used(observer: Node) -> set[Use]:
    """What the tracker in NAMESPACE does in the graph."""
    queries = {
        "topic publish": observer.get_publisher_names_and_types_by_node,
        "topic subscribe": observer.get_subscriber_names_and_types_by_node,
        "service reply": observer.get_service_names_and_types_by_node,
        "service request": observer.get_client_names_and_types_by_node,
    }
    return {(use, name) for use, query in queries.items() for name, _ in query("tracker", NAMESPACE)}


def test_the_policy_allows_what_the_node_uses_and_nothing_else() -> None:
    simulated = Parameter("use_sim_time", value=True)
    node = TrackerNode(blob_pipeline, namespace=NAMESPACE, parameter_overrides=[simulated])
    observer = Node("observer")
    with spinning(node, observer):
        node.start()
        policy = set(allowed()) - ABSENT
        with suppress(AssertionError):  # what differs says more than that something does
            wait_until(lambda: used(observer) in (policy, policy - SINCE_JAZZY), "the whole node to be seen")
        live = used(observer)
        node.close()
    missing, needless = live - policy, policy - live - SINCE_JAZZY
    assert not missing, f"missing in the policy: {sorted(missing)}"
    assert not needless, f"too much in the policy: {sorted(needless)}"
