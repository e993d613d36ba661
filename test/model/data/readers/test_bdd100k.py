"""BDD100K: tracking and detection, inclusive edges, ignored categories and crowds, old names, odd frames."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qdtrack_model.data.documents import DocumentError
from qdtrack_model.data.readers import bdd100k
from qdtrack_model.data.reading import DataError, Reading
from qdtrack_model.data.samples import IGNORED

Ask, Picture = Callable[..., Reading], Callable[..., Path]
NAMES = {"vehicle": ("car", "bus"), "ignored": ("rider",)}


def label(identity: str, category: str, x1: float, y1: float, x2: float, y2: float, **marks: Any) -> dict[str, Any]:
    attributes = {"occluded": False, "truncated": False, **marks}
    box = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
    return {"id": identity, "category": category, "attributes": attributes, "box2d": box}


@pytest.fixture
def folder(tmp_path: Path, picture: Picture) -> Path:
    """A video of four frames, one without labels and one with null, and three stills, one of which is missing."""
    boxes = [label("00091078", "pedestrian", 10, 10, 19, 29), label("b7", "van", -5, 0, 9, 9, crowd=False)]
    rider = label("r", "rider", 1, 1, 5, 5)
    odd = [label("c", "other vehicle", 1, 1, 5, 5), label("d", "car", 1, 1, 5, 5, crowd=True)]
    frames: list[dict[str, Any]] = [
        {"name": "v-0000002.jpg", "videoName": "v", "frameIndex": 1, "labels": [boxes[0], rider]},
        {"name": "v-0000001.jpg", "videoName": "v", "frameIndex": 0, "labels": boxes + odd},
        {"name": "v-0000003.jpg", "videoName": "v", "frameIndex": 2},
        {"name": "v-0000004.jpg", "videoName": "v", "frameIndex": 3, "labels": None},
    ]
    tracking, detection = tmp_path / "labels" / "box_track_20", tmp_path / "labels" / "det_20"
    for place in (tracking / "train", tracking / "val", detection):
        place.mkdir(parents=True)
    (tracking / "train" / "v.json").write_text(json.dumps(frames))
    (tracking / "val" / "w.json").write_text(json.dumps([frames[0] | {"videoName": "w"}]))
    lane = {"id": "9", "category": "lane", "attributes": {}, "poly2d": []}
    lights = [lane, label("5", "traffic light", 1, 1, 2, 2), label("6", "person", 4, 4, 8, 8, ignored=True)]
    stills = [{"name": "a.jpg", "labels": [*lights, label("7", "bus", 0, 0, 9, 9)]}, {"name": "gone.jpg"}]
    (detection / "det_train.json").write_text(json.dumps({"frames": stills}))
    for number in range(1, 5):
        picture(tmp_path / "images" / "track" / "train" / "v" / f"v-000000{number}.jpg", grey=20 * number)
    picture(tmp_path / "images" / "track" / "val" / "w" / "v-0000002.jpg")
    picture(tmp_path / "images" / "100k" / "train" / "a.jpg")
    return tmp_path


def test_videos_and_stills_are_read_together(folder: Path, asked: Ask) -> None:
    assert bdd100k.recognises(folder)
    (video, stills), odd = bdd100k.read(folder, asked(NAMES, part="train"))
    assert [(part.name, part.still, len(part.samples)) for part in (video, stills)] == [
        ("v", False, 4),
        ("det_train", True, 1),
    ]
    first, second, third, fourth = (sample.objects for sample in video.samples)
    assert video.frame_rate == 5
    assert first.boxes.tolist()[:2] == [[10, 10, 20, 30], [-5, 0, 10, 10]], "right and lower edges are inclusive"
    assert first.labels.tolist() == [0, 1, IGNORED, IGNORED]
    assert second.labels.tolist() == [0, IGNORED]
    assert second.ids[0] == first.ids[0]
    assert len(third.boxes) == len(fourth.boxes) == len(first.open_labels) == 0
    assert stills.samples[0].objects.labels.tolist() == [IGNORED, 1]
    assert stills.samples[0].objects.ids.tolist() == [-1, -1]
    assert odd == {
        "image files missing: left out": 1,
        "objects of categories that are no class: taken for background": 1,
    }


def test_frames_of_one_number_keep_their_own_labels(folder: Path, asked: Ask) -> None:
    frames = [
        {
            "name": f"v-000000{number}.jpg",
            "videoName": "v",
            "frameIndex": 0,
            "labels": [label("a", "car", *[number] * 4)],
        }
        for number in (1, 2)
    ]
    (folder / "labels" / "box_track_20" / "train" / "v.json").write_text(json.dumps(frames))
    (video, _), _ = bdd100k.read(folder, asked(NAMES, part="train"))
    assert [sample.objects.boxes.tolist() for sample in video.samples] == [[[1, 1, 2, 2]], [[2, 2, 3, 3]]]


def test_parts_and_places(folder: Path, asked: Ask) -> None:
    assert [part.name for part in bdd100k.read(folder, asked(NAMES, part="val"))[0]] == ["w"]
    assert [part.name for part in bdd100k.read(folder, asked(NAMES))[0]] == ["v", "det_train", "w"]
    places = {"annotations": "labels/det_20/det_train.json", "images": "images/100k/train"}
    assert [part.name for part in bdd100k.read(folder, asked(NAMES, **places))[0]] == ["det_train"]
    with pytest.raises(DataError, match=r"no labels with images in .*gone"):
        bdd100k.read(folder, asked(annotations="gone"))


def test_what_is_broken_is_named(folder: Path, asked: Ask) -> None:
    file = folder / "labels" / "box_track_20" / "train" / "v.json"
    file.write_text(json.dumps([{"name": "../../../../x.jpg", "videoName": "v", "frameIndex": 0}]))
    with pytest.raises(DocumentError, match=r"v\.json, \[0\]\.name: got .* expected a path below"):
        bdd100k.read(folder, asked(part="train"))
    file.write_text(
        json.dumps([{"name": "v-0000001.jpg", "videoName": "v", "frameIndex": 0, "labels": [{"category": 3}]}])
    )
    with pytest.raises(DocumentError, match=r"labels\[0\]\.category: got 3, expected a text"):
        bdd100k.read(folder, asked(part="train"))
