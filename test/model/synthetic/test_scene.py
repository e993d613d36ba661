"""Synthetic streets: the same for the same seed, and ground truth that agrees with the pixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from qdtrack_model.config import ConfigError
from qdtrack_model.synthetic import Scene, SceneConfig, SceneFrame
from qdtrack_model.synthetic.camera import Camera, homography
from qdtrack_model.synthetic.paint import Drawing
from qdtrack_model.synthetic.scene import _draw, _in_order, _Placed
from qdtrack_model.synthetic.writer import ignored

SMALL = SceneConfig(seed=3, frames=20, size=(640, 360))


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene(SMALL)


@pytest.fixture(scope="module")
def frames(scene: Scene) -> list[SceneFrame]:
    return [scene.frame(index) for index in (0, 9, 19)]


def test_same_seed_gives_same_frames(scene: Scene, frames: list[SceneFrame]) -> None:
    again = Scene(SMALL).frame(9)
    assert np.array_equal(again.image, frames[1].image)
    assert np.array_equal(again.truth.boxes, frames[1].truth.boxes)
    assert np.array_equal(again.truth.visibilities, frames[1].truth.visibilities)
    # A frame does not depend on those rendered before it.
    assert np.array_equal(scene.frame(0).image, frames[0].image)


def test_another_seed_gives_another_scene(frames: list[SceneFrame]) -> None:
    other = Scene(SceneConfig(seed=4, frames=20, size=(640, 360))).frame(9)
    assert np.abs(other.image.astype(int) - frames[1].image).mean() > 10


def test_visible_pixels_agree_with_boxes_and_visibility(frames: list[SceneFrame]) -> None:
    whole = 0
    for frame in frames:
        height, width = frame.silhouettes.shape
        for identity, box, visibility in zip(frame.truth.ids, frame.truth.boxes, frame.truth.visibilities, strict=True):
            rows, columns = np.nonzero(frame.silhouettes == identity + 1)
            assert (len(rows) > 0) == (visibility > 0)
            if not len(rows):
                continue
            seen = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            assert (seen[:2] >= box[:2] - 1.5).all() and (seen[2:] <= box[2:] + 1.5).all()
            inside = (box[:2] > 0).all() and (box[2:] < [width, height]).all()
            if visibility > 0.98 and inside:
                assert np.abs(seen - box).max() <= 2
                whole += 1
    assert whole >= 10


def test_boxes_lie_in_the_image_and_ids_are_unique(frames: list[SceneFrame]) -> None:
    for frame in frames:
        boxes = frame.truth.boxes
        assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= [640, 360]).all()
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert len(set(frame.truth.ids.tolist())) == len(frame.truth.ids)
        assert (frame.truth.visibilities >= 0).all() and (frame.truth.visibilities <= 1).all()


def test_every_silhouette_belongs_to_an_object_of_the_truth(frames: list[SceneFrame]) -> None:
    for frame in frames:
        for number in np.unique(frame.silhouettes)[1:]:
            if np.count_nonzero(frame.silhouettes == number) > 4:  # not a sliver at the border
                assert number - 1 in frame.truth.ids


def test_default_scene_shows_twenty_objects() -> None:
    # A tenth of the frames of the default clip, at a quarter of its size: who appears does not depend on either.
    scene = Scene(SceneConfig(frames=30, frame_rate=2.5, size=(320, 180)))
    shown: set[int] = set()
    occluded = 0
    for frame in scene:
        scored = ~ignored(scene.config, frame.truth)
        shown |= set(frame.truth.ids[scored].tolist())
        occluded += int((scored & (frame.truth.visibilities < 0.8)).sum())
    assert len(shown) >= 20
    assert occluded >= 30  # it is not an easy empty street


def _square(left: float, colour: float, identity: int, y: float) -> _Placed:
    drawing = Drawing()
    drawing.fill(np.array([[left, 20], [left + 40, 20], [left + 40, 60], [left, 60.0]]), (colour, colour, colour))
    return _Placed(identity, 0, np.array([-1, y, 1, y + 1]), drawing, None, None, False)


@pytest.mark.parametrize(("shift", "visible"), [(0, 0.0), (20, 0.5), (40, 1.0)])
def test_nearer_object_takes_visibility_from_the_farther(shift: int, visible: float) -> None:
    camera = Camera(np.array([0, 0, 2.0]), 0, 0, 0, 100, (120, 80))
    far, near = _square(30, 200, 0, y=20), _square(30 + shift, 90, 1, y=5)
    image, silhouettes = np.zeros((80, 120, 3), np.uint8), np.zeros((80, 120), np.uint16)
    for thing in _in_order([near, far], camera):
        _draw(image, silhouettes, thing)
    assert far.drawing is not None and near.drawing is not None
    share = np.count_nonzero(silhouettes == 1) / far.drawing.area()
    assert share == pytest.approx(visible, abs=0.05)
    assert np.count_nonzero(silhouettes == 2) == pytest.approx(1600, rel=0.03)


def test_part_outside_the_image_counts_as_hidden() -> None:
    drawing = Drawing()
    drawing.fill(np.array([[-30, 10], [30, 10], [30, 50], [-30, 50.0]]), (9.0, 9.0, 9.0))
    assert drawing.area() == pytest.approx(60 * 40, rel=0.03)


def test_long_thing_is_ordered_by_its_footprint_not_its_middle() -> None:
    camera = Camera(np.array([-8.0, 0, 2]), 0.8, 0, 0, 100, (120, 80))
    # A bus whose middle is far away, and a person beyond its near end: nearer than its middle, yet behind it.
    bus = _Placed(0, 1, np.array([0.0, 2, 2.5, 30]), None, None, None, False)
    person = _Placed(1, 0, np.array([3.0, 6, 3.4, 6.4]), None, None, None, False)
    assert [thing.identity for thing in _in_order([bus, person], camera)] == [1, 0]


def test_homography_moves_ground_points_as_the_camera_does() -> None:
    first = Camera(np.array([1.0, 0, 3]), 0.2, 0.15, 0.01, 800, (1280, 720), (100, 80))
    second = Camera(np.array([1.3, 0.2, 3.1]), 0.22, 0.14, 0.0, 800, (1280, 720))
    points = np.array([[2.0, 9, 0], [5, 20, 0], [-1, 14, 0]])
    source, _ = first.project(points)
    expected, _ = second.project(points)
    matrix = homography(first, second, np.array([0, 0, 1.0]), 0.0)
    moved = cv2.perspectiveTransform((source - 0.5)[None], matrix)[0] + 0.5
    assert np.allclose(moved, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"frames": 0}, "frames: got 0"),
        ({"frame_rate": 0.0}, "frame_rate"),
        ({"size": (10, 10)}, "size: got '10x10'"),
        ({"pedestrians": -1}, "pedestrians"),
        ({"seed": -1}, "seed"),
    ],
)
def test_impossible_scene_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SceneConfig(**values)  # type: ignore[arg-type]


def test_a_turning_camera_sees_the_same_street() -> None:
    gentle, turning = (
        Scene(SceneConfig(frames=40, size=(320, 180))),
        Scene(SceneConfig(frames=40, size=(320, 180), camera="turning")),
    )
    yaws = np.degrees([turning.camera(number).yaw for number in range(40)])
    assert np.ptp(yaws) > 10 > 2 > np.ptp(np.degrees([gentle.camera(number).yaw for number in range(40)]))
    assert [person.walk.start for person in turning.people] == [person.walk.start for person in gentle.people]
    assert turning.street.light.gain.tolist() == gentle.street.light.gain.tolist()
