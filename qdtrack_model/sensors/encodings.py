"""Pixels of ``sensor_msgs/Image`` and ``CompressedImage``, in every encoding that is a camera image; no ROS needed.

The node and the bag reader share these conversions, on NumPy and OpenCV alone. The node has cv_bridge do some of them
where it is installed (``qdtrack_ros.input.bridge``): the pixels are equal, and a test holds them against each other.

Sizes are checked before any byte is looked at, so a broken message raises :class:`InvalidImage` and is never read out
of bounds. BGR and grey stay views of the message, with padded rows too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import cv2
import numpy as np

from qdtrack_model.sensors.image_headers import announced_size, is_colour_jpeg, is_cut_off_jpeg
from qdtrack_model.sensors.messages import CompressedMessage, InvalidImage, RawMessage, shown
from qdtrack_model.structures import Array

_LARGEST_SIDE = 65_536  # a larger width or height is a corrupt message, not a camera
_MOST_PIXELS = 2**26  # the same for compressed images: OpenCV works for half a minute on a JPEG that announces 2**30
_HEADERS = 65_536  # bytes in which a JPEG tells its size, if there is no large thumbnail before
_REDUCED = {
    1: cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
REDUCTIONS = tuple(_REDUCED)
_SMALLEST_BAYER = 3  # OpenCV leaves smaller mosaics black
_TO_8_BITS = 255 / 65535  # full range to full range, as cv_bridge scales


@dataclass(frozen=True)
class _Packed:
    """Pixels one after the other: values a pixel, bytes a value, OpenCV's way to BGR (None: BGR or grey already)."""

    channels: int
    code: int | None = None
    size: int = 1


@dataclass(frozen=True)
class _SemiPlanar:
    """A plane of luma, then one of chroma pairs (U first unless ``swapped``), halved in both directions or whole."""

    halved: bool = True
    swapped: bool = False


# OpenCV names a mosaic by the second row's second and third pixel: its BG is RGGB elsewhere.
_BAYER = {
    "rggb": cv2.COLOR_BayerBG2BGR,
    "bggr": cv2.COLOR_BayerRG2BGR,
    "gbrg": cv2.COLOR_BayerGR2BGR,
    "grbg": cv2.COLOR_BayerGB2BGR,
}
_PACKED = {
    "bgr8": _Packed(3),
    "8UC3": _Packed(3),
    "rgb8": _Packed(3, cv2.COLOR_RGB2BGR),
    "bgra8": _Packed(4, cv2.COLOR_BGRA2BGR),
    "8UC4": _Packed(4, cv2.COLOR_BGRA2BGR),
    "rgba8": _Packed(4, cv2.COLOR_RGBA2BGR),
    "mono8": _Packed(1),
    "8UC1": _Packed(1),
    "bgr16": _Packed(3, size=2),
    "16UC3": _Packed(3, size=2),
    "rgb16": _Packed(3, cv2.COLOR_RGB2BGR, size=2),
    "bgra16": _Packed(4, cv2.COLOR_BGRA2BGR, size=2),
    "16UC4": _Packed(4, cv2.COLOR_BGRA2BGR, size=2),
    "rgba16": _Packed(4, cv2.COLOR_RGBA2BGR, size=2),
    "mono16": _Packed(1, size=2),
    "uyvy": _Packed(2, cv2.COLOR_YUV2BGR_UYVY),
    "yuv422": _Packed(2, cv2.COLOR_YUV2BGR_UYVY),
    "yuyv": _Packed(2, cv2.COLOR_YUV2BGR_YUY2),
    "yuv422_yuy2": _Packed(2, cv2.COLOR_YUV2BGR_YUY2),
    **{f"bayer_{order}8": _Packed(1) for order in _BAYER},
    **{f"bayer_{order}16": _Packed(1, size=2) for order in _BAYER},
}
_SEMI_PLANAR = {"nv12": _SemiPlanar(), "nv21": _SemiPlanar(swapped=True), "nv24": _SemiPlanar(halved=False)}
ENCODINGS = (*_PACKED, *_SEMI_PLANAR)

_DEPTH = "is depth (REP 118), no camera image: use the colour or grey topic, or publish intensities as mono16"
_CHANNELS = "has more or fewer channels than a picture: publish bgr8, mono8, bgr16 or mono16"
_NUMBERS = "has no defined range of brightness: publish bgr8, mono8, bgr16 or mono16"
# YUV (with U and V about 128, Y from 16) to BGR by ITU-R BT.601, the numbers that OpenCV has for nv12
_BT601 = np.array([[1.164, 2.018, 0.0], [1.164, -0.391, -0.813], [1.164, 0.0, 1.596]])
_YUV_TO_BGR = np.column_stack([_BT601, _BT601 @ [-16.0, -128.0, -128.0]])


