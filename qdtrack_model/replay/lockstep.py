"""Lockstep replay: every image of a bag through the pipeline, one after the other, as fast as it goes.

What is left out is what the node leaves out: images that cannot be decoded, that came twice, or late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from qdtrack_model import tracking
from qdtrack_model.config import TrackerConfig
from qdtrack_model.data import bags
from qdtrack_model.data.readers.mot import class_columns, from_tracks
from qdtrack_model.fleet.listing import Listed
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.replay.detections import read_detections
from qdtrack_model.replay.run import Collected, Run, Settings
from qdtrack_model.replay.sequence import DETECTIONS, SCORED, TRUTH, ReplayedSequence, SequenceWriter, TruthWriter
from qdtrack_model.replay.truth import Columns, camera_folder, read_truth
from qdtrack_model.sensors.stamps import Order, StampOrder
from qdtrack_model.structures import Array, Detections
from qdtrack_model.tracking import Tracker

STAGES = ("read", "preprocess", "network", "track")
Progress = Callable[[str], None]  # called with the name of the sequence after each image


class NoImage(bags.BagError):
    """A topic without an image that can be decoded."""


@dataclass(eq=False)
class Images:
    """The images of one topic of a bag that are to be tracked, counted.

    Attributes:
        size: (width, height) of the first.
        times: seconds of the header stamps -> number of the image, of those given.
        left_out: why images were left out -> how many.
    """

    bag: Path
    topic: str
    size: tuple[int, int] | None = None
    times: dict[float, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=lambda: {"undecodable": 0, "repeated": 0, "late": 0})

    def __iter__(self) -> Iterator[tuple[int, float, Array]]:
        """Number from 1, seconds of the header stamp, pixels (H, W, 3) BGR.

        Raises:
            BagError: the bag is broken, or images have no stamps; NoImage, a kind of it: none can be decoded.
        """
        damage: list[bags.BagError] = []
        order, given = StampOrder(), 0
        for _, time, image in bags.read_images(self.bag, self.topic, damage.append):
            given += 1
            self.left_out["undecodable"] = len(damage)
            if time == 0:
                raise bags.BagError(f"{self.bag}: {self.topic}: image {given} has no stamp: nothing tells its time")
            judged = order.judge(round(time * 1e9))
            if judged in (Order.REPEATED, Order.LATE):
                self.left_out[judged.value] += 1
                continue
            self.size = self.size or (image.shape[1], image.shape[0])
            self.times[time] = given + len(damage)
            yield given + len(damage), time, image
        self.left_out["undecodable"] = len(damage)
        if not given:
            raise NoImage(str(damage[0]) if damage else f"{self.bag}: no image on {self.topic}")


@dataclass(frozen=True, eq=False)
class Seen:
    """An image of which the network has told what it sees: number, seconds, seconds of each stage so far."""

    number: int
    time: float
    detections: Detections
    timings: Mapping[str, float]


def detect(images: Images, pipeline: Pipeline) -> Iterator[Seen]:
    """What the network sees in images."""
    started = perf_counter()
    for number, time, image in images:
        read = perf_counter() - started
        [detections] = pipeline.detect([image])
        yield Seen(number, time, detections, {"read": read, **pipeline.timings})
        started = perf_counter()


def track(
    seen: Iterator[Seen], tracker: Tracker, columns: Array, writer: SequenceWriter, done: Callable[[], None]
) -> None:
    """Track what was seen, and write it."""
    for one in seen:
        started = perf_counter()
        tracks = tracker.update(one.detections, one.time)
        timings = {**one.timings, "track": perf_counter() - started}
        writer.write(one.number, one.time, from_tracks(tracks, one.number, columns), timings, one.detections)
        done()


def settings_of(pipeline: Pipeline, weights: str, way: str = "lockstep") -> Settings:
    """What is to be remembered of a pipeline."""
    config, runtime = pipeline.runtime.config, pipeline.runtime
    numbers = class_columns(config).tolist()
    classes = dict(zip(numbers, config.classes, strict=True))
    return Settings(way, weights, f"{runtime.name} on {runtime.device}", pipeline.tracker.config, classes)


def camera_name(topic: str) -> str:
    """A camera's name in folders: ``front_left`` of ``/front/left/image_raw``."""
    return camera_folder(topic).strip("/").replace("/", "_") or "camera"


