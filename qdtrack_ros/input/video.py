"""Packets of H.264 or H.265 from a camera's encoder: every one is decoded, in order, however few are tracked."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from std_msgs.msg import Header

from qdtrack_model.sensors.messages import InvalidImage
from qdtrack_model.sensors.video import Packet, VideoStream
from qdtrack_model.structures import Array

VIDEO_TOPICS = {  # named by the plugins of image_transport
    "image/ffmpeg": ("ffmpeg_image_transport_msgs", "FFMPEGPacket"),
    "image/foxglove": ("foxglove_msgs", "CompressedVideo"),
}
_MOST_WAITING = 300  # packets, ten seconds of a usual camera: who is further behind waits for the next key frame


def _video_types() -> tuple[dict[str, type[Any]], list[str]]:
    """Topic -> type of the video that can be received on this machine, and for each other topic why it cannot."""
    found, missing = {}, []
    for topic, (package, name) in VIDEO_TOPICS.items():
        try:
            found[topic] = getattr(import_module(f"{package}.msg"), name)
        except (ImportError, AttributeError):
            missing.append(f"no video on {topic}: {package} is not installed or too old to have {name}")
    if found and find_spec("av") is None:
        return {}, [f"no video on {' or '.join(found)}: PyAV is not installed (pip install av)", *missing]
    return found, missing


VIDEO_TYPES, MISSING_VIDEO = _video_types()


def is_video(message: Any) -> bool:
    """Whether a message is a packet of a video, not an image by itself."""
    return isinstance(message, tuple(VIDEO_TYPES.values()))


def header_of(message: Any) -> Header:
    """The header of an image message, of whichever type."""
    if hasattr(message, "header"):
        return message.header
    return Header(stamp=message.timestamp, frame_id=message.frame_id)


class VideoInput:
    """The packets of one camera, kept by the executor's thread as they come and decoded by the worker's.

    Pixels are made of what is tracked alone. Where packets are passed over, decoding goes on at the newest key frame
    among them.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[Any, int]] = deque(maxlen=_MOST_WAITING)
        self._stream = VideoStream()

    @property
    def interruptions(self) -> int:
        """How often packets were missing or broken, so that the next key frame was waited for."""
        return self._stream.interruptions

    def add(self, message: Any, arrival: int) -> None:
        """Take in a packet that came at ``arrival`` [ns since 1970]."""
        self._waiting.append((message, arrival))

    def take(self, message: Any) -> list[tuple[Any, int]]:
        """The packets up to ``message``, with their arrivals, that were not taken before; it is the last of them."""
        taken = []
        while self._waiting:
            taken.append(self._waiting.popleft())
            if taken[-1][0] is message:
                break
        return taken

    def picture(self, taken: list[tuple[Any, int]]) -> Array:
        """What the last of the packets shows, (H, W, 3) BGR uint8.

        Raises:
            InvalidImage: it is broken, or what it builds on is missing.
        """
        last = Packet.of(taken[-1][0])
        earlier = []
        for message, _ in taken[:-1]:
            with suppress(InvalidImage):  # the stream finds that it is missing
                earlier.append(Packet.of(message))
        keys = [index for index, packet in enumerate([*earlier, last]) if packet.is_key_frame]
        for packet in earlier[max(keys, default=0) :]:
            with suppress(InvalidImage):
                self._stream.decode(packet)
        return self._stream.decode(last)()
