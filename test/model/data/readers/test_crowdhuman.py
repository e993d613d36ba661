"""CrowdHuman: whole bodies, also beyond the image; masks and what is to be ignored; missing images."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qdtrack_model.data.documents import DocumentError
from qdtrack_model.data.readers import crowdhuman
from qdtrack_model.data.reading import DataError, Reading
from qdtrack_model.data.samples import IGNORED

Ask, Picture = Callable[..., Reading], Callable[..., Path]


def person(fbox: list[float], tag: str = "person", **extra: int) -> dict[str, Any]:
    return {
        "tag": tag, "fbox": fbox, "vbox": [1, 1, 2, 2], "hbox": [1, 1, 1, 1],
        "head_attr": {"ignore": 0, "occ": 0, "unsure": 0}, "extra": {"box_id": 0, "occ": 1, **extra},
    }  # fmt: skip


def write(file: Path, *lines: dict[str, Any]) -> None:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def folder(tmp_path: Path, picture: Picture) -> Path:
    boxes = [person([-10, -5, 30, 70]), person([5, 5, 20, 40], ignore=1), person([40, 5, 20, 40], "mask", ignore=1)]
    boxes += [person([50, 5, 0, 9]), {"tag": "mask", "fbox": [1, 2, 3, 4]}]
    lines = [{"ID": "273271,c9db", "gtboxes": boxes}, {"ID": "gone,1", "gtboxes": []}]
    write(tmp_path / "annotation_train.odgt", *lines)
    write(tmp_path / "annotation_val.odgt", {"ID": "v,1", "gtboxes": [person([1, 1, 9, 9]), person([2, 2, 9, 9])]})
    picture(tmp_path / "Images" / "273271,c9db.jpg")
    picture(tmp_path / "val" / "Images" / "v,1.jpg")
    return tmp_path


def test_whole_bodies_are_learned_and_what_is_marked_is_ignored(folder: Path, asked: Ask) -> None:
    assert crowdhuman.recognises(folder)
    [recording], odd = crowdhuman.read(folder, asked(part="train"))
    [image] = recording.samples
    assert recording.still
    assert image.objects.boxes.tolist() == [[-10, -5, 20, 65], [5, 5, 25, 45], [40, 5, 60, 45], [1, 2, 4, 6]]
    assert image.objects.labels.tolist() == [0, IGNORED, IGNORED, IGNORED], "a person is a pedestrian"
    assert image.objects.open_labels.tolist() == [1], "of vehicles nothing is known"
    assert image.read().image.shape == (60, 80, 3)
    assert odd == {"image files missing: left out": 1, "boxes without area: left out": 1}


def test_people_are_all_different_and_parts_stay_apart(folder: Path, asked: Ask) -> None:
    [recording], _ = crowdhuman.read(folder, asked(part="val"))
    [image] = recording.samples
    assert len(set(image.objects.ids.tolist())) == 2
    assert len(crowdhuman.read(folder, asked())[0][0].samples) == 2
    (folder / "annotation_val.odgt").unlink()
    assert len(crowdhuman.read(folder, asked())[0][0].samples) == 1
    with pytest.raises(DocumentError, match=r"annotation_val\.odgt: cannot be read"):
        crowdhuman.read(folder, asked(part="val"))


def test_what_is_broken_is_named_by_its_line(folder: Path, asked: Ask) -> None:
    write(folder / "annotation_train.odgt", {"ID": "a", "gtboxes": []}, {"ID": "../a", "gtboxes": []})
    with pytest.raises(DocumentError, match=r"line 2, ID: got '\.\./a', expected the name of an image"):
        crowdhuman.read(folder, asked(part="train"))
    write(folder / "annotation_train.odgt", {"ID": "273271,c9db", "gtboxes": [person([1, 2, 3])]})
    with pytest.raises(DocumentError, match=r"line 1, gtboxes\[0\]\.fbox: got \[1, 2, 3\], expected left, top"):
        crowdhuman.read(folder, asked(part="train"))
    write(folder / "annotation_train.odgt", {"ID": "273271,c9db", "gtboxes": [person([1, 2, 3, 10**400])]})
    with pytest.raises(DocumentError, match=r"fbox\[3\]: got 10000.*, expected a number"):
        crowdhuman.read(folder, asked(part="train"))
    (folder / "annotation_train.odgt").write_text("{")
    with pytest.raises(DocumentError, match="line 1: not JSON"):
        crowdhuman.read(folder, asked(part="train"))
    write(folder / "annotation_train.odgt", {"ID": "gone", "gtboxes": []})
    with pytest.raises(DataError, match="none of its images is in Images or train/Images"):
        crowdhuman.read(folder, asked(part="train"))
