"""The moving blocks in the exact form of each data set, both parts of those that are divided, with what scores them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import pytest

from .scene import moving_blocks, write_folder

Boxes = list[tuple[int, list[float]]]  # identity, and left, top, width and height
SIZE = {"width": 96, "height": 64}
LVIS = {805: ("baby", "person.n.01"), 211: ("car_(automobile)", "car.n.01")}  # what the first block is, and the others


@dataclass(frozen=True)
class DataSet:
    """Where a data set lies, and how results on it are written and scored.

    Args:
        root: of the data.
        form: of `qdtrack submit`.
        protocol: of `qdtrack evaluate`.
        truth: its ground truth, below ``root``.
    """

    root: Path
    form: str
    protocol: str
    truth: str = "."


def frames() -> list[tuple[bytes, Boxes]]:
    """The JPEG and the boxes of each frame."""
    found = []
    for frame in moving_blocks():
        rows = zip(frame.objects.ids.tolist(), frame.objects.boxes.tolist(), strict=True)
        boxes = [(identity, [x1, y1, x2 - x1, y2 - y1]) for identity, (x1, y1, x2, y2) in rows]
        found.append((cv2.imencode(".jpg", frame.image)[1].tobytes(), boxes))
    return found


def _write(path: Path, content: bytes | Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


def motchallenge(root: Path) -> DataSet:
    """One sequence."""
    write_folder(root / "MOT17-02-FRCNN")
    return DataSet(root, "mot", "mot17")


def crowdhuman(root: Path) -> Path:
    """Stills of people, some beyond the image, with a crowd to be ignored."""
    lines = []
    for number, (image, boxes) in enumerate(frames()):
        _write(root / "Images" / f"273271,{number}.jpg", image)
        people: list[dict[str, Any]] = [{"tag": "person", "fbox": box, "vbox": box, "extra": {}} for _, box in boxes]
        people += [{"tag": "person", "fbox": [-9, 5, 20, 40], "extra": {"ignore": 1}}]
        people += [{"tag": "mask", "fbox": [60, 40, 30, 20], "extra": {"ignore": 1}}]
        lines.append(json.dumps({"ID": f"273271,{number}", "gtboxes": people}))
    _write(root / "annotation_train.odgt", "\n".join(lines).encode())
    return root


def coco(root: Path) -> Path:
    """Stills in COCO form, of a person and cars."""
    images, boxes = [], []
    for number, (image, objects) in enumerate(frames(), start=1):
        _write(root / "images" / f"{number}.jpg", image)
        images.append({"id": number, "file_name": f"{number}.jpg", **SIZE})
        for identity, box in objects:
            kind = 1 if identity == 0 else 2
            boxes.append({"id": len(boxes) + 1, "image_id": number, "category_id": kind, "bbox": box})
    categories = [{"id": 1, "name": "person"}, {"id": 2, "name": "car"}]
    _write(root / "instances.json", {"images": images, "annotations": boxes, "categories": categories})
    return root


def bdd100k(root: Path) -> DataSet:
    """A video and a still of the detection set in each part; edges are inclusive, ids texts."""
    for part in ("train", "val"):
        found: list[dict[str, Any]] = []
        for index, (image, boxes) in enumerate(frames()):
            name = f"b1-{index + 1:07d}.jpg"
            _write(root / "images" / "track" / part / "b1" / name, image)
            labels = [
                {"id": f"{identity:08d}", "category": "pedestrian" if identity == 0 else "car",
                 "attributes": {"crowd": False}, "box2d": {"x1": x, "y1": y, "x2": x + w - 1, "y2": y + h - 1}}
                for identity, (x, y, w, h) in boxes
            ]  # fmt: skip
            found.append({"videoName": "b1", "name": name, "frameIndex": index, "labels": labels})
        _write(root / "labels" / "box_track_20" / part / "b1.json", found)
        _write(root / "images" / "100k" / part / "a.jpg", frames()[0][0])
        _write(root / "labels" / "det_20" / f"det_{part}.json", [{"name": "a.jpg", "labels": found[0]["labels"]}])
    return DataSet(root, "bdd100k", "bdd100k", "labels/box_track_20/val")


def waymo(root: Path) -> DataSet:
    """A segment of two cameras in each part; needs pyarrow."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    keys = ["key.frame_timestamp_micros", "key.camera_name"]
    parts = [f"[CameraBoxComponent].box.{name}" for name in ("center.x", "center.y", "size.x", "size.y")]
    names = [*keys, "key.camera_object_id", "[CameraBoxComponent].type", *parts]
    images, boxes = [], []
    for camera in (1, 2):
        for index, (image, objects) in enumerate(frames()):
            images.append((100_000 * index, camera, image))
            for identity, (x, y, w, h) in objects:
                kind = 2 if identity == 0 else 1
                boxes.append((100_000 * index, camera, f"id-{identity}", kind, x + w / 2, y + h / 2, w, h))
    tables: dict[str, tuple[list[str], list[Any]]] = {
        "camera_image": ([*keys, "[CameraImageComponent].image"], images),
        "camera_box": (names, boxes),
    }
    for part in ("training", "validation"):
        for table, (columns, rows) in tables.items():
            (root / part / table).mkdir(parents=True)
            content = dict(zip(columns, zip(*rows, strict=True), strict=True))
            parquet.write_table(arrow.table(content), root / part / table / "100_1.parquet", row_group_size=5)
    return DataSet(root, "waymo", "waymo")


