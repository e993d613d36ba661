"""rosbag2 recordings without ROS: camera images, camera info and ground truth (the ``rosbags`` package).

Written bags hold, on every frame with the same header stamp:

- ``/camera/image/compressed`` sensor_msgs/CompressedImage, JPEG;
- ``/camera/camera_info`` sensor_msgs/CameraInfo, where the intrinsics are known;
- ``/camera/ground_truth`` vision_msgs/Detection2DArray, where there is ground truth: ``id`` is the object's number,
  ``class_id`` its class name, ``score`` its visibility (0..1; -1 unknown). Objects that are not to be scored have
  the class ``ignore``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from rosbags.interfaces import (
    Connection,
    MessageDefinitionFormat,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from qdtrack_model.data import qdtrack_msgs, video_msgs, vision_msgs
from qdtrack_model.data.images import JPEG_QUALITY
from qdtrack_model.data.readers.mot import IGNORED_CLASS, MotBoxes
from qdtrack_model.sensors.encodings import compressed_image, raw_image
from qdtrack_model.sensors.messages import InvalidImage
from qdtrack_model.sensors.video import Packet, VideoStream
from qdtrack_model.structures import Array

IMAGE_TOPIC = "/camera/image/compressed"
INFO_TOPIC = "/camera/camera_info"
TRUTH_TOPIC = "/camera/ground_truth"
FRAME_ID = "camera_optical_frame"
START_NANOSECONDS = 1_717_200_000 * 10**9  # stamp of the first frame: 2024-06-01 00:00 UTC
CLASS_NAMES = {1: "pedestrian", 3: "vehicle"}  # MOTChallenge class -> class_id
IGNORE = "ignore"
RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
STILLS = (RAW, COMPRESSED)  # each image by itself
VIDEO = (video_msgs.FOXGLOVE_VIDEO, video_msgs.FFMPEG_PACKET)  # each builds on those before it
IMAGE_KINDS = (*STILLS, *VIDEO)
ARRAY = "vision_msgs/msg/Detection2DArray"


class BagError(ValueError):
    """A bag that cannot be read or written; the text names the path and what was expected."""


@dataclass(frozen=True, eq=False)
class BagFrame:
    """One frame to write: image (H, W, 3) BGR or (H, W) grey uint8, and its ground truth where known."""

    image: Array
    truth: MotBoxes | None = None


@cache
def typestore() -> Typestore:
    """Message types of ROS 2 Kilted, of vision_msgs, of video and our own."""
    store = get_typestore(Stores.ROS2_KILTED)
    for name, text in {**vision_msgs.DEFINITIONS, **video_msgs.DEFINITIONS, **qdtrack_msgs.DEFINITIONS}.items():
        store.register(get_types_from_msg(text, name))
    return store


# Writing


def _sensor_qos() -> list[Qos]:
    """Best effort, keep last 5: REP-2003's profile for sensors."""
    forever = QosTime(sec=2147483647, nsec=4294967295)
    return [
        Qos(
            QosHistory.KEEP_LAST, 5, QosReliability.BEST_EFFORT, QosDurability.VOLATILE, forever, forever,
            QosLiveliness.AUTOMATIC, forever, False,
        )
    ]  # fmt: skip


def _header(nanoseconds: int) -> Any:
    types = typestore().types
    stamp = types["builtin_interfaces/msg/Time"](sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)
    return types["std_msgs/msg/Header"](stamp=stamp, frame_id=FRAME_ID)


def _compressed(image: Array, header: Any) -> Any:
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.size == 0:
        raise BagError(f"image: got {image.dtype} {image.shape}, expected uint8 (H, W, 3) or (H, W)")
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    layout = "mono8; jpeg compressed mono8" if image.ndim == 2 else "bgr8; jpeg compressed bgr8"
    return typestore().types[COMPRESSED](header=header, format=layout, data=data.reshape(-1))


