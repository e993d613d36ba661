"""Short clips as cameras with an encoder publish them: a packet of H.264 or H.265 for each picture."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np

from qdtrack_model.structures import Array


def encoded(pictures: Sequence[Array], codec: str = "libx264", between_keys: int = 6, **options: str) -> list[bytes]:
    """The packets of BGR pictures; unless ``options`` say otherwise without B-frames and delay."""
    context = av.VideoCodecContext.create(codec, "w")
    context.height, context.width = pictures[0].shape[:2]
    context.pix_fmt, context.time_base, context.gop_size = "yuv420p", Fraction(1, 25), between_keys
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    context.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "10", **quiet, **options}
    packets = []
    for number, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
        frame.pts = number
        packets += context.encode(frame)
    return [bytes(packet) for packet in [*packets, *context.encode(None)]]


def drifting(count: int, size: tuple[int, int] = (96, 64)) -> list[Array]:
    """Pictures of a smooth pattern (width, height) that moves 3 px a picture, so that each needs the one before."""
    rows, columns = np.mgrid[: size[1], : size[0] + 3 * count]
    pattern = 128 + 60 * np.sin(columns / 9 + rows / 13) + 50 * np.cos(rows / 7 - columns / 17)
    whole = np.dstack([pattern, 255 - pattern, np.roll(pattern, 9, axis=1)]).astype(np.uint8)
    return [np.ascontiguousarray(whole[:, 3 * number : 3 * number + size[0]]) for number in range(count)]
