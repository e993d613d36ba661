"""KITTI tracking: frames and ids from 0, regions without labels, frames without objects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qdtrack_model.data.readers import kitti
from qdtrack_model.data.reading import DataError, Reading
from qdtrack_model.data.samples import IGNORED

Ask, Picture = Callable[..., Reading], Callable[..., Path]
ROWS = """\
0 -1 DontCare -1 -1 -10.0 20.5 10.0 40.0 30.0 -1000.0 -1000.0 -1000.0 -10.0 -1 -1 -1
0 0 Car 0 0 -1.79 -5.0 18.0 30.0 40.0 1.96 1.83 4.17 -4.55 1.84 13.41 -2.11
0 1 Cyclist 0 2 -1.9 50.0 16.0 60.0 30.0 1.73 0.82 1.78 -14.15 1.05 33.43 -2.25
2 0 Car 0 0 -1.79 -2.0 18.0 32.0 40.0 1.96 1.83 4.17 -4.55 1.84 13.41 -2.11
2 5 Person_sitting 0 0 -1.79 60.0 18.0 70.0 50.0 1.96 1.83 4.17 -4.55 1.84 13.41 -2.11
"""
NAMES = {"vehicle": ("Car", "Van"), "pedestrian": ("Pedestrian", "Person"), "ignored": ("Cyclist",)}


@pytest.fixture
def folder(tmp_path: Path, picture: Picture) -> Path:
    (tmp_path / "training" / "label_02").mkdir(parents=True)
    (tmp_path / "training" / "label_02" / "0000.txt").write_text(ROWS)
    for frame in range(4):
        picture(tmp_path / "training" / "image_02" / "0000" / f"{frame:06d}.png", grey=40 * frame)
    return tmp_path


@pytest.mark.parametrize("part", ["", "training"])
def test_frames_and_ids_count_from_0(folder: Path, asked: Ask, part: str) -> None:
    assert kitti.recognises(folder / part)
    [recording], odd = kitti.read(folder / part, asked(NAMES))
    assert (recording.name, recording.still, recording.frame_rate) == ("0000", False, 10)
    first, second, third, fourth = (sample.objects for sample in recording.samples)
    assert first.labels.tolist() == [IGNORED, 1, IGNORED], "a region without labels, a car, and a cyclist as named"
    assert first.boxes[1].tolist() == [-5, 18, 30, 40]
    assert first.ids[0] == -1
    assert third.ids.tolist()[0] == first.ids[1] >= 0
    assert third.labels.tolist() == [1, 0]
    assert len(second.boxes) == len(fourth.boxes) == 0
    assert (recording.samples[2].read().image == 80).all()
    assert not odd


def test_half_of_a_sequence_is_one_more_than_half(folder: Path, asked: Ask) -> None:
    assert len(kitti.read(folder, asked(half=True))[0][0].samples) == 3
    assert len(kitti.read(folder, asked(frames=(2, 3)))[0][0].samples) == 2


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("0 1 Car 0 0 0 1 2 3", "line 1: got 9 columns, expected 10 or more"),
        ("0 1 Boat 0 0 0 1 2 3 4", "line 1: type is 'Boat', expected one of Car, Van"),
        ("0.5 1 Car 0 0 0 1 2 3 4", "line 1: got '0.5', expected a whole number"),
        ("0 1 Car 0 0 0 1 2 3 nan", "line 1: got 'nan', expected a number"),
    ],
)
def test_a_broken_row_is_named(folder: Path, asked: Ask, row: str, text: str) -> None:
    (folder / "training" / "label_02" / "0000.txt").write_text(row)
    with pytest.raises(DataError, match=text):
        kitti.read(folder, asked())


def test_a_sequence_needs_images(folder: Path, asked: Ask) -> None:
    (folder / "training" / "label_02" / "0001.txt").write_text(ROWS)
    with pytest.raises(DataError, match="0001: no images of sequence 0001"):
        kitti.read(folder, asked())
