"""LVIS v0.5 (https://www.lvisdataset.org), alone or with the boxes that COCO has on its images, as QDTrack is trained.

In an image of LVIS the classes with a box are complete, but for its ``not_exhaustive_category_ids``, and those of
``neg_category_ids`` are not in it; of all others nothing is known. Where ``coco_to_synset.json``, which LVIS offers
beside its annotations, lies in the folder, COCO's objects join on the images of LVIS: those of a class whose synset is
one of LVIS, but for objects that LVIS has too, by an overlap of the masks of more than MERGE_IOU. COCO's classes are
complete.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qdtrack_model.boxes import box_iou
from qdtrack_model.data.documents import Node, read_json
from qdtrack_model.data.readers.coco import read_content, read_stills
from qdtrack_model.data.reading import PERSON_SYNSET, DataError, Odd, Reading, Recording

FILE, COCO_FILE, MAPPING = "lvis_v0.5_{}.json", "annotations/instances_{}2017.json", "coco_to_synset.json"
MERGE_IOU = 0.7  # a mask of COCO that overlaps one of LVIS by more is the same object
LARGEST = 2**15  # pixels of a side of an image, and of a coordinate of an outline
PARTS = ("train", "val")
Entry = dict[str, Any]


def annotation_file(folder: Path, part: str) -> Path:
    """Where the annotations of a part (train, val) are, or would be."""
    return next((p for p in (folder / FILE.format(part), folder / "annotations" / FILE.format(part)) if p.is_file()),
                folder / FILE.format(part))  # fmt: skip


def recognises(folder: Path) -> bool:
    """Whether a folder has annotations of LVIS v0.5."""
    return any(annotation_file(folder, part).is_file() for part in PARTS)


def read(folder: Path, reading: Reading) -> tuple[list[Recording], Odd]:
    """The stills of the parts asked for.

    Raises:
        ValueError: a file is missing or broken, there is nothing of the classes in it, or pycocotools is not installed.
    """
    odd, recordings = Odd(), []
    for part in PARTS:
        if reading.part not in ("all", part):
            continue
        file = folder / reading.annotations if reading.annotations else annotation_file(folder, part)
        if reading.part == "all" and not file.is_file():
            continue
        content = read_content(file)
        images = {node["id"].integer(): node for node in Node(content, file)["images"]}
        labelled = _labelled(content, images, file)
        if (folder / MAPPING).is_file():
            _merge(content, images, labelled, folder, folder / COCO_FILE.format(part), file, odd)
        for entry in content["categories"]:
            if entry.get("synset") == PERSON_SYNSET:
                entry["name"] = "person"
        names = {entry["id"]: entry["name"] for entry in content["categories"]}
        for identity, node in images.items():
            node.value["labelled"] = [names[category] for category in sorted(labelled[identity]) if category in names]
            node.value["file_name"] = image_name(node)
        roots = [folder / reading.images] if reading.images else image_roots(folder, part)
        recordings.append(read_stills(content, file, folder, roots, reading, odd))
    return recordings, odd


def image_roots(folder: Path, part: str) -> list[Path]:
    """Where the images of a part may be."""
    return [folder / name for name in (f"{part}2017", "images", f"images/{part}2017", ".")]


def image_name(image: Node) -> str:
    """COCO's name of 2017: older ones begin with the set, later files have an address alone."""
    name = image.get("file_name") or image["coco_url"]
    stem = name.text().rpartition("/")[2]
    return stem[-16:] if stem.startswith("COCO_") else stem


def _labelled(content: Mapping[str, Any], images: Mapping[int, Node], file: Path) -> defaultdict[int, set[int]]:
    """The categories that are complete in each image."""
    labelled: defaultdict[int, set[int]] = defaultdict(set)
    for node in Node(content, file)["annotations"]:
        labelled[node["image_id"].integer()].add(node["category_id"].integer())
    for identity, image in images.items():
        labelled[identity] |= {node.integer() for node in image["neg_category_ids"]}
        labelled[identity] -= {node.integer() for node in image["not_exhaustive_category_ids"]}
    return labelled


