"""H.264 in MP4: videos that play in every browser."""

from __future__ import annotations

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import cv2
import numpy as np

from qdtrack_model.atomic import atomic_write
from qdtrack_model.structures import Array

TIME_BASE = Fraction(1, 90_000)
MAX_SIDE = 16_384  # pixels, of the encoder


class VideoError(ValueError):
    """A video that cannot be written; the text says why."""


def check_name(path: Path) -> None:
    """Raise VideoError unless ``path`` is a name for an MP4 file."""
    if path.suffix.lower() != ".mp4":
        raise VideoError(f"{path}: expected a name that ends in .mp4")


class VideoWriter:
    """Writes images with their times to an MP4 file, which appears under its name when it is complete.

    Args:
        path: file to write; its folder is made where missing.
        frame_rate: frames a second, a hint to the encoder; what counts are the times of the images.

    Raises:
        VideoError: the name does not end in ``.mp4``.
    """

    def __init__(self, path: str | Path, frame_rate: float = 25.0) -> None:
        self._path = Path(path)
        check_name(self._path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._resources = ExitStack()
        self._container: av.container.OutputContainer
        self._rate = Fraction(frame_rate).limit_denominator(1000)
        self._stream: av.VideoStream | None = None
        self._size = (0, 0)
        self._start = 0.0
        self._last = -1

    def write(self, image: Array, time: float) -> None:
        """Append an image (H, W, 3) BGR uint8, shown from ``time`` (seconds, growing) on.

        Raises:
            VideoError: the first image, whose size is that of the video, is too large for H.264.
        """
        if self._stream is None:
            self._start = time
            self._open(image)
        assert self._stream is not None
        width, height = self._size
        if image.shape[:2] != (height, width):
            image = self._fitted(image)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
        # Two images never share a moment, which players and the container require.
        frame.pts = max(self._last + 1, round((time - self._start) / TIME_BASE))
        frame.time_base = TIME_BASE
        self._last = frame.pts
        for packet in self._stream.encode(frame):
            self._container.mux(packet)

    def _open(self, image: Array) -> None:
        height, width = image.shape[:2]
        if max(height, width) > MAX_SIDE:
            raise VideoError(f"{self._path}: images are {width}x{height}, and H.264 takes {MAX_SIDE} pixels a side")
        self._size = (width + width % 2, height + height % 2)  # 4:2:0 needs even sides
        partial = self._resources.enter_context(atomic_write(self._path))
        self._container = av.open(str(partial), "w", format="mp4", options={"movflags": "+faststart"})
        self._resources.enter_context(self._container)
        stream = self._container.add_stream("libx264", rate=self._rate)
        stream.width, stream.height = self._size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = TIME_BASE
        stream.options = {"crf": "23", "preset": "veryfast"}
        self._stream = stream

    def _fitted(self, image: Array) -> Array:
        """The image with the last row or column doubled for even sides, or scaled where it is of another size."""
        width, height = self._size
        right, bottom = width - image.shape[1], height - image.shape[0]
        if 0 <= right <= 1 and 0 <= bottom <= 1:
            return cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)

    def close(self) -> None:
        """Finish the file. Without an image nothing is left behind."""
        if self._stream is not None:
            for packet in self._stream.encode():
                self._container.mux(packet)
        self._resources.close()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self._resources.__exit__(kind, error, trace)
