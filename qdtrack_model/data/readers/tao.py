"""TAO (https://taodataset.org): its sequences; annotations and results, also of LVIS on its frames, in JSON like
COCO's.

Annotations: ``videos``, ``images``, ``tracks``, ``annotations`` (``bbox`` x, y, width, height), ``categories``. A video
(in LVIS: an image) names the classes that are certainly not in it (``neg_category_ids``), and those of which objects
may lack an annotation (``not_exhaustive_category_ids``). Results: a list of boxes with ``score``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from qdtrack_model.data.documents import DocumentError, Node, read_json
from qdtrack_model.data.readers.coco_video import read_videos
from qdtrack_model.data.reading import Odd, Reading, Recording

FILES = {"train": "annotations/train.json", "val": "annotations/validation.json"}
FRAMES = "frames"
FRAME_RATE = 1.0  # of the annotated frames, which are all that is read


def recognises(folder: Path) -> bool:
    """Whether a folder has annotations and frames where TAO has them."""
    return (folder / FRAMES).is_dir() and any((folder / name).is_file() for name in FILES.values())


def read(folder: Path, reading: Reading) -> tuple[list[Recording], Odd]:
    """The sequences of the parts asked for, of their annotated frames.

    Raises:
        DocumentError: a file is missing or broken.
    """
    odd = Odd()
    recordings: list[Recording] = []
    names = [name for part, name in FILES.items() if reading.part in ("all", part)]
    files = [folder / reading.annotations] if reading.annotations else [folder / name for name in names]
    if not any(file.is_file() for file in files):
        raise DocumentError(f"{folder}: expected {' or '.join(str(file.relative_to(folder)) for file in files)} in it")
    roots = [folder / (reading.images or FRAMES)]
    for file in files:
        if file.is_file():
            recordings += read_videos(read_json(file), folder, roots, reading, odd, FRAME_RATE)
    return recordings, odd


@dataclass(frozen=True)
class Scope:
    """What is known of the classes of a video or an image."""

    negative: frozenset[int]
    not_exhaustive: frozenset[int]


@dataclass(frozen=True)
class Box:
    """An annotation or a result.

    Args:
        image: id of its image.
        category: id of its class as the file has it.
        box: left, top, width, height in pixels.
        area: of the object in annotations, of the box in results.
        score: 1 in annotations.
        track: id of its track; 0 in LVIS.
        node: where it stands, for errors.
    """

    image: int
    category: int
    box: tuple[float, float, float, float]
    area: float
    score: float
    track: int
    node: Node = field(repr=False, compare=False)


@dataclass(frozen=True)
class Annotations:
    """Ground truth.

    Args:
        places: the video of each image; in LVIS the image itself.
        scopes: what is known of each of these.
        categories: how frequent each class is in LVIS (r, c or f; empty where not given).
        merged: the class that takes the place of another (TAO).
        boxes: all annotations.
    """

    places: dict[int, int]
    scopes: dict[int, Scope]
    categories: dict[int, str]
    merged: dict[int, int]
    boxes: list[Box]


def read_tao(path: str | Path) -> Annotations:
    """Read TAO's annotations.

    Raises:
        DocumentError: the file is broken, an annotation is of an unknown image or track, or not of its track's class.
    """
    document = read_json(path)
    scopes = _scopes(document["videos"])
    places = {node["id"].integer(): _video(node, scopes) for node in document["images"]}
    merged = {
        other["id"].integer(): node["id"].integer()
        for node in document["categories"]
        for other in node.get("merged") or ()
    }
    tracks = {node["id"].integer(): node["category_id"].integer() for node in document["tracks"]}
    boxes = [_annotation(node, places, node["track_id"].integer()) for node in document["annotations"]]
    for box in boxes:
        if box.track not in tracks:
            raise box.node["track_id"].error("the id of a track in this file")
        category = merged.get(tracks[box.track], tracks[box.track])
        if merged.get(box.category, box.category) != category:
            raise box.node["category_id"].error(f"{category}, the class of its track {box.track}")
    return Annotations(places, scopes, _categories(document), merged, boxes)


def read_lvis(path: str | Path) -> Annotations:
    """Read LVIS' annotations, each image a place of its own.

    Raises:
        DocumentError: the file is broken, or an annotation is of an unknown image.
    """
    document = read_json(path)
    places = {node["id"].integer(): node["id"].integer() for node in document["images"]}
    boxes = [_annotation(node, places, 0) for node in document["annotations"]]
    return Annotations(places, _scopes(document["images"]), _categories(document), {}, boxes)


def read_results(path: str | Path, annotations: Annotations, tracks: bool) -> list[Box]:
    """Read results in the images of ``annotations``; with ``tracks`` each names its track and its video.

    Raises:
        DocumentError: the file is broken, or a result is of an image or video that is not in the annotations.
    """
    results = []
    for node in read_json(path):
        image = _image(node, annotations.places)
        if tracks and node["video_id"].integer() != annotations.places[image]:
            raise node["video_id"].error(f"{annotations.places[image]}, the video of image {image}")
        box = _box(node)
        track = node["track_id"].integer() if tracks else 0
        score, category = node["score"].number(), node["category_id"].integer()
        results.append(Box(image, category, box, box[2] * box[3], score, track, node))
    return results


def _annotation(node: Node, places: dict[int, int], track: int) -> Box:
    image, category = _image(node, places), node["category_id"].integer()
    return Box(image, category, _box(node), node["area"].number(), 1.0, track, node)


def _image(node: Node, places: dict[int, int]) -> int:
    image = node["image_id"]
    if image.integer() not in places:
        raise image.error("the id of an image of the ground truth")
    return image.integer()


def _box(node: Node) -> tuple[float, float, float, float]:
    values = [value.number() for value in node["bbox"]]
    if len(values) != 4:
        raise node["bbox"].error("x, y, width, height")
    return (values[0], values[1], values[2], values[3])


def _scopes(places: Node) -> dict[int, Scope]:
    return {
        node["id"].integer(): Scope(
            frozenset(each.integer() for each in node["neg_category_ids"]),
            frozenset(each.integer() for each in node["not_exhaustive_category_ids"]),
        )
        for node in places
    }


def _categories(document: Node) -> dict[int, str]:
    found = {}
    for node in document["categories"]:
        frequency = node.get("frequency")
        found[node["id"].integer()] = frequency.text() if frequency else ""
    return found


def _video(image: Node, scopes: dict[int, Scope]) -> int:
    video = image["video_id"]
    if video.integer() not in scopes:
        raise video.error("the id of a video in this file")
    return video.integer()
