"""What is looked at: the images of cameras, and what is known of each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from qdtrack_model.data.bags3d import Box3D, read_boxes3d
from qdtrack_model.data.readers.mot import MotBoxes, join, read_mot
from qdtrack_model.data.sources import is_bag, open_source
from qdtrack_model.drawing.overlay import Trails
from qdtrack_model.replay.run import RUN, Run
from qdtrack_model.replay.sequence import ReplayedSequence
from qdtrack_model.structures import Array, Tracks

_UNIX = 1e8  # seconds: times beyond are stamps since 1970, times below since the begin of a video


@dataclass(frozen=True, eq=False)
class Moment:
    """One image and what is known of it.

    Args:
        frame: its number, from 1.
        time: seconds, of its stamp or since the begin.
        image: (H, W, 3) BGR uint8.
        ids: (M,) of the tracks in it.
        boxes: (M, 4) x1 y1 x2 y2 in pixels.
        captions: what is written at each.
        trails: id -> (K, 2) where it went lately, oldest first, in pixels.
        boxes3d: boxes in space.
        measures: name -> value, to be plotted.
    """

    frame: int
    time: float
    image: Array
    ids: Array
    boxes: Array
    captions: tuple[str, ...]
    trails: Mapping[int, Array]
    boxes3d: tuple[Box3D, ...]
    measures: Mapping[str, float]

    @property
    def nanoseconds(self) -> int:
        """The time as an integer."""
        return round(self.time * 1e9)

    @property
    def is_stamped(self) -> bool:
        """Whether the time is a stamp since 1970."""
        return self.time > _UNIX


@dataclass(frozen=True, eq=False)
class Camera:
    """The images of one camera and its tracks.

    Args:
        name: in the viewer.
        path: video, folder or bag.
        topic: of the images, where it is a bag with several.
        tracks: as found; none where none are given.
        classes: number in the column of classes -> name, where known.
        timing: frame -> stage -> seconds, where known.
    """

    name: str
    path: Path
    topic: str | None
    tracks: MotBoxes
    classes: Mapping[int, str] = field(default_factory=dict)
    timing: Mapping[int, Mapping[str, float]] = field(default_factory=dict)

    def moments(self) -> Iterator[Moment]:
        """Every image, in order.

        Raises:
            SourceError, BagError: they cannot be read.
        """
        boxes3d = read_boxes3d(self.path) if is_bag(self.path) else {}
        rows, none = self._rows(), np.zeros(0, np.int64)
        trails = Trails()
        with open_source(self.path, self.topic) as source:
            for frame in source:
                found = self.tracks[rows.get(frame.index, none)]
                trails.extend(_tracks(found))
                timing = self.timing.get(frame.index, {})
                yield Moment(
                    frame.index,
                    frame.time,
                    frame.image,
                    found.ids,
                    found.boxes,
                    tuple(map(self._caption, found.ids.tolist(), found.classes.tolist())),
                    trails.paths,
                    boxes3d.get(frame.time, ()),
                    {"tracks": float(len(found)), **{f"{stage} [ms]": 1e3 * took for stage, took in timing.items()}},
                )

    def _rows(self) -> dict[int, Array]:
        """Frame -> rows of its tracks."""
        order = np.argsort(self.tracks.frames, kind="stable")
        frames, starts = np.unique(self.tracks.frames[order], return_index=True)
        return dict(zip(frames.astype(int).tolist(), np.split(order, starts)[1:], strict=True))

    def _caption(self, identity: int, number: int) -> str:
        """The class, where there are several, and the id."""
        name = self.classes.get(number, "") if len(self.classes) > 1 else ""
        return f"{name} {identity}".strip()


def _tracks(found: MotBoxes) -> Tracks:
    """What trails are made of."""
    n = np.zeros(len(found))
    return Tracks(found.ids, found.boxes, n, n, np.zeros((len(n), 0)), np.zeros((len(n), 2)), n, n, n)


def cameras_of(path: Path, tracks: Path | None, topic: str | None) -> list[Camera]:
    """What there is to look at: each camera of a run, or the one of a recording.

    Args:
        path: run of `qdtrack replay`, bag, video or folder.
        tracks: MOTChallenge columns, of a recording.
        topic: of a bag with several.

    Raises:
        RunError, MotError: the run or the tracks cannot be read.
        ValueError: tracks or a topic for a run, which has its own.
    """
    if not (path / RUN).is_file():
        return [Camera(path.resolve().stem, path, topic, read_mot(tracks) if tracks else join([]))]
    if tracks or topic:
        raise ValueError(f"{path}: is a run, which knows its tracks and topics: leave out --tracks and --topic")
    run = Run.read(path)
    return [
        Camera(told["name"], Path(told["bag"]), told["topic"], found.tracks, run.settings.classes, _timing(found))
        for told, found in run.sequences()
    ]


def _timing(sequence: ReplayedSequence) -> dict[int, dict[str, float]]:
    frames = sequence.frames.tolist()
    columns = {stage: seconds.tolist() for stage, seconds in sequence.timing.items() if len(seconds) == len(frames)}
    return {
        frame: {stage: column[row] for stage, column in columns.items() if np.isfinite(column[row])}
        for row, frame in enumerate(frames)
    }
