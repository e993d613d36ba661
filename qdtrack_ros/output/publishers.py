"""What the node publishes for one camera."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qdtrack.msg import TrackedDetectionArray, TrackedObjectArray
from rclpy.lifecycle import LifecycleNode
from rclpy.qos_overriding_options import QoSOverridingOptions
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, Detection3DArray

from qdtrack_model.drawing.overlay import Trails
from qdtrack_ros.output.annotations import AnnotationsPublisher
from qdtrack_ros.output.conversions import (
    detections_3d_message,
    detections_message,
    objects_message,
    tracks_message,
)
from qdtrack_ros.output.frame import TrackedFrame
from qdtrack_ros.output.labels import ClassSource, LabelsPublisher
from qdtrack_ros.output.markers import MarkersPublisher
from qdtrack_ros.output.overlay import OverlayPublisher
from qdtrack_ros.output.picture import Picture


@dataclass(frozen=True)
class OutputOptions:
    """The parameters that shape what is published; they may change at any time."""

    min_score: float
    lost: bool
    embeddings: bool
    trail: int
    rectified: bool
    depth_tolerance: float


class Publishers:
    """Publishers of tracks, detections, their labels and pictures; silent while the node is inactive.

    Nothing is computed that nobody subscribes to. The pictures share their trails, which begin when somebody begins to
    look at one of them. Tracks, places in space and pictures may be published from a thread each.

    Args:
        node: owner of the publishers.
        prefix: what the topics begin with: ``~/``, or ``~/front/`` for one camera of several.
        source: of the classes.
        space: whether there are detections in space.
    """

    def __init__(self, node: LifecycleNode, prefix: str, source: ClassSource, space: bool) -> None:
        self._node = node
        self._classes = source.classes
        overridable = QoSOverridingOptions.with_default_policies()
        self._tracks = node.create_lifecycle_publisher(
            TrackedDetectionArray, f"{prefix}tracks", 10, qos_overriding_options=overridable
        )
        self._detections = node.create_lifecycle_publisher(
            Detection2DArray, f"{prefix}detections", 10, qos_overriding_options=overridable
        )
        self._space = [
            node.create_lifecycle_publisher(kind, f"{prefix}{name}", 10, qos_overriding_options=overridable)
            for kind, name in ((Detection3DArray, "detections_3d"), (TrackedObjectArray, "objects"))
            if space
        ]
        self._labels = LabelsPublisher(node, prefix, source)
        self._markers = MarkersPublisher(node, prefix, source.classes)
        self._pictures: list[Picture] = [
            OverlayPublisher(node, prefix, source.classes),
            self._markers,
            AnnotationsPublisher(node, prefix, source.classes),
        ]
        self._trails: Trails | None = None

    def begin(self, stamp: Header, threshold: float) -> None:
        """At every activation: tell the labels, and start the trails afresh, because the ids do."""
        self.publish_labels(stamp, threshold)
        self.reset()

    def reset(self) -> None:
        """Forget what was drawn: the next ids are other objects. From any thread."""
        self._trails = None

    @property
    def wants_space(self) -> bool:
        """Whether places in space are known and somebody subscribes to what tells or shows them."""
        if not self._space:
            return False
        return any(one.get_subscription_count() > 0 for one in self._space) or self._markers.wanted

    @property
    def wants_pictures(self) -> bool:
        """Whether somebody looks at one of the pictures."""
        return any(picture.wanted for picture in self._pictures)

    def publish_labels(self, stamp: Header, threshold: float) -> None:
        """Tell (also those who subscribe later) which class each ``class_id`` is."""
        self._labels.publish(stamp, threshold)

    @property
    def tracks_topic(self) -> str:
        """The topic of the tracks, resolved."""
        return str(self._tracks.topic_name)

    def publish(self, frame: TrackedFrame, options: OutputOptions) -> None:
        """Publish tracks and detections of one image, as far as somebody subscribes."""
        self._labels.follow(frame.header)
        if self._tracks.get_subscription_count() > 0:
            self._tracks.publish(self.tracks_maker(frame, options)())
        if self._detections.get_subscription_count() > 0:
            self._detections.publish(detections_message(frame.tracks, frame.header))

    def publish_space(self, frame: TrackedFrame) -> None:
        """Publish where in space the tracks of one image are."""
        if frame.placed is None or not self._space:
            return
        detections, objects = self._space
        header = Header(stamp=frame.header.stamp, frame_id=frame.frame)
        if detections.get_subscription_count() > 0:
            detections.publish(detections_3d_message(frame.tracks, frame.placed, header))
        if objects.get_subscription_count() > 0:
            objects.publish(objects_message(frame.tracks, frame.placed, header, self._classes))

    def publish_pictures(self, frame: TrackedFrame, length: int) -> None:
        """Draw one image for those who look, with trails of so many of the images that are drawn."""
        trails = self._trails
        if trails is None or trails.length != length:
            trails = self._trails = Trails(length)
        trails.extend(frame.tracks)
        for picture in self._pictures:
            if picture.wanted:
                picture.publish(frame, trails)

    def tracks_maker(self, frame: TrackedFrame, options: OutputOptions) -> Callable[[], TrackedDetectionArray]:
        """What makes the message with a frame's tracks, now or later; it does not hold on to the picture."""
        like = (frame.header, frame.size, self._classes, options.embeddings)
        tracks, lost = frame.tracks, frame.lost

        def make() -> TrackedDetectionArray:
            message = tracks_message(tracks, *like)
            message.tracks.extend(tracks_message(lost, *like).tracks)
            return message

        return make

    def close(self) -> None:
        """Remove the publishers."""
        for publisher in (self._tracks, self._detections, *self._space):
            self._node.destroy_lifecycle_publisher(publisher)
        self._labels.close()
        for picture in self._pictures:
            picture.close()
