"""Labels of a recording with its images, to correct and to train on: a MOTChallenge sequence, or CocoVID."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from qdtrack_model.data.readers.mot import MotBoxes, SequenceInfo, write_mot, write_seqinfo
from qdtrack_model.structures import Array

Form = Literal["mot", "cocovid"]
QUALITY = 95  # of the JPEG files
FOLDERS: dict[Form, str] = {"mot": "img1", "cocovid": "images"}


@dataclass(frozen=True)
class Recorded:
    """What is known of the images of a recording: its name, frames a second, width and height, number of each frame."""

    name: str
    frame_rate: float
    size: tuple[int, int]
    frames: Sequence[int]


def image_name(frame: int) -> str:
    """The file of a frame."""
    return f"{frame:06d}.jpg"


def write_image(folder: Path, form: Form, frame: int, image: Array) -> None:
    """Write an image (H, W, 3) BGR where the labels will look for it."""
    path = folder / FOLDERS[form] / image_name(frame)
    path.parent.mkdir(parents=True, exist_ok=True)
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    path.write_bytes(data.tobytes())


def write_labels(
    folder: Path, form: Form, recorded: Recorded, boxes: MotBoxes, classes: Sequence[str], columns: Array
) -> None:
    """Write ``gt/gt.txt`` and ``seqinfo.ini``, or ``annotations.json``.

    Args:
        folder: with the images.
        form: of the labels.
        recorded: of the images.
        boxes: in class ``columns``; visibility 0 says that a box is interpolated.
        classes: names.
        columns: the class column of each class.
    """
    if form == "mot":
        width, height = recorded.size
        write_mot(folder / "gt" / "gt.txt", boxes)
        length = max(recorded.frames, default=0)
        write_seqinfo(folder, SequenceInfo(recorded.name, recorded.frame_rate, length, width, height))
    else:
        content = _cocovid(recorded, boxes, classes, columns)
        (folder / "annotations.json").write_text(json.dumps(content), encoding="utf-8")


def _cocovid(recorded: Recorded, boxes: MotBoxes, classes: Sequence[str], columns: Array) -> dict[str, Any]:
    width, height = recorded.size
    size = {"width": width, "height": height}
    places = {frame: place for place, frame in enumerate(recorded.frames)}
    corners = np.round(boxes.boxes, 3)
    annotations = [
        {
            "id": row + 1, "image_id": int(boxes.frames[row]), "video_id": 1, "instance_id": int(boxes.ids[row]),
            "category_id": int(np.flatnonzero(columns == boxes.classes[row])[0]) + 1, "iscrowd": 0,
            "bbox": [x1, y1, round(x2 - x1, 3), round(y2 - y1, 3)], "area": round((x2 - x1) * (y2 - y1), 3),
            "interpolated": bool(boxes.visibilities[row] == 0),
        }
        for row, (x1, y1, x2, y2) in enumerate(corners.tolist())
    ]  # fmt: skip
    return {
        "videos": [{"id": 1, "name": recorded.name, "fps": recorded.frame_rate, **size}],
        "images": [
            {"id": frame, "video_id": 1, "frame_id": place, "file_name": image_name(frame), **size}
            for frame, place in places.items()
        ],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in enumerate(classes, start=1)],
    }
