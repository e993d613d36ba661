"""YOLO folders: names as list or mapping, parts, outlines, images without labels, wrong classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qdtrack_model.data.readers import yolo
from qdtrack_model.data.reading import DataError, Reading

Ask, Picture = Callable[..., Reading], Callable[..., Path]
PLAIN = "train: images/train\nval: images/val\nnames: [vehicle, dog, pedestrian]\n"


@pytest.fixture
def folder(tmp_path: Path, picture: Picture) -> Path:
    for name in ("images/train/2.png", "images/train/10.jpg", "images/val/3.jpg"):
        picture(tmp_path / name, 100, 50)
    (tmp_path / "labels" / "train").mkdir(parents=True)
    rows = ["2 0.5 0.5 0.2 0.4", "0 0 0.5 0.2 0.2", "1 .5 .5 .1 .1", "2 0.1 0.2 0.3 0.2 0.2 0.8"]
    (tmp_path / "labels" / "train" / "2.txt").write_text("\n".join(rows))
    (tmp_path / "data.yaml").write_text(PLAIN)
    return tmp_path


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        "path: .\ntrain: [images/train]\nval: images/val\nnames: {0: vehicle, 1: dog, 2: pedestrian}",
        "path: ../datasets/mine\ntrain: ../images/train\nval: ../images/val\nnc: 3\nnames: [vehicle, dog, pedestrian]",
        "train: train.txt\nval: images/val\nnames: [vehicle, dog, pedestrian]",
    ],
)
def test_boxes_and_outlines_become_objects(folder: Path, asked: Ask, text: str) -> None:
    (folder / "data.yaml").write_text(text)
    (folder / "train.txt").write_text("./images/train/2.png\nimages/train/10.jpg\n")
    assert yolo.recognises(folder)
    [recording], odd = yolo.read(folder, asked(part="train"))
    first, second = recording.samples
    assert recording.still
    np.testing.assert_allclose(first.objects.boxes, [[40, 15, 60, 35], [-10, 20, 10, 30], [10, 10, 30, 40]])
    assert first.objects.labels.tolist() == [0, 1, 0]
    assert len(set(first.objects.ids)) == 3
    assert len(second.objects.boxes) == len(first.objects.open_labels) == 0, "everything is labelled"
    assert first.read().image.shape == (50, 100, 3)
    assert odd == {"objects of categories that are no class: taken for background": 1}
    assert len(yolo.read(folder, asked(part="val"))[0][0].samples) == 1


def test_rows_with_keypoints_begin_with_a_box(folder: Path, asked: Ask) -> None:
    (folder / "data.yaml").write_text(PLAIN + "kpt_shape: [1, 2]\n")
    (folder / "labels" / "train" / "2.txt").write_text("2 0.5 0.5 0.2 0.4 0.5 0.5")
    [recording], _ = yolo.read(folder, asked(part="train"))
    assert recording.samples[0].objects.boxes.tolist() == [[40, 15, 60, 35]]


def test_a_list_of_classes_does_for_a_description(folder: Path, asked: Ask) -> None:
    (folder / "data.yaml").unlink()
    (folder / "classes.txt").write_text("vehicle\ndog\npedestrian\n")
    assert yolo.recognises(folder)
    assert len(yolo.read(folder, asked())[0][0].samples) == 3


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("3 .5 .5 .1 .1", r"2\.txt, line 1: class is 3, expected one of 0, 1, 2"),
        ("0 .5 .5 .1", r"2\.txt, line 1: got 4 columns, expected 5 or more"),
        ("0 .5 .5 .1 .1 .3", r"2\.txt, line 1: got 6 columns, expected class and box"),
        ("0 50 25 10 10", r"2\.txt, line 1: x is 50, expected a part"),
    ],
)
def test_a_broken_row_is_named(folder: Path, asked: Ask, row: str, text: str) -> None:
    (folder / "labels" / "train" / "2.txt").write_text(row)
    with pytest.raises(DataError, match=text):
        yolo.read(folder, asked(part="train"))


@pytest.mark.parametrize(
    ("text", "message"),
    [("train: images/train", "names is None"), (PLAIN.replace("/train", "/gone"), "no images in .*gone"),
     ("names: [a]\ntrain: 3", "train is 3, expected a folder")],
)  # fmt: skip
def test_a_broken_description_is_named(folder: Path, asked: Ask, text: str, message: str) -> None:
    (folder / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=message):
        yolo.read(folder, asked(part="train"))