def raw_image(message: RawMessage) -> Array:
    """The picture of a ``sensor_msgs/Image`` as uint8, BGR (H, W, 3) or grey (H, W); read-only where it is a view.

    Raises:
        InvalidImage: an encoding that is no camera image, an impossible size or step, or fewer bytes than declared.
    """
    planes = _SEMI_PLANAR.get(message.encoding)
    if planes is not None:
        return _from_planes(message, planes)
    packed = _PACKED.get(message.encoding)
    if packed is not None:
        return _from_pixels(message, packed)
    reason = _refusal(message.encoding)
    if reason:
        raise InvalidImage("refused encoding", f"{message.encoding} {reason}")
    raise InvalidImage("unknown encoding", f"{shown(message.encoding)}, expected one of {', '.join(ENCODINGS)}")


def compressed_image(message: CompressedMessage, reduction: int = 1) -> Array:
    """The picture of a ``sensor_msgs/CompressedImage`` as uint8, BGR (H, W, 3) or grey (H, W).

    Whatever OpenCV decodes: JPEG, PNG (16 bits too), WebP, TIFF and others. Not turned by EXIF, so that the pixels are
    those that camera_info describes.

    Args:
        message: with the bytes.
        reduction: one of REDUCTIONS, by which both sides of a JPEG are divided, rounded up; unless 1 the picture is
            BGR. Decoding so costs less, and is exact: a pixel stands for 2x2 or more, beyond the edge where sides are
            odd.

    Raises:
        InvalidImage: depth, cut off, or no image that OpenCV decodes.
    """
    source = message.format.partition(";")[0].strip()  # image_transport: "bayer_rggb8; jpeg compressed "
    if "compressedDepth" in message.format:
        raise InvalidImage("refused format", f"{shown(message.format)} {_DEPTH}")
    reason = _refusal(source)
    if reason:
        raise InvalidImage("refused format", f"{source} {reason}")
    image = _decoded(np.frombuffer(message.data, np.uint8), shown(message.format), _REDUCED[reduction])
    if source.startswith("bayer_") and source in _PACKED and image.ndim == 2:  # the mosaic was compressed as it is
        _check_mosaic((image.shape[0], image.shape[1]), source)
        image = _mosaic_to_bgr(image, source)
    return _to_8_bits(image)


def jpeg_size(message: CompressedMessage) -> tuple[int, int] | None:
    """Width and height of a JPEG [pixels]; None for all else, and for a mosaic, which cannot be reduced."""
    content = bytes(message.data[:_HEADERS])
    if content[:2] != b"\xff\xd8" or message.format.startswith("bayer_"):
        return None
    return announced_size(content)


def colour_jpeg(message: CompressedMessage) -> bytes | None:
    """A whole colour JPEG, of which every decoder makes one picture; None for all else, also for what is refused."""
    content = bytes(message.data)
    size = None if is_cut_off_jpeg(content) else jpeg_size(message)
    source = message.format.partition(";")[0].strip()
    if size is None or not 0 < size[0] * size[1] <= _MOST_PIXELS or "compressedDepth" in message.format:
        return None
    return content if is_colour_jpeg(content) and not _refusal(source) else None


def _refusal(encoding: str) -> str:
    """Why an encoding of sensor_msgs is not converted; empty for all others."""
    if encoding in ("16UC1", "32FC1"):
        return _DEPTH
    if encoding in _PACKED or not re.fullmatch(r"(8|16|32|64)[USF]C\d{1,2}", encoding):
        return ""
    return _CHANNELS if "U" in encoding else _NUMBERS


# ---- raw


def packed_pixels(message: RawMessage) -> Array:
    """A read-only view (H, W, channels) of pixels that lie one after the other, in the message's byte order.

    Raises:
        InvalidImage: an impossible size or step, or fewer bytes than declared.
        KeyError: in this encoding they lie otherwise, or it is unknown.
    """
    packed, size = _PACKED[message.encoding], (message.height, message.width)
    if packed.channels == 2 and message.width % 2:
        raise InvalidImage("impossible size", f"{_named(message)} pixels share their colour in pairs")
    if message.encoding.startswith("bayer_"):
        _check_mosaic(size, message.encoding)
    return plane(message, 0, size, packed.channels, message.step, f"u{packed.size}")


def _from_pixels(message: RawMessage, packed: _Packed) -> Array:
    pixels = packed_pixels(message)
    if packed.size == 2:
        pixels = pixels.astype(np.uint16, copy=False)  # to this machine's byte order
    if packed.channels == 1:
        pixels = pixels[:, :, 0]
    if message.encoding.startswith("bayer_"):
        pixels = _mosaic_to_bgr(pixels, message.encoding)
    elif packed.code is not None:
        pixels = np.asarray(cv2.cvtColor(pixels, packed.code))
    return _to_8_bits(pixels)


