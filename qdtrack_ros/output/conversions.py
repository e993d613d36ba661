"""Images and tracks as messages, and tracks back from them."""

from __future__ import annotations

import array
import secrets
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from geometry_msgs.msg import Point, Quaternion, Vector3
from qdtrack.msg import TrackedDetection, TrackedDetectionArray, TrackedObject, TrackedObjectArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import (
    Detection2D,
    Detection2DArray,
    Detection3D,
    Detection3DArray,
    ObjectHypothesisWithPose,
)

from qdtrack_model.boxes import box_centres
from qdtrack_model.sensors.depth import Boxes3D
from qdtrack_model.structures import Array, Tracks

OVERLAY_QUALITY = 85  # of JPEGs for people to look at


def image_message(image: Array, header: Header) -> Image:
    """A BGR image (H, W, 3) as ``sensor_msgs/Image``."""
    message = Image(header=header, height=image.shape[0], width=image.shape[1], encoding="bgr8")
    message.step = 3 * image.shape[1]
    # An array.array is taken over as it is; bytes are copied item by item and an ndarray is checked item by item.
    message.data = array.array("B", np.ascontiguousarray(image).tobytes())
    return message


def compressed_message(image: Array, header: Header) -> CompressedImage:
    """A BGR image (H, W, 3) as JPEG, called as image_transport calls it."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, OVERLAY_QUALITY])
    return CompressedImage(header=header, format="bgr8; jpeg compressed bgr8", data=array.array("B", data.tobytes()))


# Of this process: whoever counts on ids sees by it that they began anew.
SESSION = secrets.randbits(64)


def tracks_message(
    tracks: Tracks, header: Header, size: tuple[int, int], classes: Sequence[str], embeddings: bool = False
) -> TrackedDetectionArray:
    """Tracks as ``qdtrack/TrackedDetectionArray``; ``size`` is width and height of the source image."""
    message = TrackedDetectionArray(header=header, session=SESSION, image_width=size[0], image_height=size[1])
    centres, sides = _centres_and_sides(tracks)
    message.tracks = [
        TrackedDetection(
            id=int(tracks.ids[row]),
            class_id=int(tracks.labels[row]),
            class_name=classes[int(tracks.labels[row])],
            score=float(tracks.scores[row]),
            center_x=float(centres[row, 0]),
            center_y=float(centres[row, 1]),
            size_x=float(sides[row, 0]),
            size_y=float(sides[row, 1]),
            age=float(tracks.ages[row]),
            time_since_seen=float(tracks.unseen[row]),
            velocity_x=float(tracks.velocities[row, 0]),
            velocity_y=float(tracks.velocities[row, 1]),
            state=int(tracks.states[row]),
            embedding=array.array("f", tracks.embeddings[row].tobytes()) if embeddings else array.array("f"),
        )
        for row in range(len(tracks))
    ]
    return message


def tracks_from_message(message: TrackedDetectionArray) -> Tracks:
    """The tracks in a ``qdtrack/TrackedDetectionArray``."""

    def column(name: str) -> list[Any]:
        return [getattr(track, name) for track in message.tracks]

    if not message.tracks:
        return Tracks.empty()
    centres = np.stack([column("center_x"), column("center_y")], axis=1)
    halves = np.stack([column("size_x"), column("size_y")], axis=1) / 2
    return Tracks(
        ids=np.array(column("id")),
        boxes=np.concatenate([centres - halves, centres + halves], axis=1),
        scores=np.array(column("score")),
        labels=np.array(column("class_id")),
        embeddings=np.array([np.asarray(e, np.float32) for e in column("embedding")], np.float32),
        velocities=np.stack([column("velocity_x"), column("velocity_y")], axis=1),
        ages=np.array(column("age")),
        unseen=np.array(column("time_since_seen")),
        states=np.array(column("state")),
    )


def detections_message(tracks: Tracks, header: Header) -> Detection2DArray:
    """Tracks as ``vision_msgs/Detection2DArray``: ``id`` is the track's, ``class_id`` the key into the label info."""
    message = Detection2DArray(header=header)
    centres, sides = _centres_and_sides(tracks)
    for row in range(len(tracks)):
        detection = Detection2D(header=header, id=str(int(tracks.ids[row])))
        detection.bbox.center.position.x = float(centres[row, 0])
        detection.bbox.center.position.y = float(centres[row, 1])
        detection.bbox.size_x = float(sides[row, 0])
        detection.bbox.size_y = float(sides[row, 1])
        detection.results.append(_hypothesis(tracks, row))
        message.detections.append(detection)
    return message


