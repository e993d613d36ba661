"""CocoVID and TAO: order of frames, ids of both kinds, merged classes, what is known of a video's classes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qdtrack_model.data.documents import DocumentError
from qdtrack_model.data.readers import coco, tao
from qdtrack_model.data.reading import Reading
from qdtrack_model.data.samples import IGNORED

Ask, Picture = Callable[..., Reading], Callable[..., Path]


def annotation(image: int, category: int, identity: int | str, box: list[float], **more: Any) -> dict[str, Any]:
    return {"id": 1, "image_id": image, "category_id": category, "instance_id": identity, "bbox": box, **more}


def content() -> dict[str, Any]:
    """Two videos, the first one with its frames in disorder, and an image of none."""
    frames = [(1, 1, 1), (2, 1, 0), (3, 1, 2), (4, 2, 0)]
    images: list[dict[str, Any]] = [
        {"id": i, "video_id": video, "frame_id": frame, "file_name": f"v{video}/{i}.jpg", "width": 80, "height": 60}
        for i, video, frame in frames
    ]
    images += [{"id": 5, "file_name": "still.jpg", "width": 80, "height": 60}]
    boxes = [annotation(2, 1, 0, [1, 2, 3, 4]), annotation(1, 1, 0, [2, 2, 3, 4]), annotation(1, 2, "b", [-5, 0, 9, 9])]
    boxes += [annotation(2, 1, -1, [3, 3, 3, 3], iscrowd=1), annotation(2, 1, 7, [4, 4, 4, 4], ignore=True)]
    boxes += [annotation(4, 1, 0, [1, 1, 0, 4]), annotation(5, 3, 1, [1, 1, 5, 5])]
    boxes[0].pop("instance_id")
    boxes[0]["track_id"] = 0
    names = ["pedestrian", "car", "bus"]
    categories = [{"id": i, "name": name} for i, name in enumerate(names, start=1)]
    return {"videos": [{"id": 1, "name": "one", "fps": 12}, {"id": 2, "name": "two"}], "images": images,
            "annotations": boxes, "categories": categories}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, picture: Picture) -> Path:
    (tmp_path / "annotations.json").write_text(json.dumps(content()))
    for name in ("v1/1.jpg", "v1/2.jpg", "v1/3.jpg", "still.jpg"):
        picture(tmp_path / "images" / name)
    return tmp_path


def test_videos_become_sequences_and_the_rest_stills(folder: Path, asked: Ask) -> None:
    (one, stills), odd = coco.read(folder, asked({"vehicle": ("car", "bus")}))
    assert (one.name, one.still, one.frame_rate, stills.still) == ("one", False, 12, True)
    assert [sample.path.name for sample in one.samples] == ["2.jpg", "1.jpg", "3.jpg"]
    first, second, third = (sample.objects for sample in one.samples)
    assert first.labels.tolist() == [0, IGNORED, IGNORED]
    assert first.ids[0] == second.ids[0]
    assert first.ids[1] == -1
    assert second.boxes.tolist() == [[2, 2, 5, 6], [-5, 0, 4, 9]]
    assert second.labels.tolist() == [0, 1]
    assert len(third.boxes) == len(first.open_labels) == 0
    assert stills.samples[0].objects.labels.tolist() == [1]
    assert odd == {"boxes without area: left out": 1, "image files missing: left out": 1}


def test_files_may_lie_anywhere_below_the_folder(folder: Path, asked: Ask) -> None:
    (folder / "annotations.json").rename(folder / "half-train.json")
    (folder / "images").rename(folder / "frames")
    found, _ = coco.read(folder, asked(annotations="half-train.json", images="frames", half=True))
    assert [len(part.samples) for part in found] == [2, 1]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda c: c["images"][0].update(video_id=9), r"images\[0\]\.video_id: got 9, expected the id of a video"),
        (lambda c: c["images"][1].update(id=1), r"images\[1\]\.id: got 1, expected an id that no other"),
        (lambda c: c["images"][0].pop("frame_id"), r"images\[0\]: frame_id is missing"),
        (lambda c: c["images"][0].update(file_name="../../x"), r"images\[0\]\.file_name: .* below the folder"),
        (lambda c: c["annotations"][1].update(image_id=9), r"annotations\[1\]\.image_id: got 9"),
        (lambda c: c["annotations"][1].update(category_id=9), r"annotations\[1\]\.category_id: got 9"),
        (lambda c: c["annotations"][1].update(bbox=[1, 2, -3, 4]), r"annotations\[1\]\.bbox: got \[1, 2, -3, 4\]"),
        (lambda c: [i.update(file_name="gone") for i in c["images"]], "none of its images is in .*images"),
    ],
)
def test_what_is_broken_is_named(folder: Path, asked: Ask, change: Callable[[Any], Any], text: str) -> None:
    broken = content()
    change(broken)
    (folder / "annotations.json").write_text(json.dumps(broken))
    with pytest.raises(DocumentError, match=text):
        coco.read(folder, asked())


@pytest.fixture
def tao_folder(tmp_path: Path, picture: Picture) -> Path:
    """A video whose pedestrians are complete, of which no car is in it, and buses may lack a box."""
    video = {"id": 3, "name": "train/A/v", "neg_category_ids": [2], "not_exhaustive_category_ids": [4]}
    images = [{"id": i, "video_id": 3, "frame_index": i, "file_name": f"train/A/v/frame{i:04d}.jpg", "width": 80,
               "height": 60} for i in (31, 1)]  # fmt: skip
    rows = [(1, 9, 5), (31, 1, 5), (31, 4, 6)]  # image, category, track
    boxes = [
        {"id": i, "image_id": image, "category_id": category, "track_id": track, "bbox": [1, 1, 9, 9], "video_id": 3}
        for i, (image, category, track) in enumerate(rows)
    ]
    names = {1: "pedestrian", 9: "baby", 2: "car", 4: "bus", 5: "dog"}
    categories: list[dict[str, Any]] = [{"id": i, "name": name} for i, name in names.items()]
    categories[0]["merged"] = [{"id": 9, "name": "baby"}]
    tracks = [{"id": 5, "category_id": 1, "video_id": 3}, {"id": 6, "category_id": 4, "video_id": 3}]
    document = {"videos": [video], "images": images, "annotations": boxes, "categories": categories, "tracks": tracks}
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "train.json").write_text(json.dumps(document))
    for image in images:
        picture(tmp_path / "frames" / str(image["file_name"]))
    return tmp_path


def test_tao_says_what_is_known_of_each_video(tao_folder: Path, asked: Ask) -> None:
    assert tao.recognises(tao_folder)
    classes = ("pedestrian", "car", "bus", "dog")
    [recording], _ = tao.read(tao_folder, asked(classes=classes, part="train"))
    first, second = (sample.objects for sample in recording.samples)
    assert (recording.name, recording.frame_rate) == ("train/A/v", 1)
    assert first.ids.tolist() == [0]
    assert second.ids.tolist() == [0, 1]
    assert first.labels.tolist() == [0], "a baby was merged into pedestrians"
    assert second.open_labels.tolist() == [2, 3]
    everything = asked(classes=classes, labelling={"complete": ("all",)})
    assert len(tao.read(tao_folder, everything)[0][0].samples[0].objects.open_labels) == 0
    with pytest.raises(DocumentError, match=r"expected annotations/validation\.json in it"):
        tao.read(tao_folder, asked(part="val"))
