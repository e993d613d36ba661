"""What making a picture of a raw image costs, by cv_bridge where it is installed and by our own conversions.

    python benchmarks/conversions.py [--size 1920x1080] [--repeat 30]

Medians of the time that one image takes, in ms; both take turns. Needs ROS 2.
"""

from __future__ import annotations

import argparse
import array
from collections.abc import Callable
from time import perf_counter

import numpy as np
from sensor_msgs.msg import Image
from sides import sides

from qdtrack_model.sensors.encodings import raw_image
from qdtrack_model.structures import Array
from qdtrack_ros.input.bridge import converter

BYTES = {"bgr8": 3, "rgb8": 3, "rgba8": 4, "yuv422_yuy2": 2, "bayer_rggb8": 1, "mono16": 2, "rgb16": 6}


def timed(convert: Callable[[Image], Array], message: Image) -> float:
    begun = perf_counter()
    convert(message)
    return 1000 * (perf_counter() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=sides, default="1920x1080", metavar="WIDTHxHEIGHT")
    parser.add_argument("--repeat", type=int, default=30)
    args = parser.parse_args()
    width, height = args.size
    for encoding, size in BYTES.items():
        pixels = np.random.default_rng(0).integers(0, 256, height * width * size, dtype=np.uint8)
        data = array.array("B", pixels.tobytes())
        message = Image(height=height, width=width, encoding=encoding, step=width * size, data=data)
        ways = {"ours": raw_image, "cv_bridge": converter(encoding) if encoding != "bgr8" else None}
        times: dict[str, list[float]] = {name: [] for name, convert in ways.items() if convert is not None}
        for _ in range(args.repeat):
            for name in times:
                convert = ways[name]
                assert convert is not None
                times[name].append(timed(convert, message))
        shown = "   ".join(f"{name} {np.median(taken):7.3f}" for name, taken in times.items())
        print(f"{encoding:<12} {width}x{height}   {shown}   ms", flush=True)


if __name__ == "__main__":
    main()
