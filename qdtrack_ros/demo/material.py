"""What the demonstration plays: a bag made from a synthetic scene or from a video, and its ground truth."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from qdtrack_model.data.bags import IMAGE_TOPIC, BagFrame, read_ground_truth, read_raw, write_bag
from qdtrack_model.data.readers.mot import MotBoxes, read_mot
from qdtrack_model.data.sources import Source, open_source
from qdtrack_ros.demo.player import Record, header_stamp


@dataclass(frozen=True, eq=False)
class Material:
    """A bag of compressed images on ``topic``.

    Args:
        frame_of: header stamp [ns] -> frame number (from 1), in the order of the bag.
        ground_truth: of some or all of these frames; None where there is none.
    """

    title: str
    bag: Path
    frame_rate: float
    frame_of: Mapping[int, int]
    ground_truth: MotBoxes | None
    topic: str = IMAGE_TOPIC

    def records(self) -> Iterator[Record]:
        """The images as they are played."""
        return (record for record in read_raw(self.bag) if record[0] == self.topic)


def material_from_scene(bag: Path, frames: int, seed: int) -> Material:
    """A synthetic street scene.

    Raises:
        ConfigError: the number of frames or the seed is out of range.
    """
    from qdtrack_model.synthetic import Scene, SceneConfig  # the renderer is not needed for videos
    from qdtrack_model.synthetic.writer import write_scene_bag

    shutil.rmtree(bag, ignore_errors=True)
    scene = Scene(SceneConfig(seed=seed, frames=frames))
    with tqdm(total=frames, unit="frame", desc="synthesize", disable=None) as bar:
        write_scene_bag(scene, bag, lambda: bar.update(1))
    numbers = range(1, frames + 1)
    rate = scene.config.frame_rate
    return Material(f"Synthetic street, seed {seed}", bag, rate, _by_stamp(bag, numbers), read_ground_truth(bag))


def material_from_video(bag: Path, video: Path, frames: int | None) -> Material:
    """A video, or whatever else :func:`open_source` reads; scored where ``gt/gt.txt`` lies beside or in it.

    Raises:
        SourceError: it cannot be read.
        MotError: its ground truth cannot be read.
    """
    folder = video if video.is_dir() else video.parent
    numbers: list[int] = []
    shutil.rmtree(bag, ignore_errors=True)
    with _open(video) as source:
        rate = source.frame_rate or 25.0
        length = min(filter(None, (source.length, frames)), default=None)

        def pictures() -> Iterator[BagFrame]:
            for frame in tqdm(itertools.islice(source, frames), total=length, unit="frame", desc="read", disable=None):
                numbers.append(frame.index)
                yield BagFrame(frame.image)

        write_bag(bag, pictures(), rate)
    truth = None
    if (folder / "gt" / "gt.txt").is_file():
        truth = read_mot(folder / "gt" / "gt.txt").between(numbers[0], numbers[-1])
        truth = truth if len(truth) else None
    return Material(video.name, bag, rate, _by_stamp(bag, numbers), truth)


def _open(video: Path) -> Source:
    """The video, by way of its ``seqinfo.ini`` where there is one: its frame rate is the one to trust."""
    described = video.is_file() and (video.parent / "seqinfo.ini").is_file()
    return open_source(video.parent if described else video)


def _by_stamp(bag: Path, numbers: list[int] | range) -> dict[int, int]:
    stamps = (header_stamp(data) for topic, _, _, data in read_raw(bag) if topic == IMAGE_TOPIC)
    return dict(zip(stamps, numbers, strict=True))
