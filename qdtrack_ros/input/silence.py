"""Why no images come: what a person would look for with ``ros2 topic info --verbose``."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node

from qdtrack_ros.input.camera import IMAGE_TOPICS, Camera
from qdtrack_ros.input.video import MISSING_VIDEO, VIDEO_TYPES


def describe_silence(node: Node, camera: Camera) -> str:
    """Why there may be no images: who publishes on the camera's topics, and which image topics there are instead."""
    findings = []
    for name, topic in camera.topics.items():
        publishers = node.get_publishers_info_by_topic(topic)
        if not publishers:
            if name not in VIDEO_TYPES:
                findings.append(f"{topic} has no publisher")
            continue
        wrong = {p.topic_type for p in publishers} - {_type_name(IMAGE_TOPICS[name])}
        if wrong:
            findings.append(f"{topic} carries {', '.join(sorted(wrong))} instead of {_type_name(IMAGE_TOPICS[name])}")
        else:
            kinds = sorted({p.qos_profile.reliability.name.lower() for p in publishers})
            findings.append(f"{topic} has {len(publishers)} publisher(s), {' and '.join(kinds)}, and nothing came")
    findings += [f"incompatible QoS, {text}" for text in camera.incompatible()]
    own = {*camera.topics.values(), camera.depth.topic if camera.depth is not None else ""}
    others = _image_topics(node) - own - {subscription.topic_name for subscription in node.subscriptions}
    if others:
        findings.append(f"image topics seen: {', '.join(sorted(others))} (remap with -r {camera.prefix}image:=TOPIC)")
    return "; ".join([*findings, *MISSING_VIDEO])


def _type_name(kind: type[Any]) -> str:
    return f"{kind.__module__.partition('.')[0]}/msg/{kind.__name__}"


def _image_topics(node: Node) -> set[str]:
    wanted = {_type_name(kind) for kind in IMAGE_TOPICS.values()}
    own = f"{node.get_fully_qualified_name()}/"
    return {
        topic
        for topic, types in node.get_topic_names_and_types()
        if wanted & set(types) and not topic.startswith(own) and node.count_publishers(topic) > 0
    }
