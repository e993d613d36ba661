"""Image messages to arrays: exact pixels, every broken message refused by name; encodings are tested with the model."""

from __future__ import annotations

import array
import os
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from scenes import HEADER
from sensor_msgs.msg import CompressedImage, Image

from qdtrack_model.sensors.encodings import ENCODINGS
from qdtrack_model.sensors.messages import InvalidImage
from qdtrack_ros.input.source_image import image_array

RANDOM = np.random.default_rng(0)


def message(pixels: np.ndarray, encoding: str, padding: int = 0) -> Image:
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, -1)
    padded = np.concatenate([rows, np.full((height, padding), 77, np.uint8)], axis=1)
    data = array.array("B", padded.tobytes())
    return Image(header=HEADER, height=height, width=width, encoding=encoding, step=padded.shape[1], data=data)


def compressed(data: bytes, kind: str = "jpeg") -> CompressedImage:
    return CompressedImage(header=HEADER, format=kind, data=array.array("B", data))


def picture(*shape: int) -> np.ndarray:
    return cv2.GaussianBlur(RANDOM.integers(0, 256, shape, dtype=np.uint8), (9, 9), 3)


def test_raw_messages() -> None:
    pixels = picture(7, 11, 3)
    assert np.array_equal(image_array(message(pixels, "bgr8", padding=5)), pixels)
    assert np.array_equal(image_array(message(pixels, "rgb8")), pixels[:, :, ::-1])
    with pytest.raises(InvalidImage, match="refused encoding: 16UC1 is depth"):
        image_array(message(pixels, "16UC1"))


def test_compressed_messages() -> None:
    pixels = picture(60, 80, 3)
    assert np.array_equal(image_array(compressed(cv2.imencode(".png", pixels)[1].tobytes(), "png")), pixels)
    with pytest.raises(InvalidImage, match="truncated JPEG"):
        image_array(compressed(cv2.imencode(".jpg", pixels)[1].tobytes()[:-10]))


def test_the_usual_encoding_is_not_copied() -> None:
    source = message(np.zeros((4, 6, 3), np.uint8), "bgr8")
    view = image_array(source)
    source.data[0] = 200
    assert view[0, 0, 0] == 200


def outcome(source: Image | CompressedImage) -> tuple[np.ndarray | None, str]:
    try:
        return image_array(source), ""
    except InvalidImage as error:
        return None, str(error)


def test_every_encoding_of_sensor_msgs_is_known() -> None:
    """Converted or refused by name: a new name in a new distribution must not go unnoticed."""
    prefixes = [sys.prefix, *os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)]
    headers = [h for p in prefixes if p for h in Path(p).glob("include/sensor_msgs/**/image_encodings.hpp")]
    if not headers:
        pytest.skip("needs sensor_msgs' C++ header")
    names = re.findall(r'^const char \w+\[\] = "(\w+)";', headers[0].read_text(encoding="utf-8"), re.MULTILINE)
    assert len(names) > 40
    for name in names:
        blank = Image(height=4, width=4, step=32, encoding=name, data=array.array("B", bytes(4 * 32 * 3)))
        image, refusal = outcome(blank)
        assert refusal.startswith(f"refused encoding: {name}") if image is None else image.shape[:2] == (4, 4), name


FEW = st.integers(0, 9)
ANY = st.one_of(FEW, st.integers(0, 2**32 - 1))
NAMES = st.one_of(
    st.sampled_from(ENCODINGS), st.from_regex(r"(8|16|32|64)[USF]C\d?", fullmatch=True), st.text(max_size=9)
)
BYTES = st.integers(0, 500).map(lambda count: bytes(RANDOM.integers(0, 256, count, dtype=np.uint8)))


def assert_usable_or_refused(broken: Image | CompressedImage) -> np.ndarray | None:
    image, refusal = outcome(broken)
    if image is None:
        assert 0 < len(refusal) < 600 and "\n" not in refusal
        return None
    assert image.dtype == np.uint8 and image.size and (image.ndim == 2 or image.shape[2:] == (3,))
    image.sum()  # every byte can be read
    return image


@settings(max_examples=1500, deadline=5000)
@given(encoding=NAMES, height=ANY, width=ANY, step=ANY, big_endian=st.integers(0, 255), data=BYTES)
def test_malformed_images(encoding: str, height: int, width: int, step: int, big_endian: int, data: bytes) -> None:
    broken = Image(height=height, width=width, encoding=encoding, step=step, is_bigendian=big_endian)
    broken.data = array.array("B", data)
    image = assert_usable_or_refused(broken)
    assert image is None or image.shape[:2] == (height, width)


@settings(max_examples=1000, deadline=5000)
@given(
    encoding=st.sampled_from(ENCODINGS), height=st.integers(1, 9), width=st.integers(1, 9), pad=st.integers(-2, 5),
    missing=st.integers(-20, 20), values=st.sampled_from([1, 2, 3, 4, 6, 8]),
)  # fmt: skip
def test_nearly_right_images(encoding: str, height: int, width: int, pad: int, missing: int, values: int) -> None:
    step = max(0, width * values + pad)
    for planes in (1, 1.5, 3):
        data = array.array("B", bytes(max(0, int(step * height * planes) - missing)))
        broken = Image(height=height, width=width, encoding=encoding, step=step, data=data)
        image = assert_usable_or_refused(broken)
        assert image is None or image.shape[:2] == (height, width)


WHOLE = [
    cv2.imencode(ending, picture(24, 32, 3)[:, :, :channels], flags)[1].tobytes()
    for ending, flags in ((".jpg", ()), (".jpg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)), (".png", ()), (".webp", ()))
    for channels in (1, 3)
]
KINDS = st.one_of(
    st.sampled_from(["jpeg", "png", "bayer_rggb8; jpeg compressed ", "16UC1; compressedDepth"]), st.text()
)


@settings(max_examples=1000, deadline=5000)
@given(data=st.one_of(BYTES, st.sampled_from(WHOLE)), kind=KINDS, cut=st.floats(0, 1), added=st.binary(max_size=9))
def test_malformed_compressed_images(data: bytes, kind: str, cut: float, added: bytes) -> None:
    """Cut anywhere, then continued with other bytes."""
    assert_usable_or_refused(compressed(data[: round(cut * len(data))] + added, kind))


@settings(max_examples=300, deadline=20_000)  # what announces millions of pixels takes its time
@given(data=st.sampled_from(WHOLE), place=st.floats(0, 1), new=st.binary(min_size=1, max_size=4))
def test_damaged_compressed_images(data: bytes, place: float, new: bytes) -> None:
    start = round(place * (len(data) - len(new)))
    assert_usable_or_refused(compressed(data[:start] + new + data[start + len(new) :]))
