"""What the writers write is what the protocols score: perfect tracks score perfectly."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from qdtrack_model import checkpoints
from qdtrack_model.cli import main
from qdtrack_model.data.documents import DocumentError
from qdtrack_model.data.readers.mot import read_mot
from qdtrack_model.data.reading import DataError
from qdtrack_model.data.writers import Video, WriterError
from qdtrack_model.data.writers.bdd100k import BddWriter
from qdtrack_model.data.writers.lvis import LvisWriter
from qdtrack_model.data.writers.mot import MotWriter
from qdtrack_model.data.writers.tao import TaoWriter
from qdtrack_model.data.writers.waymo import WaymoWriter
from qdtrack_model.evaluation.protocols import bdd100k, lvis, motchallenge, tao, waymo
from qdtrack_model.structures import Detections, Tracks

FRAMES = 4


def tracks(rows: list[tuple[int, int, list[float], float]]) -> Tracks:
    """Tracks of one frame: id, label, box and score of each."""
    ids, labels, boxes, scores = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [], [])
    n = np.zeros(len(rows))
    columns: Any = (ids, np.reshape(boxes, (-1, 4)), scores, labels, np.zeros((len(rows), 0)), np.zeros((len(rows), 2)))
    return Tracks(*columns, n, n, n)


def box(identity: int, frame: int) -> list[float]:
    """A box of 10x20 pixels that moves."""
    left = 5.0 + 20 * identity + frame
    return [left, 10.0, left + 10, 30.0]


def results(videos: Any, labels: list[int]) -> Iterator[tuple[Video, Mapping[int, Tracks]]]:
    """Every object, of the class given for its id, in every frame of every video."""
    for video in videos:
        frames = range(1, FRAMES + 1)
        yield video, {f: tracks([(i, label, box(i, f), 0.9) for i, label in enumerate(labels)]) for f in frames}


def images(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), np.zeros((40, 90, 3), np.uint8))


def mot_folder(folder: Path, name: str) -> Path:
    images(folder / name / "img1", [f"{frame:06d}.jpg" for frame in range(1, FRAMES + 1)])
    (folder / name / "seqinfo.ini").write_text(
        f"[Sequence]\nname={name}\nframeRate=25\nseqLength={FRAMES}\nimWidth=90\nimHeight=40\n"
    )
    rows = [(frame, i + 1, *box(i, frame)[:2], 10, 20, 1, 1, 1) for frame in range(1, FRAMES + 1) for i in range(2)]
    (folder / name / "gt").mkdir()
    (folder / name / "gt" / "gt.txt").write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    return folder


def test_motchallenge(tmp_path: Path) -> None:
    for name in ("MOT17-02-DPM", "MOT17-02-FRCNN", "MOT17-04-FRCNN"):
        mot_folder(tmp_path / "train", name)
    writer = MotWriter(tmp_path / "train", tmp_path / "out", ("car", "person"))
    assert [video.name for video in writer.videos] == ["MOT17-02", "MOT17-04"], "each is tracked once"
    writer.write(results(writer.videos, [1, 1, 0]))  # the third object is a car
    assert len(list((tmp_path / "out").iterdir())) == 6
    first = (tmp_path / "out" / "MOT17-02-SDP.txt").read_text().splitlines()[0]
    assert first == "1,1,6.000,10.000,10.000,20.000,0.9,-1,-1,-1"
    report = motchallenge.evaluate("mot17", tmp_path / "train", tmp_path / "out")
    assert report.scores["COMBINED_SEQ"]["CLEAR"]["MOTA"] == report.scores["COMBINED_SEQ"]["HOTA"]["HOTA"] == 1
    with pytest.raises(WriterError, match="the network knows car"):
        MotWriter(tmp_path / "train", tmp_path / "out", ("car",))
    with pytest.raises(WriterError, match=r"expected seqinfo\.ini"):
        MotWriter(tmp_path, tmp_path / "out", ("person",))


def test_bdd100k(tmp_path: Path) -> None:
    names = [f"v-{frame:07d}.jpg" for frame in range(1, FRAMES + 2)]
    images(tmp_path / "images" / "track" / "val" / "v", names)
    truth = [
        {"videoName": "v", "name": name, "frameIndex": index, "labels": [
            {"id": f"{i}", "category": kind, "attributes": {}, "box2d":
             dict(zip(("x1", "y1", "x2", "y2"), np.subtract(box(i, index + 1), (0, 0, 1, 1)).tolist(), strict=True))}
            for i, kind in enumerate(["car", "pedestrian"])] if index < FRAMES else []}
        for index, name in enumerate(names)
    ]  # fmt: skip
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "v.json").write_text(json.dumps(truth))
    writer = BddWriter(tmp_path, "val", tmp_path / "out" / "results.json", ("pedestrian", "rider", "car"))
    assert [frame.time for frame in writer.videos[0].source][:3] == [0, 0.2, 0.4], "5 frames a second"
    writer.write(results(writer.videos, [2, 0]))
    assert len(json.loads((tmp_path / "out" / "results.json").read_text())) == FRAMES + 1, "every frame is there"
    scores = bdd100k.evaluate(tmp_path / "truth", tmp_path / "out" / "results.json").scores
    assert (scores["OVERALL"]["MOTA"], scores["OVERALL"]["IDF1"], scores["OVERALL"]["MOTP"]) == (100, 100, 100)
    with pytest.raises(WriterError, match="BDD100K has no class 'vehicle'"):
        BddWriter(tmp_path, "val", tmp_path / "x", ("vehicle",))
    with pytest.raises(WriterError, match=r"expected images/track/test in it for the part test"):
        BddWriter(tmp_path, "test", tmp_path / "x", ("car",))


def test_tao(tmp_path: Path) -> None:
    names = [(video, frame, f"val/{video}/frame{frame:04d}.jpg") for video in (1, 2) for frame in range(1, FRAMES + 1)]
    images(tmp_path / "frames", [name for _, _, name in names])
    size = {"width": 90, "height": 40}
    pictures = [
        {"id": 10 * video + frame, "video_id": video, "frame_index": 30 * frame, "file_name": name, **size}
        for video, frame, name in reversed(names)
    ]
    boxes = [
        {"id": 100 * video + 10 * i + frame, "image_id": 10 * video + frame, "video_id": video, "area": 200,
         "track_id": 10 * video + i, "category_id": (805, 211)[i], "bbox": [*box(i, frame)[:2], 10, 20]}
        for video, frame, _ in names for i in range(2)
    ]  # fmt: skip
    scope: dict[str, Any] = {"neg_category_ids": [], "not_exhaustive_category_ids": []}
    document = {
        "videos": [{"id": video, "name": f"val/{video}", **scope} for video in (1, 2)],
        "images": pictures,
        "annotations": boxes,
        "tracks": [{"id": 10 * v + i, "video_id": v, "category_id": (805, 211)[i]} for v in (1, 2) for i in range(2)],
        "categories": [{"id": 805, "name": "baby"}, {"id": 211, "name": "car_(automobile)"}],
    }
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "validation.json").write_text(json.dumps(document))
    writer = TaoWriter(tmp_path, "val", tmp_path / "results.json", ("car_(automobile)", "sock", "person"))
    assert [frame.time for frame in writer.videos[0].source] == list(range(FRAMES)), "annotated are one a second"
    found = [(v, dict(parts)) for v, parts in results(writer.videos, [2, 0, 1])]
    weak = found[0][1][2]
    found[0][1][2] = tracks([(0, 0, box(0, 2), 0.1), *[(i, 0, box(i, 2), 0.9) for i in (1,)]])  # once taken for a car
    assert len(weak) == 3
    writer.write(found)
    rows = json.loads((tmp_path / "results.json").read_text())
    assert {row["category_id"] for row in rows} == {805, 211}, "socks are none of the data set's"
    assert len({row["track_id"] for row in rows}) == 4 and min(row["track_id"] for row in rows) == 1
    scores = tao.evaluate(tmp_path / "annotations" / "validation.json", tmp_path / "results.json").scores
    assert scores["AP_50_75"]["AP"] == pytest.approx(1)
    with pytest.raises(WriterError, match=r"none of its categories is of the classes dog"):
        TaoWriter(tmp_path, "val", tmp_path / "x", ("dog",))


def waymo_tables(root: Path, segments: tuple[str, ...]) -> None:
    """Segments of two cameras; the second one shows nothing, and there are no boxes of the last frame at all."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    image = cv2.imencode(".jpg", np.zeros((40, 90, 3), np.uint8))[1].tobytes()
    keys = ["key.frame_timestamp_micros", "key.camera_name"]
    shown = [(100 * frame, camera, image) for camera in (1, 2) for frame in range(1, FRAMES + 2)]
    corners = {(frame, i): box(i, frame) for frame in range(1, FRAMES + 1) for i in range(2)}
    boxes = [
        (100 * frame, 1, f"a-{i}", (1, 2)[i], (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)
        for (frame, i), (x1, y1, x2, y2) in corners.items()
    ]
    sides = [f"[CameraBoxComponent].box.{name}" for name in ("center.x", "center.y", "size.x", "size.y")]
    tables: dict[str, tuple[list[str], list[Any]]] = {
        "camera_image": ([*keys, "[CameraImageComponent].image"], shown),
        "camera_box": ([*keys, "key.camera_object_id", "[CameraBoxComponent].type", *sides], boxes),
    }
    for name, (columns, rows) in tables.items():
        (root / "validation" / name).mkdir(parents=True)
        table = arrow.table(dict(zip(columns, zip(*rows, strict=True), strict=True)))
        for segment in segments:
            parquet.write_table(table, root / "validation" / name / f"{segment}.parquet", row_group_size=3)


def test_waymo(tmp_path: Path) -> None:
    waymo_tables(tmp_path, ("100_1", "200_2"))
    writer = WaymoWriter(tmp_path, "val", tmp_path / "results.json", ("pedestrian", "vehicle"))
    assert [video.name for video in writer.videos] == ["100_1/1", "100_1/2", "200_2/1", "200_2/2"]
    with writer.videos[0].source as source:
        assert [round(frame.time, 3) for frame in source] == [0, 0.1, 0.2, 0.3, 0.4]
    front = [video for video in writer.videos if video.name.endswith("/1")]
    seen = {video.name: found for video, found in results(front, [1, 0])}
    writer.write((video, seen.get(video.name, {})) for video in writer.videos)
    first = json.loads((tmp_path / "results.json").read_text())["segments"][0]["frames"][0]
    assert [camera["name"] for camera in first["camera_labels"]] == [1, 2]
    sides = {"center_x": 11.0, "center_y": 20.0, "length": 10.0, "width": 20.0}
    assert first["camera_labels"][0]["labels"][0] == {"id": "1", "type": 1, "score": 0.9, "box": sides}
    scores = waymo.evaluate(tmp_path, tmp_path / "results.json").scores
    assert scores == waymo.evaluate(tmp_path / "validation", tmp_path / "results.json").scores
    assert scores["vehicle"]["MOTA"] == scores["pedestrian"]["IDF1"] == 1
    assert scores["all"]["objects"] == 2 * 2 * FRAMES
    with pytest.raises(WriterError, match="have no class 'car'; theirs: vehicle, pedestrian, cyclist"):
        WaymoWriter(tmp_path, "val", tmp_path / "x", ("car",))
    with pytest.raises(WriterError, match=r"expected testing/camera_image in it for the part test"):
        WaymoWriter(tmp_path, "test", tmp_path / "x", ("vehicle",))
    with pytest.raises(DataError, match="expected tables in"):
        waymo.evaluate(tmp_path / "validation" / "camera_image", tmp_path / "results.json")


def test_lvis(tmp_path: Path) -> None:
    images(tmp_path / "val2017", [f"{number:012d}.jpg" for number in (4, 7)])
    scope: dict[str, Any] = {"neg_category_ids": [], "not_exhaustive_category_ids": [], "width": 90, "height": 40}
    boxes = [
        {"id": 10 * image + i + 1, "image_id": image, "category_id": (805, 211)[i], "area": 200,
         "bbox": [*box(i, 1)[:2], 10, 20]} for image in (4, 7) for i in range(2)
    ]  # fmt: skip
    document = {
        "images": [{"id": image, "file_name": f"COCO_val2014_{image:012d}.jpg", **scope} for image in (4, 7)],
        "annotations": boxes,
        "categories": [{"id": i, "name": n, "frequency": "c"} for i, n in ((805, "baby"), (211, "car_(automobile)"))],
    }
    (tmp_path / "lvis_v0.5_val.json").write_text(json.dumps(document))
    writer = LvisWriter(tmp_path, "val", tmp_path / "results.json", ("car_(automobile)", "sock", "person"))
    corners = np.array([box(i, 1) for i in range(3)])
    seen = Detections(corners, np.array([0.9, 0.8, 0.7]), np.array([2, 0, 1]), np.zeros((3, 0)))
    writer.write((identity, seen) for identity in writer.images)
    assert [path.name for path in writer.images.values()] == ["000000000004.jpg", "000000000007.jpg"]
    assert len(json.loads((tmp_path / "results.json").read_text())) == 4, "socks are none of the data set's"
    assert lvis.evaluate(tmp_path / "lvis_v0.5_val.json", tmp_path / "results.json").scores["AP"] == pytest.approx(1)
    with pytest.raises(WriterError, match=r"expected lvis_v0\.5_train\.json in it for the part train"):
        LvisWriter(tmp_path, "train", tmp_path / "x", ("person",))
    (tmp_path / "val2017" / "000000000007.jpg").unlink()
    with pytest.raises(DocumentError, match=r"images\[1\]\.id: got 7, expected the id of an image in .*val2017"):
        LvisWriter(tmp_path, "val", tmp_path / "x", ("person",))


def test_nothing_is_left_of_an_interrupted_file(tmp_path: Path) -> None:
    images(tmp_path / "images" / "track" / "val" / "v", ["1.jpg"])
    writer = BddWriter(tmp_path, "val", tmp_path / "results.json", ("car",))

    def broken() -> Iterator[tuple[Video, Mapping[int, Tracks]]]:
        yield writer.videos[0], {}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        writer.write(broken())
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_the_command_tracks_every_video(
    checkpoint: checkpoints.Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        mot_folder(tmp_path / "train", name)
    command = ["submit", "--protocol", "mot", "--data", str(tmp_path / "train"), "--output", str(tmp_path / "out")]
    weights = ["--weights", str(checkpoint.path), "--runtime", "torch", "--threads", "1", "--time", "seconds"]
    assert main([*command, *weights, "--tracker", "init_score=0.001", "object_score=0.001"]) == 0
    assert "2 videos" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.txt", "b.txt"}
    assert len(read_mot(tmp_path / "out" / "a.txt")) > 0


def test_the_command_detects_in_every_still(
    checkpoint: checkpoints.Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images(tmp_path / "val2017", ["000000000004.jpg", "000000000007.jpg"])
    (tmp_path / "val2017" / "000000000007.jpg").write_text("no image")
    document = {"images": [{"id": i, "file_name": f"{i:012d}.jpg"} for i in (4, 7)], "annotations": [],
                "categories": [{"id": 9, "name": checkpoint.config.classes[0]}]}  # fmt: skip
    (tmp_path / "lvis_v0.5_val.json").write_text(json.dumps(document))
    command = ["submit", "--protocol", "lvis", "--data", str(tmp_path), "--output", str(tmp_path / "boxes.json")]
    command += ["--weights", str(checkpoint.path), "--runtime", "torch", "--threads", "1"]
    assert main(command) == 0
    told = capsys.readouterr()
    assert "2 images" in told.out
    assert "000000000007.jpg: not an image that can be decoded" in told.err
    rows = json.loads((tmp_path / "boxes.json").read_text())
    assert len(rows) > 0
    assert {(row["image_id"], row["category_id"]) for row in rows} == {(4, 9)}
    assert main([*command, "--tracker", "init_score=0.5"]) == 2
    assert "--tracker: lvis has stills, in which nothing is tracked" in capsys.readouterr().err
