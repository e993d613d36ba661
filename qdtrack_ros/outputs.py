"""What the node publishes for one camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from qdtrack.msg import TrackedDetectionArray
from rclpy.lifecycle import LifecycleNode
from rclpy.qos_overriding_options import QoSOverridingOptions
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from qdtrack_model.overlay import Trails
from qdtrack_ros.annotations import AnnotationsPublisher
from qdtrack_ros.conversions import detections_message, tracks_message
from qdtrack_ros.frame import TrackedFrame
from qdtrack_ros.labels import ClassSource, LabelsPublisher
from qdtrack_ros.markers import MarkersPublisher
from qdtrack_ros.overlay import OverlayPublisher


@dataclass(frozen=True)
class OutputOptions:
    """The parameters that shape what is published; they may change at any time."""

    min_score: float
    lost: bool
    embeddings: bool
    trail: int


class Picture(Protocol):
    """Something drawn of every image for people to look at."""

    @property
    def wanted(self) -> bool:
        """Whether somebody looks."""

    def publish(self, frame: TrackedFrame, trails: Trails) -> None:
        """Draw and publish; ``trails`` end in this frame."""

    def close(self) -> None:
        """Remove the publishers."""


class Outputs:
    """Publishers of tracks, detections, their labels and pictures; silent while the node is inactive.

    Nothing is computed that nobody subscribes to. The pictures share their trails, which begin when somebody begins to
    look at one of them.

    Args:
        node: owner of the publishers.
        prefix: what the topics begin with: ``~/``, or ``~/front/`` for one camera of several.
        source: of the classes.
    """

    def __init__(self, node: LifecycleNode, prefix: str, source: ClassSource) -> None:
        self._node = node
        self._classes = source.classes
        overridable = QoSOverridingOptions.with_default_policies()
        self._tracks = node.create_lifecycle_publisher(
            TrackedDetectionArray, f"{prefix}tracks", 10, qos_overriding_options=overridable
        )
        self._detections = node.create_lifecycle_publisher(
            Detection2DArray, f"{prefix}detections", 10, qos_overriding_options=overridable
        )
        self._labels = LabelsPublisher(node, prefix, source)
        self._pictures: list[Picture] = [
            kind(node, prefix, source.classes) for kind in (OverlayPublisher, MarkersPublisher, AnnotationsPublisher)
        ]
        self._trails: Trails | None = None

    def begin(self, stamp: Header, threshold: float) -> None:
        """At every activation: tell the labels, and start the trails afresh, because the ids do."""
        self.publish_labels(stamp, threshold)
        self.reset()

    def reset(self) -> None:
        """Forget what was drawn: the next ids are other objects."""
        self._trails = None

    def publish_labels(self, stamp: Header, threshold: float) -> None:
        """Tell (also those who subscribe later) which class each ``class_id`` is."""
        self._labels.publish(stamp, threshold)

    def publish(self, frame: TrackedFrame, options: OutputOptions) -> None:
        """Publish whatever somebody subscribes to of one image."""
        if self._tracks.get_subscription_count() > 0:
            self._tracks.publish(self._tracks_message(frame, options.embeddings))
        if self._detections.get_subscription_count() > 0:
            self._detections.publish(detections_message(frame.tracks, frame.header))
        self._publish_pictures(frame, options.trail)

    def _publish_pictures(self, frame: TrackedFrame, length: int) -> None:
        wanted = [picture for picture in self._pictures if picture.wanted]
        if not wanted:
            self._trails = None
            return
        if self._trails is None or self._trails.length != length:
            self._trails = Trails(length)
        self._trails.extend(frame.tracks)
        for picture in wanted:
            picture.publish(frame, self._trails)

    def _tracks_message(self, frame: TrackedFrame, embeddings: bool) -> TrackedDetectionArray:
        message = tracks_message(frame.tracks, frame.header, frame.size, self._classes, embeddings)
        message.tracks.extend(tracks_message(frame.lost, frame.header, frame.size, self._classes, embeddings).tracks)
        return message

    def close(self) -> None:
        """Remove the publishers."""
        for publisher in (self._tracks, self._detections):
            self._node.destroy_lifecycle_publisher(publisher)
        self._labels.close()
        for picture in self._pictures:
            picture.close()
