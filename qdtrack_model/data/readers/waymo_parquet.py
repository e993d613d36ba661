"""Waymo Open Dataset v2 (https://waymo.com/open): camera boxes and images in parquet tables, a file a segment.

Each of the five cameras of a segment is a sequence at 10 frames a second. ``camera_box/SEGMENT.parquet`` has a row for
each box: type, centre, size, and an id that is a text; ``camera_image/SEGMENT.parquet`` a row for each image, also
those without a box. Images are read a row group at a time, however few of it are wanted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from qdtrack_model.data.readers.waymo import CAMERAS, TYPES, Label, Segment
from qdtrack_model.data.reading import Annotations, DataError, Odd, Reading, Recording
from qdtrack_model.data.samples import LabelledImage, Objects, SampleError, decoded

PARTS = {"train": "training", "val": "validation", "test": "testing"}
BOXES, IMAGES = "camera_box", "camera_image"
TIME, CAMERA, IDENTITY = "key.frame_timestamp_micros", "key.camera_name", "key.camera_object_id"
TYPE = "[CameraBoxComponent].type"
BOX = [f"[CameraBoxComponent].box.{name}" for name in ("center.x", "center.y", "size.x", "size.y")]
IMAGE = "[CameraImageComponent].image"
LABELLED = ("vehicle", "pedestrian", "cyclist")
FRAME_RATE = 10.0


def recognises(folder: Path) -> bool:
    """Whether a folder has tables of camera boxes, or parts that have."""
    return any((root / BOXES).is_dir() for root in (folder, folder / PARTS["train"], folder / PARTS["val"]))


@dataclass(frozen=True, eq=False)
class TableImage:
    """An image in a table and what is in it.

    Args:
        path: of the table.
        group: number of the row group.
        row: in that group.
        objects: what is in the image.
        largest: (height, width) that it is scaled to fit where it is larger.
    """

    path: Path
    group: int
    row: int
    objects: Objects
    largest: tuple[int, int] | None

    def read(self) -> LabelledImage:
        """Decode the image.

        Raises:
            SampleError: the table is gone or broken, or what it holds is no image.
        """
        where = f"{self.path}, row {self.row} of group {self.group}"
        try:
            data = np.frombuffer(_images(self.path, self.group)[self.row].as_py(), np.uint8)
        except (OSError, ValueError, LookupError, TypeError) as error:  # the last of a row without an image
            raise SampleError(f"{where}: cannot be read: {_first_line(error)}") from None
        labelled = decoded(data, self.objects, where)
        return labelled.fitted(self.largest) if self.largest else labelled


@lru_cache(maxsize=2)  # key and reference are mostly neighbours
def _images(path: Path, group: int) -> Any:
    """The images of a row group."""
    return _library().ParquetFile(path).read_row_group(group, columns=[IMAGE])[IMAGE]


def _library() -> Any:
    """What reads parquet.

    Raises:
        DataError: it is not installed.
    """
    try:
        from pyarrow import parquet
    except ImportError:
        raise DataError("the Waymo Open Dataset needs pyarrow: pip install 'qdtrack[waymo]'") from None
    return parquet


def read(folder: Path, reading: Reading) -> tuple[list[Recording], Odd]:
    """The cameras of the segments of the parts asked for; a folder with ``camera_box/`` in it is a part itself.

    Raises:
        DataError: a table is broken or lacks a column, nothing is there, or pyarrow is not installed.
    """
    odd = Odd()
    recordings: list[Recording] = []
    parts = [PARTS[part] for part in ("train", "val") if reading.part in ("all", part)]
    roots = [folder] if (folder / BOXES).is_dir() else [folder / part for part in parts]
    for boxes in (path for root in roots for path in sorted((root / BOXES).glob("*.parquet"))):
        images = boxes.parent.parent / IMAGES / boxes.name
        if images.is_file():
            recordings += _read_segment(boxes, images, reading, odd)
        else:
            odd["segments without images: left out"] += 1
    if not recordings:
        raise DataError(f"{folder}: no segment with {BOXES}/ and {IMAGES}/ in {' or '.join(map(str, roots))}")
    return recordings, odd


def read_segments(folder: Path) -> dict[str, Segment]:
    """The boxes of a part (or of the validation part of the whole) by segment, as in the JSON of ``readers/waymo.py``.

    Frames and cameras without a box are there where ``camera_image/`` is.

    Raises:
        DataError: a table is broken or lacks a column, nothing is there, or pyarrow is not installed.
    """
    root = folder if (folder / BOXES).is_dir() else folder / PARTS["val"]
    segments: dict[str, Segment] = {}
    for boxes in sorted((root / BOXES).glob("*.parquet")):
        segment = segments[boxes.stem] = {}
        images = root / IMAGES / boxes.name
        for camera, places in (camera_images(images) if images.is_file() else {}).items():
            for time, _, _ in places:
                segment.setdefault(time, {})[camera] = []
        for time, camera, label in _labels(boxes):
            segment.setdefault(time, {}).setdefault(camera, []).append(label)
    if not segments:
        raise DataError(f"{folder}: expected tables in {root / BOXES}")
    return segments


def _labels(path: Path) -> Iterator[tuple[int, int, Label]]:
    """Time, camera and box of each row of a table of boxes."""
    for time, camera, identity, kind, x, y, width, height in _rows(path, [TIME, CAMERA, IDENTITY, TYPE, *BOX]):
        if camera not in CAMERAS or kind not in TYPES:
            raise DataError(f"{path}: camera {camera}, type {kind}: expected cameras 1 to 5 and types 0 to 4")
        corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        yield time, camera, Label(identity, TYPES[kind], corners)


def _read_segment(boxes: Path, images: Path, reading: Reading, odd: Odd) -> list[Recording]:
    annotations = {camera: Annotations(reading.labelling, odd) for camera in CAMERAS}  # ids live within a camera
    for time, camera, label in _labels(boxes):
        annotations[camera].add(time, label.category, label.box, label.identity)
    incomplete = reading.labelling.incomplete(LABELLED, LABELLED)
    recordings = []
    for camera, places in camera_images(images).items():
        if camera not in annotations:
            continue
        samples = [
            TableImage(images, group, row, annotations[camera].objects(time, incomplete), reading.largest)
            for time, group, row in places
        ]
        name = f"{boxes.stem}/{camera}"
        recordings.append(Recording(name, reading.chosen(samples), images, frame_rate=FRAME_RATE))
    return recordings


def _open(path: Path, columns: list[str]) -> Any:
    """A table that has these columns."""
    library = _library()
    with _told(path):
        table = library.ParquetFile(path)
    missing = [name for name in columns if name not in table.schema_arrow.names]
    if missing:
        raise DataError(f"{path}: has no column {missing[0]}: not a table of the data set's version 2")
    return table


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Errors of pyarrow, which are kinds of these two and have several lines, as one that names the file."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _rows(path: Path, columns: list[str]) -> list[tuple[Any, ...]]:
    """The rows of a table."""
    table = _open(path, columns)
    with _told(path):
        rows = table.read(columns=columns)
    return _values(rows, columns, path)


def _values(rows: Any, columns: list[str], path: Path) -> list[tuple[Any, ...]]:
    """The values in rows of a table; none may lack."""
    values = list(zip(*(rows[name].to_pylist() for name in columns), strict=True))
    if any(None in row for row in values):
        raise DataError(f"{path}: a row has no value in one of {', '.join(columns)}")
    return values


def camera_images(path: Path) -> dict[int, list[tuple[int, int, int]]]:
    """Time, row group and row in it of the images of each camera, in the order of time.

    Raises:
        DataError: the table is broken or lacks a column, or pyarrow is not installed.
    """
    table, columns = _open(path, [TIME, CAMERA, IMAGE]), [TIME, CAMERA]
    found: defaultdict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for group in range(table.num_row_groups):
        with _told(path):
            rows = table.read_row_group(group, columns=columns)
        for row, (time, camera) in enumerate(_values(rows, columns, path)):
            found[camera].append((time, group, row))
    return {camera: sorted(found[camera]) for camera in sorted(found)}
