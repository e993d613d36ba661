"""BDD100K's labels of box tracking and of detection (https://doc.bdd100k.com): lists of frames in JSON, in Scalabel's
format.

A frame has ``name``, in tracking also ``videoName`` and ``frameIndex``, and ``labels``, a label ``id``, ``category``,
``box2d`` and ``attributes``. The right and the lower edge of a box are inclusive: it is x2 - x1 + 1 wide. Categories
of IGNORED, and what is marked ``crowd`` or ``ignored``, are neither learned nor scored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qdtrack_model.data.documents import DocumentError, Node, read_json
from qdtrack_model.data.reading import Annotations, DataError, Odd, Reading, Recording
from qdtrack_model.data.samples import Sample, StoredImage

CLASSES = ("pedestrian", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
IGNORED = ("other person", "other vehicle", "trailer")  # regions in which results may be or not
RENAMED = {"person": "pedestrian", "bike": "bicycle", "motor": "motorcycle", "van": "car", "caravan": "car"}
ALL_LABELLED = (*CLASSES, "traffic light", "traffic sign")
TRACKING, DETECTION = "box_track_20", "det_20"  # folders below labels/
FRAME_RATE = 5.0


@dataclass(frozen=True)
class Label:
    """One box.

    Args:
        identity: the id of its object in the video.
        category: one of CLASSES or IGNORED, by its present name.
        box: left, top, width, height in pixels.
        ignored: an ignored category, a crowd, or marked as ignored.
        node: where it stands, for errors.
    """

    identity: str
    category: str
    box: tuple[float, float, float, float]
    ignored: bool
    node: Node


Video = dict[int, list[Label]]  # the labels of each frame by its frameIndex


def read_videos(path: str | Path) -> dict[str, Video]:
    """The videos in a JSON file, or in all JSON files of a folder, by name.

    Raises:
        DocumentError: nothing there, a file is broken, a category is unknown, or a frame is there twice.
    """
    videos: dict[str, Video] = {}
    for frame in _frames(path):
        video = videos.setdefault(frame["videoName"].text(), {})
        index = frame["frameIndex"]
        if index.integer() in video:
            raise DocumentError(f"{index.place}: frame {index.value} of this video is there already")
        video[index.integer()] = _labels(frame)
    return videos


def recognises(folder: Path) -> bool:
    """Whether a folder has the labels of tracking or of detection where the data set has them."""
    return any((folder / "labels" / name).is_dir() for name in (TRACKING, DETECTION))


def read(folder: Path, reading: Reading) -> tuple[list[Recording], Odd]:
    """The videos, and the stills of the detection set, of the parts asked for, as far as they are there.

    Raises:
        DocumentError, DataError: a file is broken, or nothing of these parts is there.
    """
    odd = Odd()
    recordings: list[Recording] = []
    places = [(folder / reading.annotations, folder / reading.images)] if reading.annotations else [
        place
        for part in (("train", "val") if reading.part == "all" else (reading.part,))
        for place in (
            (folder / "labels" / TRACKING / part, folder / "images" / "track" / part),
            (folder / "labels" / DETECTION / f"det_{part}.json", folder / "images" / "100k" / part),
        )
    ]  # fmt: skip
    for labels, images in places:
        for file in sorted(labels.glob("*.json")) if labels.is_dir() else [labels] if labels.is_file() else []:
            recordings += _read_file(file, images, reading, odd)
    if not recordings:
        raise DataError(f"{folder}: no labels with images in {' or '.join(str(labels) for labels, _ in places)}")
    return recordings, odd


def _read_file(file: Path, images: Path, reading: Reading, odd: Odd) -> Iterator[Recording]:
    """The videos in a file, and as one recording the frames of none."""
    frames: dict[str, list[tuple[int, str, Node]]] = {}
    for node in _frames(file):
        video, index = node.get("videoName"), node.get("frameIndex")
        name = video.text() if video and index else ""
        frames.setdefault(name, []).append((index.integer() if index else 0, node["name"].text(), node))
    incomplete = reading.labelling.incomplete(ALL_LABELLED, ALL_LABELLED)
    for video_name, entries in frames.items():
        annotations, place = Annotations(reading.labelling, odd), images / video_name
        samples: list[Sample] = []
        for _, name, node in sorted(entries, key=lambda entry: entry[0]) if video_name else entries:
            path = place / name
            if not path.resolve().is_relative_to(images.resolve()):
                raise node["name"].error("a path below the folder of images")
            if not path.is_file():
                odd["image files missing: left out"] += 1
                continue
            for label in _labels(node, strict=False):
                left, top, width, height = label.box
                identity = label.identity if video_name else None
                box = (left, top, left + width, top + height)
                annotations.add(name, label.category, box, identity, label.ignored)
            samples.append(StoredImage(path, annotations.objects(name, incomplete), reading.largest))
        if samples and video_name:
            yield Recording(video_name, reading.chosen(samples), place, frame_rate=FRAME_RATE)
        elif samples:
            yield Recording(file.stem, samples, images, still=True)


def _frames(path: str | Path) -> Iterator[Node]:
    """The frames in a JSON file, or in all JSON files of a folder."""
    path = Path(path)
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise DocumentError(f"{path}: no JSON files in this folder")
    for file in files:
        document = read_json(file)
        yield from document["frames"] if isinstance(document.value, dict) else document


def _labels(frame: Node, strict: bool = True) -> list[Label]:
    """The labels of a frame that have a box; where ``strict`` a category that is not tracked is an error."""
    found = []
    for node in frame.get("labels") or ():
        category = node["category"].text()
        category = RENAMED.get(category, category)
        if strict and category not in CLASSES and category not in IGNORED:
            raise node["category"].error(f"one of {', '.join([*CLASSES, *IGNORED])}")
        box, attributes = node.get("box2d"), node.get("attributes")
        if box is None:
            continue
        x1, y1, x2, y2 = (box[edge].number() for edge in ("x1", "y1", "x2", "y2"))
        marked = [attributes.get(name) for name in ("crowd", "ignored")] if attributes else []
        ignored = category in IGNORED or any(mark is not None and bool(mark.value) for mark in marked)
        found.append(Label(node["id"].identity(), category, (x1, y1, x2 - x1 + 1, y2 - y1 + 1), ignored, node))
    return found
