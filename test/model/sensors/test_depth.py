"""Objects in space: scenes of known geometry, every encoding of depth, and messages that are none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdtrack_model.sensors.camera_model import CameraModel
from qdtrack_model.sensors.depth import Boxes3D, depth_image, locate
from qdtrack_model.sensors.messages import InvalidImage
from qdtrack_model.structures import Array

RANDOM = np.random.default_rng(0)
SIZE = (640, 480)
CAMERA = CameraModel(SIZE, (500.0, 500.0), (319.5, 239.5))
# An object 1.4 m wide and 2.8 m high whose face is 7 m away, to the right of the axis and below it
BOX = np.array([370.0, 190.0, 470.0, 390.0])
CENTRE, ACROSS = (1.4, 0.7, 7.0), (1.4, 2.8)


def wall(distance: float = 12.0) -> Array:
    return np.full(SIZE[::-1], distance, np.float32)


def place(depth: Array, box: tuple[float, ...] | Array, distance: float | Array) -> Array:
    """The depth image with a rectangle in front of it."""
    x1, y1, x2, y2 = (round(float(edge)) for edge in box)
    depth[y1:y2, x1:x2] = distance
    return depth


def of_one(depth: Array, box: Array = BOX) -> tuple[Array, Array]:
    """Centre and size of the only box."""
    found = locate(box[None], depth, CAMERA)
    assert found.rows.tolist() == [0]
    return found.centres[0], found.sizes[0]


def check(depth: Array, near: float = 0.05) -> None:
    """The object is where it was put."""
    centre, size = of_one(depth)
    assert centre == pytest.approx(CENTRE, abs=near)
    assert size[:2] == pytest.approx(ACROSS, abs=near)


# ---- what is in a box


def test_an_object_before_a_wall() -> None:
    centre, size = of_one(place(wall(), BOX, 7.0))
    assert centre == pytest.approx(CENTRE) and size == pytest.approx((*ACROSS, 0.0))


@pytest.mark.parametrize("loose", [-0.04, 0.04])
def test_boxes_that_are_not_exact(loose: float) -> None:
    half = loose * (BOX[2:] - BOX[:2])
    centre, size = of_one(place(wall(), BOX, 7.0), np.concatenate([BOX[:2] - half, BOX[2:] + half]))
    assert centre == pytest.approx(CENTRE)
    assert size[:2] == pytest.approx(np.array(ACROSS) * (1 + 2 * loose))


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_a_thin_object_before_a_wall(share: float) -> None:
    half = share * (BOX[2] - BOX[0]) / 2
    check(place(wall(), (420 - half, BOX[1], 420 + half, BOX[3]), 7.0))


@pytest.mark.parametrize("left", [360, 400, 430])
def test_a_post_in_front(left: int) -> None:
    check(place(place(wall(), BOX, 7.0), (left, 0, left + 30, 480), 3.0))


def test_a_passer_by_in_front_of_one_half() -> None:
    check(place(place(wall(), BOX, 7.0), (320, 180, 415, 480), 4.0))


def test_a_neighbour_at_the_same_distance() -> None:
    check(place(place(wall(), BOX, 7.0), (472, 180, 560, 390), 7.2))


def test_a_person_on_the_ground() -> None:
    """Who fills half of the box, the ground between 7 m and the horizon seen beside."""
    below = np.arange(SIZE[1]) - CAMERA.centre[1]
    ground = np.where(below > 0, 1.5 * 500 / np.maximum(below, 1e-9), np.inf).astype(np.float32)
    depth = np.repeat(ground[:, None], SIZE[0], axis=1)
    feet, head = round(239.5 + 1.5 * 500 / 7), round(239.5 - 0.2 * 500 / 7)
    box = np.array([300.0, head, 344, feet])
    place(depth, (310, head, 334, feet), RANDOM.uniform(7.0, 7.2, (feet - head, 24)))
    assert of_one(depth, box)[0][2] == pytest.approx(7.1, abs=0.05)


def test_any_scene() -> None:
    """Objects that fill 40 % of their box, 12 % of the distance before a wall, with noise, holes and posts in front."""
    generator = np.random.default_rng(1)
    right = 0
    for _ in range(150):
        size = generator.integers((16, 24), (200, 300))
        corner = generator.integers(0, np.array(SIZE) - size)
        distance = np.exp(generator.uniform(0, 4))
        depth = wall(distance * generator.uniform(1.12, 5))
        box = np.concatenate([corner, corner + size]).astype(float)
        thin = box + np.array([1, 0, -1, 0]) * size[0] * generator.uniform(0, 0.3)
        place(depth, thin, distance)
        if generator.random() < 0.4:
            width = generator.uniform(0.05, 0.3) * (thin[2] - thin[0])
            left = generator.uniform(thin[0], thin[2] - width)
            place(depth, (left, 0, left + width, SIZE[1]), distance * generator.uniform(0.3, 0.85))
        depth *= 1 + generator.normal(0, 0.02, depth.shape).astype(np.float32)
        depth[generator.random(depth.shape) < generator.uniform(0, 0.7)] = 0
        found = locate((box + generator.uniform(-0.05, 0.05, 4) * np.tile(size, 2))[None], depth, CAMERA)
        right += len(found) == 1 and abs(found.centres[0, 2] / distance - 1) < 0.04
    assert right >= 148


@pytest.mark.parametrize("hole", [0.0, np.nan, np.inf, -np.inf, -1.0])
def test_holes_are_not_looked_at(hole: float) -> None:
    depth = place(wall(), BOX, 7.0)
    depth[RANDOM.random(depth.shape) < 0.9] = hole
    check(depth)


def test_noise_does_not_move_the_object() -> None:
    depth = place(wall(), BOX, 7.0)
    depth *= 1 + RANDOM.normal(0, 0.01, depth.shape).astype(np.float32)
    check(depth, near=0.1)


def test_how_deep_an_object_is() -> None:
    """A side that leads from 6 m to 8 m, as of a car seen at an angle."""
    depth = place(wall(20.0), BOX, np.linspace(6, 8, 100, dtype=np.float32))
    centre, size = of_one(depth)
    assert centre[2] == pytest.approx(7.0, abs=0.05) and 1.5 < size[2] < 2.0


def test_an_object_that_fills_the_image() -> None:
    assert of_one(wall(2.0), np.array([0.0, 0, *SIZE]))[0] == pytest.approx([0, 0, 2], abs=1e-6)


def test_an_object_at_the_edge_of_the_image() -> None:
    box = np.array([590.0, 200, 640, 400])
    assert of_one(place(wall(), box, 5.0), box)[0][2] == pytest.approx(5.0)


def test_boxes_without_enough_depth_are_left_out() -> None:
    depth = place(np.zeros(SIZE[::-1], np.float32), BOX, 7.0)
    depth[100:103, 100:103] = 4.0  # nine pixels
    boxes = np.array([[10, 10, 60, 60], BOX, [90, 90, 110, 110], [400, 200, 400, 300], [401, 200, 403, 203], BOX + 2])
    found = locate(boxes, depth, CAMERA)
    assert found.rows.tolist() == [1, 5] and len(found) == 2
    assert (found.rows.dtype, found.centres.dtype, found.sizes.dtype) == (np.int64, np.float32, np.float32)
    assert len(locate(boxes[:0], depth, CAMERA)) == 0


def test_a_small_object() -> None:
    box = np.array([300.0, 200, 306, 214])
    assert of_one(place(wall(60.0), box, 40.0), box)[0][2] == pytest.approx(40.0)


def test_where_the_lens_sees_nothing_no_object_is() -> None:
    fisheye = CameraModel(SIZE, (120.0, 120.0), (319.5, 239.5), (0.0, 0.0, 0.0, 0.0), True)
    assert locate(np.array([[0.0, 0, 60, 60], [300, 200, 340, 280]]), wall(), fisheye).rows.tolist() == [1]


# ---- the size of the depth image


@pytest.mark.parametrize("factor", [2, 1, 1 / 2, 1 / 4])
def test_depth_of_a_multiple_or_a_fraction_of_the_size(factor: float) -> None:
    depth = place(wall(), BOX, 7.0)
    rows, columns = (((np.arange(round(side * factor)) + 0.5) / factor).astype(int) for side in depth.shape)
    centre, size = of_one(depth[np.ix_(rows, columns)])
    assert centre == pytest.approx(CENTRE) and size == pytest.approx((*ACROSS, 0.0))


@pytest.mark.parametrize("shape", [(480, 641), (240, 640), (360, 480), (240, 160), (479, 640)])
def test_depth_of_another_size_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(InvalidImage) as caught:
        locate(BOX[None], np.ones(shape, np.float32), CAMERA)
    expected = f"depth is not aligned: depth of {shape[1]}x{shape[0]} pixels for an image of 640x480: publish it reg"
    assert str(caught.value).startswith(expected)


# ---- messages


def message(metres: Array, encoding: str, padding: int = 0, big_endian: bool = False) -> Any:
    values = np.rint(metres * 1000).astype(np.uint16) if encoding == "16UC1" else metres.astype(np.float32)
    rows = values.astype(values.dtype.newbyteorder(">" if big_endian else "<")).view(np.uint8)
    rows = np.pad(rows.reshape(len(metres), -1), ((0, 0), (0, padding)), constant_values=77)
    height, width = metres.shape
    return SimpleNamespace(
        height=height, width=width, encoding=encoding, is_bigendian=int(big_endian), step=rows.shape[1],
        data=rows.tobytes(),
    )  # fmt: skip


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("padding", [0, 8])
@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
def test_every_kind_of_depth(encoding: str, padding: int, big_endian: bool) -> None:
    metres = RANDOM.uniform(0, 60, (7, 11)).round(3)
    depth = depth_image(message(metres, encoding, padding, big_endian))
    assert depth.dtype == np.float32 and depth == pytest.approx(metres, abs=1e-5)


def test_metres_are_not_copied() -> None:
    sent = message(np.ones((4, 6)), "32FC1")
    sent.data = bytearray(sent.data)
    depth = depth_image(sent)
    sent.data[:4] = np.float32(5).tobytes()
    assert depth[0, 0] == 5 and not depth.flags.writeable


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"encoding": "mono16"}, "no depth: encoding 'mono16', expected 16UC1 [mm] or 32FC1 [m] (REP 118)"),
        ({"encoding": "y" * 50}, f"no depth: encoding '{'y' * 40}...'"),
        ({"width": 0}, "impossible size: 0x4 pixels"),
        ({"height": 70_000}, "impossible size: 6x70000 pixels"),
        ({"step": 22}, "impossible step: 22 bytes for a row of 6x4 32FC1"),
        ({"step": 26}, "impossible step: 26 bytes, 32FC1 has 4 a value"),
        ({"data": bytes(90)}, "truncated: 90 bytes, 6x4 32FC1 needs 96"),
    ],
)
def test_broken_messages_are_refused(values: dict[str, Any], text: str) -> None:
    sent = message(np.ones((4, 6)), "32FC1")
    vars(sent).update(values)
    with pytest.raises(InvalidImage) as caught:
        depth_image(sent)
    assert str(caught.value).startswith(text)


@given(
    st.sampled_from(["16UC1", "32FC1", "mono16", "bgr8", ""]), st.integers(0, 1), st.integers(0, 40),
    st.integers(0, 40), st.integers(0, 200), st.binary(max_size=4000),
)  # fmt: skip
def test_any_message_is_depth_or_refused(
    encoding: str, big_endian: int, height: int, width: int, step: int, data: bytes
) -> None:
    sent = SimpleNamespace(
        height=height, width=width, encoding=encoding, is_bigendian=big_endian, step=step, data=data
    )  # fmt: skip
    try:
        depth = depth_image(sent)
    except InvalidImage:
        return
    found = locate(np.array([[0.0, 0, width, height]]), depth, CameraModel((width, height), (50.0, 50.0), (9.5, 9.5)))
    assert isinstance(found, Boxes3D) and np.isfinite(found.centres).all() and (found.centres[:, 2] > 0).all()
    assert (found.sizes >= 0).all()
