"""Waymo's tables: cameras apart, ids that are texts, images without boxes, types that are no class."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from qdtrack_model.data.readers import waymo_parquet as waymo
from qdtrack_model.data.reading import DataError, Reading
from qdtrack_model.data.samples import SampleError

Ask = Callable[..., Reading]
NAME = "1005081002024129653_5313_150_5333_150.parquet"


def write(file: Path, columns: dict[str, list[Any]], group: int = 3) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    file.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(arrow.table(columns), file, row_group_size=group)


def jpeg(grey: int) -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((60, 80, 3), grey, np.uint8))[1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two cameras with three images each, not in the order of time, in row groups of three."""
    rows = [(30, 1, 90), (10, 1, 30), (20, 1, 60), (10, 2, 40), (20, 2, 80), (30, 2, 120)]
    times, cameras, greys = (list(column) for column in zip(*rows, strict=True))
    keys = {waymo.TIME: times, waymo.CAMERA: cameras}
    write(tmp_path / "training" / "camera_image" / NAME, keys | {waymo.IMAGE: [jpeg(grey) for grey in greys]})
    boxes: list[tuple[Any, ...]] = [
        (10, 1, "a-b", 1, 20.0, 30.0, 10.0, 20.0), (10, 1, "c", 2, 0.0, 30.0, 10.0, 20.0),
        (10, 1, "d", 3, 20.0, 30.0, 10.0, 20.0), (20, 1, "a-b", 1, 22.0, 30.0, 10.0, 20.0),
        (10, 2, "a-b", 4, 20.0, 30.0, 10.0, 20.0), (10, 2, "e", 2, 20.0, 30.0, 0.0, 20.0),
    ]  # fmt: skip
    names = [waymo.TIME, waymo.CAMERA, waymo.IDENTITY, waymo.TYPE, *waymo.BOX]
    columns = {name: list(column) for name, column in zip(names, zip(*boxes, strict=True), strict=True)}
    write(tmp_path / "training" / "camera_box" / NAME, columns)
    write(tmp_path / "training" / "camera_box" / "gone.parquet", columns)
    return tmp_path


def test_each_camera_is_a_sequence(folder: Path, asked: Ask) -> None:
    assert waymo.recognises(folder)
    (front, left), odd = waymo.read(folder, asked(classes=("vehicle", "pedestrian", "cyclist"), part="train"))
    assert (front.name, left.name) == (f"{NAME[:-8]}/1", f"{NAME[:-8]}/2")
    assert front.frame_rate == 10
    first, second, third = (sample.objects for sample in front.samples)
    assert first.boxes.tolist() == [[15, 20, 25, 40], [-5, 20, 5, 40]]
    assert first.labels.tolist() == [0, 1]
    assert first.ids[0] == second.ids[0]
    assert len(third.boxes) == len(third.open_labels) == 0
    assert left.samples[0].objects.labels.tolist() == [2]
    assert [round(float(sample.read().image.mean())) for sample in front.samples] == [30, 60, 90]
    assert odd == {
        "objects of categories that are no class: taken for background": 1,
        "boxes without area: left out": 1,
        "segments without images: left out": 1,
    }
    assert len(waymo.read(folder / "training", asked())[0]) == 2


def test_a_table_with_damaged_pages_is_one_line(folder: Path, asked: Ask) -> None:
    path = folder / "training" / "camera_box" / NAME
    path.write_bytes(b"PAR1" + bytes(60) + path.read_bytes()[64:])  # what is told of the pages stands at the end
    with pytest.raises(DataError, match="cannot be read") as caught:
        waymo.read(folder, asked())
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_what_lacks_or_is_broken_is_named(folder: Path, asked: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"no segment with camera_box/ and camera_image/ in .*validation"):
        waymo.read(folder, asked(part="val"))
    [front, _], _ = waymo.read(folder, asked())
    write(folder / "training" / "camera_image" / NAME, {waymo.TIME: [1], waymo.CAMERA: [1]})
    waymo._images.cache_clear()
    with pytest.raises(SampleError, match="row 1 of group 0"):
        front.samples[0].read()
    write(folder / "training" / "camera_image" / NAME, {waymo.IMAGE: [None, None]})
    waymo._images.cache_clear()
    with pytest.raises(SampleError, match="row 1 of group 0"):
        front.samples[0].read()
    write(folder / "training" / "camera_image" / NAME, {waymo.TIME: [1], waymo.CAMERA: [1]})
    with pytest.raises(DataError, match=r"has no column \[CameraImageComponent\]\.image: not a table of"):
        waymo.read(folder, asked())
    (folder / "training" / "camera_box" / NAME).write_text("no table")
    with pytest.raises(DataError, match="cannot be read"):
        waymo.read(folder, asked())
    boxes = {waymo.TIME: [10, None], **{key: [1, 1] for key in (waymo.CAMERA, waymo.TYPE, *waymo.BOX)}}
    write(folder / "training" / "camera_box" / NAME, boxes | {waymo.IDENTITY: ["a", "b"]})
    with pytest.raises(DataError, match="a row has no value in one of key"):
        waymo.read(folder, asked())
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"needs pyarrow: pip install 'qdtrack\[waymo\]'"):
        waymo.read(folder, asked())