def replay_bag(
    listed: Listed, topics: list[str] | None, truth: str, pipeline: Pipeline, run: Collected, progress: Progress,
    copy: Path | None = None,
) -> list[str]:  # fmt: skip
    """Replay the cameras of a bag; its sequences are added to the run when all are done.

    Args:
        listed: the bag, and its name in the run.
        topics: of images; None for all.
        truth: where the ground truth is, see :func:`read_truth`.
        pipeline: whose network and settings are taken.
        run: that the sequences are written into.
        progress: called after each image.
        copy: of a bag that lies elsewhere.

    Returns:
        The names of the sequences.

    Raises:
        BagError, TruthError, MotError: the bag or its ground truth cannot be used.
        OSError: it cannot be written.
    """
    done: list[tuple[str, dict[str, Any]]] = []
    columns = class_columns(pipeline.runtime.config)
    known = Columns(pipeline.runtime.config.classes, columns)
    bag = copy or Path(listed.place)
    told: dict[str, Any] = {"bag": listed.place}
    told |= {"tags": dict(listed.tags)} if listed.tags else {}
    for camera, topic in chosen_topics(bag, topics).items():
        name = f"{listed.name}/{camera}"
        images = Images(bag, topic)
        try:
            with SequenceWriter(run.folder / name, STAGES) as writer:
                track(detect(images, pipeline), pipeline.new_tracker(), columns, writer, partial(progress, name))
        except NoImage as error:
            # Topics of depth images look like a camera's; only where a person asked for one is it an error.
            if topics:
                raise
            run.leave_out(told["bag"], str(error))
            continue
        with TruthWriter(run.folder / name) as files:
            taken = read_truth(truth, bag, topic, name, images.times, known, files.write)
            files.finish(taken.frames if taken else None)
        more = {**told, "topic": topic, "size": images.size, "left_out": images.left_out}
        done.append((name, {**more, "truth": taken.to_mapping() if taken else None}))
    if not done:
        raise NoImage(f"{bag}: not one image of any topic could be decoded")
    for name, more in done:
        run.add(name, more)
    return [name for name, _ in done]


def chosen_topics(bag: Path, topics: list[str] | None) -> dict[str, str]:
    """Name of the camera -> topic of its images.

    Raises:
        BagError: the bag is broken, or lacks one of ``topics``.
    """
    present = bags.image_topics(bag)
    for topic in topics or ():
        if topic not in present:
            raise bags.BagError(f"{bag}: no images on {topic}; topics of images: {', '.join(present)}")
    chosen = topics or present
    names = [camera_name(topic) for topic in chosen]
    # Two topics of one camera, such as an image and its rectified one, are told apart by their whole names.
    return {
        name if names.count(name) == 1 else topic.strip("/").replace("/", "_"): topic
        for name, topic in zip(names, chosen, strict=True)
    }


def track_again(source: Run, config: TrackerConfig, run: Collected, progress: Progress) -> list[str]:
    """Track the cached detections of another run with other settings; ground truth is that run's.

    Raises:
        RunError, CacheError: the other run has no detections, or broken ones.
    """
    columns = np.array(list(source.settings.classes), np.int64)
    names = []
    for told, sequence in source.sequences():
        name = told["name"]
        with SequenceWriter(run.folder / name, STAGES, detections=False) as writer:
            again(sequence, tracking.build(config), columns, writer, partial(progress, name))
        for file in (TRUTH, SCORED):
            if (sequence.folder / file).is_file():
                (run.folder / name / file).write_bytes((sequence.folder / file).read_bytes())
        run.add(name, {key: told[key] for key in ("bag", "tags", "topic", "size", "left_out", "truth") if key in told})
        names.append(name)
    return names


def again(
    sequence: ReplayedSequence, tracker: Tracker, columns: Array, writer: SequenceWriter, done: Callable[[], None]
) -> None:
    """Track the cached detections of a sequence."""
    frames = read_detections(sequence.folder / DETECTIONS)
    track((Seen(frame.number, frame.time, frame.detections, {}) for frame in frames), tracker, columns, writer, done)
