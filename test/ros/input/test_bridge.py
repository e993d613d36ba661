"""Conversions by cv_bridge and by our own: the same pixels and the same refusals, whatever the message looks like."""

from __future__ import annotations

import array
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("qdtrack.msg", reason="needs ROS 2 and the built interfaces (make)")

from sensor_msgs.msg import Image

from qdtrack_model.sensors.encodings import ENCODINGS, raw_image
from qdtrack_model.sensors.messages import InvalidImage
from qdtrack_ros.input import bridge
from qdtrack_ros.input.bridge import BRIDGED, bridged_image, converter, fits
from qdtrack_ros.input.source_image import image_array

RANDOM = np.random.default_rng(3)
BYTES = {"bgra8": 4, "rgba8": 4, "mono16": 2, "bgr16": 6, "rgb16": 6, "bgra16": 8, "rgba16": 8, "yuv422": 2}
BYTES |= {"yuv422_yuy2": 2, **{name: int(name[-2:].strip("rgb")) // 8 for name in BRIDGED if "bayer" in name}}


def message(encoding: str, padding: int = 0, missing: int = 0, big_endian: bool = False) -> Image:
    """Noise of 18x12 pixels, with so many bytes behind each row, of which some behind the last may be missing."""
    step = 18 * BYTES.get(encoding, 3) + padding
    data = RANDOM.integers(0, 256, 12 * step - missing, dtype=np.uint8)
    return Image(
        height=12,
        width=18,
        encoding=encoding,
        step=step,
        is_bigendian=big_endian,
        data=array.array("B", data.tobytes()),
    )


@pytest.fixture
def installed() -> None:
    if bridge._bridge() is None:
        pytest.skip("cv_bridge, for this NumPy, is not installed")


@pytest.mark.parametrize("encoding", BRIDGED)
def test_the_pixels_are_equal(encoding: str, installed: None) -> None:
    convert = converter(encoding)
    if convert is None:
        pytest.skip(f"this cv_bridge does not know {encoding}")
    plain = message(encoding)
    assert np.array_equal(convert(plain), raw_image(plain))


@pytest.mark.parametrize("encoding", BRIDGED)
def test_every_layout_is_read_as_it_is_meant(encoding: str) -> None:
    size = BYTES.get(encoding, 3)
    value = 2 if "16" in encoding else 1
    for one in (
        message(encoding, padding=2 * size),
        message(encoding, padding=value),
        message(encoding, padding=2 * size, missing=2 * size),
        message(encoding, big_endian=True),
    ):
        assert np.array_equal(bridged_image(one), raw_image(one))


@pytest.mark.parametrize("encoding", BRIDGED)
def test_broken_messages_are_refused_as_ever(encoding: str) -> None:
    cut, narrow, empty, thin = (message(encoding) for _ in range(4))
    cut.data = cut.data[:-1]
    narrow.step = 5
    empty.height = 0
    thin.width, thin.height, thin.step = 1, 1, 8
    for one in (cut, narrow, empty):
        with pytest.raises(InvalidImage):
            bridged_image(one)
    if "yuv" in encoding or "bayer" in encoding:
        with pytest.raises(InvalidImage, match="impossible size"):
            bridged_image(thin)


def test_the_node_converts_by_it(installed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    kept = converter
    monkeypatch.setattr(bridge, "converter", lambda encoding: asked.append(encoding) or kept(encoding))
    for encoding in ("rgb8", "bgr8", "mono8"):
        image_array(message(encoding))
    assert asked == ["rgb8"]


def test_only_one_that_was_built_for_this_numpy_is_loaded(tmp_path: Path) -> None:
    old, new = tmp_path / "old.so", tmp_path / "new.so"
    old.write_bytes(b"\x7fELF numpy.core._multiarray_umath\0")
    new.write_bytes(b"\x7fELF numpy._core._multiarray_umath\0numpy.core._multiarray_umath\0")
    assert [fits(old, "1.26.4"), fits(old, "2.4.6"), fits(new, "1.26.4"), fits(new, "2.4.6")] == [1, 0, 1, 1]


def test_no_view_goes_through_it() -> None:
    assert set(BRIDGED) < set(ENCODINGS)
    assert not {"bgr8", "8UC3", "mono8", "8UC1"} & set(BRIDGED)
