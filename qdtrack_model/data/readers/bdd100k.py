"""BDD100K's box tracking labels (https://doc.bdd100k.com): lists of frames in JSON, in Scalabel's format.

A frame has ``videoName``, ``frameIndex`` and ``labels``, a label ``id``, ``category``, ``box2d`` and ``attributes``.
The right and the lower edge of a box are inclusive: it is x2 - x1 + 1 wide.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qdtrack_model.data.documents import DocumentError, Node, read_json

CLASSES = ("pedestrian", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
IGNORED = ("other person", "other vehicle", "trailer")  # regions in which results may be or not
RENAMED = {"person": "pedestrian", "bike": "bicycle", "motor": "motorcycle", "van": "car", "caravan": "car"}


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
    path = Path(path)
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise DocumentError(f"{path}: no JSON files in this folder")
    videos: dict[str, Video] = {}
    for file in files:
        document = read_json(file)
        for frame in document["frames"] if isinstance(document.value, dict) else document:
            video = videos.setdefault(frame["videoName"].text(), {})
            index = frame["frameIndex"]
            if index.integer() in video:
                raise DocumentError(f"{index.place}: frame {index.value} of this video is there already")
            video[index.integer()] = _labels(frame)
    return videos


def _labels(frame: Node) -> list[Label]:
    """The labels of a frame that have a box."""
    found = []
    for node in frame.get("labels") or ():
        category = node["category"].text()
        category = RENAMED.get(category, category)
        if category not in CLASSES and category not in IGNORED:
            raise node["category"].error(f"one of {', '.join([*CLASSES, *IGNORED])}")
        box, attributes = node.get("box2d"), node.get("attributes")
        if box is None:
            continue
        x1, y1, x2, y2 = (box[edge].number() for edge in ("x1", "y1", "x2", "y2"))
        marked = [attributes.get(name) for name in ("crowd", "ignored")] if attributes else []
        ignored = category in IGNORED or any(mark is not None and bool(mark.value) for mark in marked)
        found.append(Label(node["id"].identity(), category, (x1, y1, x2 - x1 + 1, y2 - y1 + 1), ignored, node))
    return found
