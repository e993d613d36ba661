"""Sequences in COCO's JSON: CocoVID as mmtracking has it, and TAO (``tao.py``).

Beside COCO's there are ``videos``; an image has ``video_id`` and ``frame_id`` (CocoVID) or ``frame_index`` (TAO), an
annotation ``instance_id`` or ``track_id``. A video may name the classes that are certainly not in it
(``neg_category_ids``) and those of which objects may lack a box (``not_exhaustive_category_ids``): nothing is known
then of classes that are in neither list and without a box. Images of no video are stills.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from qdtrack_model.data.documents import DocumentError, Node
from qdtrack_model.data.reading import PERSON_SYNSET, Annotations, Odd, Reading, Recording, find_below
from qdtrack_model.data.samples import StoredImage

NO_VIDEO = -1


def read_videos(
    document: Node, folder: Path, roots: Sequence[Path], reading: Reading, odd: Odd, frame_rate: float = 10.0
) -> list[Recording]:
    """The sequences in a document.

    Args:
        document: its JSON.
        folder: of the data set; all images are below it.
        roots: the folders in which the images may be, by their ``file_name``.
        reading: what is asked for.
        odd: where counts go.
        frame_rate: frames a second, where a video does not say its ``fps``.

    Raises:
        DocumentError: something in it is missing or broken, or none of its images is there.
    """
    names = _category_names(document)
    videos = {node["id"].integer(): node for node in document["videos"]}
    images: defaultdict[int, list[Node]] = defaultdict(list)
    places: dict[int, int] = {}
    for node in document["images"]:
        video, identity = _video(node, videos), node["id"].integer()
        if identity in places:
            raise node["id"].error("an id that no other image has")
        places[identity] = video
        images[video].append(node)
    boxes: defaultdict[int, list[Node]] = defaultdict(list)
    for node in document["annotations"]:
        image = node["image_id"]
        if image.integer() not in places:
            raise image.error("the id of an image in this file")
        boxes[places[image.integer()]].append(node)
    found = [
        _recording(videos.get(video), nodes, boxes[video], names, folder, roots, reading, odd, frame_rate)
        for video, nodes in images.items()
    ]
    recordings = [recording for recording in found if recording]
    if not recordings:
        raise DocumentError(f"{document.place}: none of its images is in {' or '.join(map(str, roots))}")
    return recordings


def _category_names(document: Node) -> dict[int, str]:
    """The name of each category; of what TAO merged into another one, that of the other."""
    names: dict[int, str] = {}
    merged: dict[int, str] = {}
    for node in document["categories"]:
        synset = node.get("synset")
        name = "person" if synset and synset.value == PERSON_SYNSET else node["name"].text()
        names[node["id"].integer()] = name
        merged |= {other["id"].integer(): name for other in node.get("merged") or ()}
    return names | merged


def _video(image: Node, videos: Mapping[int, Node]) -> int:
    video = image.get("video_id")
    if video is None:
        return NO_VIDEO
    if video.integer() not in videos:
        raise video.error("the id of a video in this file")
    return video.integer()


def _recording(
    video: Node | None,
    images: Iterable[Node],
    boxes: Iterable[Node],
    names: Mapping[int, str],
    folder: Path,
    roots: Sequence[Path],
    reading: Reading,
    odd: Odd,
    frame_rate: float,
) -> Recording | None:
    """One video, or the images of none; None where its files are missing."""
    annotations, categories = Annotations(reading.labelling, odd), set()
    for node in boxes:
        category = node["category_id"]
        if category.integer() not in names:
            raise category.error("the id of a category in this file")
        categories.add(category.integer())
        ignored = any(mark is not None and bool(mark.value) for mark in (node.get("iscrowd"), node.get("ignore")))
        annotations.add(node["image_id"].integer(), names[category.integer()], _box(node), _identity(node), ignored)
    incomplete = reading.labelling.incomplete(names.values(), _labelled(video, categories, names))
    samples = []
    for node in sorted(images, key=_frame) if video else images:
        name = node["file_name"]
        path = find_below(folder, roots, name.text())
        if path is None:
            raise name.error("a path below the folder")
        if path.is_file():
            objects = annotations.objects(node["id"].integer(), incomplete)
            samples.append(StoredImage(path, objects, reading.largest))
        else:
            odd["image files missing: left out"] += 1
    if not samples:
        return None
    if video is None:
        return Recording("stills", samples, folder, still=True)
    rate, label = video.get("fps"), video.get("name")
    name_of_video = label.text() if label else str(video["id"].integer())
    frames = reading.chosen(samples)
    return Recording(name_of_video, frames, samples[0].path.parent, frame_rate=rate.number() if rate else frame_rate)


def _frame(image: Node) -> int:
    number = image.get("frame_index") or image.get("frame_id")
    return number.integer() if number else image["frame_id"].integer()


def _identity(annotation: Node) -> str | None:
    """The id of an object in its video; None where it is missing or below 0."""
    node = annotation.get("track_id") or annotation.get("instance_id")
    return None if node is None or node.identity().startswith("-") else node.identity()


def _box(annotation: Node) -> tuple[float, float, float, float]:
    values = [value.number() for value in annotation["bbox"]]
    if len(values) != 4 or min(values[2:]) < 0:
        raise annotation["bbox"].error("left, top, width, height")
    left, top, width, height = values
    return (left, top, left + width, top + height)


def _labelled(video: Node | None, categories: set[int], names: Mapping[int, str]) -> list[str]:
    """The names of the categories of which every object in a video has a box."""
    negative = video.get("neg_category_ids") if video else None
    lacking = video.get("not_exhaustive_category_ids") if video else None
    if negative is None and lacking is None:
        return list(names.values())
    complete = categories | {node.integer() for node in negative or ()}
    complete -= {node.integer() for node in lacking or ()}
    return [names[category] for category in complete if category in names]
