"""Tracks as messages of Autoware."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID as Uuid
from uuid import uuid5

import numpy as np
from autoware_perception_msgs.msg import (
    ObjectClassification,
    Shape,
    TrackedObject,
    TrackedObjectKinematics,
    TrackedObjects,
)
from geometry_msgs.msg import Quaternion, Vector3
from qdtrack.msg import TrackedDetection, TrackedDetectionArray
from sensor_msgs.msg import RegionOfInterest
from tier4_perception_msgs.msg import DetectedObjectsWithFeature, DetectedObjectWithFeature
from unique_identifier_msgs.msg import UUID
from vision_msgs.msg import Detection3D, Detection3DArray

LABELS = {
    "pedestrian": ObjectClassification.PEDESTRIAN,
    "person": ObjectClassification.PEDESTRIAN,
    "cyclist": ObjectClassification.BICYCLE,
    "bicycle": ObjectClassification.BICYCLE,
    "rider": ObjectClassification.BICYCLE,
    "motorcycle": ObjectClassification.MOTORCYCLE,
    "vehicle": ObjectClassification.CAR,
    "car": ObjectClassification.CAR,
    "truck": ObjectClassification.TRUCK,
    "bus": ObjectClassification.BUS,
    "trailer": ObjectClassification.TRAILER,
}
_UNKNOWN = 1e4  # variance of a velocity that nobody knows [m^2/s^2]


def objects_with_feature(tracks: TrackedDetectionArray) -> DetectedObjectsWithFeature:
    """The tracks that the image shows, each with its box: whole pixels around it, within the image."""
    message = DetectedObjectsWithFeature(header=tracks.header)
    for track in tracks.tracks:
        if track.state == TrackedDetection.LOST:
            continue
        one = DetectedObjectWithFeature()
        one.object.existence_probability = track.score
        one.object.classification.append(_classification(track.class_name, track.score))
        one.feature.roi = _region(track, tracks.image_width, tracks.image_height)
        message.feature_objects.append(one)
    return message


def tracked_objects(
    detections: Detection3DArray, names: Mapping[str, str], session: int, camera: str
) -> TrackedObjects:
    """Tracks in space with UUIDs, in the frame that they come in.

    Args:
        detections: of one image.
        names: of the classes by their ids.
        session: of the tracks.
        camera: tells apart what several cameras give one id to.
    """
    message = TrackedObjects(header=detections.header)
    for detection in detections.detections:
        [result] = detection.results
        score = result.hypothesis.score
        one = TrackedObject(object_id=identity(session, camera, detection.id), existence_probability=score)
        one.classification.append(_classification(names.get(result.hypothesis.class_id, ""), score))
        one.kinematics = _kinematics(detection)
        size = detection.bbox.size  # x right, y down, z forward
        one.shape = Shape(type=Shape.BOUNDING_BOX, dimensions=Vector3(x=size.z, y=size.x, z=size.y))
        message.objects.append(one)
    return message


def identity(session: int, camera: str, track: str) -> UUID:
    """The UUID of a track: the same in every message, another in every session."""
    made = uuid5(Uuid(int=session), f"{camera} {track}")
    return UUID(uuid=np.frombuffer(made.bytes, np.uint8))


def _classification(name: str, score: float) -> ObjectClassification:
    return ObjectClassification(label=LABELS.get(name, ObjectClassification.UNKNOWN), probability=score)


def _region(track: TrackedDetection, width: int, height: int) -> RegionOfInterest:
    centre, half = np.array([track.center_x, track.center_y]), np.array([track.size_x, track.size_y]) / 2
    low = np.clip(np.floor(centre - half), 0, [width, height]).astype(int)
    high = np.clip(np.ceil(centre + half), 0, [width, height]).astype(int)
    sides = (high - low).tolist()
    return RegionOfInterest(x_offset=int(low[0]), y_offset=int(low[1]), width=sides[0], height=sides[1])


def _kinematics(detection: Detection3D) -> TrackedObjectKinematics:
    """Place and its covariance; which way the object looks, and how it moves, is not told."""
    [result] = detection.results
    kinematics = TrackedObjectKinematics(orientation_availability=TrackedObjectKinematics.UNAVAILABLE)
    kinematics.pose_with_covariance.pose.position = detection.bbox.center.position
    kinematics.pose_with_covariance.pose.orientation = _upright(detection.bbox.center.orientation)
    kinematics.pose_with_covariance.covariance = result.pose.covariance
    kinematics.twist_with_covariance.covariance = np.diag([_UNKNOWN] * 6).ravel()
    return kinematics


def _upright(optical: Quaternion) -> Quaternion:
    """The orientation of a body whose optical axes are turned so (REP 103): x forward, y left, z up."""
    x, y, z, w = optical.x, optical.y, optical.z, optical.w
    # times (0.5, -0.5, 0.5, 0.5), the body's axes by the optical ones
    return Quaternion(
        x=0.5 * (w + x + y + z), y=0.5 * (-w - x + y + z), z=0.5 * (w - x - y + z), w=0.5 * (w - x + y - z)
    )