def _camera_info(intrinsics: Array, size: tuple[int, int], header: Any) -> Any:
    types = typestore().types
    region = types["sensor_msgs/msg/RegionOfInterest"](x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    projection = np.zeros((3, 4))
    projection[:, :3] = intrinsics
    return types["sensor_msgs/msg/CameraInfo"](
        header=header, height=size[1], width=size[0], distortion_model="plumb_bob", d=np.zeros(5),
        k=np.asarray(intrinsics, np.float64).reshape(9), r=np.eye(3).reshape(9), p=projection.reshape(12),
        binning_x=0, binning_y=0, roi=region,
    )  # fmt: skip


def _truth_array(truth: MotBoxes, class_names: Mapping[int, str], header: Any) -> Any:
    types = typestore().types
    point, quaternion = types["geometry_msgs/msg/Point"], types["geometry_msgs/msg/Quaternion"]
    pose = types["geometry_msgs/msg/PoseWithCovariance"](
        pose=types["geometry_msgs/msg/Pose"](
            position=point(x=0.0, y=0.0, z=0.0), orientation=quaternion(x=0.0, y=0.0, z=0.0, w=1.0)
        ),
        covariance=np.zeros(36),
    )
    detections = []
    for row in range(len(truth)):
        x1, y1, x2, y2 = (float(value) for value in truth.boxes[row])
        number = int(truth.classes[row])
        name = IGNORE if truth.confidences[row] == 0 else class_names.get(number, str(number))
        hypothesis = types["vision_msgs/msg/ObjectHypothesis"](class_id=name, score=float(truth.visibilities[row]))
        middle = types["vision_msgs/msg/Point2D"](x=(x1 + x2) / 2, y=(y1 + y2) / 2)
        box = types["vision_msgs/msg/BoundingBox2D"](
            center=types["vision_msgs/msg/Pose2D"](position=middle, theta=0.0), size_x=x2 - x1, size_y=y2 - y1
        )
        result = types["vision_msgs/msg/ObjectHypothesisWithPose"](hypothesis=hypothesis, pose=pose)
        detections.append(
            types["vision_msgs/msg/Detection2D"](header=header, results=[result], bbox=box, id=str(truth.ids[row]))
        )
    return types[ARRAY](header=header, detections=detections)


def write_bag(
    path: str | Path,
    frames: Iterable[BagFrame],
    frame_rate: float,
    class_names: Mapping[int, str] = CLASS_NAMES,
    intrinsics: Array | None = None,
    start: int = START_NANOSECONDS,
    storage: str = "mcap",
) -> None:
    """Write a new bag folder, stamped from ``start`` (nanoseconds) in steps of exactly 1 / frame_rate.

    Args:
        frames: images in order; any that has ground truth gets a message on the ground truth topic.
        class_names: MOTChallenge class number -> class_id; other numbers are written as they are.
        intrinsics: (3, 3) camera matrix in pixels; None writes no camera info.
        storage: ``mcap`` or ``sqlite3``.

    Raises:
        BagError: the folder exists, an image is of another type, or the frame rate is not positive.
    """
    path = _free(path)
    if not 0 < frame_rate < 1e6:
        raise BagError(f"frame_rate: got {frame_rate}, expected a positive number")
    store = typestore()
    with Writer(path, version=9, storage_plugin=StoragePlugin[storage.upper()]) as writer:
        connections: dict[str, Connection] = {}

        def write(topic: str, kind: str, message: Any, stamp: int) -> None:
            if topic not in connections:
                qos = _sensor_qos()
                connections[topic] = writer.add_connection(topic, kind, typestore=store, offered_qos_profiles=qos)
            writer.write(connections[topic], stamp, store.serialize_cdr(message, kind))

        for index, frame in enumerate(frames):
            stamp = start + round(index * 10**9 / frame_rate)
            header = _header(stamp)
            write(IMAGE_TOPIC, COMPRESSED, _compressed(frame.image, header), stamp)
            if intrinsics is not None:
                size = (frame.image.shape[1], frame.image.shape[0])
                write(INFO_TOPIC, "sensor_msgs/msg/CameraInfo", _camera_info(intrinsics, size, header), stamp)
            if frame.truth is not None:
                write(TRUTH_TOPIC, ARRAY, _truth_array(frame.truth, class_names, header), stamp)


def write_raw(path: str | Path, records: Iterable[tuple[str, str, int, bytes]]) -> None:
    """Write a new bag folder (mcap) of messages as they stand: what :func:`read_raw` gives.

    Raises:
        BagError: the folder exists.
        OSError: it cannot be written; what was written until then is left there.
    """
    with Writer(_free(path), version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections: dict[str, Connection] = {}
        for topic, kind, time, data in records:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=typestore())
            writer.write(connections[topic], time, data)


def _free(path: str | Path) -> Path:
    path = Path(path)
    if path.exists():
        raise BagError(f"{path}: is there already; choose another place or remove it")
    return path


# Reading


@contextmanager
def opened(path: Path) -> Iterator[Reader]:
    """The bag (a folder, or one .mcap or .db3 file), with everything that can go wrong in a file as BagError."""
    try:
        with Reader(path) as reader:
            yield reader
    except BagError:
        raise
    except FileNotFoundError:
        what = "no metadata.yaml: not a rosbag2 folder" if path.is_dir() else "no such file or folder"
        raise BagError(f"{path}: {what}") from None
    except Exception as error:  # rosbags meets broken files with many kinds of errors, struct's and sqlite's among them
        reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        raise BagError(f"{path}: broken or cut off, or not a bag ({reason})") from error


def listing(reader: Reader) -> str:
    topics = [f"{c.topic} ({c.msgtype.replace('/msg/', '/')})" for c in reader.connections]
    return ", ".join(sorted(topics)) or "none at all"


def image_topics(path: str | Path) -> list[str]:
    """The topics of images in a bag, sorted.

    Raises:
        BagError: the bag is broken, or has none.
    """
    path = Path(path)
    with opened(path) as reader:
        topics = sorted({c.topic for c in reader.connections if c.msgtype in IMAGE_KINDS and c.msgcount})
        if not topics:
            raise BagError(f"{path}: no images ({_names(IMAGE_KINDS)}); topics: {listing(reader)}")
    return topics


def image_connections(
    reader: Reader, path: Path, topic: str | None, kinds: Collection[str] = IMAGE_KINDS
) -> list[Connection]:
    """Those of one topic: a bag merged from several recordings has one for each of them."""
    images = [c for c in reader.connections if c.msgtype in kinds]
    if topic is not None:
        images = [c for c in images if c.topic == topic]
        if not images:
            raise BagError(f"{path}: no image topic {topic!r}; topics: {listing(reader)}")
    if not images:
        raise BagError(f"{path}: no image topic ({_names(kinds)}); topics: {listing(reader)}")
    if len({c.topic for c in images}) > 1:
        names = ", ".join(sorted({c.topic for c in images}))
        raise BagError(f"{path}: several image topics: {names}; choose one with --topic")
    return images


def _names(kinds: Collection[str]) -> str:
    return ", ".join(kind.replace("/msg/", "/") for kind in kinds)


def decode_image(message: Any, kind: str) -> Array:
    """(H, W, 3) BGR uint8 of an image message of type ``kind``.

    Raises:
        BagError: an encoding that is no camera image, or a broken message.
    """
    try:
        image = raw_image(message) if kind == RAW else compressed_image(message)
    except InvalidImage as error:
        raise BagError(str(error)) from None
    return np.ascontiguousarray(image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))


