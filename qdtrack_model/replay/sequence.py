"""The files of one replayed sequence, which is one camera of one bag: written while it is replayed, read by all others.

| file | holds |
|---|---|
| ``tracks.txt`` | the tracks, MOTChallenge columns; frame n is the n-th image of the topic |
| ``truth.txt``, ``scored.txt`` | the ground truth, where there is any, and the numbers of the frames that it covers |
| ``frames.csv`` | ``frame,time,detections,tracks``; ``time`` is the header stamp in seconds |
| ``detections.npz`` | what the network saw, see ``detections.py``; a live run has none |
| ``timing.csv`` | ``frame`` and seconds of each stage; the only file that differs between two lockstep runs |
| ``overlay.mp4``, ``moments.json``, ``moments/`` | pictures, see ``pictures.py`` |
"""

from __future__ import annotations

import csv
import math
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from qdtrack_model.data.readers.mot import MotBoxes, format_rows, join, read_mot, write_mot
from qdtrack_model.replay.detections import DetectedFrame, DetectionWriter
from qdtrack_model.replay.truth import Truth
from qdtrack_model.structures import Array, Detections

TRACKS, TRUTH, SCORED, FRAMES = "tracks.txt", "truth.txt", "scored.txt", "frames.csv"
DETECTIONS, TIMING, OVERLAY = "detections.npz", "timing.csv", "overlay.mp4"


class RunError(ValueError):
    """A run that cannot be read; the text names the file and what was expected."""


class SequenceWriter:
    """Writes the files of a sequence frame by frame; a context manager.

    Args:
        folder: made anew: nothing of an older run may be taken for a part of this one.
        stages: names of the columns of ``timing.csv``.
        detections: whether they are kept.
    """

    def __init__(self, folder: Path, stages: Sequence[str], detections: bool = True) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        self._stages = stages
        self._resources = ExitStack()
        enter = self._resources.enter_context
        with self._resources:
            self._tracks = enter((folder / TRACKS).open("w", encoding="utf-8"))
            self._frames = enter((folder / FRAMES).open("w", encoding="utf-8"))
            self._timing = enter((folder / TIMING).open("w", encoding="utf-8"))
            self._detections = enter(DetectionWriter(folder / DETECTIONS)) if detections else None
            self._frames.write("frame,time,detections,tracks\n")
            self._timing.write(",".join(["frame", *stages]) + "\n")
            self._resources = self._resources.pop_all()

    def write(
        self, number: int, time: float, tracks: MotBoxes, timings: Mapping[str, float], found: Detections | None
    ) -> None:
        """Append a frame.

        Raises:
            OSError: the disk is full.
        """
        self._tracks.writelines(format_rows(tracks))
        self._frames.write(f"{number},{time!r},{len(found) if found is not None else ''},{len(tracks)}\n")
        values = (timings.get(stage, math.nan) for stage in self._stages)
        self._timing.write(",".join([str(number), *(f"{value:.6f}" for value in values)]) + "\n")
        if self._detections is not None and found is not None:
            self._detections.write(DetectedFrame(number, time, found))

    def __enter__(self) -> SequenceWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.__exit__(kind, error, trace)


