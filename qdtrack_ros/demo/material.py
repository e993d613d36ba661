"""What the demonstration plays: a bag made from a synthetic scene or from a video, with its ground truth."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from qdtrack_model.data.bags import BagFrame, write_bag
from qdtrack_model.data.readers.mot import read_mot
from qdtrack_model.data.sources import Source, open_source


def bag_of_scene(bag: Path, frames: int, seed: int) -> None:
    """Write a synthetic street scene.

    Raises:
        ConfigError: the number of frames or the seed is out of range.
    """
    from qdtrack_model.synthetic import Scene, SceneConfig  # the renderer is not needed for videos
    from qdtrack_model.synthetic.writer import write_scene_bag

    shutil.rmtree(bag, ignore_errors=True)
    with tqdm(total=frames, unit="frame", desc="synthesize", disable=None) as bar:
        write_scene_bag(Scene(SceneConfig(seed=seed, frames=frames)), bag, lambda: bar.update(1))


def bag_of_video(bag: Path, video: Path, frames: int | None) -> None:
    """Write a video, or whatever else :func:`open_source` reads, with the ground truth of ``gt/gt.txt`` beside or in it
    where there is one.

    Raises:
        SourceError: it cannot be read.
        MotError: its ground truth cannot be read.
    """
    truth_file = (video if video.is_dir() else video.parent) / "gt" / "gt.txt"
    truth = read_mot(truth_file) if truth_file.is_file() else None
    known = range(truth.frames.min(), truth.frames.max() + 1) if truth is not None and len(truth) else range(0)
    shutil.rmtree(bag, ignore_errors=True)
    with _open(video) as source:
        length = min(filter(None, (source.length, frames)), default=None)

        def pictures() -> Iterator[BagFrame]:
            for frame in tqdm(itertools.islice(source, frames), total=length, unit="frame", desc="read", disable=None):
                inside = truth is not None and frame.index in known
                yield BagFrame(
                    frame.image, truth[truth.frames == frame.index] if truth is not None and inside else None
                )

        write_bag(bag, pictures(), source.frame_rate or 25.0)


def _open(video: Path) -> Source:
    """The video, by way of its ``seqinfo.ini`` where there is one: its frame rate is the one to trust."""
    described = video.is_file() and (video.parent / "seqinfo.ini").is_file()
    return open_source(video.parent if described else video)
