"""rosbag2 recordings: images of one topic, and on another one what is in them, joined by their header stamps.

Objects come as vision_msgs/Detection2DArray or qdtrack/TrackedDetectionArray: the ground truth that ``bags.py`` writes,
the output of a detector, or tracks. An ``id`` that is empty is unknown; tracks that are not seen in an image are not
read; what a detector is not sure of (``fill_score`` of the recipe) is ignored. Images without such a message are left
out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qdtrack_model.data.reading import Annotations, DataError, Odd, Reading, Recording
from qdtrack_model.data.samples import LabelledImage, Objects, SampleError
from qdtrack_model.data.sources import BAG_SUFFIXES

if TYPE_CHECKING:
    from rosbags.rosbag2 import Reader

TRACKS = "qdtrack/msg/TrackedDetectionArray"
LOST = 2  # state of a track that is remembered and not seen


def recognises(folder: Path) -> bool:
    """Whether it is a rosbag2 folder, or one of its files."""
    return (folder / "metadata.yaml").is_file() or folder.suffix in BAG_SUFFIXES


@dataclass(frozen=True, eq=False)
class BagImage:
    """An image in a bag and what is in it; the bag is read when it is drawn.

    Args:
        path: of the bag.
        topic: of the image.
        time: of its recording [ns], by which the bag finds it.
        stamp: of its header [ns].
        objects: what is in it.
        largest: (height, width) that it is scaled to fit where it is larger.
    """

    path: Path
    topic: str
    time: int
    stamp: int
    objects: Objects
    largest: tuple[int, int] | None

    def read(self) -> LabelledImage:
        """Decode the image.

        Raises:
            SampleError: the bag is gone or broken, or the message is no image.
        """
        from qdtrack_model.data import bags

        try:
            reader = _reader(self.path, os.getpid())
            connections = [c for c in reader.connections if c.topic == self.topic]
            for connection, _, raw in reader.messages(connections, start=self.time, stop=self.time + 1):
                if bags.stamp_of(raw) == self.stamp:
                    message: Any = bags.typestore().deserialize_cdr(raw, connection.msgtype)
                    labelled = LabelledImage(bags.decode_image(message, connection.msgtype), self.objects)
                    return labelled.fitted(self.largest) if self.largest else labelled
        except Exception as error:  # rosbags meets broken files with many kinds of errors
            raise SampleError(f"{self.path}: image of stamp {self.stamp}: {error}") from None
        raise SampleError(f"{self.path}: image of stamp {self.stamp} is there no more")


@lru_cache(maxsize=8)
def _reader(path: Path, process: int) -> Reader:
    """An open bag: one for each process, since those that load data must not share a place in a file."""
    from rosbags.rosbag2 import Reader

    reader = Reader(path)
    reader.open()
    return reader


def read(folder: Path, reading: Reading) -> tuple[list[Recording], Odd]:
    """The sequence in a bag. ``reading.annotations`` and ``reading.images`` are topics.

    Raises:
        BagError, DataError: the bag is broken, a topic is not there or not the only one, or no image has objects.
    """
    from qdtrack_model.data import bags

    odd = Odd()
    with bags.opened(folder) as reader:
        connections = bags.image_connections(reader, folder, reading.images or None, bags.STILLS)
        images = sorted(
            (bags.stamp_of(raw), connection.topic, time) for connection, time, raw in reader.messages(connections)
        )
        annotations, labelled, names = _annotations(folder, reader, reading, odd)
    known = {stamp for stamp, _, _ in images}
    odd["messages of objects without an image of their stamp: left out"] += len(labelled - known)
    odd["images without a message of objects: left out"] += len([1 for stamp, _, _ in images if stamp not in labelled])
    incomplete = reading.labelling.incomplete(names, names)
    used = [image for image in images if image[0] in labelled]
    if not used:
        raise DataError(f"{folder}: no image has the stamp of a message of objects")
    samples = [
        BagImage(folder, topic, time, stamp, annotations.objects(stamp, incomplete), reading.largest)
        for stamp, topic, time in used
    ]
    steps = np.diff([stamp for stamp, _, _ in used])
    rate = 1e9 / float(np.median(steps)) if len(steps) and np.median(steps) > 0 else 10.0
    return [Recording(folder.stem, reading.chosen(samples), folder, frame_rate=rate)], odd + Odd()


def _annotations(folder: Path, reader: Reader, reading: Reading, odd: Odd) -> tuple[Annotations, set[int], set[str]]:
    """The objects by header stamp, the stamps of all messages, and the names of classes."""
    from qdtrack_model.data import bags

    kinds = (bags.ARRAY, TRACKS)
    topics = {c.topic for c in reader.connections if c.msgtype in kinds}
    topic = reading.annotations or (bags.TRUTH_TOPIC if bags.TRUTH_TOPIC in topics else "")
    chosen = topics & {topic} if topic else topics
    if len(chosen) != 1:
        which = f"no objects on {topic!r}" if topic else "no topic of objects" if not topics else "several of objects"
        raise bags.BagError(
            f"{folder}: {which} (vision_msgs/Detection2DArray, qdtrack/TrackedDetectionArray); a recipe's data.sets "
            f"may name one as `annotations`; topics: {bags.listing(reader)}"
        )
    annotations, stamps, names = Annotations(reading.labelling, odd), set(), set()
    least = -np.inf if chosen == {bags.TRUTH_TOPIC} else reading.labelling.fill_score  # of truth it is the visibility
    for connection, _, raw in reader.messages([c for c in reader.connections if c.topic in chosen]):
        stamp = bags.stamp_of(raw)
        stamps.add(stamp)
        for name, identity, score, box in objects_in(bags.typestore().deserialize_cdr(raw, connection.msgtype)):
            names.add(name)
            annotations.add(stamp, name, box, identity or None, name == bags.IGNORE or score < least)
    return annotations, stamps, names - {bags.IGNORE}


def objects_in(message: Any) -> Iterator[tuple[str, str, float, tuple[float, float, float, float]]]:
    """Class, id, score and x1 y1 x2 y2 of everything that is seen according to a message."""
    for track in getattr(message, "tracks", ()):
        if track.state != LOST:
            box = _corners(track.center_x, track.center_y, track.size_x, track.size_y)
            yield track.class_name, str(track.id), track.score, box
    for detection in getattr(message, "detections", ()):
        if detection.results:
            best = max((result.hypothesis for result in detection.results), key=lambda found: found.score)
            centre, box = detection.bbox.center.position, detection.bbox
            yield best.class_id, detection.id, best.score, _corners(centre.x, centre.y, box.size_x, box.size_y)


def _corners(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    return (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
