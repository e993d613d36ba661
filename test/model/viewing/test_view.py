"""``qdtrack view``: what is written is read back by the viewers' own packages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rosbags")
pytest.importorskip("mcap_protobuf", reason="pip install -e '.[test]'")

from foxglove_schemas_protobuf.CompressedImage_pb2 import CompressedImage
from foxglove_schemas_protobuf.ImageAnnotations_pb2 import ImageAnnotations
from foxglove_schemas_protobuf.SceneUpdate_pb2 import SceneUpdate
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from mcap.reader import make_reader
from mcap_protobuf.decoder import DecoderFactory
from rosbags.rosbag2 import StoragePlugin, Writer

from qdtrack_model.cli import main
from qdtrack_model.config import QuasiDenseConfig
from qdtrack_model.data import bags
from qdtrack_model.data.readers.mot import MotBoxes, write_mot
from qdtrack_model.replay.run import RunWriter, Settings
from qdtrack_model.replay.sequence import SequenceWriter
from qdtrack_model.structures import Array

TIMES = [round(1_700_000_000 * 10**9 + number * 10**8) for number in range(4)]
BOXES = np.array([[8.0, 8, 24, 40], [40, 10, 60, 46]])


def picture(number: int) -> Array:
    image = np.full((64, 96, 3), 40, np.uint8)
    image[10:30, 10 + number : 30 + number] = (40, 40, 250)
    return image


def tracks() -> MotBoxes:
    """Two objects, of which the second is not in the third frame."""
    rows = [(frame, identity) for frame in range(1, 5) for identity in (1, 2) if (frame, identity) != (3, 2)]
    frames, ids = np.array(rows).T
    ones = np.ones(len(rows))
    return MotBoxes(frames, ids, BOXES[ids - 1] + frames[:, None], ones, np.where(ids == 1, 1, 3), ones)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four images and, beside their folder, tracks of them."""
    (tmp_path / "street").mkdir()
    for number in range(4):
        cv2.imwrite(str(tmp_path / "street" / f"{number + 1}.png"), picture(number))
    write_mot(tmp_path / "tracks.txt", tracks())
    return tmp_path / "street"


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    """Four images, and a box in space for the second."""
    store, path = bags.typestore(), tmp_path / "drive"
    types = store.types
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        images = writer.add_connection("/front/image/compressed", bags.COMPRESSED, typestore=store)
        space = writer.add_connection("/tracker/detections_3d", "vision_msgs/msg/Detection3DArray", typestore=store)
        for number, time in enumerate(TIMES):
            message = bags._compressed(picture(number), bags._header(time))
            writer.write(images, time, store.serialize_cdr(message, bags.COMPRESSED))
        header = bags._header(TIMES[1])
        pose = types["geometry_msgs/msg/Pose"](
            types["geometry_msgs/msg/Point"](1.0, 2.0, 8.0), types["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0)
        )
        box = types["vision_msgs/msg/BoundingBox3D"](pose, types["geometry_msgs/msg/Vector3"](0.6, 1.8, 0.5))
        found = types["vision_msgs/msg/Detection3D"](header, [], box, "7")
        message = types["vision_msgs/msg/Detection3DArray"](header, [found])
        writer.write(space, TIMES[1], store.serialize_cdr(message, "vision_msgs/msg/Detection3DArray"))
    return path


@pytest.fixture
def run(bag: Path, tmp_path: Path) -> Path:
    """A run of that bag, with the seconds that the network took."""
    settings = Settings("lockstep", "street", "here", QuasiDenseConfig(), {1: "pedestrian", 3: "vehicle"})
    run, name = RunWriter(tmp_path / "run", settings), "drive/front"
    with SequenceWriter(run.folder / name, ["network"], detections=False) as writer:
        for frame, time in enumerate(TIMES, start=1):
            writer.write(frame, time / 1e9, tracks().between(frame, frame), {"network": 0.004 * frame}, None)
    run.add(name, {"bag": str(bag), "topic": "/front/image/compressed", "size": (96, 64), "left_out": {}})
    run.write()
    return run.folder


def view(*arguments: object) -> None:
    assert main(["view", *map(str, arguments)]) == 0


def messages(path: Path) -> dict[str, list[tuple[int, Any]]]:
    """Topic -> time [ns] and message, JSON as a mapping."""
    found: dict[str, list[tuple[int, Any]]] = {}
    with path.open("rb") as file:
        for schema, channel, message in make_reader(file).iter_messages():
            assert schema is not None
            decoder = DecoderFactory().decoder_for(channel.message_encoding, schema)
            content = decoder(message.data) if decoder else json.loads(message.data)
            found.setdefault(channel.topic, []).append((message.log_time, content))
    return found


def test_foxglove_opens_a_run(run: Path, tmp_path: Path) -> None:
    view(run, "--output", tmp_path / "run.mcap")
    found = messages(tmp_path / "run.mcap")
    images, annotations = found["/drive/front/image"], found["/drive/front/annotations"]
    assert [time for time, _ in images] == [time for time, _ in annotations] == TIMES
    for (time, image), number in zip(images, range(4), strict=True):
        assert image.timestamp.ToNanoseconds() == time and image.format == "jpeg"
        decoded = cv2.imdecode(np.frombuffer(image.data, np.uint8), cv2.IMREAD_COLOR)
        assert np.abs(decoded.astype(int) - picture(number)).mean() < 3
    assert [[text.text for text in one.texts] for _, one in annotations] == [
        ["pedestrian 1", "vehicle 2"], ["pedestrian 1", "vehicle 2"], ["pedestrian 1"], ["pedestrian 1", "vehicle 2"],
    ]  # fmt: skip
    loops = [line for line in annotations[0][1].points if line.type == line.LINE_LOOP]
    assert [(p.x, p.y) for p in loops[0].points] == [(9, 9), (25, 9), (25, 41), (9, 41)]
    [trail, _] = [line for line in annotations[3][1].points if line.type == line.LINE_STRIP]
    assert [(p.x, p.y) for p in trail.points] == [(16 + n, 40 + n) for n in range(1, 5)]
    assert len(trail.outline_colors) == 3 and trail.outline_colors[0].a < trail.outline_colors[2].a == 1
    assert [content for _, content in found["/drive/front/measures"]] == [
        {"tracks": count, "network [ms]": pytest.approx(4.0 * frame)}
        for frame, count in enumerate((2, 2, 1, 2), start=1)
    ]
    [(time, update)] = found["/drive/front/boxes3d"]
    [entity] = update.entities
    [cube] = entity.cubes
    assert (time, entity.id, entity.frame_id) == (TIMES[1], "7", "camera_optical_frame")
    assert (cube.pose.position.z, cube.pose.orientation.w, cube.size.y) == (8.0, 1.0, 1.8)


def test_the_schemas_are_those_that_foxglove_publishes(run: Path, tmp_path: Path) -> None:
    view(run, "--output", tmp_path / "run.mcap")
    with (tmp_path / "run.mcap").open("rb") as file:
        summary = make_reader(file).get_summary()
    assert summary is not None
    schemas = {schema.name: schema for schema in summary.schemas.values()}
    published = {
        kind.DESCRIPTOR.full_name: kind.DESCRIPTOR for kind in (CompressedImage, ImageAnnotations, SceneUpdate)
    }
    assert schemas.keys() == {*published, "qdtrack.Measures"}
    for name, descriptor in published.items():
        assert schemas[name].encoding == "protobuf"
        files = {one.name: one for one in FileDescriptorSet.FromString(schemas[name].data).file}
        waiting = [descriptor.file]
        while waiting:  # the file of the message and all that it needs
            one, expected = waiting.pop(), FileDescriptorProto()
            one.CopyToProto(expected)
            assert files[one.name] == expected
            waiting += one.dependencies


def test_videos_and_folders_begin_at_zero(folder: Path, tmp_path: Path) -> None:
    view(folder, "--tracks", tmp_path / "tracks.txt", "--output", tmp_path / "street.mcap")
    found = messages(tmp_path / "street.mcap")
    assert [time for time, _ in found["/street/image"]] == [0, 40_000_000, 80_000_000, 120_000_000]
    assert [text.text for text in found["/street/annotations"][0][1].texts] == ["1", "2"]
    view(folder, "--output", tmp_path / "images.mcap")
    assert not any(one.points for _, one in messages(tmp_path / "images.mcap")["/street/annotations"])


def test_rerun_opens_a_run(run: Path, tmp_path: Path) -> None:
    chunks = pytest.importorskip("rerun.chunk", reason="pip install -e '.[view]'")
    view(run, "--output", tmp_path / "run.rrd")
    found: dict[str, dict[str, list[Any]]] = {}
    for chunk in chunks.RrdReader(tmp_path / "run.rrd").stream():
        columns = found.setdefault(str(chunk.entity_path), {})
        for name, values in chunk.to_record_batch().to_pydict().items():
            columns.setdefault(name, []).extend(values)
    boxes = found["/drive/front/image/tracks"]
    assert boxes["frame"] == [1, 2, 3, 4]
    names = found["/drive/front/image/names"]
    assert names["Points2D:labels"][2:] == [["pedestrian 1"], ["pedestrian 1", "vehicle 2"]]
    assert boxes["Boxes2D:half_sizes"][0] == [[8.0, 16.0], [10.0, 18.0]]
    assert [len(one) for one in found["/drive/front/image/trails"]["LineStrips2D:strips"]] == [0, 2, 2, 2]
    assert len(found["/drive/front/image"]["EncodedImage:blob"]) == 4
    assert found["/drive/front/measures/tracks"]["Scalars:scalars"] == [[2.0], [2.0], [1.0], [2.0]]
    space = found["/drive/front/space"]
    assert space["frame"] == [2, 3, 4] and [len(one) for one in space["Boxes3D:centers"]] == [1, 0, 0]


def test_what_cannot_be_viewed_is_told(
    run: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, message in (
        (
            (folder, "--output", "x.bag"),
            r"x.bag: expected a name that ends with .rrd (Rerun) or .mcap (Foxglove, Lichtblick)",
        ),
        (
            (run, "--tracks", tmp_path / "tracks.txt", "--output", tmp_path / "x.mcap"),
            "is a run, which knows its tracks",
        ),
        ((tmp_path / "nothing", "--output", tmp_path / "x.mcap"), "nothing: no such file or folder"),
    ):
        assert main(["view", *map(str, arguments)]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "x.mcap").exists()