class TruthWriter:
    """Writes the ground truth of a sequence as it comes; a context manager that leaves no file where none came.

    Args:
        folder: of the sequence; ground truth of an older run there is removed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._last, self._late = folder, 0, list[MotBoxes]()
        for name in (TRUTH, SCORED):
            (folder / name).unlink(missing_ok=True)
        self._file = (folder / TRUTH).open("w", encoding="utf-8")

    def write(self, boxes: MotBoxes) -> None:
        """Append the boxes of one frame, or of several in order; earlier frames may follow, and are kept until the
        end."""
        if len(boxes) and boxes.frames[0] < self._last:
            self._late.append(boxes)
        elif len(boxes):
            self._last = int(boxes.frames[-1])
            self._file.writelines(format_rows(boxes))

    def finish(self, frames: Array | None) -> None:
        """Say which frames are covered; None: there is no ground truth.

        Raises:
            OSError: the disk is full.
        """
        self._file.close()
        path = self._folder / TRUTH
        if frames is None:
            path.unlink()
            return
        if self._late:
            boxes = join([read_mot(path), *self._late])
            write_mot(path, boxes[np.argsort(boxes.frames, kind="stable")])
        np.savetxt(self._folder / SCORED, frames, "%d")

    def __enter__(self) -> TruthWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


@dataclass(frozen=True, eq=False)
class Times:
    """Numbers (F,) int64 of the frames of a sequence, and seconds (F,) of their header stamps."""

    numbers: Array
    stamps: Array

    @classmethod
    def read(cls, folder: Path) -> Times:
        """Read ``frames.csv``.

        Raises:
            RunError: it is missing or broken.
        """
        table = _table(folder / FRAMES)
        return cls(table["frame"].astype(np.int64), table["time"])

    @property
    def seconds(self) -> Array:
        """(F,) seconds since the first image; where the clock was set back it goes on from where it was."""
        if not len(self.stamps):
            return self.stamps
        back = np.minimum(np.diff(self.stamps, prepend=self.stamps[:1]), 0)
        return self.stamps - self.stamps[0] - np.cumsum(back)

    @property
    def rate(self) -> float:
        """Frames a second, by the median step; NaN for fewer than two."""
        steps = np.diff(self.stamps)
        return float(1 / np.median(steps)) if len(steps) and np.median(steps) > 0 else math.nan


def read_covered(folder: Path) -> Array:
    """Numbers (K,) int64 of the frames that the ground truth covers, growing."""
    return np.sort(np.loadtxt(folder / SCORED, np.int64, ndmin=1))


@dataclass(frozen=True, eq=False)
class ReplayedSequence:
    """The files of a sequence.

    Args:
        folder: where they are.
        frames: (F,) int64, numbers of the images that were tracked or, live, sent.
        times: (F,) seconds of their header stamps.
        tracks: as found.
        truth: None where there is none.
        timing: stage -> seconds (F,); NaN where a stage did not happen: a dropped image has no latency.
    """

    folder: Path
    frames: Array
    times: Array
    tracks: MotBoxes
    truth: Truth | None
    timing: Mapping[str, Array]

    @classmethod
    def read(cls, folder: Path) -> ReplayedSequence:
        """Read the files in ``folder``.

        Raises:
            RunError, MotError: a file is missing or broken.
        """
        times = Times.read(folder)
        timing = _table(folder / TIMING) if (folder / TIMING).is_file() else {}
        truth = None
        if (folder / TRUTH).is_file():
            truth = Truth(read_mot(folder / TRUTH), read_covered(folder))
        seconds = {stage: values for stage, values in timing.items() if stage != "frame"}
        return cls(folder, times.numbers, times.stamps, read_mot(folder / TRACKS), truth, seconds)

    @property
    def tracked(self) -> Array:
        """(F,) bool, which images were tracked; live those whose tracks came back."""
        latency = self.timing.get("latency")
        return np.isfinite(latency) if latency is not None else np.ones(len(self.frames), bool)

    @property
    def seconds(self) -> Array:
        """(F,) seconds since the first image."""
        return Times(self.frames, self.times).seconds

    @property
    def frame_rate(self) -> float:
        """Frames a second, by the median step; NaN for fewer than two."""
        return Times(self.frames, self.times).rate

    def seconds_of(self, frames: Array) -> Array:
        """Seconds since the first image of frames by number."""
        return np.interp(frames, self.frames, self.seconds)


def _table(path: Path) -> dict[str, Array]:
    """The columns of a CSV file of numbers; empty cells are NaN."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        table = np.array([[float(cell) if cell else math.nan for cell in row] for row in rows], np.float64)
        return dict(zip(header, table.reshape(-1, len(header)).T, strict=True))
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read: {error}") from None
