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
from qdtrack_model.data.readers.mot import read_mot
from qdtrack_model.data.writers import Video, WriterError
from qdtrack_model.data.writers.bdd100k import BddWriter
from qdtrack_model.data.writers.mot import MotWriter
from qdtrack_model.data.writers.tao import TaoWriter
from qdtrack_model.evaluation.protocols import bdd100k, motchallenge, tao
from qdtrack_model.structures import Tracks

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
