"""Images in order from a video, a folder or a bag, all as one kind of :class:`Source`.

A folder is a MOTChallenge sequence (``img1/`` beside ``seqinfo.ini``), one video beside ``seqinfo.ini``, or plain
images in the order of their names (numbers in names count as numbers). The frame rate of ``seqinfo.ini`` wins over
the container's: containers are often wrong, and the ground truth follows ``seqinfo.ini``.
"""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import cv2
import numpy as np

from qdtrack_model.data.images import IMAGE_SUFFIXES, decode, natural
from qdtrack_model.data.readers.mot import MotError, SequenceInfo, read_seqinfo
from qdtrack_model.structures import Array

VIDEO_SUFFIXES = frozenset({".avi", ".mp4", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv"})
BAG_SUFFIXES = frozenset({".mcap", ".db3"})
MAX_MISSING = 100  # frames in a row that cannot be decoded before a video counts as ended
DEFAULT_FRAME_RATE = 25.0  # plain images and containers that name no rate

S = TypeVar("S", bound="Source")


class SourceError(ValueError):
    """A source that cannot be read; the text names the path and what was expected."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One image: ``index`` from 1, ``time`` in seconds (grows from frame to frame), ``image`` (H, W, 3) BGR uint8."""

    index: int
    time: float
    image: Array


class Source(ABC):
    """Images in order, read once while iterating; also a context manager.

    Attributes:
        name: name of the sequence.
        size: (width, height) in pixels, None where unknown before reading.
        frame_rate: frames a second, None where unknown.
        length: number of frames announced, None where unknown. What can be read may be less.
        undecodable: frames met so far that could not be decoded; they are left out and keep their index.
    """

    name: str
    size: tuple[int, int] | None = None
    frame_rate: float | None = None
    length: int | None = None
    undecodable: int = 0

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """The frames from the first one on."""

    def close(self) -> None:  # noqa: B027 - optional to override
        """Release files; most sources hold none open between frames."""

    def __enter__(self: S) -> S:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _GrowingTime:
    """Times as given while they grow; a time that does not is replaced by one nominal ``step`` after the last."""

    def __init__(self, step: float) -> None:
        self._step = step
        self._last = -math.inf

    def __call__(self, time: float) -> float:
        self._last = time if time > self._last else self._last + self._step
        return self._last


@contextmanager
def _quiet_ffmpeg() -> Iterator[None]:
    """Without FFmpeg's line for every broken packet: a broken video is one error of ours.

    OpenCV looks for the level in the environment when it opens the first video of the process.
    """
    name = "OPENCV_FFMPEG_LOGLEVEL"
    wanted = name in os.environ
    os.environ.setdefault(name, "-8")
    try:
        yield
    finally:
        if not wanted:
            del os.environ[name]


class VideoSource(Source):
    """A video file, decoded by OpenCV in the order of presentation."""

    def __init__(self, path: Path, info: SequenceInfo | None = None) -> None:
        self._path, self._info = path, info
        with _quiet_ffmpeg():
            self._capture = cv2.VideoCapture(str(path))
        if not (self._capture.isOpened() and self._capture.get(cv2.CAP_PROP_FRAME_WIDTH) > 0):
            self._capture.release()
            raise SourceError(f"{path}: not a video that can be decoded (empty, cut off, or an unknown format)")
        self.name = info.name if info else path.stem
        self.size = (
            int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.frame_rate = info.frame_rate if info else (rate if 0 < rate < 1000 else DEFAULT_FRAME_RATE)
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.length = info.length if info else (count if count > 0 else None)

    def __iter__(self) -> Iterator[Frame]:
        assert self.frame_rate is not None
        growing = _GrowingTime(1 / self.frame_rate)
        index, start, missing = 0, None, 0
        while missing < MAX_MISSING:
            image = self._next()
            if image is None:
                missing += 1  # a damaged place or the end: only a later image tells
                continue
            presented = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            start = presented if start is None else start
            self.undecodable += missing
            index += missing + 1
            missing = 0
            yield Frame(index, (index - 1) / self.frame_rate if self._info else growing(presented - start), image)
        if index == 0:
            raise SourceError(f"{self._path}: not one frame could be decoded")

    def _next(self) -> Array | None:
        """The next image, None where it cannot be decoded or there is none."""
        if not self._capture.grab():
            return None
        decoded, image = self._capture.retrieve()
        return image if decoded and image is not None and image.size else None

    def close(self) -> None:
        self._capture.release()


class ImageFolderSource(Source):
    """Image files in order.

    Args:
        files: image files; those that cannot be read are counted and left out.
        indices: frame number of each file.
        frame_rate: frames a second, where no ``info`` says it.
    """

    def __init__(
        self,
        name: str,
        files: list[Path],
        indices: list[int],
        info: SequenceInfo | None = None,
        frame_rate: float = DEFAULT_FRAME_RATE,
    ) -> None:
        self.name, self.files, self.indices = name, files, indices
        self.length = len(files)
        self.frame_rate = info.frame_rate if info else frame_rate
        self.size = (info.width, info.height) if info else None

    def __iter__(self) -> Iterator[Frame]:
        assert self.frame_rate is not None
        for path, index in zip(self.files, self.indices, strict=True):
            # Not cv2.imread: it prints its own warnings and cannot open every path.
            image = decode(np.fromfile(path, np.uint8))
            if image is None:
                self.undecodable += 1
                continue
            yield Frame(index, (index - 1) / self.frame_rate, image)
        if self.undecodable == len(self.files):
            raise SourceError(f"{self.files[0].parent}: not one of its {len(self.files)} images could be decoded")


class BagSource(Source):
    """The images of one topic of a bag, with the seconds of their header stamps."""

    def __init__(self, path: Path, topic: str | None) -> None:
        self._path, self._topic = path, topic
        self.name = path.stem if path.is_file() else path.name

    def __iter__(self) -> Iterator[Frame]:
        from qdtrack_model.data.bags import read_images  # the rosbags package is needed for bags alone

        growing = _GrowingTime(1 / DEFAULT_FRAME_RATE)
        damage: list[str] = []
        index = 0
        for _, stamp, image in read_images(self._path, self._topic, lambda error: damage.append(str(error))):
            index += 1 + len(damage) - self.undecodable
            self.undecodable = len(damage)
            yield Frame(index, growing(stamp), image)
        self.undecodable = len(damage)
        if index == 0:
            where = f" on {self._topic}" if self._topic else ""
            raise SourceError(damage[0] if damage else f"{self._path}: no image in this bag{where}")


def _files(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    return sorted((f for f in folder.iterdir() if f.is_file() and f.suffix.lower() in suffixes), key=natural)


def _open_folder(folder: Path) -> Source:
    info = read_seqinfo(folder) if (folder / "seqinfo.ini").is_file() else None
    image_folder = folder / (info.image_folder if info else "img1")
    if image_folder.is_dir():
        files = _files(image_folder, IMAGE_SUFFIXES)
        # In a MOTChallenge sequence the file's number is the frame's, also where a file is missing.
        numbers = [int(f.stem) for f in files if f.stem.isdecimal()]
        indices = numbers if len(set(numbers)) == len(files) and min(numbers, default=0) >= 1 else []
    else:
        image_folder, files, indices = folder, _files(folder, IMAGE_SUFFIXES), []
    videos = _files(folder, VIDEO_SUFFIXES)
    if files:
        name = info.name if info else folder.resolve().name
        return ImageFolderSource(name, files, indices or list(range(1, len(files) + 1)), info)
    if len(videos) == 1:
        return VideoSource(videos[0], info)
    if videos:
        raise SourceError(f"{folder}: {len(videos)} videos ({videos[0].name}, {videos[1].name} ...): name one of them")
    raise SourceError(f"{folder}: neither images (img1/ or here), nor a video, nor a bag (metadata.yaml)")


def is_bag(path: Path) -> bool:
    """Whether it is a rosbag2 folder or one of its files."""
    if path.is_dir():
        return (path / "metadata.yaml").is_file() or bool(_files(path, BAG_SUFFIXES))
    return path.suffix.lower() in BAG_SUFFIXES


def open_source(path: str | Path, topic: str | None = None) -> Source:
    """Open a video file, a folder, a bag (rosbag2 folder, ``.mcap`` or ``.db3``) or a single image.

    Args:
        path: what to read.
        topic: image topic, for bags with several.

    Raises:
        SourceError: nothing there, nothing to read in it, or a topic for something that is no bag.
    """
    path = Path(path)
    if not path.exists():
        raise SourceError(f"{path}: no such file or folder")
    if is_bag(path):
        return BagSource(path, topic)
    if topic is not None:
        raise SourceError(f"{path}: topic {topic!r} is for bags, and this is none")
    try:
        if path.is_dir():
            return _open_folder(path)
        if path.suffix.lower() in IMAGE_SUFFIXES:  # OpenCV would take it for the first of a numbered series
            return ImageFolderSource(path.stem, [path], [1])
        return VideoSource(path)
    except MotError as error:
        raise SourceError(str(error)) from None