def _from_planes(message: RawMessage, planes: _SemiPlanar) -> Array:
    height, width, step = message.height, message.width, message.step
    if planes.halved and (width % 2 or height % 2):
        raise InvalidImage("impossible size", f"{_named(message)} pixels share their colour in squares of 2x2")
    # The chroma rows are as far apart as those of luma, whole ones (twice as many bytes) twice as far.
    halves, spread = (2, 1) if planes.halved else (1, 2)
    chroma = plane(message, step * height, (height // halves, width // halves), 2, step * spread)
    luma = plane(message, 0, (height, width), 1, step)[:, :, 0]
    if planes.halved:
        code = cv2.COLOR_YUV2BGR_NV21 if planes.swapped else cv2.COLOR_YUV2BGR_NV12
        return np.asarray(cv2.cvtColorTwoPlane(luma, chroma, code))
    yuv = np.empty((height, width, 3), np.uint8)
    cv2.mixChannels([luma, chroma], [yuv], [0, 0, 1, 1, 2, 2])
    return np.asarray(cv2.transform(yuv, _YUV_TO_BGR))


def plane(message: RawMessage, start: int, size: tuple[int, int], channels: int, step: int, kind: str = "u1") -> Array:
    """A read-only view (H, W, channels) of a part of the message, in the message's byte order.

    Args:
        start: where the plane begins [bytes].
        size: height and width of the plane.
        step: from row to row [bytes]; the last row may come without its padding.
        kind: NumPy's letter and size of the values.

    Raises:
        InvalidImage: an impossible size or step, or fewer bytes than declared.
    """
    height, width = size
    value = np.dtype((">" if message.is_bigendian else "<") + kind)
    if not (0 < message.height <= _LARGEST_SIDE and 0 < message.width <= _LARGEST_SIDE):
        raise InvalidImage("impossible size", f"{message.width}x{message.height} pixels")
    row = width * channels * value.itemsize
    if step < row:
        raise InvalidImage("impossible step", f"{message.step} bytes for a row of {_named(message)}")
    if step % value.itemsize:
        raise InvalidImage("impossible step", f"{message.step} bytes, {message.encoding} has {value.itemsize} a value")
    needed = start + step * (height - 1) + row
    data = np.frombuffer(message.data, np.uint8)
    if len(data) < needed:
        raise InvalidImage("truncated", f"{len(data)} bytes, {_named(message)} needs {needed}")
    strides = (step, channels * value.itemsize, value.itemsize)
    view: Array = np.ndarray((height, width, channels), value, buffer=data, offset=start, strides=strides)
    view.flags.writeable = False
    return view


def _named(message: RawMessage) -> str:
    return f"{message.width}x{message.height} {message.encoding}"


def _check_mosaic(size: tuple[int, int], encoding: str) -> None:
    if 0 < min(size) < _SMALLEST_BAYER:
        named = f"{size[1]}x{size[0]} {encoding}"
        raise InvalidImage("impossible size", f"{named}, a mosaic has {_SMALLEST_BAYER} rows and columns at least")


def _mosaic_to_bgr(mosaic: Array, encoding: str) -> Array:
    return np.asarray(cv2.cvtColor(mosaic, _BAYER[encoding[6:10]]))


def _to_8_bits(image: Array) -> Array:
    return image if image.dtype == np.uint8 else np.asarray(cv2.convertScaleAbs(image, alpha=_TO_8_BITS))


# ---- compressed


def _decoded(data: Array, name: str, flags: int) -> Array:
    """(H, W, 3) BGR or (H, W) grey, uint8 or uint16."""
    if not len(data):
        raise InvalidImage("empty", f"no bytes in a compressed image of format {name}")
    content = data.tobytes()
    width, height = announced_size(content)
    if width * height > _MOST_PIXELS:
        raise InvalidImage("impossible size", f"{width}x{height} pixels in {len(data)} bytes of format {name}")
    if is_cut_off_jpeg(content):  # OpenCV before 5.0 makes a half-grey picture of it without complaint
        raise InvalidImage("truncated JPEG", f"{len(data)} bytes without an end-of-image marker")
    try:
        image = cv2.imdecode(data, flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise InvalidImage("cannot be decoded", f"format {name}: {error.err}") from None
    if image is None:
        raise InvalidImage("cannot be decoded", f"{len(data)} bytes of format {name} are no whole JPEG, PNG or WebP")
    if image.dtype not in (np.uint8, np.uint16) or image.shape[2:] not in ((), (3,)):
        raise InvalidImage("refused format", f"{name} with {image.dtype} values {_NUMBERS}")
    return np.asarray(image)
