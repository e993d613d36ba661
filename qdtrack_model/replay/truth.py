"""The ground truth of a replayed sequence: from a topic of its bag, or from MOTChallenge files.

Messages belong to the images of their header stamp; line numbers of files to the images in their order, from 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import Reader

from qdtrack_model.data import bags
from qdtrack_model.data.readers.bag import TRACKS, objects_in
from qdtrack_model.data.readers.mot import IGNORED_CLASS, MotBoxes, join, mot_class, read_mot
from qdtrack_model.structures import Array

AUTOMATIC, NONE = "auto", "none"


class TruthError(ValueError):
    """Ground truth that cannot be used; the text says where it is and what was expected."""


@dataclass(frozen=True, eq=False)
class Truth:
    """Ground truth of a sequence.

    Args:
        boxes: of the frames of the sequence, those of confidence 0 ignored.
        frames: (F,) int64, sorted: the frames that are scored; in others nobody looked.
    """

    boxes: MotBoxes
    frames: Array

    def scored(self, results: MotBoxes) -> MotBoxes:
        """The results in frames that are scored."""
        return results[np.isin(results.frames, self.frames)]


@dataclass(frozen=True, eq=False)
class Taken:
    """What was read of a sequence's ground truth.

    Args:
        source: topic or file.
        boxes: how many.
        frames: (F,) int64, sorted: the frames that are scored; in others nobody looked.
        left_out: what could not be used -> how often.
    """

    source: str
    boxes: int
    frames: Array
    left_out: Mapping[str, int]

    def to_mapping(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "source": self.source, "frames": len(self.frames), "boxes": self.boxes, "left_out": dict(self.left_out)
        }  # fmt: skip


def read_truth(
    where: str, bag: Path, topic: str, name: str, times: Mapping[float, int], columns: Columns,
    write: Callable[[MotBoxes], None],
) -> Taken | None:  # fmt: skip
    """Read the ground truth of the images of ``topic``; None where there is none.

    Args:
        where: ``auto`` (the topic ``ground_truth`` beside the camera's, where there is one), ``none``, a topic, or a
            file or folder of MOTChallenge columns: ``gt.txt``, ``gt/gt.txt`` or the same below the sequence's name.
        bag: that holds the images.
        topic: of the images.
        name: of the sequence, BAG/CAMERA.
        times: seconds of header stamps -> number of the frame.
        columns: numbers of classes.
        write: called with boxes, those of one frame at once.

    Raises:
        TruthError, MotError, BagError: it is not there, or broken.
    """
    if where == NONE or not times:
        return None
    if where != AUTOMATIC and Path(where).exists():
        return _from_file(_file(Path(where), name), max(times.values()), write)
    wanted = f"{camera_folder(topic)}/ground_truth" if where == AUTOMATIC else where
    with bags.opened(bag) as reader:
        topics = sorted({c.topic for c in reader.connections if c.msgtype in (bags.ARRAY, TRACKS)})
        if wanted in topics:
            return _from_topic(reader, wanted, times, columns, write)
    if where == AUTOMATIC:
        return None
    raise TruthError(
        f"--ground-truth {where}: no such file or folder, and no topic of {bag} with vision_msgs/Detection2DArray or "
        f"qdtrack/TrackedDetectionArray; such topics: {', '.join(topics) or 'none'}"
    )


class Columns:
    """Numbers of classes in MOTChallenge's column, by their names.

    Args:
        names: of the network's classes.
        numbers: (C,) their numbers.
    """

    def __init__(self, names: Sequence[str], numbers: Array) -> None:
        self._numbers = {name.lower(): number for name, number in zip(names, numbers.tolist(), strict=True)}

    def __call__(self, name: str) -> int:
        """The number of a class; a new one for a name that nobody knows."""
        if name.isdecimal():
            return int(name)
        known = self._numbers.get(name.lower())
        return (
            known if known is not None else self._numbers.setdefault(name.lower(), mot_class(name, len(self._numbers)))
        )

    def names(self, numbers: Sequence[int]) -> dict[int, str]:
        """What to call classes of these numbers."""
        known = {number: name for name, number in reversed(list(self._numbers.items()))}
        return {number: known.get(number, f"class {number}") for number in numbers}


def camera_folder(topic: str) -> str:
    """What comes before ``image...`` in a topic: ``/front`` of ``/front/image_raw/compressed``."""
    parts = topic.strip("/").split("/")
    ends = [place for place, part in enumerate(parts) if part.startswith("image")]
    return "/" + "/".join(parts[: ends[0]] if ends and ends[0] else parts[:1])


def _from_topic(
    reader: Reader, topic: str, times: Mapping[float, int], columns: Columns, write: Callable[[MotBoxes], None]
) -> Taken:
    """Messages may come in any order; one whose image has had one already is not taken."""
    frames: set[int] = set()
    boxes, left_out = 0, Counter[str]()
    for connection, _, raw in reader.messages([c for c in reader.connections if c.topic == topic]):
        frame = times.get(bags.stamp_of(raw) / 1e9)
        if frame is None or frame in frames:
            left_out["messages without an image of their own"] += 1
            continue
        frames.add(frame)
        message: Any = bags.typestore().deserialize_cdr(raw, connection.msgtype)
        rows, twice = _rows_of(message, frame, columns)
        left_out["boxes without a number of their own as id"] += twice
        table = np.array(rows, np.float64).reshape(-1, 9)
        write(MotBoxes(table[:, 0], table[:, 1], table[:, 2:6], table[:, 6], table[:, 7], table[:, 8]))
        boxes += len(rows)
    return Taken(topic, boxes, np.array(sorted(frames), np.int64), +left_out)


def _rows_of(message: Any, frame: int, columns: Columns) -> tuple[list[tuple[float, ...]], int]:
    """The rows of a message, and how many boxes have no id of their own; what is ignored needs none."""
    rows: list[tuple[float, ...]] = []
    identities: set[int] = set()
    unusable = 0
    for kind, identity, score, box in objects_in(message):
        number, ignored = int(identity) if identity.isdecimal() else -1, kind == bags.IGNORE
        if number < 0 or number in identities:
            if not ignored:
                unusable += 1
                continue
            number = min(0, *identities, 0) - 1
        identities.add(number)
        rows.append((frame, number, *box, not ignored, IGNORED_CLASS if ignored else columns(kind), score))
    return rows, unusable


def _file(where: Path, name: str) -> Path:
    if where.is_file():
        return where
    bag = name.split("/")[0]
    folders = (where / name, where / bag, where)
    for path in (folder / inner for folder in folders for inner in ("gt/gt.txt", "gt.txt")):
        if path.is_file():
            return path
    raise TruthError(f"--ground-truth {where}: neither gt/gt.txt nor gt.txt there or below {name}/ or {bag}/")


def _from_file(path: Path, last: int, write: Callable[[MotBoxes], None]) -> Taken:
    """Frames from the first to the last that the file names are scored."""
    boxes = read_mot(path)
    if not len(boxes):
        raise TruthError(f"{path}: no ground truth in this file")
    known = boxes.frames <= last
    if not known.any():
        raise TruthError(f"{path}: begins at frame {boxes.frames.min()}, and there are {last} images")
    left_out = {f"boxes beyond the last image, {last}": int((~known).sum())} if not known.all() else {}
    boxes = join([boxes[known]])
    write(boxes)
    return Taken(str(path), len(boxes), np.arange(boxes.frames.min(), boxes.frames.max() + 1), left_out)