def detections_3d_message(tracks: Tracks, boxes: Boxes3D, header: Header) -> Detection3DArray:
    """The tracks whose place in space is known as ``vision_msgs/Detection3DArray``, named as in two dimensions."""
    message = Detection3DArray(header=header)
    columns = (boxes.rows.tolist(), boxes.centres.tolist(), boxes.sizes.tolist(), boxes.covariances)
    for row, centre, size, covariance in zip(*columns, strict=True):
        detection = Detection3D(header=header, id=str(int(tracks.ids[row])))
        result = _hypothesis(tracks, row)
        for position in (detection.bbox.center.position, result.pose.pose.position):
            position.x, position.y, position.z = centre
        for turn in (detection.bbox.center.orientation, result.pose.pose.orientation):
            turn.x, turn.y, turn.z, turn.w = boxes.quaternion.tolist()
        detection.bbox.size.x, detection.bbox.size.y, detection.bbox.size.z = size
        result.pose.covariance = _covariance(covariance)
        detection.results.append(result)
        message.detections.append(detection)
    return message


def objects_message(tracks: Tracks, boxes: Boxes3D, header: Header, classes: Sequence[str]) -> TrackedObjectArray:
    """The same as ``qdtrack/TrackedObjectArray``, with velocities."""
    message = TrackedObjectArray(header=header, session=SESSION)
    turn = dict(zip("xyzw", boxes.quaternion.tolist(), strict=True))
    for number, row in enumerate(boxes.rows.tolist()):
        one = TrackedObject(
            id=int(tracks.ids[row]),
            class_id=int(tracks.labels[row]),
            class_name=classes[int(tracks.labels[row])],
            score=float(tracks.scores[row]),
            age=float(tracks.ages[row]),
            size=Vector3(**_xyz(boxes.sizes[number])),
        )
        one.pose.pose.position, one.pose.pose.orientation = Point(**_xyz(boxes.centres[number])), Quaternion(**turn)
        one.pose.covariance = _covariance(boxes.covariances[number])
        if boxes.velocities is None or boxes.velocity_covariances is None:
            one.twist.covariance[0] = -1.0
        else:
            one.twist.twist.linear = Vector3(**_xyz(boxes.velocities[number]))
            one.twist.covariance = _covariance(boxes.velocity_covariances[number])
        message.objects.append(one)
    return message


def _xyz(values: Array) -> dict[str, float]:
    """Three numbers as the fields of a message."""
    return dict(zip("xyz", values.tolist(), strict=True))


def _covariance(linear: Array) -> Array:
    """The covariance (36,) of a pose or twist, row by row, of which the linear part (3, 3) is known."""
    whole = np.zeros((6, 6))
    whole[:3, :3] = linear
    return whole.ravel()


def _hypothesis(tracks: Tracks, row: int) -> ObjectHypothesisWithPose:
    result = ObjectHypothesisWithPose()
    result.hypothesis.class_id = str(int(tracks.labels[row]))
    result.hypothesis.score = float(tracks.scores[row])
    return result


def _centres_and_sides(tracks: Tracks) -> tuple[Array, Array]:
    """Centres and sizes (M, 2) in float64: float32 sums would lose hundredths of a pixel in wide images."""
    boxes = tracks.boxes.astype(np.float64)
    return box_centres(boxes), boxes[:, 2:] - boxes[:, :2]
