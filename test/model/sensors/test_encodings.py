"""Images of messages: exact pixels, and everything that is no camera image refused by name. No ROS here."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from qdtrack_model.sensors.encodings import ENCODINGS, colour_jpeg, compressed_image, raw_image
from qdtrack_model.sensors.messages import InvalidImage
from qdtrack_model.structures import Array

ROOT = Path(__file__).parents[3]
RANDOM = np.random.default_rng(0)
HALVED, WHOLE = ("nv12", "nv21"), ("nv24",)
# Four corners whose colours differ in every channel, BGR
CORNERS = np.array([[[30, 90, 200], [220, 60, 20]], [[40, 200, 80], [128, 128, 128]]])


def raw(encoding: str, rows: Array, size: tuple[int, int], padding: int = 0, big_endian: bool = False) -> Any:
    """A message of ``rows`` (rows, values), whose values are written in the byte order asked for, and then padded."""
    kind = rows.dtype.newbyteorder(">" if big_endian else "<")
    data = rows.astype(kind).view(np.uint8).reshape(len(rows), -1)
    data = np.pad(data, ((0, 0), (0, padding)), constant_values=77)
    return SimpleNamespace(
        height=size[0], width=size[1], encoding=encoding, is_bigendian=int(big_endian), step=data.shape[1],
        data=data.tobytes(),
    )  # fmt: skip


def raw_of(encoding: str, pixels: Array, padding: int = 0, big_endian: bool = False) -> Any:
    return raw(encoding, pixels.reshape(len(pixels), -1), pixels.shape[:2], padding, big_endian)


# ---- colours and grey


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize(
    ("encoding", "order"),
    [
        ("bgr8", [0, 1, 2]), ("8UC3", [0, 1, 2]), ("rgb8", [2, 1, 0]),
        ("bgra8", [0, 1, 2]), ("8UC4", [0, 1, 2]), ("rgba8", [2, 1, 0]),
    ],
)  # fmt: skip
def test_colours_of_8_bits(encoding: str, order: list[int], padding: int) -> None:
    channels = 4 if "a" in encoding or "4" in encoding else 3
    pixels = RANDOM.integers(0, 256, (7, 11, channels), dtype=np.uint8)
    assert np.array_equal(raw_image(raw_of(encoding, pixels, padding)), pixels[:, :, order])


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize(
    ("encoding", "order"),
    [
        ("bgr16", [0, 1, 2]), ("16UC3", [0, 1, 2]), ("rgb16", [2, 1, 0]),
        ("bgra16", [0, 1, 2]), ("16UC4", [0, 1, 2]), ("rgba16", [2, 1, 0]),
    ],
)  # fmt: skip
def test_colours_of_16_bits(encoding: str, order: list[int], padding: int, big_endian: bool) -> None:
    channels = 4 if "a" in encoding or "4" in encoding else 3
    pixels = RANDOM.integers(0, 65536, (7, 11, channels), dtype=np.uint16)
    expected = np.rint(pixels[:, :, order] / 257)
    assert np.array_equal(raw_image(raw_of(encoding, pixels, padding, big_endian)), expected)


@pytest.mark.parametrize("encoding", ["mono8", "8UC1"])
@pytest.mark.parametrize("padding", [0, 3])
def test_grey_of_8_bits(encoding: str, padding: int) -> None:
    pixels = RANDOM.integers(0, 256, (5, 9), dtype=np.uint8)
    assert np.array_equal(raw_image(raw_of(encoding, pixels, padding, big_endian=True)), pixels)


@pytest.mark.parametrize("big_endian", [False, True])
def test_all_greys_of_16_bits(big_endian: bool) -> None:
    pixels = np.arange(65536, dtype=np.uint16).reshape(128, 512)
    back = raw_image(raw_of("mono16", pixels, 10, big_endian))
    assert back.dtype == np.uint8 and np.array_equal(back, np.rint(pixels / 257))


@pytest.mark.parametrize(("encoding", "channels"), [("bgr8", 3), ("8UC3", 3), ("mono8", 1), ("8UC1", 1)])
@pytest.mark.parametrize("padding", [0, 5])
def test_bgr_and_grey_are_not_copied(encoding: str, channels: int, padding: int) -> None:
    message = raw_of(encoding, np.zeros((4, 6, channels), np.uint8), padding)
    message.data = np.frombuffer(bytearray(message.data), np.uint8)
    view = raw_image(message)
    message.data[message.step] = 200
    assert view[1].flat[0] == 200 and not view.flags.writeable


# ---- luma and chroma


def yuv_of(bgr: Array) -> Array:
    """ITU-R BT.601, 16..235 and 16..240, of colours (..., 3), rounded."""
    blue, green, red = np.moveaxis(bgr / 255, -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    chroma = (blue - luma) / (2 * (1 - 0.114)), (red - luma) / (2 * (1 - 0.299))
    return np.rint(np.stack([16 + 219 * luma, 128 + 224 * chroma[0], 128 + 224 * chroma[1]], -1)).astype(np.uint8)


def yuv_message(encoding: str, bgr: Array, padding: int) -> Any:
    """A picture whose colours are constant in blocks of 2x2, in one of the YUV encodings."""
    yuv, (height, width) = yuv_of(bgr), bgr.shape[:2]
    luma, chroma = yuv[:, :, 0], yuv[:, :, 1:]
    if encoding in HALVED:
        pairs = chroma[::2, ::2, ::-1] if encoding == "nv21" else chroma[::2, ::2]
        return raw(encoding, np.concatenate([luma, pairs.reshape(height // 2, width)]), (height, width), padding)
    if encoding in WHOLE:
        message, second = raw_of(encoding, luma, padding), raw_of(encoding, chroma, 2 * padding)
        message.data += second.data
        return message
    shared = np.where(np.arange(width) % 2 == 0, chroma[:, :, 0], chroma[:, :, 1])
    first_luma = encoding in ("yuyv", "yuv422_yuy2")
    return raw_of(encoding, np.dstack([luma, shared] if first_luma else [shared, luma]), padding)


@pytest.mark.parametrize("padding", [0, 8])
@pytest.mark.parametrize("encoding", ["uyvy", "yuv422", "yuyv", "yuv422_yuy2", *HALVED, *WHOLE])
def test_luma_and_chroma(encoding: str, padding: int) -> None:
    bgr = CORNERS.repeat(4, 0).repeat(6, 1)
    back = raw_image(yuv_message(encoding, bgr, padding))
    assert back.shape == (8, 12, 3) and np.abs(back.astype(int) - bgr).max() <= 2


def test_chroma_of_every_pixel_in_nv24() -> None:
    bgr = CORNERS.repeat(3, 0).repeat(5, 1)  # odd sizes, colours that change inside a block of 2x2
    assert np.abs(raw_image(yuv_message("nv24", bgr, 0)).astype(int) - bgr).max() <= 2


# ---- mosaics


@pytest.mark.parametrize("size", [(3, 3), (8, 10), (7, 9)])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("order", ["rggb", "bggr", "gbrg", "grbg"])
def test_mosaic_of_one_colour(order: str, bits: int, size: tuple[int, int]) -> None:
    colour = np.array([10, 120, 250])
    scale, kind = (1, np.uint8) if bits == 8 else (257, np.uint16)
    channels = np.array(["bgr".index(letter) for letter in order]).reshape(2, 2)
    rows, columns = np.indices(size) % 2
    mosaic = (colour[channels[rows, columns]] * scale).astype(kind)
    back = raw_image(raw_of(f"bayer_{order}{bits}", mosaic, 4))
    assert np.array_equal(back, np.broadcast_to(colour, (*size, 3)))


# ---- the list


def test_the_documented_encodings_are_those() -> None:
    images, _ = (ROOT / "docs" / "inputs.md").read_text(encoding="utf-8").split("## Video")
    lines = images.splitlines()
    rows = [line.split("|") for line in lines if line.startswith("| `")]
    names = {name.strip("` ") for row in rows for name in row[1].split(",")}
    assert names == set(ENCODINGS)


# ---- refused


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("16UC1", "refused encoding: 16UC1 is depth (REP 118), no camera image: use the colour or grey topic"),
        ("32FC1", "refused encoding: 32FC1 is depth (REP 118)"),
        ("32FC3", "refused encoding: 32FC3 has no defined range of brightness: publish bgr8"),
        ("64FC1", "refused encoding: 64FC1 has no defined range"),
        ("8SC3", "refused encoding: 8SC3 has no defined range"),
        ("16SC1", "refused encoding: 16SC1 has no defined range"),
        ("32SC4", "refused encoding: 32SC4 has no defined range"),
        ("8UC2", "refused encoding: 8UC2 has more or fewer channels than a picture"),
        ("16UC2", "refused encoding: 16UC2 has more or fewer channels"),
        ("8UC10", "refused encoding: 8UC10 has more or fewer channels"),
        ("", "unknown encoding: '', expected one of bgr8, "),
        ("i420", "unknown encoding: 'i420'"),
        ("x" * 1000, f"unknown encoding: '{'x' * 40}...', expected"),
    ],
)
def test_encodings_that_are_no_camera_image(encoding: str, text: str) -> None:
    with pytest.raises(InvalidImage) as caught:
        raw_image(raw_of(encoding, np.zeros((4, 6, 4), np.uint8)))
    assert str(caught.value).startswith(text) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("encoding", "change", "text"),
    [
        ("bgr8", {"width": 0}, "impossible size: 0x4"),
        ("nv12", {"height": 0}, "impossible size: 6x0"),
        ("bgr8", {"width": 4_000_000_000}, "impossible size: 4000000000x4"),
        ("bgr8", {"step": 17}, "impossible step: 17 bytes for a row of 6x4 bgr8"),
        ("mono16", {"step": 13}, "impossible step: 13 bytes, mono16 has 2 a value"),
        ("bgr8", {"step": 4_294_967_295}, "truncated: 72 bytes"),
        ("bgr8", {"data": b""}, "truncated: 0 bytes, 6x4 bgr8 needs 72"),
        ("bgr8", {"data": bytes(71)}, "truncated: 71 bytes"),
        ("nv12", {"step": 6, "data": bytes(35)}, "truncated: 35 bytes, 6x4 nv12 needs 36"),
        ("nv24", {"step": 6, "data": bytes(71)}, "truncated: 71 bytes, 6x4 nv24 needs 72"),
        ("nv12", {"height": 3}, "impossible size: 6x3 nv12 pixels share their colour in squares of 2x2"),
        ("yuyv", {"width": 5}, "impossible size: 5x4 yuyv pixels share their colour in pairs"),
        ("bayer_rggb8", {"height": 2}, "impossible size: 6x2 bayer_rggb8, a mosaic has 3 rows and columns at least"),
    ],
)
def test_broken_images_are_named(encoding: str, change: dict[str, Any], text: str) -> None:
    message = raw_of("bgr8", np.zeros((4, 6, 3), np.uint8))
    vars(message).update(encoding=encoding, **change)
    with pytest.raises(InvalidImage) as caught:
        raw_image(message)
    assert str(caught.value).startswith(text)


def test_last_row_may_lack_its_padding() -> None:
    message = raw_of("bgr8", np.ones((4, 6, 3), np.uint8), padding=6)
    message.data = message.data[:-6]
    assert raw_image(message).sum() == 4 * 6 * 3


# ---- compressed


def smooth(*shape: int) -> Array:
    return cv2.GaussianBlur(RANDOM.integers(0, 256, shape, dtype=np.uint8), (9, 9), 3)


def compressed(pixels: Array, ending: str, kind: str | None = None, *flags: int) -> Any:
    data = cv2.imencode(ending, pixels, flags)[1]
    return SimpleNamespace(format=ending[1:] if kind is None else kind, data=data.tobytes())


@pytest.mark.parametrize("ending", [".png", ".tiff", ".bmp"])
@pytest.mark.parametrize("shape", [(60, 80, 3), (60, 80)])
def test_lossless_images_are_exact(ending: str, shape: tuple[int, ...]) -> None:
    pixels = smooth(*shape)
    assert np.array_equal(compressed_image(compressed(pixels, ending)), pixels)


@pytest.mark.parametrize("kind", ["jpeg", "bgr8; jpeg compressed bgr8", "rgb8; jpeg compressed bgr8", ""])
def test_jpeg_whatever_it_is_called(kind: str) -> None:
    pixels = smooth(60, 80, 3)
    assert np.abs(compressed_image(compressed(pixels, ".jpg", kind)).astype(int) - pixels).mean() < 4


def test_grey_jpeg_stays_grey() -> None:
    pixels = smooth(60, 80)
    back = compressed_image(compressed(pixels, ".jpg"))
    assert back.shape == (60, 80) and np.abs(back.astype(int) - pixels).mean() < 4


def test_webp() -> None:
    pixels = smooth(60, 80, 3)
    assert np.abs(compressed_image(compressed(pixels, ".webp")).astype(int) - pixels).mean() < 4


@pytest.mark.parametrize("shape", [(6, 8), (6, 8, 3), (6, 8, 4)])
def test_png_of_16_bits_is_scaled_as_raw_images_are(shape: tuple[int, ...]) -> None:
    pixels = RANDOM.integers(0, 65536, shape, dtype=np.uint16)
    expected = np.rint((pixels if pixels.ndim == 2 else pixels[:, :, :3]) / 257)
    assert np.array_equal(compressed_image(compressed(pixels, ".png", "mono16; png compressed ")), expected)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_compressed_mosaic_becomes_colour(kind: type) -> None:
    bits = 8 * np.dtype(kind).itemsize
    mosaic = RANDOM.integers(0, np.iinfo(kind).max + 1, (8, 10), dtype=kind)
    back = compressed_image(compressed(mosaic, ".png", f"bayer_gbrg{bits}; png compressed "))
    assert np.array_equal(back, raw_image(raw_of(f"bayer_gbrg{bits}", mosaic)))


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    """A JPEG with application segments behind its first marker."""
    return jpeg[:2] + b"".join(b"\xff\xe1" + (len(s) + 2).to_bytes(2, "big") + s for s in segments) + jpeg[2:]


def test_jpeg_is_not_turned_by_exif() -> None:
    """Camera info and boxes are about the pixels as the camera wrote them."""
    turned = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    data = with_segments(compressed(smooth(60, 80, 3), ".jpg").data, turned)
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape == (80, 60, 3)  # OpenCV alone would
    assert compressed_image(SimpleNamespace(format="jpeg", data=data)).shape == (60, 80, 3)


@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated_jpeg_is_refused(share: float, progressive: int) -> None:
    pixels = RANDOM.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    message = compressed(pixels, ".jpg", None, cv2.IMWRITE_JPEG_PROGRESSIVE, progressive)
    message.data = message.data[: int(share * len(message.data))]
    with pytest.raises(InvalidImage, match="truncated JPEG"):
        compressed_image(message)


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_image() -> None:
    message = compressed(smooth(60, 80, 3), ".jpg")
    thumbnail = compressed(smooth(6, 8, 3), ".jpg").data
    message.data = with_segments(message.data, thumbnail) + bytes(5000)  # and some cameras pad
    assert compressed_image(message).shape == (60, 80, 3)
    message.data = message.data[: len(thumbnail) + 900]
    with pytest.raises(InvalidImage, match="truncated JPEG"):
        compressed_image(message)


@pytest.mark.parametrize(("ending", "progressive"), [(".jpg", 0), (".jpg", 1), (".png", 0)])
def test_few_bytes_cannot_announce_gigabytes(ending: str, progressive: int) -> None:
    """OpenCV works for half a minute on such a JPEG of 700 bytes."""
    message = compressed(smooth(24, 32), ending, None, cv2.IMWRITE_JPEG_PROGRESSIVE, progressive)
    if ending == ".png":
        old, new = (32).to_bytes(4, "big") + (24).to_bytes(4, "big"), bytes([0, 0, 250, 0, 0, 0, 62, 128])
    else:
        old, new = bytes([0, 24, 0, 32]), bytes([62, 128, 250, 0])  # the height comes first
    message.data = message.data.replace(old, new, 1)
    with pytest.raises(InvalidImage, match="impossible size: 64000x16000 pixels"):
        compressed_image(message)


def test_rubbish_between_the_headers_of_a_jpeg_is_skipped() -> None:
    message = compressed(smooth(24, 32), ".jpg")
    message.data = with_segments(message.data, b"")[:6] + b"rubbish\xff" + message.data[2:]
    assert compressed_image(message).shape == (24, 32)
    message.data = message.data[:-2]
    with pytest.raises(InvalidImage, match="truncated JPEG"):
        compressed_image(message)


@pytest.mark.parametrize("flags", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)], ids=["baseline", "progressive"])
@pytest.mark.parametrize("kind", ["jpeg", "bgr8; jpeg compressed bgr8", ""])
def test_a_colour_jpeg_may_be_decoded_by_others(kind: str, flags: tuple[int, ...]) -> None:
    message = compressed(smooth(60, 80, 3), ".jpg", kind, *flags)
    assert colour_jpeg(message) == message.data


def test_what_is_no_usual_jpeg_is_not_for_other_decoders() -> None:
    colour, grey = compressed(smooth(60, 80, 3), ".jpg"), compressed(smooth(60, 80), ".jpg")
    others = [grey, compressed(smooth(60, 80, 3), ".png"), SimpleNamespace(format="jpeg", data=b"")]
    others += [SimpleNamespace(format="jpeg", data=colour.data[:size]) for size in (2, 100, len(colour.data) - 2)]
    others += [
        SimpleNamespace(format=kind, data=colour.data)
        for kind in ("bayer_rggb8; jpeg compressed bayer_rggb8", "16UC1; jpeg compressed", "16UC1; compressedDepth png")
    ]
    huge = colour.data.replace(bytes([0, 60, 0, 80]), bytes([62, 128, 250, 0]), 1)
    others += [SimpleNamespace(format="jpeg", data=huge)]
    assert [colour_jpeg(message) for message in others] == [None] * len(others)


@pytest.mark.parametrize("ending", [".png", ".webp", ".tiff", ".bmp"])
def test_other_truncated_images_are_refused(ending: str) -> None:
    message = compressed(smooth(60, 80, 3), ending)
    message.data = message.data[: len(message.data) // 2]
    with pytest.raises(InvalidImage, match=r"cannot be decoded: .* are no whole JPEG, PNG or WebP"):
        compressed_image(message)


@pytest.mark.parametrize(
    ("data", "kind", "text"),
    [
        (b"", "jpeg", "empty: no bytes in a compressed image of format 'jpeg'"),
        (b"\xff\xd8\xff\xd9", "jpeg", "cannot be decoded: 4 bytes of format 'jpeg'"),
        (b"not an image", "h264", "cannot be decoded: 12 bytes of format 'h264' are no whole JPEG, PNG or WebP"),
        (b"any", "16UC1; compressedDepth png", "refused format: '16UC1; compressedDepth png' is depth (REP 118)"),
        (b"any", "16UC1; png compressed ", "refused format: 16UC1 is depth (REP 118)"),
        (b"any", "32FC3; tiff compressed ", "refused format: 32FC3 has no defined range"),
    ],
)
def test_compressed_messages_that_are_no_camera_image(data: bytes, kind: str, text: str) -> None:
    with pytest.raises(InvalidImage) as caught:
        compressed_image(SimpleNamespace(format=kind, data=data))
    assert str(caught.value).startswith(text)


def test_decoded_numbers_without_a_range_are_refused() -> None:
    with pytest.raises(InvalidImage, match="refused format: 'tiff' with float32 values has no defined range"):
        compressed_image(compressed(np.ones((4, 6), np.float32), ".tiff"))
