"""What the class ids of detections mean and which network finds them, kept for whoever subscribes later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from std_msgs.msg import Header
from vision_msgs.msg import LabelInfo, VisionClass, VisionInfo


@dataclass(frozen=True)
class ClassSource:
    """Where the classes come from.

    Attributes:
        classes: their names, by class id.
        architecture: kind of the network.
        weights: what was loaded: a name or a path.
        version: counts up whenever another source takes the place of this one.
    """

    classes: tuple[str, ...] = ()
    architecture: str = ""
    weights: str = ""
    version: int = 0

    def followed_by(self, classes: Sequence[str], architecture: str, weights: str) -> ClassSource:
        """The source that is used next: this one, or a new version."""
        same = (self.classes, self.architecture, self.weights) == (tuple(classes), architecture, weights)
        return self if same else ClassSource(tuple(classes), architecture, weights, self.version + 1)


class LabelsPublisher:
    """``label_info``, by which standard tools name classes, and ``vision_info``; both latched.

    Their header has the frame of the camera, which its images tell: with the first of another frame both are told anew.
    """

    def __init__(self, node: LifecycleNode, prefix: str, source: ClassSource) -> None:
        self._node = node
        self._source = source
        self._frame, self._threshold = "", 0.0
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        overridable = QoSOverridingOptions.with_default_policies()
        self._labels = node.create_lifecycle_publisher(
            LabelInfo, f"{prefix}label_info", latched, qos_overriding_options=overridable
        )
        self._vision = node.create_lifecycle_publisher(
            VisionInfo, f"{prefix}vision_info", latched, qos_overriding_options=overridable
        )

    def publish(self, stamp: Header, threshold: float) -> None:
        """Tell both anew; detections with a score below ``threshold`` are not published."""
        self._threshold = threshold
        header = Header(stamp=stamp.stamp, frame_id=self._frame)
        self._labels.publish(label_info_message(self._source.classes, header, threshold))
        self._vision.publish(vision_info_message(self._source, header))

    def follow(self, image: Header) -> None:
        """Take the camera's frame from an image."""
        if image.frame_id != self._frame:
            self._frame = image.frame_id
            self.publish(image, self._threshold)

    def close(self) -> None:
        """Remove the publishers."""
        for publisher in (self._labels, self._vision):
            self._node.destroy_lifecycle_publisher(publisher)


def label_info_message(classes: Sequence[str], header: Header, threshold: float) -> LabelInfo:
    """The names behind the ``class_id`` of the detections."""
    entries = [VisionClass(class_id=index, class_name=name) for index, name in enumerate(classes)]
    return LabelInfo(header=header, class_map=entries, threshold=threshold)


def vision_info_message(source: ClassSource, header: Header) -> VisionInfo:
    """Which network finds the classes, and in which weights they stand."""
    return VisionInfo(
        header=header,
        method=f"qdtrack {source.architecture}",
        database_location=source.weights,
        database_version=source.version,
    )
