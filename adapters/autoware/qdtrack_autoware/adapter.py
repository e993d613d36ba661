"""A node that hands the tracks of one camera on to Autoware.

``ros2 run qdtrack_autoware adapter --ros-args -r tracks:=/tracker/tracks -r detections_3d:=/tracker/detections_3d
-r label_info:=/tracker/label_info``
"""

from __future__ import annotations

from contextlib import suppress

import rclpy
from autoware_perception_msgs.msg import TrackedObjects
from qdtrack.msg import TrackedDetectionArray
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from tier4_perception_msgs.msg import DetectedObjectsWithFeature
from vision_msgs.msg import Detection3DArray, LabelInfo

from qdtrack_autoware.conversions import objects_with_feature, tracked_objects


class Adapter(Node):
    """Takes ``tracks``, ``detections_3d`` and ``label_info``; publishes ``rois`` and ``tracked_objects``."""

    def __init__(self) -> None:
        super().__init__("qdtrack_autoware")
        self._session: int | None = None
        self._names: dict[str, str] = {}
        self._rois = self.create_publisher(DetectedObjectsWithFeature, "rois", 10)
        self._objects = self.create_publisher(TrackedObjects, "tracked_objects", 10)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.create_subscription(LabelInfo, "label_info", self._on_labels, latched)
        self.create_subscription(TrackedDetectionArray, "tracks", self._on_tracks, 10)
        self.create_subscription(Detection3DArray, "detections_3d", self._on_detections, 10)

    def _on_labels(self, message: LabelInfo) -> None:
        self._names = {str(entry.class_id): entry.class_name for entry in message.class_map}

    def _on_tracks(self, message: TrackedDetectionArray) -> None:
        self._session = message.session
        self._rois.publish(objects_with_feature(message))

    def _on_detections(self, message: Detection3DArray) -> None:
        if self._session is not None:  # tracks of an image come before its places in space
            camera = self.resolve_topic_name("tracks")
            self._objects.publish(tracked_objects(message, self._names, self._session, camera))


def main() -> None:
    """Run the node until it is interrupted."""
    rclpy.init()
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(Adapter())
