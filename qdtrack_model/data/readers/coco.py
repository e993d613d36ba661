"""Still images with boxes in COCO form: one JSON file of images, annotations and categories, the images beside it.

https://cocodataset.org/#format-data. Beyond the format, ``images[].split`` (train, val) puts an image into a part of
the set, and ``info.labelled`` or ``images[].labelled`` list the categories of which every object has a box: objects of
others may be in the pictures without one. Without such a list all categories of the file are complete.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qdtrack_model.boxes import box_iou
from qdtrack_model.data.documents import Node, is_number
from qdtrack_model.data.images import HEADER
from qdtrack_model.data.readers.coco_video import read_videos
from qdtrack_model.data.reading import Labelling, Odd, Part, Reading, Recording, find_below
from qdtrack_model.data.samples import IGNORED, Objects, StoredImage
from qdtrack_model.sensors.image_headers import shown_size
from qdtrack_model.structures import Array

ANNOTATIONS = ("instances.json", "annotations.json", "_annotations.coco.json")  # the first that is there
DETECTIONS = "detected.json"
OFFICIAL = "annotations/instances_{}*.json"  # COCO's own files; their images are in train2017/ and the like
DUPLICATE_IOU = 0.5  # a detection that overlaps an object of its class by more shows that object


class CocoError(ValueError):
    """A COCO file that cannot be used; the text names the file, the entry and the value."""


@dataclass(frozen=True)
class Detection:
    """What a detector saw: box (x1, y1, x2, y2) in pixels, class index or IGNORED, score."""

    box: tuple[float, ...]
    label: int
    score: float


def find_annotations(folder: Path) -> Path | None:
    """The COCO file of a folder, if there is one by a usual name."""
    return next((folder / name for name in ANNOTATIONS if (folder / name).is_file()), None)


def recognises(folder: Path) -> bool:
    """Whether a folder has a COCO file by one of the usual names, or those of COCO itself."""
    return find_annotations(folder) is not None or any(folder.glob(OFFICIAL.format("")))


def read(folder: Path, reading: Reading) -> tuple[list[Recording], Odd]:
    """The stills, or the sequences where the file knows ``videos`` (``coco_video.py``).

    Raises:
        CocoError, DocumentError: the file is missing or broken, or there is nothing of the classes in it.
    """
    recordings, odd = [], Odd()
    for file, roots in _files(folder, reading):
        content = read_content(file)
        if content.get("videos"):
            recordings += read_videos(Node(content, file), folder, roots, reading, odd)
        else:
            recordings.append(read_stills(content, file, folder, roots, reading, odd))
    return recordings, odd


def _files(folder: Path, reading: Reading) -> list[tuple[Path, Sequence[Path]]]:
    """The annotation files of a folder, each with the folders in which its images may be."""
    roots = [folder / reading.images] if reading.images else [folder / "images", folder]
    named = folder / reading.annotations if reading.annotations else find_annotations(folder)
    if named is not None:
        return [(named, roots)]
    parts = ("train", "val") if reading.part == "all" else (reading.part,)
    official = [path for part in parts for path in sorted(folder.glob(OFFICIAL.format(part)))]
    if not official:
        raise CocoError(f"{folder}: expected one of {', '.join(ANNOTATIONS)} in it, or {OFFICIAL.format(parts[0])}")
    return [(file, [folder / file.stem.removeprefix("instances_"), *roots]) for file in official]


def read_stills(
    content: Mapping[str, Any], file: Path, folder: Path, roots: Sequence[Path], reading: Reading, odd: Odd
) -> Recording:
    """The labelled images of a file, none of them in memory yet. Crowds are ignored objects.

    Of the part ``train`` these are the images of this split and those of none; of ``val`` those of this split, or all
    where no image names a split. Nobody is judged by what a detector saw, so that ``detected.json`` is not read then.

    Args:
        content: of the file.
        file: by which errors are told; beside it may be ``detected.json``: a list of detections (``image_id``,
            ``category``, ``bbox``, ``score``) for the classes that are not complete.
        folder: of the data set; all images are below it.
        roots: the folders in which the images may be, by their ``file_name``.
        reading: what is asked for.
        odd: where counts go.

    Raises:
        CocoError: the file is broken, nothing in it is of these classes, or none of its images is there.
    """
    labelling = reading.labelling
    categories = _by_id(content["categories"], f"{file}: categories")
    names = {category: str(entry.get("name")) for category, (_, entry) in categories.items()}
    labels = {category: labelling.label(name) for category, name in names.items()}
    if not any(label is not None and label >= 0 for label in labels.values()):
        wanted = ", ".join(labelling.classes)
        raise CocoError(f"{file}: none of its categories ({', '.join(names.values())}) is of the classes {wanted}")
    entries = _by_id(content["images"], f"{file}: images")
    annotations = _annotations(content["annotations"], labels, entries, file, odd)
    detections = _detections(file.parent / DETECTIONS, labelling) if reading.part != "val" else None
    splits, known = _splits(content["images"], reading.part), frozenset(name.lower() for name in names.values())
    everywhere = _labelled(content.get("info", {}), list(names.values()), known, f"{file}: info")
    images = []
    for image, (where, entry) in entries.items():
        if splits and entry.get("split") not in splits:
            continue
        size = (_value(entry, "width", int, where), _value(entry, "height", int, where))
        path = _find_image(folder, roots, _value(entry, "file_name", str, where), size, where, odd)
        if path is not None:
            incomplete = labelling.incomplete(names.values(), _labelled(entry, everywhere, known, where))
            own, seen = _inside(annotations[image], size, odd), None if detections is None else detections[image]
            objects = _objects(own, seen, incomplete, labelling, size)
            images.append(StoredImage(path, objects, reading.largest, size))
    if not images:
        which = f" of split {reading.part!r}" if splits else ""
        raise CocoError(f"{file}: not one usable image{which}{_told(odd)}")
    return Recording(folder.name, images, folder, still=True)


def _splits(entries: Sequence[Mapping[str, Any]], part: Part) -> tuple[str | None, ...]:
    """What ``split`` says in the images of a part; empty where all images are in it."""
    if part == "train":
        return ("train", None)
    return ("val",) if part == "val" and any("split" in entry for entry in entries) else ()


def _told(odd: Counter[str]) -> str:
    return "".join(f"; {count} {what}" for what, count in odd.items())


def read_content(file: Path) -> dict[str, Any]:
    """The mapping in a COCO file, with lists of mappings as images, annotations and categories.

    Raises:
        CocoError: the file cannot be read or is of another form.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CocoError(f"{file}: cannot be read as JSON: {error}") from None
    for key in ("images", "annotations", "categories"):
        entries = content.get(key) if isinstance(content, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise CocoError(f"{file}: not a COCO file: expected a list of mappings under {key!r}")
    if not isinstance(content.get("info", {}), dict):
        raise CocoError(f"{file}: info is {content['info']!r}, expected a mapping")
    return dict(content)


def _value(entry: Mapping[str, Any], key: str, kind: type, where: str) -> Any:
    value = entry.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise CocoError(f"{where}: {key} is {value!r}, expected {kind.__name__}")
    return value


def _by_id(entries: Sequence[Mapping[str, Any]], where: str) -> dict[int, tuple[str, Mapping[str, Any]]]:
    """Where each entry stands and the entry, by its id."""
    found: dict[int, tuple[str, Mapping[str, Any]]] = {}
    for number, entry in enumerate(entries):
        place = f"{where}[{number}]"
        known = found.setdefault(_value(entry, "id", int, place), (place, entry))
        if known[1] is not entry:
            raise CocoError(f"{place}: id is {entry['id']}, as that of {known[0]}")
    return found


def _labelled(entry: Mapping[str, Any], default: Sequence[str], known: Container[str], where: str) -> Sequence[str]:
    """The categories that are complete according to an entry; ``known`` are the file's, in lower case."""
    value = entry.get("labelled", default)
    if value is not default and not (
        isinstance(value, list) and all(isinstance(name, str) and name.lower() in known for name in value)
    ):
        raise CocoError(f"{where}: labelled is {value!r}, expected a list of the file's categories")
    return value


def _annotations(
    entries: Sequence[Mapping[str, Any]],
    labels: Mapping[int, int | None],
    images: Container[int],
    file: Path,
    odd: Counter[str],
) -> dict[int, list[tuple[tuple[float, ...], int]]]:
    """Box and label of every object that is of a class or ignored, by image."""
    found: dict[int, list[tuple[tuple[float, ...], int]]] = defaultdict(list)
    for number, entry in enumerate(entries):
        where = f"{file}: annotations[{number}]"
        category, image = _value(entry, "category_id", int, where), _value(entry, "image_id", int, where)
        if category not in labels:
            raise CocoError(f"{where}: category_id is {category}, which is not among the categories")
        label, box = labels[category], _box(entry.get("bbox"), where)
        if label is None:
            odd["objects of categories that are no class: taken for background"] += 1
        elif box is None:
            odd["boxes without area: left out"] += 1
        elif image not in images:
            odd["boxes of images that are not in the file: left out"] += 1
        else:
            found[image].append((box, IGNORED if entry.get("iscrowd") or entry.get("ignore") else label))
    return found


def _inside(
    annotations: Sequence[tuple[tuple[float, ...], int]], size: tuple[int, int], odd: Counter[str]
) -> list[tuple[tuple[float, ...], int]]:
    """What of the objects lies in an image of this size (width, height)."""
    found: list[tuple[tuple[float, ...], int]] = []
    for box, label in annotations:
        x1, y1, x2, y2 = np.clip(box, 0, (*size, *size)).tolist()
        if np.abs(np.subtract((x1, y1, x2, y2), box)).max() > 1:
            odd["boxes beyond their image: cut at its border"] += 1
        if x1 < x2 and y1 < y2:
            found.append(((x1, y1, x2, y2), label))
    return found


def _box(bbox: Any, where: str) -> tuple[float, ...] | None:
    """x1 y1 x2 y2; None without area."""
    if not (isinstance(bbox, list) and len(bbox) == 4 and all(map(is_number, bbox)) and min(bbox[2:]) >= 0):
        raise CocoError(f"{where}: bbox is {bbox!r}, expected [left, top, width, height] in pixels")
    left, top, width, height = bbox
    return (left, top, left + width, top + height) if width > 0 and height > 0 else None


def _detections(file: Path, labelling: Labelling) -> dict[int, list[Detection]] | None:
    """Detections of the classes, and of what is ignored, by image; None where there is no file."""
    if not file.is_file():
        return None
    found: dict[int, list[Detection]] = defaultdict(list)
    try:
        for number, entry in enumerate(json.loads(file.read_text(encoding="utf-8"))):
            label = labelling.label(str(entry["category"]))
            box = _box(entry["bbox"], f"{file}[{number}]")
            if label is not None and box is not None:
                found[entry["image_id"]].append(Detection(box, label, float(entry["score"])))
    except (OSError, KeyError, TypeError, OverflowError, json.JSONDecodeError) as error:
        raise CocoError(f"{file}: not a list of detections (image_id, category, bbox, score): {error!r}") from None
    return found


def _find_image(
    folder: Path, roots: Sequence[Path], name: str, size: tuple[int, int], where: str, odd: Odd
) -> Path | None:
    """The image's file; None, and counted, where it is missing or no image of this size."""
    path = find_below(folder, roots, name)
    if path is None:
        raise CocoError(f"{where}: file_name is {name!r}, expected a path below the folder")
    if not path.is_file():
        odd["image files missing: left out"] += 1
        return None
    with path.open("rb") as file:
        announced = shown_size(file.read(HEADER))
    if announced not in (size, (0, 0)):
        odd["images of another size than the file says: left out"] += 1
        return None
    return path


def _objects(
    annotations: Sequence[tuple[tuple[float, ...], int]],
    detections: Sequence[Detection] | None,
    incomplete: Sequence[int],
    labelling: Labelling,
    size: tuple[int, int],
) -> Objects:
    """What is labelled, what was seen of classes that are not complete, and where more of those may be."""
    boxes, labels = [box for box, _ in annotations], [label for _, label in annotations]
    open_boxes: list[tuple[float, ...]] = []
    open_labels: list[int] = []
    for label in incomplete:
        own = _rows([box for box, kind in zip(boxes, labels, strict=True) if kind == label])
        filled = [d.box for d in detections or () if d.label == label and d.score >= labelling.fill_score]
        filled = [box for box in filled if box_iou(_rows([box]), own).max(initial=0) <= DUPLICATE_IOU]
        boxes += filled
        labels += [label] * len(filled)
        unsure = _unsure(detections, label, labelling, size)
        open_boxes += unsure
        open_labels += [label] * len(unsure)
    return Objects(
        _rows(boxes), np.arange(len(boxes)), np.array(labels, np.int64),
        _rows(open_boxes), np.array(open_labels, np.int64),
    )  # fmt: skip


def _unsure(
    detections: Sequence[Detection] | None, label: int, labelling: Labelling, size: tuple[int, int]
) -> list[tuple[float, ...]]:
    """The regions in which objects of a class that is not complete may stand without a box."""
    whole: list[tuple[float, ...]] = [(0, 0, *size)]
    if detections is None or labelling.classes[label] not in labelling.absent:
        return whole
    least, most = labelling.ignore_score, labelling.fill_score
    if least is None:
        return whole if any(seen.label == label for seen in detections) else []
    unsure = [seen for seen in detections if seen.label == IGNORED or (seen.label == label and seen.score < most)]
    return [seen.box for seen in unsure if seen.score >= least]


def _rows(boxes: Sequence[Sequence[float]]) -> Array:
    return np.array(boxes, np.float64).reshape(-1, 4)
