"""Cached detections: what the network saw in every image of a run, exact, to track again without the network.

An NPZ archive (``numpy.load`` opens it) written block by block, so that memory holds one block: ``000000/times.npy``,
``000000/counts.npy``, ``000000/boxes.npy`` and so on. The same detections give the same bytes.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from qdtrack_model.structures import Array, Detections

BLOCK = 256  # frames
_COLUMNS = ("boxes", "scores", "labels", "embeddings")


class CacheError(ValueError):
    """A file of detections that cannot be read; the text names it."""


@dataclass(frozen=True, eq=False)
class DetectedFrame:
    """What was seen in one image.

    Args:
        number: of the frame, from 1.
        time: seconds of its header stamp.
        detections: in pixels of the image.
    """

    number: int
    time: float
    detections: Detections


class DetectionWriter:
    """Writes the detections of a sequence; a context manager."""

    def __init__(self, path: Path) -> None:
        self._archive = zipfile.ZipFile(path, "w", zipfile.ZIP_STORED)
        self._waiting: list[DetectedFrame] = []
        self._blocks = 0

    def write(self, frame: DetectedFrame) -> None:
        """Append a frame."""
        self._waiting.append(frame)
        if len(self._waiting) == BLOCK:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        frames, self._waiting = self._waiting, []
        found = [frame.detections for frame in frames]
        width = max(each.embeddings.shape[1] for each in found)
        arrays = {
            "numbers": np.array([frame.number for frame in frames], np.int64),
            "times": np.array([frame.time for frame in frames], np.float64),
            "counts": np.array([len(each) for each in found], np.int64),
            **{name: np.concatenate([getattr(each, name) for each in found]) for name in _COLUMNS[:-1]},
            "embeddings": np.concatenate([each.embeddings.reshape(len(each), width) for each in found]),
        }
        for name, array in arrays.items():
            # A ZipInfo of its own has no time of writing: the same detections are the same bytes.
            entry = zipfile.ZipInfo(f"{self._blocks:06d}/{name}.npy")
            with self._archive.open(entry, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
        self._blocks += 1

    def __enter__(self) -> DetectionWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._flush()
        finally:
            self._archive.close()


def read_detections(path: Path) -> Iterator[DetectedFrame]:
    """The frames of a file of detections, in order; memory holds one block.

    Raises:
        CacheError: it is not there, or broken.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            blocks = sorted({name.split("/")[0] for name in archive.files})
            for block in blocks:
                numbers, times, counts = (archive[f"{block}/{name}"] for name in ("numbers", "times", "counts"))
                columns = [archive[f"{block}/{name}"] for name in _COLUMNS]
                yield from _frames(numbers, times, counts, columns)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise CacheError(f"{path}: no detections, or broken ones ({type(error).__name__}: {error})") from None


def _frames(numbers: Array, times: Array, counts: Array, columns: list[Array]) -> Iterator[DetectedFrame]:
    ends = np.cumsum(counts)
    for number, time, start, end in zip(
        numbers.tolist(), times.tolist(), (ends - counts).tolist(), ends.tolist(), strict=True
    ):
        yield DetectedFrame(number, time, Detections(*(column[start:end] for column in columns)))