def image_decoder(kind: str) -> Callable[[Any], Array]:
    """What makes (H, W, 3) BGR uint8 of the image messages of one topic, of type ``kind``, given one after the other.

    It raises BagError for a message that shows no image; of a video later ones may show some.
    """
    if kind not in VIDEO:
        return lambda message: decode_image(message, kind)
    stream = VideoStream()

    def decode(message: Any) -> Array:
        try:
            return stream.decode(Packet.of(message))()
        except InvalidImage as error:
            raise BagError(str(error)) from None

    return decode


def _types(connection: Connection) -> Typestore:
    """The message types for one topic: its own definition is taken from the bag where that has one of video."""
    if connection.msgtype not in VIDEO or connection.msgdef.format is not MessageDefinitionFormat.MSG:
        return typestore()
    store = get_typestore(Stores.ROS2_KILTED)
    store.register(get_types_from_msg(connection.msgdef.data, connection.msgtype))
    return store


def read_images(
    path: str | Path, topic: str | None = None, damaged: Callable[[BagError], None] | None = None
) -> Iterator[tuple[str, float, Array]]:
    """Images of one topic in the order recorded: (topic, header stamp in seconds, (H, W, 3) BGR uint8).

    Args:
        topic: which image topic; None: the only one.
        damaged: called with the error for each image that cannot be decoded, which is then left out; None: raise it.

    Raises:
        BagError: the bag is broken, has no image topic or several and none was chosen, or an image cannot be decoded.
    """
    path = Path(path)
    with opened(path) as reader:
        connections = image_connections(reader, path, topic)
        stores = {connection.id: _types(connection) for connection in connections}
        decoders = {connection.msgtype: image_decoder(connection.msgtype) for connection in connections}
        for number, (connection, _, raw) in enumerate(reader.messages(connections), start=1):
            message: Any = stores[connection.id].deserialize_cdr(raw, connection.msgtype)
            try:
                image = decoders[connection.msgtype](message)
            except BagError as error:
                named = BagError(f"{path}: {connection.topic}, image {number}: {error}")
                if damaged is None:
                    raise named from None
                damaged(named)
                continue
            yield connection.topic, stamp_of(raw) / 1e9, image


