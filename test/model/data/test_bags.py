"""Bags written and read without ROS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rosbags")

from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from qdtrack_model.data import bags, qdtrack_msgs, video_msgs, vision_msgs
from qdtrack_model.data.bags import BagError, BagFrame, read_ground_truth, read_images, read_raw, write_bag, write_raw
from qdtrack_model.data.readers.mot import MotBoxes
from qdtrack_model.structures import Array
from qdtrack_model.synthetic import Scene, SceneConfig
from qdtrack_model.synthetic.writer import write_scene_bag

from ...encoded_video import drifting, encoded

ROOT = Path(__file__).parents[3]
DEFINITIONS = {**vision_msgs.DEFINITIONS, **video_msgs.DEFINITIONS, **qdtrack_msgs.DEFINITIONS}


def gradient(number: int) -> Array:
    """(48, 64, 3) a smooth picture that JPEG keeps almost as it is."""
    rows, columns = np.mgrid[:48, :64]
    return np.dstack([rows * 3, columns * 3, np.full((48, 64), number * 20)]).astype(np.uint8)


def truth(frame: int) -> MotBoxes:
    boxes = np.array([[1.25, 2.5, 11.75, 30.125], [20, 5, 60, 47], [0, 0, 5, 5]])
    return MotBoxes([frame] * 3, [4, 9, 2], boxes, [1, 1, 0], [1, 3, 8], [0.875, 1.0, 0.1])  # type: ignore[arg-type]


def frames(count: int = 4) -> Iterator[BagFrame]:
    return (BagFrame(gradient(number), truth(number + 1)) for number in range(count))


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_round_trip(tmp_path: Path, storage: str) -> None:
    path = tmp_path / "bag"
    write_bag(path, frames(), 25, intrinsics=np.array([[100, 0, 32], [0, 100, 24], [0, 0, 1.0]]), storage=storage)
    images = list(read_images(path))
    assert [topic for topic, _, _ in images] == ["/camera/image/compressed"] * 4
    for number, (_, _, image) in enumerate(images):
        assert np.abs(image.astype(int) - gradient(number)).mean() < 3
    back = read_ground_truth(path)
    wanted = [truth(frame) for frame in range(1, 5)]
    for name in ("frames", "ids", "boxes", "confidences", "classes", "visibilities"):
        assert np.array_equal(getattr(back, name), np.concatenate([getattr(part, name) for part in wanted])), name
    file = next(path.glob("*.mcap" if storage == "mcap" else "*.db3"))
    assert len(list(read_images(file))) == 4  # the file alone is read as well


@pytest.mark.parametrize("frame_rate", [25, 30, 29.97])
def test_stamps_are_exact_and_the_same_on_every_topic(tmp_path: Path, frame_rate: float) -> None:
    path, start, store = tmp_path / "bag", 1_700_000_000_123_456_789, bags.typestore()
    write_bag(path, frames(7), frame_rate, intrinsics=np.eye(3), start=start)
    stamps: dict[str, list[int]] = {}
    for topic, kind, time, raw in read_raw(path):
        message: Any = store.deserialize_cdr(raw, kind)
        stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        assert message.header.frame_id == "camera_optical_frame" and stamp == time
        stamps.setdefault(topic, []).append(stamp)
    expected = [start + round(number * 10**9 / frame_rate) for number in range(7)]
    assert stamps == dict.fromkeys((bags.IMAGE_TOPIC, bags.INFO_TOPIC, bags.TRUTH_TOPIC), expected)


def test_scene_bag_holds_the_scene(tmp_path: Path) -> None:
    scene = Scene(SceneConfig(seed=5, frames=3, size=(160, 96)))
    write_scene_bag(scene, tmp_path / "bag")
    back = read_ground_truth(tmp_path / "bag")
    wanted = [scene.frame(index).truth for index in range(3)]
    assert np.allclose(back.boxes, np.concatenate([part.boxes for part in wanted]), atol=1e-9)
    assert np.array_equal(back.ids, np.concatenate([part.ids for part in wanted]) + 1)
    info: Any = next(
        bags.typestore().deserialize_cdr(raw, kind) for topic, kind, _, raw in read_raw(tmp_path / "bag")
        if topic == bags.INFO_TOPIC
    )  # fmt: skip
    assert (info.width, info.height) == (160, 96)
    assert info.k[0] == pytest.approx(scene.street.camera.focal) and info.k[2] == 80 and info.k[5] == 48


def test_video_without_ground_truth(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag", (BagFrame(gradient(n)[..., 0]) for n in range(2)), 12.5)
    assert [image.shape for _, _, image in read_images(tmp_path / "bag")] == [(48, 64, 3)] * 2
    with pytest.raises(BagError, match=r"no ground truth.*image/compressed"):
        read_ground_truth(tmp_path / "bag")


def _image_message(encoding: str, pixels: Array, step: int | None = None) -> Any:
    data = pixels.reshape(pixels.shape[0], -1)
    if step is not None:
        data = np.pad(data, ((0, 0), (0, step - data.shape[1])))
    return bags.typestore().types["sensor_msgs/msg/Image"](
        header=bags._header(10**9), height=pixels.shape[0], width=pixels.shape[1], encoding=encoding, is_bigendian=0,
        step=data.shape[1], data=data.reshape(-1),
    )  # fmt: skip


def _write(path: Path, messages: list[tuple[str, str, Any]]) -> None:
    store = bags.typestore()
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections: dict[str, Any] = {}
        for number, (topic, kind, message) in enumerate(messages):
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=store)
            writer.write(connections[topic], number, store.serialize_cdr(message, kind))


@pytest.mark.parametrize(("encoding", "step"), [("bgr8", None), ("rgb8", 200), ("mono8", 80), ("bgra8", None)])
def test_raw_images(tmp_path: Path, encoding: str, step: int | None) -> None:
    image = gradient(3)
    pixels = {"bgr8": image, "rgb8": image[..., ::-1], "mono8": image[..., 0],
              "bgra8": np.dstack([image, image[..., 0]])}[encoding]  # fmt: skip
    _write(tmp_path / "bag", [("/raw", "sensor_msgs/msg/Image", _image_message(encoding, pixels, step))])
    ((topic, stamp, back),) = read_images(tmp_path / "bag")
    assert (topic, stamp) == ("/raw", 1.0)
    expected = cv2.cvtColor(image[..., 0], cv2.COLOR_GRAY2BGR) if encoding == "mono8" else image
    assert np.array_equal(back, expected)


def test_unknown_encoding_and_short_data_are_named(tmp_path: Path) -> None:
    _write(tmp_path / "a", [("/raw", "sensor_msgs/msg/Image", _image_message("16UC1", gradient(0)))])
    with pytest.raises(BagError, match="/raw, image 1: refused encoding: 16UC1 is depth"):
        list(read_images(tmp_path / "a"))
    cut = _image_message("bgr8", gradient(0))
    cut.data = cut.data[:100]
    _write(tmp_path / "b", [("/raw", "sensor_msgs/msg/Image", cut)])
    with pytest.raises(BagError, match="truncated: 100 bytes, 64x48 bgr8 needs 9216"):
        list(read_images(tmp_path / "b"))


def test_several_image_topics_must_be_chosen_from(tmp_path: Path) -> None:
    message = _image_message("bgr8", gradient(0))
    kind = "sensor_msgs/msg/Image"
    _write(tmp_path / "bag", [("/left", kind, message), ("/right", kind, message)])
    with pytest.raises(BagError, match="several image topics: /left, /right"):
        list(read_images(tmp_path / "bag"))
    assert [topic for topic, _, _ in read_images(tmp_path / "bag", "/right")] == ["/right"]
    with pytest.raises(BagError, match=r"no image topic '/up'; topics: /left \(sensor_msgs/Image\)"):
        list(read_images(tmp_path / "bag", "/up"))


def test_a_topic_recorded_twice_is_read_whole(tmp_path: Path) -> None:
    """As in a bag merged from two recordings."""
    store, kind = bags.typestore(), "sensor_msgs/msg/Image"
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        for number, qos in enumerate(([], bags._sensor_qos())):
            connection = writer.add_connection("/raw", kind, typestore=store, offered_qos_profiles=qos)
            writer.write(connection, number, store.serialize_cdr(_image_message("bgr8", gradient(number)), kind))
    assert len(list(read_images(tmp_path / "bag"))) == 2


def test_messages_are_copied_as_they_stand(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag", frames(), 25)
    records = list(read_raw(tmp_path / "bag"))
    write_raw(tmp_path / "copy", records)
    assert list(read_raw(tmp_path / "copy")) == records
    with pytest.raises(BagError, match="copy: is there already"):
        write_raw(tmp_path / "copy", records)


def test_bag_without_images_names_its_topics(tmp_path: Path) -> None:
    text = bags.typestore().types["std_msgs/msg/String"](data="hello")
    _write(tmp_path / "bag", [("/chatter", "std_msgs/msg/String", text)])
    with pytest.raises(BagError, match=r"no image topic.*/chatter \(std_msgs/String\)"):
        list(read_images(tmp_path / "bag"))


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.9])
def test_cut_off_file_is_one_clear_error(tmp_path: Path, storage: str, share: float) -> None:
    path = tmp_path / "bag"
    write_bag(path, frames(30), 25, storage=storage)
    file = next(path.glob("*.mcap" if storage == "mcap" else "*.db3"))
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    for place in (path, file):
        with pytest.raises(BagError, match="broken or cut off"):
            list(read_images(place))


def test_missing_things_are_named(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="no such file or folder"):
        list(read_images(tmp_path / "none"))
    write_bag(tmp_path / "bag", frames(1), 25)
    (tmp_path / "bag" / "metadata.yaml").unlink()
    with pytest.raises(BagError, match=r"no metadata\.yaml"):
        list(read_images(tmp_path / "bag"))


def test_existing_folder_and_wrong_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="is there already"):
        write_bag(tmp_path, frames(), 25)
    with pytest.raises(BagError, match="float64"):
        write_bag(tmp_path / "bag", [BagFrame(np.zeros((4, 4)))], 25)
    with pytest.raises(BagError, match="frame_rate: got 0"):
        write_bag(tmp_path / "other", frames(), 0)


def _fields(text: str, name: str) -> Any:
    return get_types_from_msg(text, name)


@pytest.mark.parametrize("storage", ["MCAP", "SQLITE3"])
@pytest.mark.parametrize(
    ("kind", "more"),
    [(video_msgs.FOXGLOVE_VIDEO, ""), (video_msgs.FOXGLOVE_VIDEO, "string uuid\n"), (video_msgs.FFMPEG_PACKET, "")],
)
def test_video(tmp_path: Path, kind: str, more: str, storage: str) -> None:
    """Each picture has its packet's stamp; what has no key frame before it is left out; bags may define more fields."""
    store = get_typestore(Stores.ROS2_KILTED)
    store.register(get_types_from_msg(video_msgs.DEFINITIONS[kind] + more, kind))
    pictures, ffmpeg = drifting(8), kind == video_msgs.FFMPEG_PACKET
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin[storage]) as writer:
        connection = writer.add_connection("/video", kind, typestore=store)
        for number, data in list(enumerate(encoded(pictures, between_keys=4)))[1:]:
            header, content = bags._header(number * 10**8), np.frombuffer(data, np.uint8)
            fields: dict[str, Any] = {"timestamp": header.stamp, "frame_id": "camera", "format": "h264"}
            if ffmpeg:
                fields = {"header": header, "width": 96, "height": 64, "encoding": "libx264", "pts": number, "flags": 0,
                          "is_bigendian": False}  # fmt: skip
            if more:
                fields["uuid"] = "a"
            writer.write(connection, number, store.serialize_cdr(store.types[kind](data=content, **fields), kind))
    damage: list[str] = []
    read = list(read_images(tmp_path / "bag", damaged=lambda error: damage.append(str(error))))
    assert [stamp for _, stamp, _ in read] == [0.4, 0.5, 0.6, 0.7]
    for (_, _, image), expected in zip(read, pictures[4:], strict=True):
        assert np.abs(image.astype(int) - expected).mean() < 7
    assert len(damage) == 3 and "/video, image 1: no key frame" in damage[0]
    with pytest.raises(BagError, match="image 1: no key frame"):
        list(read_images(tmp_path / "bag"))


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
def test_definitions_equal_the_interface_packages(name: str) -> None:
    package, _, message = name.split("/")
    folder = ROOT / "msg" if package == "qdtrack" else ROOT / "interfaces" / package / "msg"
    file = folder / f"{message}.msg"
    if not file.is_file():
        pytest.skip(f"{file.name} is not there: the interfaces are not part of an installed package")
    assert _fields(DEFINITIONS[name], name) == _fields(file.read_text(encoding="utf-8"), name)
