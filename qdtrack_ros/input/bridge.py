"""Raw images by cv_bridge, where it is installed, fits the NumPy at hand and knows the encoding; else by our own.

The pixels are the same. What is BGR or grey already stays a view of the message here, where cv_bridge copies; nv12,
nv21, nv24, uyvy, yuyv and 8UC3 as BGR it does not know. Messages are checked before it sees them: it reads rows askew
whose step is no whole number of pixels, and refuses what lacks the padding of the last row.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from qdtrack_model.sensors.encodings import packed_pixels, raw_image
from qdtrack_model.sensors.messages import RawMessage
from qdtrack_model.structures import Array

_COLOURS = ("rgb8", "rgba8", "bgra8", "bgr16", "rgb16", "bgra16", "rgba16", "yuv422", "yuv422_yuy2")
_MOSAICS = tuple(f"bayer_{order}{bits}" for order in ("rggb", "bggr", "gbrg", "grbg") for bits in (8, 16))
BRIDGED = {**dict.fromkeys((*_COLOURS, *_MOSAICS), "bgr8"), "mono16": "mono8"}  # encoding -> what it is asked for


def bridged_image(message: RawMessage) -> Array:
    """The picture of a ``sensor_msgs/Image``, as :func:`raw_image` gives it.

    Raises:
        InvalidImage: as there.
    """
    convert = converter(message.encoding) if message.encoding in BRIDGED else None
    return convert(message) if convert is not None and _readable(message) else raw_image(message)


@cache
def converter(encoding: str) -> Callable[[Any], Array] | None:
    """How cv_bridge makes a picture of a message in one of BRIDGED; None where it cannot."""
    bridge = _bridge()
    if bridge is None:
        return None
    try:
        bridge.encoding_to_cvtype2(encoding)
    except Exception:  # older ones know fewer, and raise whatever their Boost.Python does
        return None
    return partial(bridge.imgmsg_to_cv2, desired_encoding=BRIDGED[encoding])


@cache
def _bridge() -> Any | None:
    """A ``CvBridge``, None where there is none that works."""
    found = find_spec("cv_bridge")
    if found is None or found.origin is None:
        return None
    compiled = next(Path(found.origin).parent.glob("boost/cv_bridge_boost*"), None)
    if compiled is None or not fits(compiled, np.__version__):
        return None
    try:
        from cv_bridge import CvBridge

        return CvBridge()
    except Exception:  # a library that is missing or another Python's: there is no need of it
        return None


def fits(compiled: Path, numpy: str) -> bool:
    """Whether an extension module works with this version of NumPy.

    One that was built with NumPy 1 takes the process down with NumPy 2, so it must not even be imported. Only those
    built with NumPy 2, which work with both, look for ``numpy._core``.
    """
    return int(numpy.partition(".")[0]) < 2 or b"numpy._core." in compiled.read_bytes()


def _readable(message: RawMessage) -> bool:
    """Whether cv_bridge reads the message as it is meant.

    Raises:
        InvalidImage: nobody can.
    """
    pixels = packed_pixels(message)
    row, pixel = pixels.strides[:2]
    native = bool(message.is_bigendian) == (sys.byteorder == "big")
    return native and row % pixel == 0 and len(message.data) >= row * message.height