def image_size(path: str | Path, topic: str) -> tuple[int, int] | None:
    """(width, height) of the first image on a topic that can be decoded; None where none can.

    Raises:
        BagError: the bag is broken, or has no such topic.
    """
    for _, _, image in read_images(path, topic, lambda error: None):
        return image.shape[1], image.shape[0]
    return None


def stamp_of(raw: bytes | memoryview) -> int:
    """The stamp [ns] of a CDR message that begins with a header or a stamp, without reading the rest."""
    order: Literal["little", "big"] = "little" if raw[1] & 1 else "big"
    seconds, nanoseconds = (int.from_bytes(raw[at : at + 4], order, signed=at == 4) for at in (4, 8))
    return seconds * 10**9 + nanoseconds


def read_ground_truth(path: str | Path, class_names: Mapping[int, str] = CLASS_NAMES) -> MotBoxes:
    """Ground truth as MOTChallenge rows; frame n is the n-th message of the ground truth topic.

    Raises:
        BagError: the bag is broken or has no such topic.
    """
    path, store = Path(path), typestore()
    numbers = {name: number for number, name in class_names.items()}
    rows: list[tuple[float, ...]] = []
    with opened(path) as reader:
        connections = [c for c in reader.connections if c.topic == TRUTH_TOPIC and c.msgtype == ARRAY]
        if not connections:
            raise BagError(f"{path}: no ground truth on {TRUTH_TOPIC}; topics: {listing(reader)}")
        for frame, (_, _, raw) in enumerate(reader.messages(connections), start=1):
            for detection in store.deserialize_cdr(raw, ARRAY).detections:  # type: ignore[attr-defined]
                rows.append(_truth_row(frame, detection, numbers))
    table = np.array(rows, np.float64).reshape(-1, 9)
    return MotBoxes(table[:, 0], table[:, 1], table[:, 2:6], table[:, 6], table[:, 7], table[:, 8])


def _truth_row(frame: int, detection: Any, numbers: Mapping[str, int]) -> tuple[float, ...]:
    hypothesis = detection.results[0].hypothesis
    name, box = hypothesis.class_id, detection.bbox
    number = IGNORED_CLASS if name == IGNORE else numbers[name] if name in numbers else int(name)
    x, y, width, height = box.center.position.x, box.center.position.y, box.size_x, box.size_y
    corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return (frame, int(detection.id), *corners, float(name != IGNORE), number, hypothesis.score)


def read_raw(path: str | Path) -> Iterator[tuple[str, str, int, bytes]]:
    """Every message in the order recorded: (topic, type such as ``sensor_msgs/msg/Image``, bag time in ns, CDR bytes).

    Raises:
        BagError: the bag is broken.
    """
    with opened(Path(path)) as reader:
        for connection, time, raw in reader.messages():
            yield connection.topic, connection.msgtype, time, bytes(raw)
