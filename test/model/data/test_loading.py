"""Ground truth of MOTChallenge folders as labelled images: which class each box is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qdtrack_model.config import OneShotConfig
from qdtrack_model.data.loading import load_sequence
from qdtrack_model.data.readers.mot import MotBoxes, MotError, write_mot
from qdtrack_model.data.samples import IGNORED

CLASSES = ("vehicle", "pedestrian", "cyclist")


def labelled(folder: Path, columns: list[int]) -> Path:
    """The folder with ground truth of one box of each class column in frame 1."""
    count = len(columns)
    boxes = np.tile([10.0, 10, 30, 50], (count, 1))
    one = np.ones(count)
    write_mot(folder / "gt" / "gt.txt", MotBoxes(one, np.arange(1, count + 1), boxes, one, np.array(columns), one))
    return folder


@pytest.mark.parametrize(
    ("classes", "named", "columns", "labels"),
    [
        (CLASSES, (), [3, 1, 16, 4], [0, 1, 2, IGNORED]),
        (CLASSES, (3, 1, 4), [3, 1, 16, 4], [0, 1, IGNORED, 2]),
        (CLASSES, (), [-1, -1], [1, 1]),  # no classes are named: people
        (("dog",), (), [-1, -1], [0, 0]),
    ],
)
def test_boxes_are_of_the_class_that_their_column_says(
    blob_folder: Path, classes: tuple[str, ...], named: tuple[int, ...], columns: list[int], labels: list[int]
) -> None:
    model = OneShotConfig(classes=classes, columns=named, input_size=(96, 160))
    frame, *_ = load_sequence(labelled(blob_folder, columns), model)
    assert frame.labels.tolist() == labels
    np.testing.assert_allclose(frame.boxes[0], [5, 5, 15, 25])


def test_without_any_object_of_the_classes_their_columns_are_named(blob_folder: Path) -> None:
    with pytest.raises(MotError, match=r"no object of class dog \(14\), cat \(15\) in frames 1-1"):
        load_sequence(labelled(blob_folder, [1, 2]), OneShotConfig(classes=("dog", "cat")))


def test_colliding_classes_are_refused(blob_folder: Path) -> None:
    with pytest.raises(MotError, match="classes 'car' and 'vehicle' are both 3"):
        load_sequence(blob_folder, OneShotConfig(classes=("car", "vehicle")))
