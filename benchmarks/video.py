"""What decoding a camera's video costs: each packet, and the pixels of a picture that is tracked.

    python benchmarks/video.py [--codecs h264 h265] [--size 1280x720] [--rate 4] [--pictures 100]

The pictures are those of a synthetic street, encoded without B-frames, with a key frame a second. Times are in ms
of the CPU, which hold also on a machine that is busy with other things.
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from time import thread_time
from types import SimpleNamespace

import av
import numpy as np
from sides import sides

from qdtrack_model.sensors.video import Packet, VideoStream
from qdtrack_model.synthetic import Scene, SceneConfig

ENCODERS = {"h264": "libx264", "h265": "libx265"}


def encoded(codec: str, size: tuple[int, int], pictures: int, megabits: float) -> list[bytes]:
    """A packet for each picture of the street."""
    context = av.VideoCodecContext.create(ENCODERS[codec], "w")
    context.width, context.height = size
    context.pix_fmt, context.time_base, context.gop_size = "yuv420p", Fraction(1, 25), 25
    context.bit_rate = int(megabits * 1e6)
    context.options = {"preset": "veryfast", "tune": "zerolatency", "x265-params": "log-level=none"}
    scene, packets = Scene(SceneConfig(seed=7, size=size, frames=pictures)), []
    for index in range(pictures):
        frame = av.VideoFrame.from_ndarray(scene.frame(index).image, format="bgr24")
        frame.pts = index
        packets += context.encode(frame)
    return [bytes(packet) for packet in packets]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codecs", nargs="+", choices=ENCODERS, default=list(ENCODERS))
    parser.add_argument("--size", type=sides, default="1280x720", metavar="WIDTHxHEIGHT")
    parser.add_argument("--rate", type=float, default=4, metavar="MBIT/S")
    parser.add_argument("--pictures", type=int, default=100)
    args = parser.parse_args()
    for codec in args.codecs:
        stream, decoding, converting = VideoStream(), [], []
        for data in encoded(codec, args.size, args.pictures, args.rate):
            begun = thread_time()
            pixels = stream.decode(Packet.of(SimpleNamespace(format=codec, data=data)))
            decoded = thread_time()
            pixels()
            decoding.append(decoded - begun)
            converting.append(thread_time() - decoded)
        for name, seconds in (("packet", decoding), ("pixels", converting)):
            middle, high = 1000 * np.percentile(seconds, [50, 95])
            print(f"{codec} {args.size[0]}x{args.size[1]} {name:<7} CPU median {middle:6.2f} ms  p95 {high:6.2f} ms")


if __name__ == "__main__":
    main()
