"""The adapter for Autoware, where its messages are installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")
pytest.importorskip("autoware_perception_msgs.msg", reason="Autoware's messages are not installed")
pytest.importorskip("tier4_perception_msgs.msg", reason="Autoware's messages are not installed")

from geometry_msgs.msg import Quaternion
from graph import spinning, wait_until
from qdtrack.msg import TrackedDetection, TrackedDetectionArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from scenes import CLASSES, HEADER
from std_msgs.msg import Header
from vision_msgs.msg import Detection3D, Detection3DArray, ObjectHypothesisWithPose

from qdtrack_ros.output.labels import label_info_message

FOLDER = Path(__file__).parents[2] / "adapters" / "autoware"


@pytest.fixture(autouse=True)
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


def tracks(*found: TrackedDetection) -> TrackedDetectionArray:
    return TrackedDetectionArray(header=HEADER, session=7, image_width=640, image_height=360, tracks=found)


def place(track: int, header: Header = HEADER) -> Detection3DArray:
    """A person 12 m ahead of a camera that looks along x of a frame with z up."""
    one = Detection3D(header=header, id=str(track))
    one.bbox.center.position.x = 12.0
    one.bbox.center.orientation = Quaternion(x=-0.5, y=0.5, z=-0.5, w=0.5)
    one.bbox.size.x, one.bbox.size.y, one.bbox.size.z = 0.6, 1.8, 0.4
    result = ObjectHypothesisWithPose()
    result.hypothesis.class_id, result.hypothesis.score = "0", 0.75
    result.pose.covariance = np.arange(36.0)
    one.results.append(result)
    return Detection3DArray(header=header, detections=[one])


def test_boxes_are_whole_pixels_within_the_image() -> None:
    from autoware_perception_msgs.msg import ObjectClassification
    from qdtrack_autoware.conversions import objects_with_feature

    seen = TrackedDetection(class_name="vehicle", score=0.5, state=TrackedDetection.ACTIVE)
    seen.center_x, seen.center_y, seen.size_x, seen.size_y = 20.25, 100.0, 60.0, 30.5
    lost = TrackedDetection(class_name="vehicle", state=TrackedDetection.LOST)
    other = TrackedDetection(class_name="dragon", state=TrackedDetection.TENTATIVE)
    made = objects_with_feature(tracks(seen, lost, other))
    assert made.header == HEADER
    first, second = made.feature_objects
    assert first.object.classification == [ObjectClassification(label=ObjectClassification.CAR, probability=0.5)]
    assert second.object.classification[0].label == ObjectClassification.UNKNOWN
    roi = first.feature.roi
    assert (roi.x_offset, roi.y_offset, roi.width, roi.height) == (0, 84, 51, 32)


def test_objects_in_space_stand_upright_and_keep_their_uuid() -> None:
    from qdtrack_autoware.conversions import tracked_objects

    made = [tracked_objects(place(4), {"0": "pedestrian"}, session, camera).objects[0]
            for session, camera in ((7, "front"), (7, "front"), (7, "left"), (8, "front"))]  # fmt: skip
    identities = [bytes(one.object_id.uuid) for one in made]
    assert identities[0] == identities[1] and len(set(identities)) == 3
    turn = made[0].kinematics.pose_with_covariance.pose.orientation
    assert np.allclose([turn.x, turn.y, turn.z, abs(turn.w)], [0, 0, 0, 1])
    size = made[0].shape.dimensions
    assert (size.x, size.y, size.z) == (0.4, 0.6, 1.8)
    assert made[0].kinematics.pose_with_covariance.covariance.tolist() == list(range(36))


def test_the_adapter_hands_on_what_the_tracker_publishes() -> None:
    from autoware_perception_msgs.msg import ObjectClassification, TrackedObjects
    from qdtrack_autoware.adapter import Adapter
    from tier4_perception_msgs.msg import DetectedObjectsWithFeature
    from vision_msgs.msg import LabelInfo

    adapter, other = Adapter(), Node("tracker")
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    labels = other.create_publisher(LabelInfo, "label_info", latched)
    labels.publish(label_info_message(CLASSES, HEADER, 0.0))
    out = other.create_publisher(TrackedDetectionArray, "tracks", 10)
    space = other.create_publisher(Detection3DArray, "detections_3d", 10)
    rois: list[DetectedObjectsWithFeature] = []
    objects: list[TrackedObjects] = []
    other.create_subscription(DetectedObjectsWithFeature, "rois", rois.append, 10)
    other.create_subscription(TrackedObjects, "tracked_objects", objects.append, 10)
    with spinning(adapter, other):

        def handed_on() -> bool:
            out.publish(tracks(TrackedDetection(class_name="pedestrian")))
            space.publish(place(4))
            named = [one.objects[0].classification[0].label for one in objects]
            return bool(rois) and ObjectClassification.PEDESTRIAN in named

        wait_until(handed_on, "objects of Autoware")
