"""Pixels of H.264 and H.265, ``foxglove_msgs/CompressedVideo`` and ``ffmpeg_image_transport_msgs/FFMPEGPacket``.

A packet is one picture, and only those before it tell what it shows. So every packet has to be decoded, in order, also
where few pictures are wanted, and :class:`VideoStream` remembers. Decoding is PyAV's (FFmpeg), by one thread and
without delay: a picture comes out with its own packet, whose stamp is the picture's. Streams whose encoder reorders
pictures (B-frames) would come out later, and are refused. No ROS is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from qdtrack_model.sensors.messages import InvalidImage, shown
from qdtrack_model.sensors.nal_units import BrokenUnit, Codec, PictureNumbers, is_key_frame
from qdtrack_model.structures import Array

if TYPE_CHECKING:
    from av import VideoCodecContext

_MOST_PIXELS = 2**26  # what announces more is a broken stream, as in ``encodings``
_NOT_BEGUN = "the stream has shown none yet"
_CODECS: tuple[tuple[str, Codec], ...] = (("264", "h264"), ("265", "hevc"), ("hevc", "hevc"))

Pixels: TypeAlias = Callable[[], Array]
"""Makes the pixels of a decoded picture, (H, W, 3) BGR uint8: few of the pictures are looked at."""


class FoxgloveVideo(Protocol):
    """The fields of ``foxglove_msgs/CompressedVideo`` that matter here; ``data`` is any buffer of bytes."""

    format: str
    data: Any


class FfmpegPacket(Protocol):
    """The fields of ``ffmpeg_image_transport_msgs/FFMPEGPacket`` that matter here; ``data`` is any buffer of bytes."""

    encoding: str
    data: Any


@dataclass(frozen=True, eq=False)
class Packet:
    """One picture as it was encoded."""

    codec: Codec
    data: bytes

    @classmethod
    def of(cls, message: FoxgloveVideo | FfmpegPacket) -> Packet:
        """The packet in a message.

        Raises:
            InvalidImage: empty, or neither H.264 nor H.265.
        """
        # ffmpeg_image_transport: "h264;yuv420p;bgr8;bgr8", once the name of the encoder such as "libx264"
        name = str(getattr(message, "encoding", "") or getattr(message, "format", "")).partition(";")[0]
        codec = next((codec for part, codec in _CODECS if part in name.lower()), None)
        if codec is None:
            raise InvalidImage("unknown video format", f"{shown(name)}, expected h264 or h265")
        data = bytes(message.data)
        if not data:
            raise InvalidImage("empty", f"no bytes in a packet of {shown(name)}")
        return cls(codec, data)

    @property
    def is_key_frame(self) -> bool:
        """Whether decoding can begin here."""
        return is_key_frame(self.codec, self.data)


class VideoStream:
    """The pictures of one camera's packets; it begins at a key frame, and anew after what is broken or missing.

    Attributes:
        interruptions: how often packets were missing or broken, so that the next key frame was waited for.
    """

    def __init__(self) -> None:
        self.interruptions = 0
        self._codec: Codec | None = None
        self._numbers = PictureNumbers()
        self._waits = _NOT_BEGUN  # why a key frame is waited for; "" while it is not
        self._count = 0
        self._shown = False  # whether pictures came since the decoder began

    def decode(self, packet: Packet) -> Pixels:
        """Decode the next packet.

        Raises:
            InvalidImage: it shows no picture, because it is broken, packets before it are missing, or no key frame came
                since; later ones may.
        """
        self._follow(packet)
        if self._waits:
            raise InvalidImage("no key frame", self._waits)
        import av  # robots without video need no PyAV

        self._count += 1
        encoded = av.Packet(packet.data)
        encoded.pts = self._count
        try:
            pictures = [picture for picture in self._context.decode(encoded) if picture.pts == self._count]
        except av.FFmpegError as error:
            raise self._broken(packet, error.strerror or type(error).__name__) from None
        if not pictures and self._shown:
            raise self._broken(packet, "no picture in it")
        if not pictures:
            reason = "publish a picture a packet and no B-frames (of x264: tune zerolatency)"
            raise InvalidImage("delayed video", f"a packet of {packet.codec} gave no picture of its own: {reason}")
        if pictures[-1].is_corrupt:
            raise self._broken(packet, "parts of the picture are missing")
        self._shown = True
        return lambda: np.asarray(pictures[-1].to_ndarray(format="bgr24"))

    def _follow(self, packet: Packet) -> None:
        """See whether the packet follows the last one, and begin where it is the key frame that is waited for."""
        try:
            missing = self._numbers.missing(packet.data) if packet.codec == "h264" else 0
        except BrokenUnit as error:
            raise self._broken(packet, str(error)) from None
        if packet.codec != self._codec:
            self._codec, self._waits = packet.codec, _NOT_BEGUN
        if self._waits and packet.is_key_frame:
            self._context = _decoder(packet.codec)
            self._waits, self._shown = "", False
        elif missing:
            self._interrupt(f"{missing} or more pictures are missing")

    def _broken(self, packet: Packet, reason: str) -> InvalidImage:
        self._interrupt("a packet could not be decoded")
        return InvalidImage("cannot be decoded", f"{len(packet.data)} bytes of {packet.codec}: {reason}")

    def _interrupt(self, reason: str) -> None:
        if not self._waits:
            self.interruptions += 1
            self._waits = f"{reason}, and what follows builds on it until the next key frame"


def _decoder(codec: Codec) -> VideoCodecContext:
    import av

    context = av.VideoCodecContext.create(codec, "r")
    context.thread_count = 1
    context.flags |= av.codec.context.Flags.low_delay
    # The H.265 decoder tells of what is missing only where errors are to end decoding.
    context.options = {"max_pixels": str(_MOST_PIXELS), **({"err_detect": "explode"} if codec == "hevc" else {})}
    return context
