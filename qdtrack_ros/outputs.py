"""What the node publishes for one camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qdtrack.msg import TrackedDetectionArray
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, LabelInfo

from qdtrack_model.structures import Array, Tracks
from qdtrack_ros.conversions import detections_message, label_info_message, tracks_message
from qdtrack_ros.overlay import OverlayPublisher


@dataclass(frozen=True)
class OutputOptions:
    """The parameters that shape what is published; they may change at any time."""

    min_score: float
    lost: bool
    embeddings: bool
    overlay_trail: int


class Outputs:
    """Publishers of tracks, detections, their labels, and the overlay; silent while the node is inactive."""

    def __init__(self, node: LifecycleNode, classes: Sequence[str]) -> None:
        self._node = node
        self._classes = tuple(classes)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        overridable = QoSOverridingOptions.with_default_policies()
        self._tracks = node.create_lifecycle_publisher(
            TrackedDetectionArray, "~/tracks", 10, qos_overriding_options=overridable
        )
        self._detections = node.create_lifecycle_publisher(
            Detection2DArray, "~/detections", 10, qos_overriding_options=overridable
        )
        self._labels = node.create_lifecycle_publisher(LabelInfo, "~/label_info", latched)
        self._overlay_publisher = node.create_lifecycle_publisher(
            Image, "~/overlay", 2, qos_overriding_options=overridable
        )
        self._overlay = OverlayPublisher(self._overlay_publisher, self._classes)

    def begin(self, stamp: Header, threshold: float) -> None:
        """At every activation: tell the labels, and start the trails afresh, because the ids do."""
        self.publish_labels(stamp, threshold)
        self._overlay.reset()

    def publish_labels(self, stamp: Header, threshold: float) -> None:
        """Tell (also those who subscribe later) which class each ``class_id`` is."""
        self._labels.publish(label_info_message(self._classes, stamp, threshold))

    def publish(self, tracks: Tracks, lost: Tracks, header: Header, image: Array, options: OutputOptions) -> None:
        """Publish the tracks of one image, and the remembered ones to be told with them, under the image's header."""
        shown, lost = tracks[tracks.scores >= options.min_score], lost[lost.scores >= options.min_score]
        size = (image.shape[1], image.shape[0])
        message = tracks_message(shown, header, size, self._classes, options.embeddings)
        message.tracks.extend(tracks_message(lost, header, size, self._classes, options.embeddings).tracks)
        self._tracks.publish(message)
        if self._detections.get_subscription_count() > 0:
            self._detections.publish(detections_message(shown, header))
        self._overlay.publish(image, shown, header, options.overlay_trail)

    def close(self) -> None:
        """Remove the publishers."""
        for publisher in (self._tracks, self._detections, self._labels, self._overlay_publisher):
            self._node.destroy_lifecycle_publisher(publisher)