def _merge(
    content: Entry,
    images: Mapping[int, Node],
    labelled: Mapping[int, set[int]],
    folder: Path,
    coco_file: Path,
    file: Path,
    odd: Odd,
) -> None:
    """Add to the annotations what COCO has beyond them, with the categories of LVIS."""
    if not coco_file.is_file():
        raise DataError(f"{folder / MAPPING} asks for COCO's objects, and {coco_file} is not there")
    synsets = {node["synset"].text(): node["id"].integer() for node in Node(content, file)["categories"]}
    mapping, coco = read_json(folder / MAPPING), read_json(coco_file)
    categories = {}
    for node in coco["categories"]:
        synset = mapping[node["name"].text()]["synset"].text()
        if synset in synsets:
            categories[node["id"].integer()] = synsets[synset]
    ours, theirs = (defaultdict[int, list[Node]](list) for _ in range(2))
    for node in Node(content, file)["annotations"]:
        ours[node["image_id"].integer()].append(node)
    for node in coco["annotations"]:
        if node["image_id"].integer() in images and node["category_id"].integer() in categories:
            theirs[node["image_id"].integer()].append(node)
    for identity, found in theirs.items():
        new = _beyond(found, ours[identity], images[identity])
        odd["objects of COCO that LVIS has too: left out"] += len(found) - len(new)
        content["annotations"] += [
            {**node.value, "category_id": categories[node["category_id"].integer()]} for node in new
        ]
    for identity in images:
        labelled[identity].update(categories.values())
    odd += Odd()  # without those counted 0 times


def _beyond(found: Sequence[Node], known: Sequence[Node], image: Node) -> list[Node]:
    """Which objects of COCO are none of LVIS'; masks are only drawn where boxes meet. Crowds are not compared."""
    for side in (image["height"], image["width"]):
        if not 0 < side.integer() <= LARGEST:
            raise side.error(f"1 to {LARGEST} pixels")
    size = (image["height"].integer(), image["width"].integer())
    near = box_iou(_boxes(found), _boxes(known)) > 0
    masks: dict[int, Any] = {}
    new = []
    for row, node in enumerate(found):
        others = np.flatnonzero(near[row]).tolist()
        if node.value.get("iscrowd") or not others:
            new.append(node)
            continue
        for other in others:
            if other not in masks:
                masks[other] = _mask(known[other]["segmentation"], size)
        overlaps = _mask_library().iou(
            [_mask(node["segmentation"], size)], [masks[other] for other in others], [0] * len(others)
        )
        if np.max(overlaps) <= MERGE_IOU:
            new.append(node)
    return new


def _boxes(nodes: Sequence[Node]) -> np.ndarray[Any, Any]:
    boxes = np.array([[value.number() for value in node["bbox"]] for node in nodes], np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _mask_library() -> Any:
    """COCO's own masks.

    Raises:
        DataError: they are not installed.
    """
    try:
        from pycocotools import mask
    except ImportError:
        raise DataError("merging LVIS with COCO needs pycocotools: pip install 'qdtrack[lvis]'") from None
    return mask


def _mask(segmentation: Node, size: tuple[int, int]) -> Any:
    """Outlines, or counts compressed or not, as a compressed mask of an image of ``size`` (height, width).

    The library checks nothing: what is not of this image would be written and read beyond its memory.

    Raises:
        DocumentError: it is neither, or not of this image.
    """
    library, sides = _mask_library(), list(size)
    if isinstance(segmentation.value, list):
        outlines = [[edge.number() for edge in outline] for outline in segmentation]
        outlines = [outline for outline in outlines if len(outline) >= 6 and len(outline) % 2 == 0]
        if not outlines or max(abs(edge) for outline in outlines for edge in outline) > LARGEST:
            raise segmentation.error("an outline or a mask")
        return library.merge(library.frPyObjects(outlines, *size))
    if [side.integer() for side in segmentation["size"]] != sides:
        raise segmentation["size"].error(f"{sides}, that of the image")
    counts = segmentation["counts"]
    if isinstance(counts.value, str):
        return {"size": sides, "counts": counts.value}
    numbers = [count.integer() for count in counts]
    if min(numbers, default=-1) < 0 or sum(numbers) != size[0] * size[1]:
        raise counts.error(f"counts of {size[0] * size[1]} pixels together")
    return library.frPyObjects({"size": sides, "counts": numbers}, *size)