def lvis(root: Path) -> DataSet:
    """Stills in each part, the last block labelled by COCO alone; needs pycocotools."""
    pytest.importorskip("pycocotools")
    synsets = [{"id": i, "name": name, "synset": synset, "frequency": "f"} for i, (name, synset) in LVIS.items()]
    for part in ("train", "val"):
        images: list[dict[str, Any]] = []
        ours: list[dict[str, Any]] = []
        theirs: list[dict[str, Any]] = []
        for number, (image, boxes) in enumerate(frames(), start=1):
            _write(root / f"{part}2017" / f"{number:012d}.jpg", image)
            scope = {"neg_category_ids": [], "not_exhaustive_category_ids": []}
            images.append({"id": number, "file_name": f"{number:012d}.jpg", **SIZE, **scope})
            for identity, (x, y, w, h) in boxes:
                rows = ours if identity < 2 else theirs
                outline = [x, y, x + w, y, x + w, y + h, x, y + h]
                kind = (805 if identity == 0 else 211) if identity < 2 else 3
                rows.append({"id": len(rows) + 1, "image_id": number, "category_id": kind, "bbox": [x, y, w, h],
                             "area": w * h, "segmentation": [outline]})  # fmt: skip
        content = {"images": images, "annotations": ours, "categories": synsets}
        _write(root / f"lvis_v0.5_{part}.json", content)
        content = {"images": images, "annotations": theirs, "categories": [{"id": 3, "name": "car"}]}
        _write(root / "annotations" / f"instances_{part}2017.json", content)
    _write(root / "coco_to_synset.json", {"car": {"coco_cat_id": 3, "synset": "car.n.01"}})
    return DataSet(root, "lvis", "lvis", "lvis_v0.5_val.json")


def tao(root: Path) -> DataSet:
    """A video of annotated frames, one in 30, in each part."""
    for part, file in (("train", "train"), ("val", "validation")):
        images, boxes, scope = [], [], {"neg_category_ids": [], "not_exhaustive_category_ids": []}
        for number, (image, objects) in enumerate(frames(), start=1):
            name = f"{part}/YFCC100M/v/frame{30 * number:04d}.jpg"
            _write(root / "frames" / name, image)
            place = {"video_id": 7, "frame_index": 30 * number, "video": f"{part}/YFCC100M/v"}
            images.append({"id": number, "file_name": name, **place, **SIZE})
            for identity, (x, y, w, h) in objects:
                kind = 805 if identity == 0 else 211
                boxes.append({"id": len(boxes) + 1, "image_id": number, "video_id": 7, "track_id": identity + 1,
                              "category_id": kind, "bbox": [x, y, w, h], "area": w * h, "iscrowd": 0})  # fmt: skip
        tracks = [{"id": i, "video_id": 7, "category_id": 805 if i == 1 else 211} for i in (1, 2, 3)]
        categories = [{"id": i, "name": name, "synset": synset} for i, (name, synset) in LVIS.items()]
        videos = [{"id": 7, "name": f"{part}/YFCC100M/v", **SIZE, **scope}]
        content = {"videos": videos, "images": images, "tracks": tracks, "annotations": boxes, "categories": categories}
        _write(root / "annotations" / f"{file}.json", content)
    return DataSet(root, "tao", "tao", "annotations/validation.json")


OTHERS: dict[str, Callable[[Path], DataSet]] = {"bdd100k": bdd100k, "waymo": waymo, "lvis": lvis, "tao": tao}
